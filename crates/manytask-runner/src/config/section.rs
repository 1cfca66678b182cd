//! Tables that are taken apart key by key, so that what is left over at the end is a mistake.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use manytask_tensor::{KeyPath, WHOLE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::Value;
use super::{Source, diagnostic};
use crate::failure::{Code, Failure, Result};

/// One table of a configuration.
#[derive(Debug)]
pub struct Section<'s> {
    source: &'s Source,
    /// The names of the sections around it and its own; empty for the whole.
    path: Vec<String>,
    table: Spanned<DeTable<'s>>,
    /// What was asked for, for "did you mean".
    asked: Vec<String>,
    /// All that was read of the whole, with defaults.
    record: Rc<RefCell<toml::Table>>,
}

impl<'s> Section<'s> {
    pub(super) fn whole(source: &'s Source, table: Spanned<DeTable<'s>>) -> Self {
        Self { source, path: Vec::new(), table, asked: Vec::new(), record: Rc::default() }
    }

    /// Its dotted name.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// The path to it in the whole.
    pub(crate) fn key(&self) -> KeyPath {
        self.path.iter().fold(WHOLE, KeyPath::then)
    }

    /// All that was read so far of the whole configuration, with the defaults of what is not written.
    pub fn read_so_far(&self) -> toml::Table {
        self.record.borrow().clone()
    }

    /// The configuration it is of.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// A mistake at the section as a whole.
    pub fn diagnostic(&self, what: &str) -> Failure {
        self.source.diagnostic(what, self.header(), Vec::new())
    }

    /// Takes a value, if it is there.
    ///
    /// # Errors
    /// When it has another type, with its place.
    pub fn take<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Result<Option<T>> {
        let Some((_, value)) = self.remove(key) else { return Ok(None) };
        let span = value.span();
        let value = T::deserialize(Value(value))
            .map_err(|error| self.source.diagnostic(&error.what, error.place.unwrap_or(span), Vec::new()))?;
        self.note(key, &value);
        Ok(Some(value))
    }

    /// Takes a value, or what stands for its absence.
    ///
    /// # Errors
    /// As [`Section::take`].
    pub fn take_or<T: DeserializeOwned + Serialize>(&mut self, key: &str, absent: T) -> Result<T> {
        if let Some(value) = self.take(key)? {
            return Ok(value);
        }
        self.note(key, &absent);
        Ok(absent)
    }

    /// Takes a value that must be there.
    ///
    /// # Errors
    /// As [`Section::take`], and when it is missing.
    pub fn required<T: DeserializeOwned + Serialize>(&mut self, key: &str) -> Result<T> {
        match self.take(key)? {
            Some(value) => Ok(value),
            None => Err(self.missing(key)),
        }
    }

