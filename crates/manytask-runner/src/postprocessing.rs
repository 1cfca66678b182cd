//! What is made of predictions once a training has ended: calibrated probabilities, decisions, sets and intervals, fitted on the
//! validation split, kept in `results.json` and judged on the split that the result is of.

mod apply;
mod judge;

use std::collections::BTreeMap;
use std::path::Path;

use manytask_multitask::TaskOutputs;
use manytask_nn::calibration::{
    Calibration, Calibrator, Conformal, Decision, Labelled, interval_scores, plain, set_scores,
};
use manytask_nn::metrics::Output;
use manytask_tensor::KeyPath;
use serde::{Deserialize, Serialize};

pub(crate) use self::apply::{Derived, Words};
pub(crate) use self::judge::{Judged, metric_of, table};
use crate::digest::digest;
use crate::failure::{Code, Failure, Result};

/// What a task asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Postprocessing {
    /// How its probabilities are calibrated.
    pub(crate) calibration: Option<Calibration>,
    /// What its decisions are best by.
    pub(crate) decision: Option<Decision>,
    /// How often its sets or intervals hold the truth.
    pub(crate) coverage: Option<f64>,
}

impl Postprocessing {
    /// What this one asks for, and for the rest what the other does.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            calibration: self.calibration.or(other.calibration),
            decision: self.decision.or(other.decision),
            coverage: self.coverage.or(other.coverage),
        }
    }

    /// What of it is for an output: probabilities are of no regression, thresholds of no class out of several, and sets of no
    /// labels of which several are true.
    pub(crate) fn of_output(self, output: Output) -> Self {
        let decides = |decision: &Decision| match output {
            Output::Regression => false,
            Output::Multiclass => *decision == Decision::Likeliest,
            Output::Binary | Output::Multilabel => true,
        };
        Self {
            calibration: self.calibration.filter(|_| output != Output::Regression),
            decision: self.decision.filter(decides),
            coverage: self.coverage.filter(|_| output != Output::Multilabel),
        }
    }

    /// The first key that asks for anything.
    pub(crate) fn first_key(self) -> Option<&'static str> {
        let keys = [
            ("calibration", self.calibration.is_some()),
            ("decision", self.decision.is_some()),
            ("coverage", self.coverage.is_some()),
        ];
        keys.into_iter().find(|(_, asked)| *asked).map(|(key, _)| key)
    }

    /// Refuses what is out of range, or for none of these outputs.
    ///
    /// # Errors
    /// With the key and what it is for.
    pub(crate) fn check(self, outputs: &[Output]) -> Result<()> {
        if let Some(coverage) = self.coverage.filter(|coverage| !(*coverage > 0.0 && *coverage < 1.0)) {
            return Err(Failure::setting("coverage", format!("a coverage of {coverage}"))
                .hint("write a share above 0 and below 1, such as 0.9"));
        }
        if let Some(decision) = self.decision {
            decision.check().map_err(|error| Failure::from(error).within("decision"))?;
        }
        let for_any = |of: &dyn Fn(Self) -> bool| outputs.iter().any(|output| of(self.of_output(*output)));
        let wrong = [
            ("calibration", self.calibration.is_some() && !for_any(&|of| of.calibration.is_some())),
            ("decision", self.decision.is_some() && !for_any(&|of| of.decision.is_some())),
            ("coverage", self.coverage.is_some() && !for_any(&|of| of.coverage.is_some())),
        ];
        let Some((key, _)) = wrong.into_iter().find(|(_, wrong)| *wrong && !outputs.is_empty()) else {
            return Ok(());
        };
        let (what, hint) = match key {
            "calibration" => {
                ("probabilities, and this is a regression", "leave it out, or ask for `coverage`")
            }
            "decision" => (
                "binary and multilabel targets, and `likeliest` for classes",
                "leave it out, or write decision = \"likeliest\" for classes",
            ),
            _ => ("values and for one class out of several", "leave it out for several labels at once"),
        };
        Err(Failure::setting(key, format!("`{key}` is for {what}")).hint(hint))
    }
}

/// What is said where there is no validation split to fit on.
pub(crate) fn no_validation(key: KeyPath) -> Failure {
    Failure::setting(key, "this is fitted on the validation split, and the data have none")
        .hint("give the split one, or leave it out")
}

/// What was fitted for the predictions of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fitted {
    /// The step of the parameters that it belongs to.
    pub(crate) step: u64,
    /// By the name of the task.
    pub(crate) tasks: BTreeMap<String, FittedTask>,
}

/// What was fitted for a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FittedTask {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibrator: Option<Calibrator>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// For each label, or the one of a binary target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thresholds: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conformal: Option<Conformal>,
}

/// The part of `results.json` with what was fitted.
#[derive(Debug, Deserialize)]
struct Kept {
    #[serde(default)]
    postprocessing: Option<Fitted>,
}

impl Fitted {
    /// Fits what tasks ask for to predictions on a validation split, with what is to be said of it.
    pub(crate) fn fit(asked: &[Postprocessing], outputs: &[TaskOutputs], step: u64) -> (Self, Vec<String>) {
        let (mut tasks, mut notes) = (BTreeMap::new(), Vec::new());
        for (asked, outputs) in asked.iter().zip(outputs).filter(|(asked, _)| asked.first_key().is_some()) {
            let (fitted, own) = FittedTask::fit(*asked, outputs);
            notes.extend(own.into_iter().map(|note| format!("task `{}`: {note}", outputs.name)));
            tasks.insert(outputs.name.clone(), fitted);
        }
        (Self { step, tasks }, notes)
    }

