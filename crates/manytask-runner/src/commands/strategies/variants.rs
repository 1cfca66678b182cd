//! What is compared: a network for each task, weighted sums of the losses, and methods.

use toml::Value;

use crate::config::one_line;
use crate::failure::{Code, Failure, Result};

/// Before the name of a task that is trained alone.
pub(super) const ALONE: &str = "alone-";
/// Before the weights of a weighted sum of the losses.
pub(super) const SCALARIZATION: &str = "scalarization ";
/// The mean of the losses, which every scalarization is compared with on the validation split.
pub(super) const EQUAL: &str = "equal_weights";

/// What is compared where nothing is named: one of each family that is widely used.
const USUAL: [&str; 5] = ["uncertainty_weighting", "famo", "pcgrad", "cagrad", "upgrad"];
/// Up to so many tasks each is weighed more in turn; of more tasks so many weightings are spread evenly.
const GRID: usize = 4;
/// The largest weight as a multiple of the smallest.
const RATIO: f64 = 3.0;

/// One thing that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) name: String,
    /// Its changes of the configuration.
    pub(super) overrides: Vec<String>,
}

/// All that is compared for these tasks: `configured` is the `[aggregator]` of the configuration, `strategies` a list of names
/// or tables.
///
/// # Errors
/// When the list has an empty item or two of one name.
pub(super) fn of_plan(
    tasks: &[String],
    configured: Option<&Value>,
    strategies: Option<&str>,
) -> Result<Vec<Variant>> {
    let mut variants: Vec<Variant> = tasks.iter().map(|task| alone(task)).collect();
    variants.push(method(EQUAL, &format!("{{ kind = {EQUAL:?} }}")));
    variants.extend(scalarizations(tasks));
    let kind = configured.and_then(|own| own.get("kind")).and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| *kind != EQUAL) {
        variants.push(Variant { name: kind.to_owned(), overrides: Vec::new() });
    }
    match strategies {
        None => {
            let new = USUAL.into_iter().filter(|name| Some(*name) != kind);
            variants.extend(new.map(|name| method(name, &format!("{{ kind = {name:?} }}"))));
        }
        Some(list) => {
            for item in items(list) {
                let variant = named(item)?;
                // The one of the configuration stands for its name.
                if Some(variant.name.as_str()) == kind || variant.name == EQUAL {
                    continue;
                }
                if variants.iter().any(|other| other.name == variant.name) {
                    let what = format!("--strategies has `{}` twice", variant.name);
                    return Err(Failure::new(Code::Usage, what));
                }
                variants.push(variant);
            }
        }
    }
    Ok(variants)
}

fn alone(task: &str) -> Variant {
    let only = format!("training.only_tasks=[{}]", one_line(task));
    Variant {
        name: format!("{ALONE}{task}"),
        overrides: vec![only, format!("aggregator={{ kind = {EQUAL:?} }}")],
    }
}

fn method(name: &str, table: &str) -> Variant {
    Variant { name: name.to_owned(), overrides: vec![format!("aggregator={table}")] }
}

/// A small grid of weights.
fn scalarizations(tasks: &[String]) -> Vec<Variant> {
    let count = tasks.len();
    let weights: Vec<Vec<f64>> = if count <= GRID {
        (0..count).map(|one| (0..count).map(|task| if task == one { RATIO } else { 1.0 }).collect()).collect()
    } else {
        (0..GRID).map(|number| (0..count).map(|task| spread(number, task)).collect()).collect()
    };
    let variant = |(number, weights): (usize, Vec<f64>)| {
        let sum: f64 = weights.iter().sum();
        let pairs = tasks.iter().zip(&weights);
        let table: Vec<String> =
            pairs.clone().map(|(task, weight)| format!("{} = {}", quoted_key(task), weight / sum)).collect();
        let name = if count <= GRID {
            format!(
                "{SCALARIZATION}{}",
                weights.iter().map(ToString::to_string).collect::<Vec<_>>().join(":")
            )
        } else {
            format!("{SCALARIZATION}{}", number + 1)
        };
        method(&name, &format!("{{ kind = \"fixed_weights\", weights = {{ {} }} }}", table.join(", ")))
    };
    weights.into_iter().enumerate().map(variant).collect()
}

/// Weights between the inverse of the root of [`RATIO`] and that root: a Kronecker sequence, spread evenly in the exponent.
fn spread(number: usize, task: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let place = ((number + 1) as f64 * (task as f64 + 1.0).sqrt() * GOLDEN + task as f64 * GOLDEN).fract();
    let weight = RATIO.powf(place - 0.5);
    (weight * 1e4).round() / 1e4
}

