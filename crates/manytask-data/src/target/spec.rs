//! A target as a configuration describes it.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

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
/// assert_eq!(spec.column_names(), ["income"]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The task's name.
    pub name: String,
    /// What is predicted.
    pub kind: TargetKind,
    /// The columns with the labels; one, unless the kind is multi-label. Empty: the column with the task's name.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The values that mean yes (binary, multi-label). Empty: the columns hold 0 and 1.
    #[serde(default)]
    pub positive: Vec<String>,
    /// The classes in their order (multi-class). Empty: those of the training part, sorted.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Whether a regression's labels are brought to mean 0 and standard deviation 1 over the training part.
    #[serde(default)]
    pub standardise: bool,
}

impl TargetSpec {
    /// A target in the column that has the task's name.
    pub fn new(name: impl Into<String>, kind: TargetKind) -> Self {
        Self {
            name: name.into(),
            kind,
            columns: Vec::new(),
            positive: Vec::new(),
            classes: Vec::new(),
            standardise: false,
        }
    }

    /// The columns the labels are in.
    pub fn column_names(&self) -> Vec<&str> {
        match self.columns.as_slice() {
            [] => vec![self.name.as_str()],
            columns => columns.iter().map(String::as_str).collect(),
        }
    }

    /// Refuses settings of one kind that stand beside another kind.
    ///
    /// # Errors
    /// With the target's name and the kind that the setting is for.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(Error::config(format!("target `{}`: {what}", self.name)));
        let labels = matches!(self.kind, TargetKind::Binary | TargetKind::Multilabel);
        if self.columns.len() > 1 && self.kind != TargetKind::Multilabel {
            return refuse("has several columns; only `multilabel` takes more than one");
        }
        if !self.positive.is_empty() && !labels {
            return refuse("`positive` is for `binary` and `multilabel` targets");
        }
        if !self.classes.is_empty() && self.kind != TargetKind::Multiclass {
            return refuse("`classes` is for `multiclass` targets");
        }
        if self.standardise && self.kind != TargetKind::Regression {
            return refuse("`standardise` is for `regression` targets");
        }
        Ok(())
    }
}
