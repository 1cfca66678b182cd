//! What a configuration is to say, decided by what the table looks like.

use manytask_data::{ColumnProfile, ColumnRole, TableProfile, TargetKind};

use super::of_data;
use crate::failure::{Code, Failure, Result};

/// Whole numbers of no more values are classes.
const CLASSES: usize = 10;
/// Texts of no more values are classes.
const NAMES: usize = 200;
/// Different categories of an input from which on it is left out, where rows for each are few.
const CATEGORIES: usize = 1000;
/// Rows that a class should have.
const RARE: usize = 20;

/// What the user says.
#[derive(Debug)]
pub(super) struct Asked {
    /// The table as the configuration names it.
    pub(super) path: String,
    /// The table to test on.
    pub(super) test: Option<String>,
    pub(super) targets: Vec<String>,
    /// The column whose values are tasks.
    pub(super) tasks_by: Option<String>,
    /// The column whose rows stay together in a split.
    pub(super) group: Option<String>,
}

/// What the configuration says.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) asked: Asked,
    pub(super) rows: usize,
    pub(super) source: manytask_data::TableSource,
    pub(super) targets: Vec<Target>,
    pub(super) numeric: Vec<String>,
    pub(super) one_hot: Vec<String>,
    /// Columns that are no inputs, with the reason.
    pub(super) ignore: Vec<(String, &'static str)>,
    /// Whether all numbers are 0 or 1, and so left as they are.
    pub(super) raw: bool,
    /// All columns, to tell which a pattern would match.
    pub(super) columns: Vec<String>,
    /// How many numbers the inputs make.
    pub(super) width: usize,
    /// What looks wrong, or was decided where the other way was near.
    pub(super) notes: Vec<String>,
}

/// A target.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: TargetKind,
    pub(super) positive: Option<String>,
    pub(super) classes: Vec<String>,
    /// What is known of its labels.
    pub(super) comment: String,
}

impl Draft {
    pub(super) fn of(profile: &TableProfile, asked: Asked) -> Result<Self> {
        let mut notes = Vec::new();
        let mut targets = Vec::new();
        for name in &asked.targets {
            targets.push(Target::of(profile, profile.column(name).map_err(of_data)?, &mut notes)?);
        }
        if asked.tasks_by.is_some() && targets.len() > 1 {
            return refuse("--tasks-by makes tasks of one target; name a single one under --targets");
        }
        for column in [&asked.tasks_by, &asked.group].into_iter().flatten() {
            profile.column(column).map_err(of_data)?;
        }
        let mut draft = Self {
            rows: profile.rows,
            source: profile.source.clone(),
            numeric: Vec::new(),
            one_hot: Vec::new(),
            ignore: Vec::new(),
            raw: true,
            columns: profile.columns.iter().map(|column| column.name.clone()).collect(),
            width: 0,
            notes,
            targets,
            asked,
        };
        for column in &profile.columns {
            draft.take(profile, column)?;
        }
        draft.raw &= !draft.numeric.is_empty();
        if draft.numeric.is_empty() && draft.one_hot.is_empty() {
            return refuse("no column is left as an input beside targets, identifiers and texts");
        }
        Ok(draft)
    }

    /// Decides what a column is good for.
    fn take(&mut self, profile: &TableProfile, column: &ColumnProfile) -> Result<()> {
        let name = column.name.clone();
        let taken = [&self.asked.tasks_by, &self.asked.group].into_iter().flatten().any(|own| *own == name);
        if taken || self.asked.targets.contains(&name) {
            return Ok(());
        }
        if let Some(why) = self.useless(column) {
            self.ignore.push((name, why));
            return Ok(());
        }
        self.look(profile, column)?;
        let is_bit = column.range == Some((0.0, 1.0)) && column.distinct == 2;
        match column.role {
            ColumnRole::Number => self.numeric.push(name),
            ColumnRole::Binary if is_bit => self.numeric.push(name),
            _ => {
                self.width += column.distinct;
                self.one_hot.push(name);
                return Ok(());
            }
        }
        self.width += 1;
        self.raw &= is_bit;
        Ok(())
    }

    /// Why a column is no input.
    fn useless(&self, column: &ColumnProfile) -> Option<&'static str> {
        match column.role {
            ColumnRole::Date => {
                Some("a date, which is no number: add columns such as year or weekday for it")
            }
            ColumnRole::Text => Some("text"),
            ColumnRole::Identifier => Some("names the rows"),
            ColumnRole::RowNumber => Some("numbers the rows"),
            ColumnRole::Constant => Some("the same in all rows"),
            ColumnRole::Empty => Some("empty"),
            ColumnRole::Category if column.distinct > CATEGORIES.min(self.rows / 2) => {
                Some("too many categories")
            }
            _ => None,
        }
    }

    /// What a user should look at in an input.
    fn look(&mut self, profile: &TableProfile, column: &ColumnProfile) -> Result<()> {
        let name = &column.name;
        for target in &self.asked.targets {
            if column.distinct > 1 && profile.determines(name, target).map_err(of_data)? {
                self.notes.push(format!(
                    "column `{name}` tells target `{target}` in every row; if it is not known when predicting, put it under `ignore`"
                ));
            }
        }
        if column.missing * 2 > self.rows {
            self.notes
                .push(format!("column `{name}` has no value in {} of {} rows", column.missing, self.rows));
        }
        if name.to_ascii_lowercase().contains("weight") && column.role == ColumnRole::Number {
            self.notes.push(format!(
                "column `{name}` is taken as an input; if it says how much each row counts, set weight = \"{name}\" in [data]"
            ));
        }
        Ok(())
    }
}

