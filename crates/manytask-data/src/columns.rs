//! Names of columns, as a configuration has them.

use std::collections::HashSet;
use std::fmt;

use manytask_tensor::{ShownPath as _, WHOLE};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wildcard::matches;
use crate::{Error, Result, Table};

/// Names of columns: exact, with `*` for any characters (`ecfp4_*`), or, for inputs, the word `rest` for all that are not
/// named elsewhere. A column that is called so itself is named with a backslash: `\rest`, `2\*3`.
///
/// In a configuration: `"rest"`, `"x*"` or `["age", "weeks_*"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns(pub Vec<String>);

/// What one of them means in a table.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    /// A single column.
    Name(String),
    /// The texts between its stars.
    Stars(Vec<String>),
}

/// Columns of a table, in the order they are named in and then in the table's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Their names, each once.
    pub(crate) names: Vec<String>,
    /// Those of them that are named without a star.
    pub(crate) exactly: HashSet<String>,
}

impl Columns {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it may mean several columns.
    pub(crate) fn may_be_several(&self) -> bool {
        self.0.len() > 1 || self.0.iter().any(|text| matches!(Pattern::of(text), Pattern::Stars(_)))
    }

    /// The columns, where none has a star.
    pub(crate) fn exact(&self) -> Option<Vec<String>> {
        let name = |text: &String| match Pattern::of(text) {
            Pattern::Name(name) => Some(name),
            Pattern::Stars(_) => None,
        };
        self.0.iter().map(name).collect()
    }

    /// Whether the word `rest` is among them.
    pub(crate) fn has_rest(&self) -> bool {
        self.0.iter().any(|text| text == REST)
    }

    /// All but the word `rest`.
    pub(crate) fn without_rest(&self) -> Self {
        Self(self.0.iter().filter(|text| *text != REST).cloned().collect())
    }

    /// Names without any sign in them.
    pub(crate) fn plain(&self) -> Vec<String> {
        self.0.iter().filter(|text| !text.contains(['*', '\\'])).cloned().collect()
    }

    /// The columns that are meant; stars leave the `closed` ones out. `what` is what has them, such as `inputs`.
    ///
    /// # Errors
    /// When a column is not there, or none matches.
    pub(crate) fn find(&self, table: &Table, closed: &HashSet<&str>, what: &str) -> Result<Named> {
        let mut found = Named::default();
        let mut seen = HashSet::new();
        for text in &self.0 {
            match Pattern::in_table(text, table) {
                Pattern::Name(name) => {
                    let name = table.named(&name)?.name().to_owned();
                    found.exactly.insert(name.clone());
                    found.names.extend(seen.insert(name.clone()).then_some(name));
                }
                Pattern::Stars(pieces) => {
                    let mut hits = 0;
                    for name in table.names().filter(|name| matches(&pieces, name) && !closed.contains(name))
                    {
                        hits += 1;
                        found.names.extend(seen.insert(name.to_owned()).then(|| name.to_owned()));
                    }
                    if hits == 0 {
                        let file = table.path().shown();
                        return Err(Error::config(
                            WHOLE.text(text),
                            format!("{what}: no column of {file} matches `{text}`"),
                        ));
                    }
                }
            }
        }
        Ok(found)
    }

    /// The first of these names that is named exactly.
    pub(crate) fn first_of<'a>(&self, names: &HashSet<&'a str>) -> Option<&'a str> {
        let exact = |text: &String| match Pattern::of(text) {
            Pattern::Name(name) => names.get(name.as_str()).copied(),
            Pattern::Stars(_) => None,
        };
        self.0.iter().find_map(exact)
    }
}

impl Table {
    /// The columns that names and patterns with `*` mean, in the order they are named in and then in the table's.
    ///
    /// # Errors
    /// When a column is not there, or none matches.
    pub fn matching(&self, columns: &Columns) -> Result<Vec<String>> {
        Ok(columns.find(self, &HashSet::new(), "columns")?.names)
    }
}

/// The word for all columns that are not named elsewhere.
pub(crate) const REST: &str = "rest";

impl Pattern {
    /// A column that is written to the letter goes before what the text may mean otherwise.
    fn in_table(text: &str, table: &Table) -> Self {
        if text.contains(['*', '\\']) && table.names().any(|name| name == text) {
            return Self::Name(text.to_owned());
        }
        Self::of(text)
    }

    fn of(text: &str) -> Self {
        let mut pieces = vec![String::new()];
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '*' {
                pieces.push(String::new());
                continue;
            }
            let escaped = if character == '\\' { characters.next() } else { None };
            if let Some(piece) = pieces.last_mut() {
                piece.push(escaped.unwrap_or(character));
            }
        }
        match pieces.as_mut_slice() {
            [name] => Self::Name(std::mem::take(name)),
            _ => Self::Stars(pieces),
        }
    }
}

impl<S: AsRef<str>> From<&[S]> for Columns {
    fn from(names: &[S]) -> Self {
        Self(names.iter().map(|name| name.as_ref().to_owned()).collect())
    }
}

impl<const N: usize> From<[&str; N]> for Columns {
    fn from(names: [&str; N]) -> Self {
        Self::from(names.as_slice())
    }
}

impl From<&str> for Columns {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

/// A string or a list of strings, without `untagged`, which would lose the place of a mistake.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column name, a pattern such as \"x*\", \"rest\", or a list of these")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Columns, E> {
        Ok(Columns::from(name))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Columns, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Columns(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, fits) in [
            ("x*", "x12", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c", "abcd", false),
            ("é*", "éa", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            (r"2\**", "2*3", true),
            (r"2\**", "23", false),
        ] {
            let Pattern::Stars(pieces) = Pattern::of(pattern) else { panic!("{pattern}") };
            assert_eq!(matches(&pieces, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_column_whose_name_is_a_word_or_has_a_star_can_be_named() {
        let table = table("rest,a*b,a1b,c\n1,2,3,4\n");
        let find = |names: &[&str]| {
            Columns::from(names).without_rest().find(&table, &HashSet::new(), "inputs").unwrap().names
        };
        assert_eq!(find(&[r"\rest", "rest"]), ["rest"]);
        assert_eq!(find(&[r"a\*b"]), ["a*b"]);
        assert_eq!(find(&["a*b"]), ["a*b"]);
        assert_eq!(find(&["a*"]), ["a*b", "a1b"]);
        assert!(Columns::from("rest").has_rest() && !Columns::from(r"\rest").has_rest());
        assert_eq!(Columns::from(r"\rest").first_of(&HashSet::from(["rest"])), Some("rest"));
    }
}
