//! What a configuration can name: methods by `kind`, each with its settings.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Section;
use crate::failure::Result;

type Make<T> = Box<dyn Fn(Section<'_>) -> Result<T> + Send + Sync>;

/// Things of one sort by name, made from the rest of their section.
pub struct Registry<T> {
    sort: &'static str,
    entries: BTreeMap<String, Entry<T>>,
}

/// One thing that a configuration can name.
pub struct Entry<T> {
    /// One line: what it is.
    pub summary: String,
    /// More: the paper, the equation.
    pub about: String,
    /// Its settings with their defaults, as TOML.
    pub defaults: String,
    make: Make<T>,
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("sort", &self.sort).field("names", &self.entries.keys()).finish()
    }
}

impl<T> Registry<T> {
    /// An empty one for things of a sort, such as `aggregator`.
    pub fn new(sort: &'static str) -> Self {
        Self { sort, entries: BTreeMap::new() }
    }

    /// What sort of things these are.
    pub fn sort(&self) -> &'static str {
        self.sort
    }

    /// Adds a thing; one of the same name is replaced. `example` are settings to show, `wrap` makes it of read settings.
    pub fn add<S: DeserializeOwned + Serialize>(
        &mut self,
        name: &str,
        summary: &str,
        about: &str,
        example: &S,
        wrap: impl Fn(S) -> T + Send + Sync + 'static,
    ) {
        let defaults = toml::to_string(example).unwrap_or_default();
        let make: Make<T> = Box::new(move |section| Ok(wrap(section.rest()?)));
        let entry = Entry { summary: summary.into(), about: about.into(), defaults, make };
        self.entries.insert(name.into(), entry);
    }

    /// Takes `kind` from a section and makes what it names of the rest.
    ///
    /// # Errors
    /// When there is no such kind, or its settings are wrong, with the place.
    pub fn make(&self, mut section: Section<'_>) -> Result<T> {
        let (kind, place) = section.kind()?;
        self.make_kind(&kind, place, section)
    }

    pub(crate) fn make_kind(
        &self,
        kind: &str,
        place: std::ops::Range<usize>,
        section: Section<'_>,
    ) -> Result<T> {
        if let Some(entry) = self.entries.get(kind) {
            return (entry.make)(section);
        }
        let names: Vec<String> = self.entries.keys().map(|name| format!("`{name}`")).collect();
        let mut hints = vec![format!("there are {}", names.join(", "))];
        if let Some(name) = self.nearest(kind) {
            hints.insert(0, format!("did you mean `{name}`?"));
        }
        Err(section.fault_at(&format!("there is no {} `{kind}`", self.sort), place, hints))
    }

    /// Whether there is a thing of this name.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry<T>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The name that is nearest to a wrong one.
    pub(crate) fn nearest(&self, wrong: &str) -> Option<&str> {
        crate::config::nearest(wrong, self.entries.keys().map(String::as_str))
    }
}