impl Target {
    fn of(profile: &TableProfile, column: &ColumnProfile, notes: &mut Vec<String>) -> Result<Self> {
        let name = column.name.clone();
        let values = profile.values(&name).map_err(of_data)?;
        let gaps = if column.missing > 0 {
            format!(", {} rows without a label", column.missing)
        } else {
            String::new()
        };
        let plain = |kind, comment: String| Self {
            name: name.clone(),
            kind,
            positive: None,
            classes: Vec::new(),
            comment,
        };
        let rare = |notes: &mut Vec<String>| {
            if let Some((value, count)) = values.last().filter(|(_, count)| *count < RARE) {
                notes.push(format!(
                    "target `{name}`: only {count} rows are `{value}`, so metrics of it are of few rows"
                ));
            }
        };
        match column.role {
            _ if column.distinct < 2 => {
                refuse(format!("target `{name}` never varies, so nothing can be learned of it"))
            }
            ColumnRole::Binary => {
                rare(notes);
                let counts: Vec<String> =
                    values.iter().map(|(value, rows)| format!("{rows} are `{value}`")).collect();
                let is_bit = column.range == Some((0.0, 1.0));
                let positive = (!is_bit).then(|| positive(&values));
                Ok(Self {
                    positive,
                    ..plain(TargetKind::Binary, format!("two values: {}{gaps}", counts.join(", ")))
                })
            }
            ColumnRole::FewNumbers if column.distinct <= CLASSES => {
                rare(notes);
                notes.push(format!(
                    "target `{name}`: its {} whole numbers are taken for classes; where they are sizes, set kind = \"regression\"",
                    column.distinct
                ));
                Ok(Self::classes(
                    profile,
                    plain(TargetKind::Multiclass, format!("{} classes{gaps}", values.len())),
                    values,
                ))
            }
            _ if column.range.is_some() && column.role != ColumnRole::Category => {
                let (low, high) = column.range.unwrap_or_default();
                Ok(plain(TargetKind::Regression, format!("numbers from {low} to {high}{gaps}")))
            }
            ColumnRole::Category if values.len() <= NAMES => {
                rare(notes);
                Ok(Self::classes(
                    profile,
                    plain(TargetKind::Multiclass, format!("{} classes{gaps}", values.len())),
                    values,
                ))
            }
            role => refuse(format!(
                "target `{name}` has {} different values and looks like: {}; a target has numbers, two values, or up to {NAMES} classes",
                column.distinct,
                role.name()
            )),
        }
    }

    /// All classes by name, so that one which is rare need not be in every split.
    fn classes(profile: &TableProfile, own: Self, values: Vec<(String, usize)>) -> Self {
        let mut names: Vec<String> = values.into_iter().map(|(value, _)| value).collect();
        let number = |name: &String| name.parse::<f64>().unwrap_or(f64::INFINITY);
        names.sort_by(|a, b| number(a).total_cmp(&number(b)).then_with(|| a.cmp(b)));
        // One spelling of each value.
        let same =
            profile.columns.iter().any(|column| column.name == own.name && column.distinct == names.len());
        Self { classes: if same { names } else { Vec::new() }, ..own }
    }
}

fn refuse<T>(what: impl Into<String>) -> Result<T> {
    Err(Failure::new(Code::Usage, what))
}

/// The value that means yes: one that says so, or the rarer one.
fn positive(values: &[(String, usize)]) -> String {
    const YES: [&str; 10] = ["yes", "y", "true", "t", "positive", "pos", "active", "1", "ja", "oui"];
    let says_so = |(value, _): &&(String, usize)| YES.contains(&value.trim().to_lowercase().as_str());
    let rarest = || values.last();
    values.iter().find(says_so).or_else(rarest).map(|(value, _)| value.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_is_what_says_so_or_is_rare() {
        let of = |values: [(&str, usize); 2]| positive(&values.map(|(value, rows)| (value.to_owned(), rows)));
        assert_eq!(of([("Yes", 70), ("No", 30)]), "Yes");
        assert_eq!(of([("- 50000.", 900), ("50000+.", 100)]), "50000+.");
        assert_eq!(of([("2", 60), ("1", 40)]), "1");
    }
}
