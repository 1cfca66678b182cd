//! `a.b.c=value` from the command line, into the parsed configuration.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Source, paths};
use crate::failure::{Code, Failure, Result};

/// One name between the dots of a key, and where it stands.
struct Part {
    name: String,
    place: Range<usize>,
}

/// Parts of a key beyond which nothing is meant.
const DEEPEST: usize = 64;

/// Refuses what has not the form of an override, and a key that is given twice or within another one.
pub(super) fn check(changes: &[String]) -> Result<()> {
    let mut keys: Vec<(Vec<String>, &String)> = Vec::with_capacity(changes.len());
    for change in changes {
        let (parts, _) = split(change).map_err(|what| {
            Failure::new(Code::Usage, format!("the argument `{}` {what}", window(change)))
                .hint("write key=value, e.g. training.epochs=3")
        })?;
        keys.push((parts.into_iter().map(|part| part.name).collect(), change));
    }
    // What begins with a key stands right behind it.
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    for pair in keys.windows(2) {
        let [(first, one), (second, other)] = pair else { continue };
        if second.starts_with(first) {
            let (one, other) = (window(one), window(other));
            let what = format!("the arguments `{one}` and `{other}` are both for `{}`", first.join("."));
            return Err(Failure::new(Code::Usage, what).hint("leave one of them out"));
        }
    }
    Ok(())
}

/// An argument, or its beginning where it is long.
fn window(change: &str) -> String {
    const SHOWN: usize = 80;
    let mut text: String = change.chars().take(SHOWN).collect();
    if text.len() < change.len() {
        text.push('…');
    }
    text
}

/// Puts an override in its place; `start` is where its text begins in the source.
pub(super) fn apply<'s>(
    source: &'s Source,
    table: &mut DeTable<'s>,
    change: &'s str,
    start: usize,
) -> Result<()> {
    let Ok((mut parts, end)) = split(change) else { return Ok(()) };
    for part in &mut parts {
        part.place = part.place.start + start..part.place.end + start;
    }
    let value = change.get(end..).unwrap_or_default();
    let value_start = start + end + (value.len() - value.trim_start().len());
    let value = value.trim();
    let mut value = match DeValue::parse(value) {
        Ok(parsed) => shifted(parsed, value_start),
        // A bare word is a string; what looks like something else is a mistake in it.
        Err(error) if value.starts_with(['"', '\'', '[', '{']) => {
            let place = error.span().unwrap_or(0..value.len());
            let place = place.start + value_start..place.end + value_start;
            return Err(source.diagnostic(error.message(), place, Vec::new()));
        }
        Err(_) => Spanned::new(value_start..value_start + value.len(), DeValue::String(Cow::Borrowed(value))),
    };
    let mut key: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    paths::from_here(&mut key, value.get_mut());
    put_in_table(source, table, &parts, value)
}

fn put_in_table<'s>(
    source: &Source,
    table: &mut DeTable<'s>,
    parts: &[Part],
    value: Spanned<DeValue<'s>>,
) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    let name = Spanned::new(part.place.clone(), Cow::Owned(part.name.clone()));
    if rest.is_empty() {
        // The old key would keep its place in the file.
        table.remove(part.name.as_str());
        table.insert(name, value);
        return Ok(());
    }
    let empty = || Spanned::new(part.place.clone(), DeValue::Table(DeTable::new()));
    put(source, table.entry(name).or_insert_with(empty).get_mut(), part, rest, value)
}

/// Into what `part` names; elements of arrays are counted from 0.
fn put<'s>(
    source: &Source,
    here: &mut DeValue<'s>,
    part: &Part,
    rest: &[Part],
    value: Spanned<DeValue<'s>>,
) -> Result<()> {
    let Some((next, behind)) = rest.split_first() else { return Ok(()) };
    match here {
        DeValue::Table(inner) => put_in_table(source, inner, rest, value),
        DeValue::Array(items) => {
            let count = items.len();
            let item = next.name.parse::<usize>().ok().and_then(|number| items.get_mut(number));
            let Some(item) = item else {
                let what = format!("`{}` is an array of {count}, counted from 0", part.name);
                return Err(source.diagnostic(&what, next.place.clone(), Vec::new()));
            };
            if behind.is_empty() {
                *item = value;
                return Ok(());
            }
            put(source, item.get_mut(), next, behind, value)
        }
        _ => Err(source.diagnostic(&format!("`{}` is no table", part.name), part.place.clone(), Vec::new())),
    }
}

/// A text as a value of TOML in one line, as a change of a configuration needs it.
pub(crate) fn one_line(text: &str) -> String {
    let value = toml::Value::from(text).to_string();
    // For a text of several lines that is one of several lines too; the escapes of JSON are those of TOML.
    if value.contains('\n') {
        serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
    } else {
        value
    }
}

/// The parts of the key and where the value begins. Names with dots or equal signs stand in quotes.
fn split(change: &str) -> Result<(Vec<Part>, usize), &'static str> {
    if change.contains('\n') {
        return Err("has more than one line");
    }
    let (mut parts, mut quote, mut start) = (Vec::new(), None, 0);
    for (at, character) in change.char_indices() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            ('.' | '=', None) => {
                let text = change.get(start..at).unwrap_or_default();
                let blanks = text.len() - text.trim_start().len();
                let text = text.trim();
                let bare = |open: char| text.strip_prefix(open)?.strip_suffix(open);
                let name = bare('"').or_else(|| bare('\'')).unwrap_or(text).to_owned();
                if name.is_empty() {
                    return Err("has an empty key");
                }
                if parts.len() == DEEPEST {
                    return Err("has a key of too many parts");
                }
                parts.push(Part { name, place: start + blanks..start + blanks + text.len() });
                start = at + 1;
                if character == '=' {
                    let value = change.get(start..).unwrap_or_default();
                    return if value.trim().is_empty() { Err("has no value") } else { Ok((parts, start)) };
                }
            }
            _ => {}
        }
    }
    Err("is no override")
}

/// A value with its spans moved.
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
