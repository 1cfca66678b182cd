use manytask_tensor::Params;

use super::*;
use crate::WeightAverage;

fn averaging(average: WeightAverage) -> Training {
    Training { average: Some(average), ..training(12) }
}

/// The network and the parameters after each step.
fn trained(problem: &crate::MultiTaskProblem, settings: Training) -> Vec<(Params, Params)> {
    let mut trainer = Trainer::new(problem, equal(problem), settings, &start(problem)).unwrap();
    let mut seen = Vec::new();
    trainer
        .run(|trainer, event| -> Result<_> {
            if let Event::Step(_) = event {
                seen.push((trainer.evaluated().copy()?, trainer.params().copy()?));
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    seen
}

/// Whether two are the same but for rounding.
fn same(one: &Params, other: &Params) -> bool {
    one.max_difference(other).unwrap() < 1e-6
}

#[test]
fn a_moving_average_forgets_the_first_parameters_and_leaves_the_training_alone() {
    let problem = problem_of(rows(1, 44, true));
    let plain = trained(&problem, training(12));
    let averaged = trained(&problem, averaging(WeightAverage::Ema { decay: 0.5 }));
    let mut mean = start(&problem);
    for (step, ((_, live), (found, own))) in plain.iter().zip(&averaged).enumerate() {
        assert_eq!(live.max_difference(own).unwrap(), 0.0, "the training is the same");
        // 1/10, 2/11, 3/12, … until these are above the decay.
        let decay = (step as f64 + 1.0) / (step as f64 + 10.0);
        let decay = decay.min(0.5);
        mean = mean.scale(decay).unwrap().add_scaled(live, 1.0 - decay).unwrap();
        assert!(same(&mean, found), "step {step}");
        assert!(!same(live, found), "step {step}");
    }
}

#[test]
fn the_mean_of_the_last_steps_begins_after_the_share_that_is_left_out() {
    let problem = problem_of(rows(1, 44, true));
    let averaged = trained(&problem, averaging(WeightAverage::Swa { from: 0.75 }));
    for (network, live) in &averaged[..9] {
        assert_eq!(network.max_difference(live).unwrap(), 0.0);
    }
    let (_, first) = &averaged[9];
    let sum =
        averaged[10..].iter().try_fold(first.copy().unwrap(), |sum, (_, live)| sum.add_scaled(live, 1.0));
    assert!(same(&sum.unwrap().scale(1.0 / 3.0).unwrap(), &averaged[11].0));
    assert!(!same(&averaged[11].0, &averaged[11].1));
}

#[test]
fn the_mean_is_what_is_judged_and_saved_and_a_resumed_training_is_the_same_to_the_bit() {
    let problem = problem_of(rows(1, 44, true));
    for average in [WeightAverage::Ema { decay: 0.9 }, WeightAverage::Swa { from: 0.4 }] {
        let trainer =
            || Trainer::new(&problem, equal(&problem), averaging(average), &start(&problem)).unwrap();
        let mut whole = trainer();
        whole
            .run(|trainer, event| -> Result<_> {
                if let Event::Evaluated { evaluation, .. } = event {
                    let again = problem.evaluate(trainer.evaluated(), Split::Validation)?;
                    assert_eq!(evaluation.mean_loss(), again.mean_loss());
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut first = trainer();
        let stop = |_: &Trainer<'_>, event: Event<'_>| -> Result<_> {
            let stop = matches!(event, Event::StepDone { step: 7 });
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        first.run(stop).unwrap();
        first.save(folder.path()).unwrap();
        let file = folder.path().join(PARAMS);
        let (saved, _) =
            manytask_tensor::checkpoint::load(&file, problem.layout(), manytask_tensor::Device::Cpu).unwrap();
        assert_eq!(saved.max_difference(first.evaluated()).unwrap(), 0.0, "the network is the mean");
        let mut second = trainer();
        second.restore(folder.path()).unwrap();
        second.run(go_on).unwrap();
        for (one, other) in [(whole.params(), second.params()), (whole.evaluated(), second.evaluated())] {
            assert_eq!(one.max_difference(other).unwrap(), 0.0, "{average:?}");
        }
        assert_eq!(whole.progress(), second.progress());
        // What was saved without a mean cannot go on with one.
        let mut plain = Trainer::new(&problem, equal(&problem), training(12), &start(&problem)).unwrap();
        plain.save(folder.path()).unwrap();
        assert!(trainer().restore(folder.path()).unwrap_err().to_string().contains("live."));
        plain.run(go_on).unwrap();
    }
}

#[test]
fn shares_out_of_range_are_refused_at_their_key() {
    for (average, key) in [
        (WeightAverage::Ema { decay: 1.0 }, "decay is 1"),
        (WeightAverage::Ema { decay: -0.1 }, "decay is -0.1"),
        (WeightAverage::Swa { from: f64::NAN }, "from is NaN"),
    ] {
        let error = averaging(average).check().unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}
