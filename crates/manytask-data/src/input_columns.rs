//! Which columns of a table are inputs, and in which form.

use manytask_tensor::WHOLE;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::columns::{Columns, Named, REST};
use crate::row_numbers::numbers_rows;
use crate::words::examples;
use crate::{Column, Error, Note, Result, Table};

/// The inputs of a network, by the form in which their columns are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputColumns {
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
    /// The most inputs that a number becomes with [`Scale::Piecewise`]. Absent: 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bins: Option<usize>,
}

/// What is done to numeric inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Mean 0 and standard deviation 1 over the training split.
    #[default]
    Standard,
    /// The median becomes 0, and what lies between the quartiles of the training split 1; as [`Scale::Standard`] where the
    /// quartiles are equal.
    Robust,
    /// The quantiles of the training split become those of the normal distribution, linear between at most 1000 of them;
    /// numbers outside the training range are taken for its bounds.
    Quantile,
    /// A number for each of some bins with as many training rows: how much of the bin lies below the number (Gorishniy et al. 2022,
    /// arXiv:2203.05556, equation 1); numbers outside the training range are taken for its bounds.
    Piecewise,
    /// Left as they are.
    Raw,
}

/// The columns an [`InputColumns`] means in one table, in the table's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) numeric: Vec<String>,
    pub(crate) one_hot: Vec<String>,
    pub(crate) embedding: Vec<String>,
    /// Those that are named one by one, and not by `rest` or `*`.
    pub(crate) exactly: HashSet<String>,
    /// What was decided that the settings do not say.
    pub(crate) notes: Vec<Note>,
}

impl InputColumns {
    /// Numeric inputs only.
    pub fn numeric(columns: impl Into<Columns>) -> Self {
        Self { numeric: columns.into(), ..Self::default() }
    }

    /// Settings out of range, or without effect.
    pub(crate) fn check(&self) -> Result<()> {
        match self.bins {
            Some(_) if self.scale != Scale::Piecewise => {
                let message = "inputs: `bins` is for scale = \"piecewise\"; leave it out, or set that";
                return Err(Error::config("bins", message));
            }
            Some(bins) if !(1..=1024).contains(&bins) => {
                return Err(Error::config(
                    "bins",
                    format!("inputs: `bins` is {bins}, it must be from 1 to 1024"),
                ));
            }
            _ => {}
        }
        let Some(clip) = self.clip else { return Ok(()) };
        let other = match self.scale {
            Scale::Standard | Scale::Robust => None,
            Scale::Raw => Some("raw"),
            Scale::Quantile => Some("quantile"),
            Scale::Piecewise => Some("piecewise"),
        };
        if let Some(scale) = other {
            return Err(Error::config(
                "clip",
                format!(
                    "inputs: `clip` is for standardised numbers, and `scale` is \"{scale}\"; leave one of them out"
                ),
            ));
        }
        if clip.is_finite() && clip >= 0.0 {
            return Ok(());
        }
        Err(Error::config(
            "clip",
            format!(
                "inputs: `clip` is {clip}, it must be a number of at least 0; a large one, such as 1e9, clips nothing"
            ),
        ))
    }

    /// Looks the names up; `reserved` columns (targets, weights, groups) are never taken by `rest` or `*`, and neither are
    /// columns without a name that number the rows.
    pub(crate) fn resolve(&self, table: &Table, reserved: &HashSet<&str>) -> Result<Resolved> {
        self.check()?;
        let ignored = self.ignore.find(table, &HashSet::new(), "inputs")?.names;
        let mut closed = reserved.clone();
        closed.extend(ignored.iter().map(String::as_str));
        let counters: Vec<&str> =
            table.nameless()?.into_iter().filter(|column| numbers_rows(column)).map(Column::name).collect();
        closed.extend(&counters);
        let fields = [&self.numeric, &self.one_hot, &self.embedding];
        let mut found: [Named; 3] = Default::default();
        for (columns, named) in fields.iter().zip(&mut found) {
            forbid(columns, reserved)?;
            *named = columns.without_rest().find(table, &closed, "inputs")?;
        }
        if let Some(twice) = twice(&found) {
            return Err(Error::config(
                WHOLE.text(twice),
                format!("inputs: column `{twice}` is named in two forms; keep one of them"),
            ));
        }
        let notes = self.notes(table, &found, &counters, &ignored);
        self.add_rest(table, &closed, &mut found)?;
        if found.iter().all(|named| named.names.is_empty()) {
            return Err(Error::config(
                WHOLE,
                "inputs: no column is an input; name some under `numeric`, `one_hot` or `embedding`",
            ));
        }
        let exactly = found.iter_mut().flat_map(|named| std::mem::take(&mut named.exactly)).collect();
        let [numeric, one_hot, embedding] = found.map(|named| named.names);
        Ok(Resolved { numeric, one_hot, embedding, exactly, notes })
    }