    /// What was kept with a run, where anything was.
    ///
    /// # Errors
    /// When the results are not what the run has written (exit code 6).
    pub(crate) fn of_run(results: &Path, written: Option<&str>) -> Result<Option<Self>> {
        let Some(written) = written else { return Ok(None) };
        let text = match fs_err::read(results) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |why: &str| {
            let what = format!("{}: is damaged: {why}", manytask_tensor::ShownPath::shown(results));
            Failure::new(Code::Checkpoint, what)
                .hint("bring the file back, or write it anew with `manytask resume`")
        };
        if written != digest(&text) {
            return Err(damaged("it is not what the run has written"));
        }
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
        Ok(kept.postprocessing)
    }
}

impl FittedTask {
    fn fit(asked: Postprocessing, outputs: &TaskOutputs) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        let mut fitted = Self::default();
        let rows = labelled(outputs);
        if let Some(how) = asked.calibration {
            fitted.calibrator = Calibrator::fit(how, &rows);
            if fitted.calibrator.is_none() {
                notes.push(
                    "its labels in the validation split are of one class: it is not calibrated".to_owned(),
                );
            }
        }
        let probabilities = fitted.probabilities(outputs);
        if let Some(decision) = asked.decision {
            fitted.decision = Some(decision);
            if outputs.output != Output::Multiclass {
                let (thresholds, usual) = thresholds(decision, outputs, &probabilities);
                fitted.thresholds = thresholds;
                if usual > 0 {
                    notes.push(format!(
                        "{usual} of {} thresholds are 0.5: the labels in the validation split are of one kind",
                        fitted.thresholds.len()
                    ));
                }
            }
        }
        if let Some(coverage) = asked.coverage {
            let scores = match outputs.output {
                Output::Regression => interval_scores(&outputs.prediction, &outputs.target),
                _ => set_scores(&rows, &probabilities),
            };
            let count = scores.len();
            fitted.conformal = Conformal::fit(coverage, scores);
            if fitted.conformal.is_none() {
                notes.push(format!(
                    "a coverage of {coverage} takes {} rows with labels in the validation split, and it has {count}: there are no {}",
                    Conformal::least_rows(coverage),
                    if outputs.output == Output::Regression { "intervals" } else { "sets" }
                ));
            }
        }
        (fitted, notes)
    }

    /// The probabilities of all rows; of a regression its values.
    pub(crate) fn probabilities(&self, outputs: &TaskOutputs) -> Vec<f64> {
        self.probabilities_of(outputs.output, outputs.columns, &outputs.prediction)
    }

    fn probabilities_of(&self, output: Output, columns: usize, prediction: &[f64]) -> Vec<f64> {
        if output == Output::Regression {
            return prediction.to_vec();
        }
        let of = |logits: &[f64]| match &self.calibrator {
            None => plain(output, logits),
            Some(calibrator) => calibrator.probabilities(output, logits),
        };
        prediction.chunks(columns.max(1)).flat_map(of).collect()
    }
}

/// The threshold of each label, and of how many nothing could be chosen.
fn thresholds(decision: Decision, outputs: &TaskOutputs, probabilities: &[f64]) -> (Vec<f64>, usize) {
    let column = |values: &[f64], column: usize| -> Vec<f64> {
        values.iter().skip(column).step_by(outputs.columns.max(1)).copied().collect()
    };
    let found: Vec<Option<f64>> = (0..outputs.columns)
        .map(|label| {
            let (own, labels) = (column(probabilities, label), column(&outputs.target, label));
            decision.threshold(&own, &labels, outputs.weight.as_deref())
        })
        .collect();
    let usual = found.iter().filter(|threshold| threshold.is_none()).count();
    (found.into_iter().map(|threshold| threshold.unwrap_or(0.5)).collect(), usual)
}

fn labelled(outputs: &TaskOutputs) -> Labelled<'_> {
    Labelled {
        output: outputs.output,
        columns: outputs.columns,
        logits: &outputs.prediction,
        target: &outputs.target,
        weight: outputs.weight.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_gets_what_is_for_it() {
        let all = Postprocessing {
            calibration: Some(Calibration::Temperature),
            decision: Some(Decision::F1),
            coverage: Some(0.9),
        };
        let of = |output| {
            let of = all.of_output(output);
            (of.calibration.is_some(), of.decision.is_some(), of.coverage.is_some())
        };
        assert_eq!(of(Output::Regression), (false, false, true));
        assert_eq!(of(Output::Binary), (true, true, true));
        assert_eq!(of(Output::Multiclass), (true, false, true));
        assert_eq!(of(Output::Multilabel), (true, true, false));
        assert!(all.check(&[Output::Regression, Output::Binary]).is_ok());
        let wrong = all.check(&[Output::Regression]).unwrap_err();
        assert_eq!(wrong.key().map(ToString::to_string).as_deref(), Some("calibration"));
        let wrong = Postprocessing { coverage: Some(1.0), ..Postprocessing::default() };
        assert!(wrong.check(&[Output::Regression]).is_err());
    }

    #[test]
    fn what_cannot_be_fitted_is_said() {
        let outputs = TaskOutputs {
            name: "y".into(),
            output: Output::Binary,
            columns: 1,
            prediction: vec![1.0, 2.0],
            target: vec![1.0, 1.0],
            weight: None,
            train_mean: None,
        };
        let asked = Postprocessing {
            calibration: Some(Calibration::Isotonic),
            decision: Some(Decision::F1),
            coverage: Some(0.9),
        };
        let (fitted, notes) = Fitted::fit(&[asked], &[outputs], 7);
        let task = &fitted.tasks["y"];
        assert_eq!(
            (task.calibrator.clone(), task.conformal, task.thresholds.as_slice()),
            (None, None, &[0.5][..])
        );
        assert!(notes.len() == 3 && notes[2].contains("takes 9 rows"), "{notes:?}");
    }
}
