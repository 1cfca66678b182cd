//! What is trained for a front: each method with each preference, or one network for all of them.

use toml::{Table, Value};

use crate::config::one_line;
use crate::failure::{Code, Failure, Result};
use crate::whole_front::shares;

/// The sign between a network for the whole front and its objective.
const WITH: char = '+';

/// One training of a front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// The method, and where it is trained for one preference a blank and its shares with colons between.
    pub(super) name: String,
    /// Its changes of the configuration.
    pub(super) overrides: Vec<String>,
}

/// What a front is looked for with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'a> {
    pub(super) tasks: &'a [String],
    pub(super) preferences: &'a [Vec<f64>],
    /// How many preferences were asked for.
    pub(super) points: usize,
    /// Whether the kept parameters are those that are best by the preference.
    pub(super) monitors: bool,
    /// The section `[network]` of the configuration.
    pub(super) network: &'a Table,
}

/// A network for the whole front by its name, and the aggregator of its paper.
pub(super) type FrontNetwork = (String, &'static str);

/// The aggregator that a method names; nothing where it names a network alone.
pub(super) fn objective_of<'m>(method: &'m str, networks: &[FrontNetwork]) -> Option<&'m str> {
    match method.split_once(WITH) {
        Some((_, objective)) => Some(objective),
        None => networks.iter().all(|(known, _)| known != method).then_some(method),
    }
}

/// All methods with all preferences.
///
/// # Errors
/// When there is no method, or one twice.
pub(super) fn of_methods(
    methods: &[String],
    networks: &[FrontNetwork],
    sought: Sought<'_>,
) -> Result<Vec<Variant>> {
    let mut variants = Vec::with_capacity(methods.len() * sought.preferences.len());
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
        let (network, objective) = match name.split_once(WITH) {
            Some((network, objective)) => (network, Some(objective)),
            None => (name.as_str(), None),
        };
        match (networks.iter().find(|(known, _)| known == network), objective) {
            (Some((network, usual)), objective) => {
                variants.push(of_network(name, network, objective.unwrap_or(usual), sought));
            }
            (None, Some(_)) => {
                let known: Vec<&str> = networks.iter().map(|(name, _)| name.as_str()).collect();
                let what = format!("--methods: there is no network for a whole front `{network}`");
                return Err(Failure::new(Code::Usage, what).hint(format!("there are {}", known.join(", "))));
            }
            (None, None) => {
                variants
                    .extend(sought.preferences.iter().map(|preference| variant(name, preference, sought)));
            }
        }
    }
    Ok(variants)
}

/// One network for all preferences, with the parts of the configuration's network.
fn of_network(name: &str, network: &str, objective: &str, sought: Sought<'_>) -> Variant {
    const PARTS: [&str; 3] = ["trunk", "head", "embedding"];
    let own = sought.network.get("kind").and_then(Value::as_str) == Some(network);
    let mut table: Table = sought.network.clone();
    table.retain(|key, _| own || PARTS.contains(&key));
    table.insert("kind".to_owned(), network.into());
    table.insert("points".to_owned(), Value::Integer(sought.points as i64));
    let overrides = vec![
        format!("network={}", Value::Table(table)),
        format!("aggregator={{ kind = {} }}", one_line(objective)),
    ];
    Variant { name: name.to_owned(), overrides }
}

/// One training for one preference λ: `Σ λᵢ lᵢ`, or what another aggregator that has a `preference` makes of it.
fn variant(name: &str, preference: &[f64], sought: Sought<'_>) -> Variant {
    let pairs = sought.tasks.iter().zip(preference);
    let weights: Vec<String> = pairs.map(|(task, weight)| format!("{} = {weight}", one_line(task))).collect();
    let weights = format!("{{ {} }}", weights.join(", "));
    let across = if name == "linear" { "mean" } else { "worst" };
    let mut overrides =
        vec![format!("aggregator={{ kind = {}, preference = {{ weights = {weights} }} }}", one_line(name))];
    if sought.monitors {
        overrides.push(format!(
            "training.monitor={{ metric = \"loss\", across = {across:?}, weights = {weights} }}"
        ));
    }
    Variant { name: format!("{name} {}", shares(preference)), overrides }
}

/// The method of a variant's name, and its preference where it is trained for one.
pub(super) fn read(variant: &str) -> (&str, Option<Vec<f64>>) {
    let parsed = variant.rsplit_once(' ').and_then(|(method, preference)| {
        Some((method, preference.split(':').map(|weight| weight.parse().ok()).collect::<Option<_>>()?))
    });
    match parsed {
        Some((method, preference)) => (method, Some(preference)),
        None => (variant, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_each_preference_with_its_monitor() {
        let methods = ["linear", "epo", "phn", "phn+epo"].map(str::to_owned);
        let tasks = ["a b".to_owned(), "c".to_owned()];
        let networks = [("phn".to_owned(), "linear")];
        let network: Table =
            "kind = \"mmoe\"\nexperts = 3\ntrunk = { kind = \"mlp\", hidden = [4] }".parse().unwrap();
        let preferences = [vec![0.75, 0.25], vec![0.25, 0.75]];
        let sought =
            Sought { tasks: &tasks, preferences: &preferences, points: 3, monitors: true, network: &network };
        let all = of_methods(&methods, &networks, sought).unwrap();
        let names: Vec<&str> = all.iter().map(|variant| variant.name.as_str()).collect();
        let expected =
            ["linear 0.75:0.25", "linear 0.25:0.75", "epo 0.75:0.25", "epo 0.25:0.75", "phn", "phn+epo"];
        assert_eq!(names, expected);
        assert_eq!(read(names[3]), ("epo", Some(vec![0.25, 0.75])));
        assert_eq!(read(names[5]), ("phn+epo", None));
        assert_eq!(
            all[2].overrides,
            [
                "aggregator={ kind = \"epo\", preference = { weights = { \"a b\" = 0.75, \"c\" = 0.25 } } }",
                "training.monitor={ metric = \"loss\", across = \"worst\", weights = { \"a b\" = 0.75, \"c\" = 0.25 } }"
            ]
        );
        assert!(all[1].overrides[1].contains("\"mean\""));
        assert_eq!(all[5].overrides[1], "aggregator={ kind = \"epo\" }");
        let made = all[4].overrides[0].strip_prefix("network=").unwrap();
        let made: Table = format!("network = {made}").parse().unwrap();
        let expected = "kind = \"phn\"\npoints = 3\ntrunk = { kind = \"mlp\", hidden = [4] }";
        assert_eq!(made["network"], Value::Table(expected.parse().unwrap()));
        let quiet = Sought { monitors: false, ..sought };
        assert_eq!(of_methods(&methods, &networks, quiet).unwrap()[0].overrides.len(), 1);
        for wrong in [["epo", "epo"], ["epo", ""], ["mmoe+epo", "epo"]] {
            let failure = of_methods(&wrong.map(str::to_owned), &networks, sought).unwrap_err();
            assert_eq!(failure.code, Code::Usage);
        }
    }
}
