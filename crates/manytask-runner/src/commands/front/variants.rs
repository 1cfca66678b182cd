//! What is trained for a front: each method with each preference.

use crate::config::one_line;
use crate::failure::{Code, Failure, Result};

/// One training of a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// The method, a blank, and the preferences with colons between.
    pub(super) name: String,
    /// Its changes of the configuration.
    pub(super) overrides: Vec<String>,
}

/// Weighted sums of the losses.
pub(super) const LINEAR: &str = "linear";

/// What is minimised for a preference λ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// `Σ λᵢ lᵢ`.
    Linear,
    /// Another aggregator that has a `preference`: the largest `λᵢ lᵢ`, or something like it.
    Preferring,
}

/// All methods with all preferences; with `monitors` the kept parameters are those that are best by the preference.
///
/// # Errors
/// When there is no method, or one twice.
pub(super) fn of_methods(
    methods: &[String],
    tasks: &[String],
    preferences: &[Vec<f64>],
    monitors: bool,
) -> Result<Vec<Variant>> {
    let mut variants = Vec::with_capacity(methods.len() * preferences.len());
    for (number, name) in methods.iter().enumerate() {
        if name.is_empty() || methods.iter().take(number).any(|other| other == name) {
            let what = if name.is_empty() {
                "an item is empty".to_owned()
            } else {
                format!("`{name}` is there twice")
            };
            return Err(Failure::new(Code::Usage, format!("--methods: {what}"))
                .hint("write names with commas between, such as linear,tchebycheff,epo"));
        }
        let method = if name == LINEAR { Method::Linear } else { Method::Preferring };
        variants.extend(
            preferences.iter().map(|preference| variant((name, method), tasks, preference, monitors)),
        );
    }
    Ok(variants)
}

fn variant((name, method): (&str, Method), tasks: &[String], preference: &[f64], monitors: bool) -> Variant {
    let weights: Vec<String> =
        tasks.iter().zip(preference).map(|(task, weight)| format!("{} = {weight}", one_line(task))).collect();
    let weights = format!("{{ {} }}", weights.join(", "));
    let (aggregator, across) = match method {
        Method::Linear => (format!("{{ kind = \"fixed_weights\", weights = {weights} }}"), "mean"),
        Method::Preferring => {
            (format!("{{ kind = {}, preference = {{ weights = {weights} }} }}", one_line(name)), "worst")
        }
    };
    let mut overrides = vec![format!("aggregator={aggregator}")];
    if monitors {
        overrides.push(format!(
            "training.monitor={{ metric = \"loss\", across = {across:?}, weights = {weights} }}"
        ));
    }
    let shown: Vec<String> =
        preference.iter().map(|weight| format!("{}", (weight * 1e4).round() / 1e4)).collect();
    Variant { name: format!("{name} {}", shown.join(":")), overrides }
}

/// The method and the preferences of a variant's name.
pub(super) fn read(variant: &str) -> Option<(&str, Vec<f64>)> {
    let (method, preference) = variant.rsplit_once(' ')?;
    Some((method, preference.split(':').map(|weight| weight.parse().ok()).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_each_preference_with_its_monitor() {
        let methods = ["linear", "epo"].map(str::to_owned);
        let tasks = ["a b".to_owned(), "c".to_owned()];
        let all = of_methods(&methods, &tasks, &[vec![0.75, 0.25], vec![0.25, 0.75]], true).unwrap();
        let names: Vec<&str> = all.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["linear 0.75:0.25", "linear 0.25:0.75", "epo 0.75:0.25", "epo 0.25:0.75"]);
        assert_eq!(read(names[3]), Some(("epo", vec![0.25, 0.75])));
        assert_eq!(
            all[2].overrides,
            [
                "aggregator={ kind = \"epo\", preference = { weights = { \"a b\" = 0.75, \"c\" = 0.25 } } }",
                "training.monitor={ metric = \"loss\", across = \"worst\", weights = { \"a b\" = 0.75, \"c\" = 0.25 } }"
            ]
        );
        assert!(all[0].overrides[0].contains("fixed_weights") && all[0].overrides[1].contains("\"mean\""));
        assert_eq!(of_methods(&methods, &tasks, &[vec![0.5, 0.5]], false).unwrap()[0].overrides.len(), 1);
        for wrong in [["epo", "epo"], ["epo", ""]] {
            let failure =
                of_methods(&wrong.map(str::to_owned), &tasks, &[vec![0.5, 0.5]], false).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
        }
    }
}
