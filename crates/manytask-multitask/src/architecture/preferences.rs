//! The preferences of networks that are the whole Pareto front.

use manytask_tensor::KeyPath;
use manytask_tensor::random::Key;

use crate::pareto::preferences;
use crate::{Error, Result};

/// A share of a drawn preference is at least this: methods divide by it.
const LEAST: f64 = 1e-6;
/// The most preferences that a network is judged at.
const MOST: usize = 10_000;

/// The preferences of a network that is one for the whole Pareto front: how one is drawn at each step, and which it is judged by.
///
/// A preference is a share of each task, in the order of the tasks, that add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Preferences {
    tasks: usize,
    concentration: f64,
    usual: Vec<f64>,
    points: Vec<Vec<f64>>,
}

/// What settings say of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreferenceSettings<'s> {
    /// α of the Dirichlet distribution that a step's preference is drawn from.
    pub(crate) concentration: f64,
    /// That of evaluations and predictions; empty: equal shares.
    pub(crate) preference: &'s [f64],
    /// How many preferences at most a training is judged at when it ends.
    pub(crate) points: usize,
}

impl PreferenceSettings<'_> {
    /// Refuses what no number of tasks can have.
    ///
    /// # Errors
    /// With the setting and its range.
    pub(crate) fn check(self) -> Result<()> {
        if !(1e-3..=1e3).contains(&self.concentration) {
            let what = format!("`concentration` is {}", self.concentration);
            return Err(Error::setting("concentration", what, "it must be from 0.001 to 1000"));
        }
        if !(2..=MOST).contains(&self.points) {
            let what = format!("`points` is {}", self.points);
            return Err(Error::setting("points", what, format!("it must be from 2 to {MOST}")));
        }
        if self.preference.is_empty() { Ok(()) } else { shares(self.preference).map(drop) }
    }

    /// For so many tasks.
    ///
    /// # Errors
    /// As [`PreferenceSettings::check`], and where there is a single task.
    pub(crate) fn of(self, tasks: usize) -> Result<Preferences> {
        self.check()?;
        if tasks < 2 {
            return Err(Error::setting(
                "kind",
                "a network for the whole Pareto front of a single task",
                "describe another task, or take kind = \"hard_sharing\"",
            ));
        }
        let equal = || Ok(vec![1.0 / tasks as f64; tasks]);
        Ok(Preferences {
            tasks,
            concentration: self.concentration,
            usual: if self.preference.is_empty() { equal() } else { shares(self.preference) }?,
            points: preferences(tasks, self.points),
        })
    }
}

impl Preferences {
    /// The preference of a step, by its key.
    pub fn draw(&self, key: Key) -> Vec<f64> {
        let drawn = key.dirichlet(self.concentration, self.tasks);
        let sum: f64 = drawn.iter().map(|share| share.max(LEAST)).sum();
        drawn.iter().map(|share| share.max(LEAST) / sum).collect()
    }

    /// That of evaluations and predictions where no other is asked for.
    pub fn usual(&self) -> &[f64] {
        &self.usual
    }

    /// Refuses a usual preference that is not of so many tasks.
    ///
    /// # Errors
    /// With both numbers.
    pub fn check(&self, tasks: usize) -> Result<()> {
        if self.usual.len() == tasks { Ok(()) } else { Err(not_of(&self.usual, tasks)) }
    }

    /// Those that a training is judged at when it ends, spread evenly.
    pub fn points(&self) -> &[Vec<f64>] {
        &self.points
    }

    /// A preference in shares that add up to 1.
    ///
    /// # Errors
    /// When there is not one number for each task, one is below 0 or not finite, or none is above.
    pub fn checked(&self, preference: &[f64]) -> Result<Vec<f64>> {
        if preference.len() != self.tasks {
            return Err(not_of(preference, self.tasks));
        }
        shares(preference)
    }
}

fn not_of(preference: &[f64], tasks: usize) -> Error {
    let what = format!("a preference of {} numbers for {tasks} tasks", preference.len());
    Error::setting("preference", what, "write one for each task, in their order")
}

/// Numbers by their sum.
fn shares(preference: &[f64]) -> Result<Vec<f64>> {
    if let Some((place, wrong)) =
        preference.iter().enumerate().find(|(_, share)| !(share.is_finite() && **share >= 0.0))
    {
        let what = format!("a preference of {wrong}");
        return Err(Error::setting(
            KeyPath::from(("preference", place)),
            what,
            "write a number of at least 0",
        ));
    }
    let sum: f64 = preference.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        return Err(Error::setting(
            "preference",
            "a preference of no task",
            "write a number above 0 for one",
        ));
    }
    Ok(preference.iter().map(|share| share / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: PreferenceSettings<'_> =
        PreferenceSettings { concentration: 0.2, preference: &[], points: 5 };

    #[test]
    fn preferences_are_shares_and_the_same_for_the_same_key() {
        let own = PLAIN.of(3).unwrap();
        assert_eq!(own.usual(), [1.0 / 3.0; 3]);
        assert_eq!(own.points().len(), 3);
        for step in 0..200 {
            let drawn = own.draw(Key::new(1, "preference").step(step));
            assert!((drawn.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(drawn.iter().all(|share| *share >= 0.9 * LEAST), "{drawn:?}");
            assert_eq!(drawn, own.draw(Key::new(1, "preference").step(step)));
        }
        let given = PreferenceSettings { preference: &[2.0, 6.0], ..PLAIN }.of(2).unwrap();
        assert_eq!(given.usual(), [0.25, 0.75]);
    }

    #[test]
    fn what_is_no_preference_is_refused() {
        for (preference, says) in [
            (&[0.5][..], "1 numbers for 2 tasks"),
            (&[0.5, -0.1], "of -0.1"),
            (&[0.0, 0.0], "of no task"),
            (&[f64::INFINITY, 1.0], "of inf"),
            (&[1e308, 1e308], "of no task"),
        ] {
            let built = PreferenceSettings { preference, ..PLAIN }.of(2);
            let error = built.and_then(|own| own.check(2)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            let asked = PLAIN.of(2).unwrap().checked(preference).unwrap_err().to_string();
            assert_eq!(error, asked);
        }
        for wrong in [
            PreferenceSettings { concentration: 0.0, ..PLAIN },
            PreferenceSettings { concentration: f64::NAN, ..PLAIN },
            PreferenceSettings { points: 1, ..PLAIN },
        ] {
            assert!(wrong.check().is_err());
        }
        assert!(PLAIN.of(1).unwrap_err().to_string().contains("a single task"));
    }
}
