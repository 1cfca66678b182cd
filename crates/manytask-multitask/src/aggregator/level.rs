use std::ops::Range;

use manytask_tensor::{Layout, Slot, WHOLE};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Gradients with respect to what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The shared parameters.
    #[default]
    Parameters,
    /// The last shared activation: one pass through the heads and one through the trunk, and an upper bound of the
    /// parameter-level problem.
    Representation,
    /// The shared layer with the last weight matrix: its gradients cost no pass through the layers before it.
    LastLayer,
    /// The shared layers of these names, such as `trunk.layer1`, or single parameters. Weights that are found with them hold
    /// for all shared parameters.
    Layers(Vec<String>),
}

impl Level {
    /// Whether it is a part of the shared parameters.
    pub fn is_layers(&self) -> bool {
        matches!(self, Self::LastLayer | Self::Layers(_))
    }
}

/// The shared parameters that a level of layers means, in layout order.
///
/// # Errors
/// When a name is that of no shared layer or parameter.
pub(crate) fn layer_slots(layout: &Layout, shared: &[Slot], level: &Level) -> Result<Vec<Slot>> {
    let entry = |slot: &Slot| layout.entries().get(slot.index());
    let name = |slot: &Slot| entry(slot).map_or("", |entry| entry.name.as_str());
    let of = |layer: &str, name: &str| {
        name.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let layer_of = |name: &str| name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned();
    let wanted = match level {
        Level::Parameters | Level::Representation => return Ok(shared.to_vec()),
        Level::LastLayer => {
            let matrix = |slot: &&Slot| entry(slot).is_some_and(|entry| entry.shape.len() > 1);
            let last = shared.iter().rev().find(matrix).or(shared.last());
            vec![last.map(|slot| layer_of(name(slot))).ok_or_else(|| {
                Error::setting("level", "the tasks share no layer", "set level = \"parameters\"")
            })?]
        }
        Level::Layers(names) => names.clone(),
    };
    let unknown = wanted.iter().find(|layer| !shared.iter().any(|slot| of(layer, name(slot))));
    if let Some(layer) = unknown {
        let mut layers: Vec<String> = shared.iter().map(|slot| layer_of(name(slot))).collect();
        layers.dedup();
        return Err(Error::setting(
            WHOLE.text(layer),
            format!("there is no shared layer `{layer}`"),
            format!("the shared layers are `{}`", layers.join("`, `")),
        ));
    }
    if wanted.is_empty() {
        return Err(Error::setting(
            "level",
            "a level of no layers",
            "name at least one, or set level = \"last_layer\"",
        ));
    }
    Ok(shared.iter().copied().filter(|slot| wanted.iter().any(|layer| of(layer, name(slot)))).collect())
}

/// The columns that a level of layers means in a matrix of all `shared` parameters, ascending, adjoining ones as one.
///
/// # Errors
/// When a name is that of no shared layer or parameter.
pub fn layer_columns(layout: &Layout, shared: &[Slot], level: &Level) -> Result<Vec<Range<usize>>> {
    let wanted = layer_slots(layout, shared, level)?;
    let mut columns: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for slot in shared {
        let end = start + layout.entry(*slot)?.shape.iter().product::<i64>() as usize;
        if wanted.contains(slot) {
            match columns.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => columns.push(start..end),
            }
        }
        start = end;
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Init, Role};

    use super::*;

    #[test]
    fn layers_are_found_by_name_and_unknown_ones_are_refused() {
        let mut layout = Layout::builder();
        for (name, shape) in [
            ("trunk.layer0.weight", &[3_i64, 2][..]),
            ("trunk.layer0.bias", &[3]),
            ("trunk.layer1.weight", &[2, 3]),
            ("trunk.layer1.bias", &[2]),
            ("trunk.norm.weight", &[2]),
        ] {
            layout.add(name, shape, Init::Zeros, Role::Weight).unwrap();
        }
        let layout = layout.build();
        let shared = layout.trained();
        let of = |level: &Level| layer_columns(&layout, &shared, level);
        let one = |columns: Range<usize>| vec![columns];
        assert_eq!(of(&Level::Parameters).unwrap(), one(0..19));
        assert_eq!(of(&Level::LastLayer).unwrap(), one(9..17));
        let named = |names: &[&str]| Level::Layers(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(of(&named(&["trunk.layer0.bias", "trunk.norm"])).unwrap(), [6..9, 17..19]);
        assert_eq!(of(&named(&["trunk"])).unwrap(), one(0..19));
        let error = of(&named(&["trunk.layer"])).unwrap_err().to_string();
        assert!(
            error.contains("`trunk.layer`") && error.contains("`trunk.layer0`, `trunk.layer1`"),
            "{error}"
        );
        assert!(of(&Level::Layers(Vec::new())).is_err());
    }

    #[test]
    fn a_level_is_a_word_or_a_list_of_layers() {
        let read = |text: &str| serde_json::from_str::<Level>(text).unwrap();
        assert_eq!(read("\"representation\""), Level::Representation);
        assert_eq!(read("{\"layers\": [\"trunk.layer2\"]}"), Level::Layers(vec!["trunk.layer2".to_owned()]));
    }
}
