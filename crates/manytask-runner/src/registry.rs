//! What a configuration can name: methods by `kind`, each with its settings.

use std::collections::BTreeMap;
use std::fmt;

use manytask_tensor::{Compat, Method, SettingError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Section;
use crate::failure::{Failure, Result};

/// Makes a thing of the rest of its section; the registry is there for things that are made of others.
type Make<T> = Box<dyn Fn(Section<'_>, &Registry<T>) -> Result<T> + Send + Sync>;

/// Things of one kind by name, made from the rest of their section.
pub struct Registry<T> {
    kind: &'static str,
    section: &'static str,
    common: &'static str,
    note: &'static str,
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

/// How the things of a registry are made of the settings of a method: of any that it can hold.
pub trait MadeOf<S>: Sized {
    /// The thing of these settings.
    ///
    /// # Errors
    /// When the method refuses the settings as soon as they are read.
    fn made_of(settings: S) -> Result<Self, SettingError>;
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("kind", &self.kind)
            .field("names", &self.entries.keys())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Registry<T> {
    /// Adds a method, of which everything is declared beside its code; one of the same name is replaced.
    pub fn method<S>(&mut self)
    where
        S: Method + Default + DeserializeOwned + Serialize + 'static,
        T: MadeOf<S>,
    {
        let plain = toml::to_string(&S::example()).unwrap_or_default();
        let (about, defaults) = if S::COMPAT.is_empty() {
            (S::ABOUT.to_owned(), plain)
        } else {
            let lines: Vec<String> = S::COMPAT.iter().map(Compat::shown).collect();
            let about = format!("{}\n{}", S::ABOUT, lines.join("\n"));
            (about, format!("compat = \"{}\"\n{plain}", Compat::PAPER))
        };
        let make: Make<T> = Box::new(move |mut section, _| {
            compatible(&mut section, S::COMPAT)?;
            Ok(T::made_of(section.rest()?)?)
        });
        self.insert(S::NAME, S::SUMMARY, &about, defaults, make);
    }
}

impl<T> Registry<T> {
    /// An empty one for things of a kind, such as `data set`, that stand in a section, such as `data`.
    pub fn new(kind: &'static str, section: &'static str) -> Self {
        Self { kind, section, common: "", note: "", entries: BTreeMap::new() }
    }

    /// Settings, as TOML, that the section has beside those of its kind.
    #[must_use]
    pub fn with_common(self, common: &'static str) -> Self {
        Self { common, ..self }
    }

    /// What is said of each after what it says of itself.
    #[must_use]
    pub fn with_note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// The dotted name of their section.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// A section that names this thing, with all its settings, as TOML.
    pub fn example(&self, name: &str) -> Option<String> {
        let entry = self.entries.get(name)?;
        let mut table = toml::Table::from_iter([("kind".to_owned(), toml::Value::from(name))]);
        for settings in [self.common, &entry.defaults] {
            table.extend(settings.parse::<toml::Table>().unwrap_or_default());
        }
        let mut parts = self.section.rsplit('.');
        let mut whole = toml::Table::from_iter([(parts.next()?.to_owned(), toml::Value::Table(table))]);
        for part in parts {
            whole = toml::Table::from_iter([(part.to_owned(), toml::Value::Table(whole))]);
        }
        toml::to_string(&whole).ok()
    }

    /// What kind of things these are.
    pub fn kind(&self) -> &'static str {
        self.kind
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
        self.add_checked(name, summary, about, example, move |settings| Ok(wrap(settings)));
    }

    /// Adds a thing as [`Registry::add`] does, whose settings `wrap` may refuse.
    pub fn add_checked<S: DeserializeOwned + Serialize>(
        &mut self,
        name: &str,
        summary: &str,
        about: &str,
        example: &S,
        wrap: impl Fn(S) -> Result<T, SettingError> + Send + Sync + 'static,
    ) {
        let defaults = toml::to_string(example).unwrap_or_default();
        let make: Make<T> = Box::new(move |section, _| Ok(wrap(section.rest()?)?));
        self.insert(name, summary, about, defaults, make);
    }

    fn insert(&mut self, name: &str, summary: &str, about: &str, defaults: String, make: Make<T>) {
        let about = if self.note.is_empty() { about.into() } else { format!("{about}\n{}", self.note) };
        let entry = Entry { summary: summary.into(), about, defaults, make };
        self.entries.insert(name.into(), entry);
    }

    /// Adds a thing that is made of others of its kind, which stand in its section. `example` are settings to show, as TOML.
    pub fn add_composed(
        &mut self,
        name: &str,
        summary: &str,
        about: &str,
        example: &str,
        make: impl Fn(Section<'_>, &Self) -> Result<T> + Send + Sync + 'static,
    ) {
        let (summary, about) = (summary.into(), about.into());
        let entry = Entry { summary, about, defaults: example.into(), make: Box::new(make) };
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
            let (source, key) = (section.source(), section.key());
            return (entry.make)(section, self).map_err(|failure| source.locate(failure.within(key)));
        }
        let names: Vec<String> = self.entries.keys().map(|name| format!("`{name}`")).collect();
        let mut hints = vec![format!("there are {}", names.join(", "))];
        if let Some(name) = self.nearest(kind) {
            hints.insert(0, format!("did you mean `{name}`?"));
        }
        Err(section.fault_at(&format!("there is no {} `{kind}`", self.kind), place, hints))
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

/// Takes the key `compat` of a method that other implementations have with other defaults, and writes theirs where the section has none.
fn compatible(section: &mut Section<'_>, known: &[Compat]) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    let wanted: String = section.take_or("compat", Compat::PAPER.to_owned())?;
    if wanted == Compat::PAPER {
        return Ok(());
    }
    let Some(compat) = known.iter().find(|compat| compat.of == wanted) else {
        let names: Vec<String> = known.iter().map(|compat| format!("\"{}\"", compat.of)).collect();
        let what = format!("`compat` is \"{wanted}\"");
        return Err(Failure::setting("compat", what).hint(format!(
            "write \"{}\" or {}",
            Compat::PAPER,
            names.join(" or ")
        )));
    };
    compat.settings.iter().try_for_each(|(key, value)| section.fill(key, value))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;
    use crate::config::Source;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Brush {
        width: u32,
        #[serde(default)]
        hairs: Option<String>,
    }

    fn brushes() -> Registry<Brush> {
        let mut registry = Registry::new("brush", "paint.brush").with_common("price = 2.5\n");
        registry.add("flat", "a flat one", "", &Brush { width: 3, hairs: None }, |b: Brush| b);
        registry
    }

    fn made(text: &str) -> Result<Brush> {
        let source = Source::new(Path::new("a.toml"), text, &[])?;
        let mut brush = source.section()?.required_table("brush")?;
        brush.take::<f64>("price")?;
        brushes().make(brush)
    }

    #[test]
    fn a_kind_is_made_of_the_rest_of_its_section() {
        let brush = made("[brush]\nkind = \"flat\"\nwidth = 5\nhairs = \"pig\"\n").unwrap();
        assert_eq!(brush, Brush { width: 5, hairs: Some("pig".into()) });
        let failure = made("[brush]\nkind = \"flad\"\nwidth = 5\n").unwrap_err();
        assert_eq!(
            failure.message,
            "a.toml:2:8: there is no brush `flad`\n  |\n2 | kind = \"flad\"\n  |        ^^^^^^"
        );
        assert_eq!(failure.hints, ["did you mean `flat`?", "there are `flat`"]);
        let failure = made("[brush]\nkind = \"flat\"\nwitdh = 5\n").unwrap_err();
        assert!(failure.message.starts_with("a.toml:3:1: unknown key `witdh`"), "{failure}");
        assert_eq!(failure.hints, ["did you mean `width`?"]);
        let failure = made("[brush]\nkind = \"flat\"\n").unwrap_err();
        assert!(failure.message.starts_with("a.toml:1:1: missing key `width` in [brush]"), "{failure}");
        let failure = made("[brush]\nwidth = 5\n").unwrap_err();
        assert!(failure.message.starts_with("a.toml:1:1: missing key `kind` in [brush]"), "{failure}");
        let failure = made("[brush]\nkind = 3\n").unwrap_err();
        assert!(failure.message.starts_with("a.toml:2:8: `kind` is of type integer"), "{failure}");
    }

    #[test]
    fn an_example_stands_where_it_belongs() {
        assert_eq!(
            brushes().example("flat").as_deref(),
            Some("[paint.brush]\nkind = \"flat\"\nprice = 2.5\nwidth = 3\n")
        );
        assert_eq!(brushes().example("round"), None);
    }

    #[test]
    fn one_of_the_same_name_replaces_the_other() {
        let mut registry = brushes();
        registry.add("flat", "mine", "", &Brush { width: 9, hairs: None }, |b: Brush| b);
        let all: Vec<(&str, &str)> =
            registry.entries().map(|(name, entry)| (name, entry.summary.as_str())).collect();
        assert_eq!(all, [("flat", "mine")]);
        assert!(registry.has("flat") && !registry.has("round"));
    }
}
