//! Parts of a network that a training holds still.

use std::collections::BTreeSet;

use manytask_tensor::{Layout, Slot};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Parts of a network that a training holds still from some step on.
///
/// What is frozen has no part in gradients, so aggregators combine the tasks' gradients of the others alone; it is not decayed, its
/// moments and its number of steps rest, and running statistics in it stay. A learner that adapts parameters in a task starts from
/// frozen ones like from others: it is the training that leaves them as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Names of parameters or what names begin with up to a dot, with `*` for any characters: `trunk`, `trunk.layer0`, `layer*`.
    pub parts: Vec<String>,
    /// So many steps of the training come before.
    pub after: u64,
}

impl Freeze {
    /// The entries of a layout that are frozen, buffers included, in its order.
    ///
    /// # Errors
    /// When a name matches nothing, or nothing is left to train: with the names that there are.
    pub fn slots(&self, layout: &Layout) -> Result<Vec<Slot>> {
        let mut found = BTreeSet::new();
        for (place, part) in self.parts.iter().enumerate() {
            let slots = layout.select(|entry| names(part, &entry.name));
            if slots.is_empty() {
                return Err(Error::setting(
                    ("freeze", place),
                    format!("freeze: no parameter is named `{part}`, and no name begins with it"),
                    format!("the parts are {}", parts(layout)),
                ));
            }
            found.extend(slots);
        }
        if !found.is_empty() && layout.trained().iter().all(|slot| found.contains(slot)) {
            return Err(Error::setting(
                "freeze",
                "freeze leaves nothing to train",
                format!("leave some of the parts out, which are {}", parts(layout)),
            ));
        }
        Ok(found.into_iter().collect())
    }
}

/// What the names of a layout begin with, each once, quoted.
fn parts(layout: &Layout) -> String {
    let mut parts: Vec<String> = Vec::new();
    for entry in layout.entries() {
        let part = entry.name.rsplit_once('.').map_or(entry.name.as_str(), |(part, _)| part);
        let part = format!("`{part}`");
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(", ")
}

/// Whether a pattern matches a name, or what it begins with up to a dot.
fn names(pattern: &str, name: &str) -> bool {
    let ends = name.match_indices('.').map(|(end, _)| end).chain([name.len()]);
    ends.filter_map(|end| name.get(..end)).any(|prefix| matches(pattern, prefix))
}

/// Whether a text is a pattern, with `*` for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_name_or_its_beginning_up_to_a_dot() {
        for (pattern, name, expected) in [
            ("trunk", "trunk.layer0.weight", true),
            ("trunk", "trunks.layer0.weight", false),
            ("trunk.layer0", "trunk.layer01.weight", false),
            ("trunk.layer*", "trunk.layer01.weight", true),
            ("block*", "block3.norm.running_mean", true),
            ("*.bias", "head.bias", true),
            ("*.bias", "head.weight", false),
            ("", "head.weight", false),
            ("*", "head.weight", true),
            ("head.weight", "head.weight", true),
        ] {
            assert_eq!(names(pattern, name), expected, "{pattern} {name}");
        }
    }
}
