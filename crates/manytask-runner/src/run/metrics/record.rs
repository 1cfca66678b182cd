use serde::{Deserialize, Serialize};

/// One number of a training: a line of `metrics.jsonl`, and a point for TensorBoard.
///
/// Every line has all keys, so that the file is a table as it is: `pandas.read_json(PATH, lines=True)`, or with `DuckDB`
/// `SELECT * FROM 'metrics.jsonl'`.
///
/// ```
/// use manytask::run::{Origin, Record, Split};
///
/// let origin = Origin { step: 8, epoch: Some(0), split: Split::Validation };
/// let record = origin.record(Some("income"), "roc_auc", Some(0.5));
/// let line = r#"{"step":8,"epoch":0,"split":"validation","task":"income","metric":"roc_auc","value":0.5}"#;
/// assert_eq!(record.line(), format!("{line}\n"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// After how many steps.
    pub step: u64,
    /// The epoch that the step belongs to, counted from 0; `None` where there are no epochs.
    pub epoch: Option<u64>,
    /// The split of the data.
    pub split: Split,
    /// The task; `None` where it is no matter of a task.
    pub task: Option<String>,
    /// What the value is: `loss`, `epoch_loss` (the mean over an epoch), `weight`, `learning_rate`, `gradient_norm`, `auxiliary/NAME`
    /// (an auxiliary loss of the network), of gradients `gradient_norm` of a task, `cosine/OTHER` with that of another task, `descent` (the
    /// cosine with the step), `conflict_rate`, `condition_number`, `descends_for_all`, the name of a metric, or `improved`: 1 where the evaluation found the best parameters so far, 0 where not.
    pub metric: String,
    /// The number; `None` where it has no value, is NaN or infinite.
    pub value: Option<f64>,
}

/// A split of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Training data.
    Train,
    /// Validation data.
    Validation,
}

/// Where in a training a number is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// After how many steps.
    pub step: u64,
    /// The epoch that the step belongs to.
    pub epoch: Option<u64>,
    /// The split of the data.
    pub split: Split,
}

impl Origin {
    /// A number from here.
    pub fn record(self, task: Option<&str>, metric: &str, value: Option<f64>) -> Record {
        let Self { step, epoch, split } = self;
        let value = value.filter(|value| value.is_finite());
        Record { step, epoch, split, task: task.map(str::to_owned), metric: metric.to_owned(), value }
    }
}

impl Record {
    /// The line, with its end.
    pub fn line(&self) -> String {
        // Plain fields have a form in JSON; without one the line would be blank, which a reader calls damaged.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads a line; `None` where it is damaged.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// What TensorBoard calls it: `train/income/loss`.
    pub fn tag(&self) -> String {
        let split = match self.split {
            Split::Train => "train",
            Split::Validation => "validation",
        };
        let task = self.task.iter().map(String::as_str);
        let pieces: Vec<&str> = std::iter::once(split).chain(task).chain([self.metric.as_str()]).collect();
        pieces.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_key_and_is_read_again() {
        let origin = Origin { step: 3, epoch: None, split: Split::Train };
        let record = origin.record(None, "learning_rate", Some(1.0));
        let line =
            r#"{"step":3,"epoch":null,"split":"train","task":null,"metric":"learning_rate","value":1.0}"#;
        assert_eq!(record.line(), format!("{line}\n"));
        assert_eq!(record.tag(), "train/learning_rate");
        let odd = origin.record(Some("a \"b\"\n"), "loss", Some(f64::NAN));
        assert_eq!((odd.value, odd.line().matches('\n').count()), (None, 1));
        for record in [record, odd] {
            assert_eq!(Record::read(record.line().as_bytes()), Some(record));
        }
        for damaged in ["", "{}", "{\"step\":3}", "\0\0", &line[1..], &line[..40]] {
            assert_eq!(Record::read(damaged.as_bytes()), None, "{damaged}");
        }
    }
}