    /// Puts the columns that are not named elsewhere where `rest` stands.
    fn add_rest(&self, table: &Table, closed: &HashSet<&str>, found: &mut [Named; 3]) -> Result<()> {
        let fields = [&self.numeric, &self.one_hot, &self.embedding];
        let taken: HashSet<String> = found.iter().flat_map(|named| named.names.iter().cloned()).collect();
        let mut takers = fields.iter().zip(found).filter(|(columns, _)| columns.has_rest());
        let Some((_, named)) = takers.next() else { return Ok(()) };
        if takers.next().is_some() {
            return Err(Error::config(WHOLE.text(REST), "inputs: `rest` can stand in one form only"));
        }
        let open = table.names().filter(|name| !closed.contains(name) && !taken.contains(*name));
        named.names.extend(open.map(str::to_owned));
        Ok(())
    }

    fn notes(&self, table: &Table, found: &[Named; 3], counters: &[&str], ignored: &[String]) -> Vec<Note> {
        let fields = [&self.numeric, &self.one_hot, &self.embedding];
        let takes_more = fields.iter().any(|columns| columns.has_rest() || columns.may_be_several());
        let named = |name: &str| {
            ignored.iter().any(|other| other == name)
                || found.iter().any(|named| named.exactly.contains(name))
        };
        let mut notes = Vec::new();
        let passed: Vec<&str> = counters.iter().copied().filter(|name| !named(name)).collect();
        if takes_more && !passed.is_empty() {
            notes.push(Note(format!(
                "the column {} has no name and numbers the rows: it is no input (name it to have it, or put it under `ignore`)",
                examples(passed)
            )));
        }
        if fields.iter().any(|columns| columns.has_rest()) && table.names().any(|name| name == REST) {
            notes.push(Note(
                "inputs: `rest` stands for all columns that are not named elsewhere; the column that is called so is `\\rest`"
                    .to_owned(),
            ));
        }
        notes
    }
}

/// A target among the inputs would be an answer among the questions.
fn forbid(columns: &Columns, reserved: &HashSet<&str>) -> Result<()> {
    match columns.without_rest().first_of(reserved) {
        None => Ok(()),
        Some(name) => Err(Error::config(
            WHOLE.text(name),
            format!(
                "inputs: column `{name}` is a target, a weight or a group and cannot be an input as well"
            ),
        )),
    }
}

fn twice(found: &[Named; 3]) -> Option<&String> {
    let mut seen = HashSet::new();
    found.iter().flat_map(|named| &named.names).find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    fn inputs(text: &str) -> InputColumns {
        toml::from_str(text).unwrap()
    }

    fn resolve(text: &str, table: &Table) -> Result<Resolved> {
        inputs(text).resolve(table, &HashSet::from(["y"]))
    }

    #[test]
    fn names_patterns_and_the_rest() {
        let table = table("x1,x2,c,d,y\n1,2,a,b,0\n");
        let found = resolve("numeric = 'x*'\none_hot = 'rest'\nembedding = ['d']", &table).unwrap();
        assert_eq!(found.numeric, ["x1", "x2"]);
        assert_eq!(found.one_hot, ["c"]);
        assert_eq!(found.embedding, ["d"]);
        assert_eq!(found.exactly, HashSet::from(["d".to_owned()]));
        let found = resolve("numeric = 'rest'\nignore = ['c', 'd']", &table).unwrap();
        assert_eq!(found.numeric, ["x1", "x2"]);
    }

    #[test]
    fn a_column_called_rest_is_told_apart_from_the_word() {
        let table = table("rest,a,y\n1,2,0\n");
        let found = resolve("numeric = '\\rest'", &table).unwrap();
        assert_eq!((found.numeric, found.notes.len()), (vec!["rest".to_owned()], 0));
        let found = resolve("numeric = 'rest'", &table).unwrap();
        assert_eq!((found.numeric.len(), found.notes.len()), (2, 1));
    }

    #[test]
    fn row_numbers_without_a_name_are_no_input_unless_named() {
        let table = table(",a,y\n0,5,0\n1,4,0\n2,6,1\n3,1,1\n");
        let found = resolve("numeric = 'rest'", &table).unwrap();
        assert_eq!(found.numeric, ["a"]);
        assert!(found.notes[0].0.contains("`column0` has no name"), "{:?}", found.notes);
        assert_eq!(resolve("numeric = '*'", &table).unwrap().numeric, ["a"]);
        let found = resolve("numeric = ['column0', 'a']", &table).unwrap();
        assert_eq!((found.numeric.len(), found.notes.len()), (2, 0));
        let found = resolve("numeric = 'rest'\nignore = 'column0'", &table).unwrap();
        assert_eq!((found.numeric.len(), found.notes.len()), (1, 0));
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
            ("numeric = 'age'\nclip = inf", "at least 0"),
            ("numeric = 'age'\nclip = 3\nscale = 'raw'", "leave one of them out"),
            ("numeric = 'age'\nclip = 3\nscale = 'quantile'", "leave one of them out"),
            ("numeric = 'age'\nbins = 3", "is for scale = \"piecewise\""),
            ("numeric = 'age'\nbins = 0\nscale = 'piecewise'", "it must be from 1 to 1024"),
        ];
        for (text, expected) in cases {
            let error = resolve(text, &table).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(
            toml::from_str::<InputColumns>("numeric = 3").unwrap_err().to_string().contains("a column name")
        );
        assert!(toml::from_str::<InputColumns>("numerics = 'a'").is_err());
    }
}
