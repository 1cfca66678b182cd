//! What several methods ask of losses, weights and settings.

use manytask_tensor::WHOLE;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, Level, Result, StepInfo};

/// Refuses losses that are not above 0, for methods that take their logarithm or divide by them.
///
/// # Errors
/// With the method and the task.
pub(super) fn positive(method: &str, step: &StepInfo<'_>) -> Result<()> {
    match step.losses.iter().find(|(_, loss)| *loss <= 0.0) {
        None => Ok(()),
        Some((task, loss)) => Err(not_positive(method, step.name(task), loss, step.number)),
    }
}

/// A loss that has no logarithm.
pub(super) fn not_positive(method: &str, task: &str, loss: f64, step: u64) -> Error {
    Error::setting(
        WHOLE,
        format!("`{method}` needs losses above 0, and at step {step} that of task `{task}` is {loss}"),
        "take a method that works with losses of any sign, such as equal_weights, dwa or uncertainty_weighting",
    )
}

/// `e^xᵢ / Σ e^xⱼ`, without overflow.
pub(super) fn softmax(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The nearest vector with numbers of at least 0 that add up to 1 (Held, Wolfe & Crowder 1974).
pub(super) fn project_onto_simplex(values: &[f64]) -> Vec<f64> {
    // Where the 1 would be lost beside large numbers all are taken below the largest: a shift changes nothing.
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shift = if largest.abs() > 1e6 { largest } else { 0.0 };
    let values: Vec<f64> = values.iter().map(|value| value - shift).collect();
    let mut descending = values.clone();
    descending.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (count, value) in (1..).zip(&descending) {
        sum += value;
        let candidate = (sum - 1.0) / f64::from(count);
        if *value > candidate {
            shift = candidate;
        }
    }
    values.iter().map(|value| (value - shift).max(0.0)).collect()
}

/// A number for each task by name: all, or none, and then `absent` for each.
///
/// # Errors
/// When a name is unknown or missing, or a number is not finite or not above `above`.
pub(super) fn by_task(
    method: &str,
    key: &str,
    given: &BTreeMap<String, f64>,
    tasks: &[String],
    absent: f64,
    above: f64,
) -> Result<Vec<f64>> {
    let all = || tasks.join("`, `");
    if let Some(name) = given.keys().find(|name| !tasks.contains(name)) {
        return Err(Error::setting(
            [key, name],
            format!("{method}: {key}: there is no task `{name}`"),
            format!("the tasks are `{}`", all()),
        ));
    }
    if let Some((name, value)) = given.iter().find(|(_, value)| !(value.is_finite() && **value > above)) {
        let remedy = if above.is_finite() {
            format!("write a number above {above}")
        } else {
            "write a finite number".to_owned()
        };
        return Err(Error::setting([key, name], format!("{method}: {key} of `{name}` is {value}"), remedy));
    }
    if given.is_empty() {
        return Ok(vec![absent; tasks.len()]);
    }
    let of = |name: &String| {
        given.get(name).copied().ok_or_else(|| {
            Error::setting(
                key,
                format!("{method}: {key}: none for `{name}`"),
                "write one for each task, or leave all out",
            )
        })
    };
    tasks.iter().map(of).collect()
}

/// A number of a setting that must be finite.
pub(super) fn finite(method: &str, key: &str, value: f64) -> Result<()> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a finite number"))
    }
}

/// A share, from 0 to 1.
pub(super) fn share(method: &str, key: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a number from 0 to 1"))
    }
}

/// A learning rate of a method's own, which may be left out.
pub(super) fn rate(method: &str, rate: Option<f64>) -> Result<()> {
    match rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => {
            let what = format!("{method}: a learning_rate that is not above 0");
            Err(Error::setting("learning_rate", what, "raise it, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// The tasks that lists by task name.
pub(super) fn named(lists: &[&BTreeMap<String, f64>]) -> Vec<String> {
    let names: BTreeSet<&String> = lists.iter().flat_map(|list| list.keys()).collect();
    names.into_iter().cloned().collect()
}

/// A list by task without those of `all` tasks that are not among these; unknown ones stay, to be refused.
pub(super) fn for_some(
    list: &BTreeMap<String, f64>,
    tasks: &[String],
    all: &[String],
) -> BTreeMap<String, f64> {
    let stays = |name: &String| tasks.contains(name) || !all.contains(name);
    list.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

/// The numbers of the present tasks.
pub(super) fn of_present(all: &[f64], step: &StepInfo<'_>) -> Vec<f64> {
    step.losses.present().iter().map(|task| all.get(*task).copied().unwrap_or_default()).collect()
}

/// A setting that must be finite and above 0.
pub(super) fn above_zero(method: &str, key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a number above 0"))
    }
}

/// A setting that must be finite and at least 0.
pub(super) fn at_least_zero(method: &str, key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a number that is at least 0"))
    }
}

/// A setting that must be from 0 to 1.
pub(super) fn unit(method: &str, key: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a number from 0 to 1"))
    }
}

/// The level of a method that gives a direction, which some layers have none for.
pub(super) fn direction_level(method: &str, level: &Level) -> Result<()> {
    if level.is_layers() {
        return Err(Error::setting(
            "level",
            format!("{method}: a direction of some layers only"),
            "set level = \"parameters\" or \"representation\"",
        ));
    }
    Ok(())
}

/// A setting that must be from 0 to below 1.
pub(super) fn below_one(method: &str, key: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(Error::setting(key, format!("{method}: {key} is {value}"), "write a number from 0 to below 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_large_numbers_add_up_to_1() {
        for values in [[-1e38, -3e38, -2e38], [1e20, 1e20, -1e20], [0.0, 1e40, 2e40]] {
            let shares = project_onto_simplex(&values);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-15, "{values:?}: {shares:?}");
        }
    }

    #[test]
    fn the_softmax_of_large_numbers_is_finite() {
        assert_eq!(softmax(&[1e300, 1e300]), [0.5, 0.5]);
        assert_eq!(softmax(&[-1e300, 0.0]), [0.0, 1.0]);
    }

    #[test]
    fn projections_lie_in_the_simplex_and_are_nearest() {
        assert_eq!(project_onto_simplex(&[0.2, 0.8]), [0.2, 0.8]);
        assert_eq!(project_onto_simplex(&[2.0, 0.5]), [1.0, 0.0]);
        assert_eq!(project_onto_simplex(&[1.0, 1.0, -5.0]), [0.5, 0.5, 0.0]);
        // Every positive number gave up the same.
        let projected = project_onto_simplex(&[0.9, 0.7, -0.1, 0.3]);
        assert!((projected.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((0.9 - projected[0] - (0.7 - projected[1])).abs() < 1e-15);
    }

    #[test]
    fn numbers_by_task_are_for_all_or_none() {
        let tasks = ["a".to_owned(), "b".to_owned()];
        let given = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, x)| ((*name).to_owned(), *x)).collect();
        let of = |pairs| by_task("m", "preference", &given(pairs), &tasks, 0.5, 0.0);
        assert_eq!(of(&[]).unwrap(), [0.5, 0.5]);
        assert_eq!(of(&[("b", 2.0), ("a", 1.0)]).unwrap(), [1.0, 2.0]);
        for (wrong, said) in [
            (&[("c", 1.0)][..], "no task `c`; the tasks are `a`, `b`"),
            (&[("a", 1.0)], "none for `b`"),
            (&[("a", 1.0), ("b", 0.0)], "of `b` is 0; write a number above 0"),
        ] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
