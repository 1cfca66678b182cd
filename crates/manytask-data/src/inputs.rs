//! Which columns of a table are inputs, and in which form.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, Result, Table};

/// Names of columns: exact, with `*` for any characters (`ecfp4_*`), or the word `rest` for all that are not named
/// elsewhere.
///
/// In a configuration: `"rest"`, `"x*"` or `["age", "weeks_*"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns(pub Vec<String>);

/// The inputs of a network, by the form in which their columns are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// Columns of numbers.
    pub numeric: Columns,
    /// Columns of categories, one 0/1 input for each.
    pub one_hot: Columns,
    /// Columns of categories, one integer for each, for an embedding layer.
    pub embedding: Columns,
    /// Columns that are no inputs, where `rest` or `*` would take them.
    pub ignore: Columns,
    /// What is done to numbers.
    pub scale: Scale,
    /// Standardised numbers farther outside the training range than so many times its width are taken for that bound.
    /// Absent: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
}

/// What is done to numeric inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Mean 0 and standard deviation 1 over the training part.
    #[default]
    Standard,
    /// Left as they are.
    Raw,
}

/// The columns an [`Inputs`] means in one table, in the table's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) numeric: Vec<String>,
    pub(crate) one_hot: Vec<String>,
    pub(crate) embedding: Vec<String>,
}

impl Inputs {
    /// Numeric inputs only.
    pub fn numeric(columns: impl Into<Columns>) -> Self {
        Self { numeric: columns.into(), ..Self::default() }
    }

    /// Settings out of range, or without effect.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(clip) = self.clip else { return Ok(()) };
        if self.scale == Scale::Raw {
            let message =
                "inputs: `clip` is for standardised numbers, and `scale` is \"raw\"; leave one of them out";
            return Err(Error::config(message));
        }
        if clip.is_finite() && clip >= 0.0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "inputs: `clip` is {clip}, it must be a number of at least 0; a large one, such as 1e9, clips nothing"
        )))
    }

    /// Looks the names up; `reserved` columns (targets, weights, groups) are never taken by `rest` or `*`.
    pub(crate) fn resolve(&self, table: &Table, reserved: &[&str]) -> Result<Resolved> {
        self.check()?;
        let ignored = self.ignore.named(table, &[])?;
        let closed: Vec<&str> = reserved.iter().copied().chain(ignored.iter().map(String::as_str)).collect();
        let fields = [&self.numeric, &self.one_hot, &self.embedding];
        let mut found: [Vec<String>; 3] = Default::default();
        for (columns, names) in fields.iter().zip(&mut found) {
            columns.forbid(reserved)?;
            *names = columns.named(table, &closed)?;
        }
        if let Some(twice) = twice(&found) {
            return Err(Error::config(format!(
                "inputs: column `{twice}` is named in two forms; keep one of them"
            )));
        }
        let mut takes_rest =
            fields.iter().zip(0..).filter(|(columns, _)| columns.has_rest()).map(|(_, form)| form);
        if let Some(form) = takes_rest.next() {
            if takes_rest.next().is_some() {
                return Err(Error::config("inputs: `rest` can stand in one form only"));
            }
            let open =
                |name: &&str| !closed.contains(name) && !found.iter().flatten().any(|taken| taken == name);
            let rest: Vec<String> = table.names().filter(open).map(str::to_owned).collect();
            if let Some(names) = found.get_mut::<usize>(form) {
                names.extend(rest);
            }
        }
        if found.iter().all(Vec::is_empty) {
            return Err(Error::config(
                "inputs: no column is an input; name some under `numeric`, `one_hot` or `embedding`",
            ));
        }
        let [numeric, one_hot, embedding] = found;
        Ok(Resolved { numeric, one_hot, embedding })
    }
}

impl Columns {
    fn has_rest(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "rest")
    }

    /// A target among the inputs would be an answer among the questions.
    fn forbid(&self, reserved: &[&str]) -> Result<()> {
        match self.0.iter().find(|name| reserved.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::config(format!(
                "inputs: column `{name}` is a target, a weight or a group and cannot be an input as well"
            ))),
        }
    }

    /// The columns meant by names and patterns, leaving `rest` and the `closed` ones out.
    fn named(&self, table: &Table, closed: &[&str]) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        for pattern in self.0.iter().filter(|pattern| *pattern != "rest") {
            if pattern.contains('*') {
                let hits = table.names().filter(|name| matches(pattern, name) && !closed.contains(name));
                let before = found.len();
                found.extend(hits.map(str::to_owned));
                if found.len() == before {
                    let message =
                        format!("inputs: no column of {} matches `{pattern}`", table.path().display());
                    return Err(Error::config(message));
                }
            } else {
                found.push(table.column(pattern)?.name().to_owned());
            }
        }
        let mut unique: Vec<String> = Vec::with_capacity(found.len());
        let mut seen = std::collections::HashSet::new();
        unique.extend(found.into_iter().filter(|name| seen.insert(name.clone())));
        Ok(unique)
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

/// Whether a name fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(tail, rest)))
        }),
    }
}

fn twice(found: &[Vec<String>]) -> Option<&String> {
    let mut seen = std::collections::HashSet::new();
    found.iter().flatten().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    fn inputs(text: &str) -> Inputs {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn names_patterns_and_the_rest() {
        let table = table("x1,x2,c,d,y\n1,2,a,b,0\n");
        let found =
            inputs("numeric = 'x*'\none_hot = 'rest'\nembedding = ['d']").resolve(&table, &["y"]).unwrap();
        assert_eq!(found.numeric, ["x1", "x2"]);
        assert_eq!(found.one_hot, ["c"]);
        assert_eq!(found.embedding, ["d"]);
        let found = inputs("numeric = 'rest'\nignore = ['c', 'd']").resolve(&table, &["y"]).unwrap();
        assert_eq!(found.numeric, ["x1", "x2"]);
    }

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("x*", "x12", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c", "abcd", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let table = table("age,c,y\n1,a,0\n");
        let cases = [
            ("numeric = ['agee']", "did you mean `age`?"),
            ("numeric = ['age']\none_hot = ['age']", "two forms"),
            ("numeric = 'rest'\none_hot = 'rest'", "one form only"),
            ("numeric = ['y']", "cannot be an input as well"),
            ("numeric = 'z*'", "matches `z*`"),
            ("", "no column is an input"),
        ];
        for (text, expected) in cases {
            let error = inputs(text).resolve(&table, &["y"]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(toml::from_str::<Inputs>("numeric = 3").unwrap_err().to_string().contains("a column name"));
        assert!(toml::from_str::<Inputs>("numerics = 'a'").is_err());
    }
}