    /// Takes a table, if it is there.
    ///
    /// # Errors
    /// When it is no table.
    pub fn table(&mut self, key: &str) -> Result<Option<Section<'s>>> {
        let Some((_, value)) = self.remove(key) else { return Ok(None) };
        self.inner(key, value).map(Some)
    }

    /// A value of this section as a section.
    fn inner(&self, key: &str, value: Spanned<DeValue<'s>>) -> Result<Section<'s>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let path = self.path.iter().cloned().chain([key.to_owned()]).collect();
                Ok(Section {
                    source: self.source,
                    path,
                    table: Spanned::new(span, table),
                    asked: Vec::new(),
                    record: Rc::clone(&self.record),
                })
            }
            other => {
                let what = format!("`{key}` is of type {}, a table is needed", other.type_str());
                Err(self.source.diagnostic(&what, span, Vec::new()))
            }
        }
    }

    /// Takes a table that must be there.
    ///
    /// # Errors
    /// When it is missing or no table.
    pub fn required_table(&mut self, key: &str) -> Result<Section<'s>> {
        self.table(key)?.ok_or_else(|| self.missing(key))
    }

    /// The names of all tables in it, taken with their content.
    ///
    /// # Errors
    /// When something in it is no table.
    pub fn tables(&mut self) -> Result<Vec<(String, Section<'s>)>> {
        let all = std::mem::take(self.table.get_mut());
        let take = |(key, value): (Spanned<Cow<'s, str>>, _)| {
            let name = key.into_inner().into_owned();
            Ok((name.clone(), self.inner(&name, value)?))
        };
        all.into_iter().map(take).collect()
    }

    /// That of these keys which is written last; a change on the command line stands behind the file.
    pub fn last_of(&self, keys: [&'static str; 2]) -> Option<&'static str> {
        let place = |key: &&'static str| self.table.get_ref().get(*key).map(|value| value.span().start);
        keys.into_iter().filter(|key| place(key).is_some()).max_by_key(place)
    }

    /// A string that is there, left where it is.
    pub fn peek(&self, key: &str) -> Option<&str> {
        self.table.get_ref().get(key).and_then(|value| value.get_ref().as_str())
    }

    /// Takes the string `kind` with its place.
    ///
    /// # Errors
    /// When it is missing or no string.
    pub fn kind(&mut self) -> Result<(String, Range<usize>)> {
        let Some((_, value)) = self.remove("kind") else { return Err(self.missing("kind")) };
        let span = value.span();
        match value.into_inner() {
            DeValue::String(kind) => {
                self.note("kind", &kind);
                Ok((kind.into_owned(), span))
            }
            other => {
                let what = format!("`kind` is of type {}, a string is needed", other.type_str());
                Err(self.source.diagnostic(&what, span, Vec::new()))
            }
        }
    }

    /// The string `kind` with its place, or the kind that stands for its absence.
    ///
    /// # Errors
    /// When it is no string.
    pub fn kind_or(&mut self, absent: &str) -> Result<(String, Range<usize>)> {
        if self.table.get_ref().contains_key("kind") {
            return self.kind();
        }
        self.asked.push("kind".to_owned());
        self.note("kind", &absent);
        Ok((absent.to_owned(), self.header()))
    }

    /// Takes all tables in it that have a string of this name, with their names.
    pub fn tables_with(&mut self, name: &str) -> Vec<(String, Section<'s>)> {
        let has = |value: &Spanned<DeValue<'_>>| {
            value
                .get_ref()
                .as_table()
                .is_some_and(|table| table.get(name).is_some_and(|value| value.get_ref().as_str().is_some()))
        };
        let keys = self.table.get_ref().iter().filter(|(_, value)| has(value));
        let keys: Vec<String> = keys.map(|(key, _)| key.get_ref().to_string()).collect();
        keys.into_iter()
            .filter_map(|key| {
                let found = self.table(&key).ok().flatten();
                found.map(|section| (key, section))
            })
            .collect()
    }

    /// Writes a value, in TOML, where the key is not there.
    ///
    /// # Errors
    /// When the text is no value.
    pub(crate) fn fill(&mut self, key: &'static str, value: &'static str) -> Result<()> {
        if self.table.get_ref().contains_key(key) {
            return Ok(());
        }
        let span = self.header();
        let bug = |what: String| Failure::new(Code::Bug, format!("`{key} = {value}`: {what}"));
        let parsed = DeValue::parse(value).map_err(|error| bug(error.to_string()))?.into_inner();
        self.table.get_mut().insert(Spanned::new(span.clone(), key.into()), Spanned::new(span, parsed));
        Ok(())
    }

    /// Everything that is left, as one value.
    ///
    /// # Errors
    /// At an unknown, missing or wrong key, with its place.
    pub fn rest<T: DeserializeOwned + Serialize>(mut self) -> Result<T> {
        let (header, whole, of) = (self.header(), self.table.span(), self.of());
        let own_keys: Vec<Range<usize>> = self.table.get_ref().keys().map(Spanned::span).collect();
        let asked = std::mem::take(&mut self.asked);
        let table = std::mem::replace(&mut self.table, Spanned::new(whole.clone(), DeTable::new()));
        let table = Spanned::new(whole.clone(), DeValue::Table(table.into_inner()));
        let value = T::deserialize(Value(table)).map_err(|error| {
            let place = error.place.filter(|place| *place != whole);
            let missing = error.what.starts_with("missing field") && place.is_none();
            let what = if missing { format!("{}{of}", error.what) } else { error.what };
            let what = if place.as_ref().is_some_and(|place| own_keys.contains(place)) {
                with_more_keys(what, &asked)
            } else {
                what
            };
            self.source.diagnostic(&what, place.unwrap_or(header), Vec::new())
        })?;
        if let Ok(toml::Value::Table(all)) = toml::Value::try_from(&value) {
            self.here(|table| table.extend(all));
        }
        Ok(value)
    }

    /// Refuses what is left.
    ///
    /// # Errors
    /// When a key was never asked for.
    pub fn finish(self) -> Result<()> {
        let Some(key) = self.table.get_ref().keys().next() else { return Ok(()) };
        let names: Vec<String> = self.asked.iter().map(|name| format!("`{name}`")).collect();
        let of = self.of();
        let hint = match diagnostic::nearest(key.get_ref(), self.asked.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", names.join(", ")),
        };
        Err(self.source.diagnostic(&format!("unknown key `{}`{of}", key.get_ref()), key.span(), vec![hint]))
    }

    /// A mistake at a place that was taken from here.
    pub(crate) fn fault_at(&self, what: &str, place: Range<usize>, hints: Vec<String>) -> Failure {
        self.source.diagnostic(what, place, hints)
    }

    fn missing(&self, key: &str) -> Failure {
        let of = self.of();
        let similar = diagnostic::nearest(key, self.table.get_ref().keys().map(|key| key.get_ref().as_ref()));
        let hints = similar.map(|name| format!("`{name}` is there; is it meant?")).into_iter().collect();
        self.source.diagnostic(&format!("missing key `{key}`{of}"), self.header(), hints)
    }

    /// The first line of the section.
    fn header(&self) -> Range<usize> {
        let span = self.table.span();
        span.start..span.start + usize::from(span.end > span.start)
    }

    /// ` in [NAME]`, for messages.
    fn of(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.name()) }
    }

    /// Keeps what was read. What TOML cannot write, such as numbers beyond its own, is left as the file has it.
    fn note<T: Serialize>(&self, key: &str, value: &T) {
        if let Ok(value) = toml::Value::try_from(value) {
            self.here(|table| {
                table.insert(key.to_owned(), value);
            });
        }
    }

    /// The place of this section in the record.
    fn here(&self, change: impl FnOnce(&mut toml::Table)) {
        let mut record = self.record.borrow_mut();
        let mut table = &mut *record;
        for name in &self.path {
            let inner = table.entry(name.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(inner) = inner else { return };
            table = inner;
        }
        change(table);
    }

    fn remove(&mut self, key: &str) -> Option<(Spanned<Cow<'s, str>>, Spanned<DeValue<'s>>)> {
        self.asked.push(key.to_owned());
        self.table.get_mut().remove_entry(key)
    }
}

/// What serde says of an unknown key, with the keys of the section that were taken before.
fn with_more_keys(what: String, asked: &[String]) -> String {
    let Some((unknown, known)) = what.strip_prefix("unknown field `").and_then(|rest| rest.split_once("`, "))
    else {
        return what;
    };
    let mut all: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    all.extend(asked.iter().map(String::as_str));
    let all: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => format!("unknown field `{unknown}`, there are no keys here"),
        all => format!("unknown field `{unknown}`, expected one of {}", all.join(", ")),
    }
}
