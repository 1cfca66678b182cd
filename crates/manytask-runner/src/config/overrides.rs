//! `a.b.c=value` from the command line, into the parsed configuration.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Source;
use crate::failure::{Code, Failure, Result};

/// Refuses what has not the form of an override.
pub(super) fn check(change: &str) -> Result<()> {
    let refuse = |what: &str| {
        Err(Failure::new(Code::Usage, format!("the argument `{change}` {what}"))
            .hint("write key=value, e.g. training.epochs=3"))
    };
    match change.split_once('=') {
        None => refuse("is no override"),
        Some(_) if change.contains('\n') => refuse("has more than one line"),
        Some((key, _)) if key.split('.').any(|part| part.trim().is_empty()) => refuse("has an empty key"),
        Some((_, value)) if value.trim().is_empty() => refuse("has no value"),
        Some(_) => Ok(()),
    }
}

/// Puts an override in its place; `start` is where its text begins in the source.
pub(super) fn apply<'s>(
    source: &'s Source,
    table: &mut DeTable<'s>,
    change: &'s str,
    start: usize,
) -> Result<()> {
    let Some((key, value)) = change.split_once('=') else { return Ok(()) };
    let value_start = start + key.len() + 1 + (value.len() - value.trim_start().len());
    let value = value.trim();
    let value = match DeValue::parse(value) {
        Ok(parsed) => shifted(parsed, value_start),
        // A bare word is a string; what looks like something else is a mistake in it.
        Err(error) if value.starts_with(['"', '\'', '[', '{']) => {
            let place = error.span().unwrap_or(0..value.len());
            return Err(source.fault(
                error.message(),
                place.start + value_start..place.end + value_start,
                Vec::new(),
            ));
        }
        Err(_) => Spanned::new(value_start..value_start + value.len(), DeValue::String(Cow::Borrowed(value))),
    };
    let mut here = table;
    let mut parts = key.split('.').peekable();
    let mut at = start;
    while let Some(part) = parts.next() {
        let place = at..at + part.len();
        at += part.len() + 1;
        let name = Spanned::new(place.clone(), Cow::Borrowed(part.trim()));
        if parts.peek().is_none() {
            // The old key would keep its place in the file.
            here.remove(part.trim());
            here.insert(name, value);
            return Ok(());
        }
        let next =
            here.entry(name).or_insert_with(|| Spanned::new(place.clone(), DeValue::Table(DeTable::new())));
        let DeValue::Table(inner) = next.get_mut() else {
            return Err(source.fault(&format!("`{}` is no table", part.trim()), place, Vec::new()));
        };
        here = inner;
    }
    Ok(())
}

/// A value with its places moved.
fn shifted(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let span = span.start + by..span.end + by;
    let inner = match value.into_inner() {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(|item| shifted(item, by)).collect()),
        DeValue::Table(table) => {
            let pairs = table.into_iter().map(|(key, value)| {
                let place = key.span();
                (Spanned::new(place.start + by..place.end + by, key.into_inner()), shifted(value, by))
            });
            DeValue::Table(pairs.collect())
        }
        other => other,
    };
    Spanned::new(span, inner)
}
