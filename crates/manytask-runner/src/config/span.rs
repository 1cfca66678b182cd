//! Where a setting stands: its path of keys looked up in the text.

use std::ops::Range;

use manytask_tensor::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value of a configuration, with the place to point at for a mistake in it: a value's own; of a table that of its `kind`, and where
/// it has none that of its header or key.
struct Node<'t, 's> {
    place: Range<usize>,
    /// Where keys are looked up.
    table: Option<&'t DeTable<'s>>,
    /// Where indices and texts are looked up, in place of that table.
    value: Option<&'t DeValue<'s>>,
}

/// The place of what a path leads to, as far as the text has it: where its end is not written, of the innermost table or value around
/// it. `None` where that is the whole text.
pub(super) fn find(whole: &DeTable<'_>, path: &[Segment], text: &str) -> Option<Range<usize>> {
    let mut node = Node { place: 0..0, table: Some(whole), value: None };
    let mut found = None;
    for segment in path {
        let Some(next) = node.step(segment, text) else { break };
        found = Some(next.place.clone());
        node = next;
    }
    found
}

impl<'t, 's> Node<'t, 's> {
    /// A value that stands under a key, or without one in a list.
    fn new(key: Option<Range<usize>>, value: &'t Spanned<DeValue<'s>>, text: &str) -> Self {
        let (span, content) = (value.span(), value.get_ref());
        let table = content.as_table();
        let kind = table.and_then(|table| table.get("kind")).filter(|kind| kind.get_ref().is_str());
        let place = match (kind, table) {
            (Some(kind), _) => kind.span(),
            (None, None) => span,
            // `[network]`: its bracket.
            (None, Some(_)) if text.get(span.clone()).is_some_and(|text| text.starts_with('[')) => {
                span.start..span.start + 1
            }
            (None, Some(_)) => key.unwrap_or(span),
        };
        Self { place, table, value: Some(content) }
    }

    fn step(&self, segment: &Segment, text: &str) -> Option<Self> {
        match segment {
            Segment::Key(key) => {
                let (key, value) = self.table?.get_key_value(key.as_str())?;
                Some(Self::new(Some(key.span()), value, text))
            }
            Segment::Index(index) => {
                let value = self.value?.as_array()?.get(*index)?;
                Some(Self::new(None, value, text))
            }
            Segment::Text(wanted) => match (self.value, self.table) {
                (Some(value), _) => {
                    string_in(value, None, wanted).or_else(|| key_in(value.as_table()?, wanted))
                }
                (None, Some(table)) => string_below(table, wanted).or_else(|| key_in(table, wanted)),
                (None, None) => None,
            },
        }
    }
}

/// The first string of this text in a value; keys are then looked up in the table that holds it.
fn string_in<'t, 's>(
    value: &'t DeValue<'s>,
    around: Option<&'t DeTable<'s>>,
    wanted: &str,
) -> Option<Node<'t, 's>> {
    match value {
        DeValue::Table(table) => string_below(table, wanted),
        DeValue::Array(items) => items.iter().find_map(|item| string_at(item, around, wanted)),
        _ => None,
    }
}

fn string_below<'t, 's>(table: &'t DeTable<'s>, wanted: &str) -> Option<Node<'t, 's>> {
    table.iter().find_map(|(_, value)| string_at(value, Some(table), wanted))
}

fn string_at<'t, 's>(
    value: &'t Spanned<DeValue<'s>>,
    around: Option<&'t DeTable<'s>>,
    wanted: &str,
) -> Option<Node<'t, 's>> {
    match value.get_ref() {
        DeValue::String(text) if text == wanted => {
            Some(Node { place: value.span(), table: around, value: None })
        }
        other => string_in(other, around, wanted),
    }
}

/// The first key of this name in a table or in those that it holds, with its value's place.
fn key_in<'t, 's>(table: &'t DeTable<'s>, wanted: &str) -> Option<Node<'t, 's>> {
    let own = table.get(wanted).map(|value| Node {
        place: value.span(),
        table: value.get_ref().as_table(),
        value: Some(value.get_ref()),
    });
    own.or_else(|| table.iter().find_map(|(_, value)| key_in(value.get_ref().as_table()?, wanted)))
}
