//! A target as a configuration describes it.

use manytask_tensor::{WHOLE, Within as _};
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::Negative;
use crate::{Columns, Error, Result, Table, TableSource};

/// The label of a missing class, as in PyTorch's `ignore_index`.
pub const MISSING_CLASS: i64 = -100;

/// What a task predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A number; labels `[N]` float32, NaN where missing.
    Regression,
    /// Yes or no; labels `[N]` float32 of 0 and 1, NaN where missing.
    Binary,
    /// One of several classes; labels `[N]` int64, [`MISSING_CLASS`] where missing.
    Multiclass,
    /// Several times yes or no; labels `[N, L]` float32 of 0 and 1, NaN where missing.
    Multilabel,
}

/// A target as the user describes it.
///
/// ```
/// use manytask_data::{TargetKind, TargetSpec};
/// let spec = TargetSpec { positive: vec!["50000+.".into()], ..TargetSpec::new("income", TargetKind::Binary) };
/// assert_eq!(spec.task_name(), "income");
/// let spec: TargetSpec = toml::from_str("kind = 'binary'\ncolumns = 'assay_*'")?; // one task for each such column
/// assert_eq!(spec.name, "");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The task's name. Empty: that of its column.
    #[serde(default)]
    pub name: String,
    /// What is predicted.
    pub kind: TargetKind,
    /// The columns with the labels, by name or with `*` for any characters. Of a multi-label target they are its labels;
    /// of another kind each is a task of its own, called as the column. Empty: the column with the task's name.
    #[serde(default)]
    pub columns: Columns,
    /// The values that mean yes (binary, multi-label). Empty: the columns hold 0 and 1.
    #[serde(default)]
    pub positive: Vec<String>,
    /// The values that mean no, beside `positive`.
    #[serde(default, skip_serializing_if = "Negative::is_other_value")]
    pub negative: Negative,
    /// Values of these columns that stand for a missing label, beside the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The classes in their order (multi-class). Empty: those of the training split, sorted.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Whether a regression's labels are brought to mean 0 and standard deviation 1 over the training split; metrics and
    /// predictions are in the column's units all the same. Absent: they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
}

impl TargetSpec {
    /// A target in the column that has the task's name.
    pub fn new(name: impl Into<String>, kind: TargetKind) -> Self {
        Self {
            name: name.into(),
            kind,
            columns: Columns::default(),
            positive: Vec::new(),
            negative: Negative::default(),
            missing: Vec::new(),
            classes: Vec::new(),
            standardise: None,
        }
    }

    /// What the task is called in messages: its name, or its columns.
    pub fn task_name(&self) -> String {
        if self.name.is_empty() { self.columns.0.join(", ") } else { self.name.clone() }
    }

    /// The columns whose names are known without a table.
    pub(crate) fn named_columns(&self) -> Vec<String> {
        if self.columns.is_empty() { vec![self.name.clone()] } else { self.columns.plain() }
    }

    /// A source with this target's marks of missing labels in these columns.
    pub(crate) fn mark(&self, source: TableSource, columns: &[String]) -> TableSource {
        columns.iter().fold(source, |source, column| source.with_missing(column, &self.missing))
    }

    /// The columns that this target names one by one.
    pub(crate) fn exact_columns(&self, table: &Table) -> HashSet<String> {
        if self.columns.is_empty() {
            return HashSet::from([self.name.clone()]);
        }
        let exact = |text: &String| Columns::from(text.as_str()).find(table, &HashSet::new(), "").ok();
        self.columns.0.iter().filter_map(exact).flat_map(|named| named.exactly).collect()
    }

    /// Targets whose columns are named one by one: itself, or one for each of its columns. Stars pass over the `closed`
    /// ones.
    ///
    /// # Errors
    /// When a column is not there, none matches, or settings do not go together.
    pub(crate) fn expanded(&self, table: &Table, closed: &HashSet<&str>) -> Result<Vec<Self>> {
        self.check()?;
        let names = if self.columns.is_empty() {
            // A task is called as its column, whatever signs that has.
            vec![table.column(&self.name)?.name().to_owned()]
        } else {
            let what = format!("target `{}`", self.task_name());
            self.columns.find(table, closed, &what).within("columns")?.names
        };
        Ok(self.each(&names))
    }

    /// As far as the description says it, one target for each task, without a table; `None` where a column has a star.
    pub fn tasks(&self) -> Option<Vec<Self>> {
        if self.columns.is_empty() {
            return Some(self.each(std::slice::from_ref(&self.name)));
        }
        self.columns.exact().map(|names| self.each(&names))
    }

    /// One target with all of these columns, or one for each.
    fn each(&self, columns: &[String]) -> Vec<Self> {
        let of = |columns: &[String], name: &str| Self {
            name: name.to_owned(),
            columns: Columns(columns.to_vec()),
            ..self.clone()
        };
        if self.kind == TargetKind::Multilabel || !self.columns.may_be_several() {
            let first = columns.first().cloned().unwrap_or_default();
            return vec![of(columns, if self.name.is_empty() { &first } else { &self.name })];
        }
        columns.iter().map(|name| of(std::slice::from_ref(name), name)).collect()
    }

    /// Refuses settings of one kind that stand beside another kind.
    ///
    /// # Errors
    /// With the target's name and the kind that the setting is for.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |key: &str, what: &str| Err(Error::config(key, format!("target `{}`: {what}", self.task_name())));
        let labels = matches!(self.kind, TargetKind::Binary | TargetKind::Multilabel);
        if self.name.is_empty() && self.columns.is_empty() {
            return Err(Error::config(WHOLE, "targets: one has neither `name` nor `columns`"));
        }
        if self.name.is_empty() && self.kind == TargetKind::Multilabel && self.columns.may_be_several() {
            return refuse("columns", "has no `name`, and several columns that are one task");
        }
        if !self.name.is_empty() && self.kind != TargetKind::Multilabel && self.columns.may_be_several() {
            return refuse(
                "name",
                "has a name and several columns; leave `name` out for one task of each column, or take `multilabel` for \
                 one task of all",
            );
        }
        if !self.positive.is_empty() && !labels {
            return refuse("positive", "`positive` is for `binary` and `multilabel` targets");
        }
        if self.negative != Negative::default() && self.positive.is_empty() {
            return refuse(
                "negative",
                "`negative` stands beside `positive`; name the values that mean yes as well",
            );
        }
        if !self.classes.is_empty() && self.kind != TargetKind::Multiclass {
            return refuse("classes", "`classes` is for `multiclass` targets");
        }
        if self.standardise.is_some() && self.kind != TargetKind::Regression {
            return refuse("standardise", "`standardise` is for `regression` targets");
        }
        Ok(())
    }

    /// The same with the defaults written out that depend on its name and kind.
    pub(crate) fn written_out(&self) -> Self {
        let mut all = self.clone();
        // A name with the sign of a pattern is one of no pattern only where it stands alone.
        if all.columns.0.is_empty() && self.name != "rest" && !self.name.contains(['*', '\\']) {
            all.columns = Columns(vec![self.name.clone()]);
        }
        all.standardise = (self.kind == TargetKind::Regression).then(|| self.standardises());
        all
    }

    /// Whether labels are brought to mean 0 and deviation 1.
    pub(crate) fn standardises(&self) -> bool {
        self.kind == TargetKind::Regression && self.standardise.unwrap_or(true)
    }
}