/// A key in an inline table.
fn quoted_key(name: &str) -> String {
    one_line(name)
}

/// The items of a list with commas, those in brackets and quotes apart.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (at, character) in list.char_indices() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            ('{' | '[', None) => depth += 1,
            ('}' | ']', None) => depth -= 1,
            (',', None) if depth == 0 => {
                items.extend(list.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.extend(list.get(start..));
    items.into_iter().map(str::trim).collect()
}

/// A name, or a table with settings.
fn named(item: &str) -> Result<Variant> {
    let refuse = |what: &str| {
        Err(Failure::new(Code::Usage, format!("--strategies: {what}"))
            .hint("write names and tables with commas between, such as --strategies 'pcgrad,{ kind = \"cagrad\", c = 0.8 }'"))
    };
    if item.is_empty() {
        return refuse("an item is empty");
    }
    if !item.starts_with('{') {
        return Ok(method(item, &format!("{{ kind = {} }}", one_line(item))));
    }
    let Ok(table) = toml::from_str::<toml::Table>(&format!("x = {item}")) else {
        return refuse(&format!("`{item}` is no table"));
    };
    let own = table.get("x").and_then(Value::as_table);
    let Some(kind) = own.and_then(|own| own.get("kind")).and_then(Value::as_str) else {
        return refuse(&format!("`{item}` has no `kind`"));
    };
    let others = own.into_iter().flatten().filter(|(key, _)| *key != "kind");
    let settings: Vec<String> = others.map(|(key, value)| format!("{key}={value}")).collect();
    let name = if settings.is_empty() { kind.to_owned() } else { format!("{kind} {}", settings.join(" ")) };
    Ok(method(&name, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(count: usize) -> Vec<String> {
        (0..count).map(|task| format!("t\"{task}")).collect()
    }

    fn names(variants: &[Variant]) -> Vec<&str> {
        variants.iter().map(|variant| variant.name.as_str()).collect()
    }

    #[test]
    fn a_grid_weighs_each_task_more_or_is_spread_evenly() {
        let two = scalarizations(&tasks(2));
        assert_eq!(names(&two), ["scalarization 3:1", "scalarization 1:3"]);
        for count in [2, 3, 12] {
            for variant in scalarizations(&tasks(count)) {
                let text = variant.overrides[0].replacen("aggregator=", "aggregator = ", 1);
                let table: toml::Table = toml::from_str(&text).unwrap();
                let weights = table["aggregator"]["weights"].as_table().unwrap();
                let weights: Vec<f64> =
                    weights.iter().map(|(_, weight)| weight.as_float().unwrap()).collect();
                assert_eq!(weights.len(), count);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                let (low, high) = weights.iter().fold((1.0_f64, 0.0_f64), |(l, h), w| (l.min(*w), h.max(*w)));
                assert!(high / low < 3.001 && high / low > 1.5, "{weights:?}");
            }
        }
        let spread = scalarizations(&tasks(12));
        assert!(
            spread
                .iter()
                .all(|one| spread.iter().filter(|other| other.overrides == one.overrides).count() == 1)
        );
    }

    #[test]
    fn the_configured_strategy_keeps_its_settings_and_stands_for_its_name() {
        let own: toml::Table = toml::from_str("kind = 'cagrad'\nc = 0.7").unwrap();
        let own = Value::Table(own);
        let all = of_plan(&tasks(2), Some(&own), None).unwrap();
        assert_eq!(names(&all)[..3], ["alone-t\"0", "alone-t\"1", "equal_weights"]);
        let cagrad: Vec<&Variant> = all.iter().filter(|variant| variant.name == "cagrad").collect();
        assert_eq!(cagrad.len(), 1);
        assert!(cagrad[0].overrides.is_empty());
        let list = "pcgrad, { kind = \"cagrad\", c = 0.2 },cagrad";
        let all = of_plan(&tasks(2), Some(&own), Some(list)).unwrap();
        assert_eq!(names(&all)[5..], ["cagrad", "pcgrad", "cagrad c=0.2"]);
        assert_eq!(all[7].overrides, ["aggregator={ kind = \"cagrad\", c = 0.2 }"]);
        for wrong in ["a,,b", "{ c = 1 }", "{ kind = 1", "mgda,mgda"] {
            assert_eq!(of_plan(&tasks(2), Some(&own), Some(wrong)).unwrap_err().code, Code::Usage, "{wrong}");
        }
    }
}
