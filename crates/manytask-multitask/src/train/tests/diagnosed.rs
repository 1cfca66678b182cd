//! Steps whose gradients are looked at.

use super::*;
use crate::aggregators::{GradDrop, Mgda};
use crate::testing::problems;

fn reports(
    problem: &dyn Problem,
    of: &dyn AggregatorSettings,
    every: Option<u64>,
) -> (Vec<StepReport>, Params) {
    let settings = Training { diagnose_every: every, validate_every: None, ..training(6) };
    let aggregator = of.build(&names(problem)).unwrap();
    let mut trainer = Trainer::new(problem, aggregator, settings, &start(problem)).unwrap();
    let mut reports = Vec::new();
    let end = trainer.run(|_, event| -> Result<_> {
        if let Event::Step(report) = event {
            reports.push(report.clone());
        }
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(end.unwrap(), Finish::Completed);
    (reports, trainer.params().copy().unwrap())
}

#[test]
fn looking_changes_nothing_and_sees_what_a_step_does() {
    let methods: [&dyn AggregatorSettings; 3] =
        [&EqualWeights::default(), &Mgda::default(), &GradDrop::default()];
    for problem in problems(|| rows(1, 40, true)) {
        for (number, method) in methods.into_iter().enumerate() {
            let (seen, params) = reports(&problem, method, Some(2));
            let (unseen, same) = reports(&problem, method, None);
            assert_eq!(params.max_difference(&same).unwrap(), 0.0);
            for (report, other) in seen.iter().zip(&unseen) {
                assert_eq!(report.diagnostics.is_some(), report.step % 2 == 0);
                assert_eq!(StepReport { diagnostics: None, ..report.clone() }, *other);
            }
            for diagnostics in seen.iter().filter_map(|report| report.diagnostics.as_ref()) {
                assert_eq!(
                    (diagnostics.norms.len(), diagnostics.cosines.len(), diagnostics.descent.len()),
                    (3, 3, 3)
                );
                assert!(diagnostics.cosines.iter().all(|(a, b, cosine)| a < b && cosine.abs() <= 1.0));
                // MGDA's direction is down for every task.
                assert!(number != 1 || diagnostics.descends_for_all(), "{diagnostics:?}");
            }
        }
    }
}

/// What [`EqualWeights`] weighs, as a vector: both ways to the numbers are one.
#[derive(Debug)]
struct AsDirection;

impl AggregatorSettings for AsDirection {
    fn build(&self, _tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(Self))
    }
}

impl Aggregator for AsDirection {
    fn name(&self) -> &'static str {
        "as direction"
    }

    fn needs(&self) -> Needs {
        Needs::jacobian(Level::Parameters)
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let rows = step.jacobian(&Level::Parameters)?;
        let weights = vec![1.0 / 3.0; 3];
        Ok(Combination::direction(rows.combine(&weights)?, Level::Parameters, 3))
    }
}

#[test]
fn a_direction_is_seen_as_the_weights_that_make_it() {
    for problem in problems(|| rows(1, 40, true)) {
        let (by_weights, _) = reports(&problem, &EqualWeights::default(), Some(1));
        let (by_direction, _) = reports(&problem, &AsDirection, Some(1));
        let first = |of: &[StepReport]| of.first().and_then(|report| report.diagnostics.clone()).unwrap();
        let (weights, direction) = (first(&by_weights), first(&by_direction));
        for (a, b) in weights.descent.iter().zip(&direction.descent) {
            assert!((a - b).abs() < 1e-9, "{weights:?} {direction:?}");
        }
    }
}
