//! Where a section stands, for mistakes that show only after it was read.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Source;
use crate::failure::{Code, Failure};

/// The spans of a section's keys and values, kept after the section was taken apart.
#[derive(Debug, Clone)]
pub struct SourceSpan {
    source: Source,
    header: Range<usize>,
    names: Vec<Name>,
}

/// A word of the configuration, and the place to point at where a mistake names it.
#[derive(Debug, Clone)]
struct Name {
    word: String,
    kind: NameKind,
    place: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameKind {
    /// The key of a table.
    Table,
    /// Any other key; the place is its value's.
    Key,
    /// A string.
    Text,
}

impl SourceSpan {
    pub(super) fn new(source: &Source, header: Range<usize>, table: &DeTable<'_>) -> Self {
        let mut names = Vec::new();
        collect(table, &mut names);
        Self { source: source.clone(), header, names }
    }

    /// A mistake in this section, at the place that [`SourceSpan::place`] finds for it.
    pub fn diagnostic(&self, what: impl Into<String>) -> Failure {
        self.place(Failure::new(Code::Config, what))
    }

    /// Gives a mistake in the configuration its place: where the section has what the mistake names, otherwise the first
    /// line of the section. A failure of another kind, or one that has a place, stays as it is.
    pub fn place(&self, failure: impl Into<Failure>) -> Failure {
        let failure = failure.into();
        if failure.code != Code::Config || self.source.is_named_in(&failure) {
            return failure;
        }
        let place = self.find(&failure.message).unwrap_or(&self.header).clone();
        self.source.diagnostic(&failure.message, place, failure.hints)
    }

    /// What is in backticks goes before other words, a value before its key, and a key before that of a table around it.
    fn find(&self, message: &str) -> Option<&Range<usize>> {
        // What follows is a remedy.
        let what = message.split("; ").next().unwrap_or_default();
        let mut quoted: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
        quoted.reverse();
        let words =
            || what.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let find = |word: &str, kinds: &[NameKind]| {
            let fits = |name: &&Name| name.word == word && kinds.contains(&name.kind);
            self.names.iter().find(fits).map(|name| &name.place)
        };
        let of = |kind: NameKind| quoted.iter().find_map(|word| find(word, &[kind]));
        of(NameKind::Text)
            .or_else(|| of(NameKind::Key))
            .or_else(|| of(NameKind::Table))
            .or_else(|| words().find_map(|word| find(word, &[NameKind::Key])))
            .or_else(|| words().next().and_then(|word| find(word, &[NameKind::Text, NameKind::Table])))
    }
}

fn collect(table: &DeTable<'_>, names: &mut Vec<Name>) {
    for (key, value) in table {
        let (kind, place) = if value.get_ref().is_table() {
            (NameKind::Table, key.span())
        } else {
            (NameKind::Key, value.span())
        };
        names.push(Name { word: key.get_ref().to_string(), kind, place });
        collect_value(value, names);
    }
}

fn collect_value(value: &Spanned<DeValue<'_>>, names: &mut Vec<Name>) {
    match value.get_ref() {
        DeValue::Table(table) => collect(table, names),
        DeValue::Array(items) => items.iter().for_each(|item| collect_value(item, names)),
        DeValue::String(text) => {
            names.push(Name { word: text.to_string(), kind: NameKind::Text, place: value.span() });
        }
        _ => {}
    }
}
