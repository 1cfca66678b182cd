//! What is fitted for a task, applied to new rows.

use manytask_nn::calibration::likeliest;
use manytask_nn::metrics::Output;

use super::FittedTask;

/// The words for what is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    /// Classes or labels; of a binary target what means no and what means yes.
    pub(crate) names: Vec<String>,
}

/// What follows from the predictions of a task, for each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Derived {
    /// Probabilities as they are calibrated: as many as there are logits.
    pub(crate) probabilities: Vec<f64>,
    /// The class, or the labels that are true with bars between.
    pub(crate) decided: Option<Vec<String>>,
    /// The classes of each set, with bars between.
    pub(crate) sets: Option<Vec<String>>,
    /// The intervals of values.
    pub(crate) intervals: Option<Vec<(f64, f64)>>,
}

impl FittedTask {
    /// What follows from logits, or values in the units of the labels.
    pub(crate) fn derive(
        &self,
        output: Output,
        columns: usize,
        prediction: &[f64],
        words: &Words,
    ) -> Derived {
        let probabilities = self.probabilities_of(output, columns, prediction);
        let rows = || probabilities.chunks(columns.max(1));
        let named = |numbers: &[usize]| {
            let names = numbers.iter().filter_map(|number| words.names.get(*number).map(String::as_str));
            names.collect::<Vec<_>>().join("|")
        };
        let decided = self.decision.map(|_| rows().map(|row| named(&self.decide(output, row))).collect());
        let (mut sets, mut intervals) = (None, None);
        match (self.conformal, output) {
            (None, _) => {}
            (Some(conformal), Output::Regression) => {
                intervals = Some(probabilities.iter().map(|value| conformal.interval(*value)).collect());
            }
            (Some(conformal), _) => {
                sets = Some(rows().map(|row| named(&conformal.set(output, row))).collect());
            }
        }
        Derived { probabilities, decided, sets, intervals }
    }

    /// The numbers of what is decided for a row: one class, or the labels that are true.
    pub(crate) fn decide(&self, output: Output, row: &[f64]) -> Vec<usize> {
        let yes = |(label, p): (usize, &f64)| *p >= self.thresholds.get(label).copied().unwrap_or(0.5);
        match output {
            Output::Multiclass => vec![likeliest(row)],
            Output::Binary => vec![usize::from(row.first().is_some_and(|p| yes((0, p))))],
            Output::Multilabel => {
                row.iter().enumerate().filter(|pair| yes(*pair)).map(|(label, _)| label).collect()
            }
            Output::Regression => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::calibration::{Calibrator, Conformal, Decision};

    use super::*;

    fn words(names: &[&str]) -> Words {
        Words { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn answers_are_in_the_words_of_the_data() {
        let fitted = FittedTask {
            calibrator: Some(Calibrator::Temperature(vec![2.0])),
            decision: Some(Decision::F1),
            thresholds: vec![0.7],
            conformal: Some(Conformal { coverage: 0.9, quantile: 0.6 }),
        };
        // σ(1.2 / 2) = 0.646 and σ(2 / 2) = 0.731.
        let derived = fitted.derive(Output::Binary, 1, &[1.2, 2.0], &words(&["no", "yes"]));
        assert!((derived.probabilities[0] - 0.645_656).abs() < 1e-6);
        assert_eq!(derived.decided.unwrap(), ["no", "yes"]);
        assert_eq!(derived.sets.unwrap(), ["yes", "yes"]);
        let labels =
            FittedTask { decision: Some(Decision::F1), thresholds: vec![0.5, 0.9], ..FittedTask::default() };
        let derived =
            labels.derive(Output::Multilabel, 2, &[1.0, 1.0, -1.0, 3.0, 1.0, 3.0], &words(&["a", "b"]));
        assert_eq!(derived.decided.unwrap(), ["a", "b", "a|b"]);
        let value = FittedTask { conformal: fitted.conformal, ..FittedTask::default() };
        let derived = value.derive(Output::Regression, 1, &[2.0], &words(&[]));
        assert_eq!(derived.intervals.unwrap(), [(1.4, 2.6)]);
    }
}
