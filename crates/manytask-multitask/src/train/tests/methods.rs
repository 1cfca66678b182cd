//! Methods that take more than losses, in the loop.

use manytask_nn::layers::{Activation, BatchNorm, Dropout, Linear, Sequential};
use manytask_tensor::Role;

use super::{go_on, names, training};
use crate::aggregators::{
    AggregatorSettings, AutoLambda, CaGrad, DbMtl, Famo, GradNorm, MoCo, Pipeline, Post, SdmGrad,
    UncertaintyWeighting,
};
use crate::testing::{network, problem_of, problem_with, rows, start};
use crate::train::*;
use crate::{
    Combination, Draw, Gives, LossWeighting, MultiTaskProblem, Needs, OnLosses, Step, StepInfo, TaskVec,
};

fn methods() -> Vec<Box<dyn AggregatorSettings>> {
    let pipeline = Pipeline {
        weighting: Some(Box::new(UncertaintyWeighting::default())),
        combination: Some(Box::new(CaGrad::default())),
        post: Post { update_every: 3, smoothing: 0.5, ..Post::default() },
        ..Pipeline::default()
    };
    vec![
        Box::new(MoCo::default()),
        Box::new(DbMtl::default()),
        Box::new(Famo::default()),
        Box::new(AutoLambda { learning_rate: 0.01, ..AutoLambda::default() }),
        Box::new(SdmGrad::default()),
        Box::new(GradNorm::default()),
        Box::new(pipeline),
    ]
}

#[test]
fn methods_with_tensors_looks_and_stages_resume_bit_for_bit() {
    let problem = problem_of(rows(1, 44, true));
    for settings in methods() {
        let trainer = |steps| {
            let aggregator = settings.build(&names(&problem)).unwrap();
            Trainer::new(&problem, aggregator, training(steps), &start(&problem)).unwrap()
        };
        let mut whole = trainer(9);
        whole.run(go_on).unwrap();
        let mut first = trainer(9);
        first
            .run(|_, event| -> Result<_> {
                let stop = matches!(event, Event::StepDone { step: 5 });
                Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .unwrap();
        assert_eq!(first.progress().step, 5);
        let folder = tempfile::tempdir().unwrap();
        first.save(folder.path()).unwrap();
        let mut second = trainer(9);
        second.restore(folder.path()).unwrap();
        second.run(go_on).unwrap();
        assert_eq!(whole.params().max_difference(second.params()).unwrap(), 0.0, "{settings:?}");
    }
}

/// A trunk whose forward pass draws and writes: dropout and batch-norm.
fn noisy() -> MultiTaskProblem {
    let network = network(|b, inputs| {
        let linear = Linear::new(&mut b.scope("layer0"), inputs.iter().product(), 6)?;
        let norm = BatchNorm::new(&mut b.scope("norm"), 6)?;
        let layers: Vec<Box<dyn manytask_nn::Module>> =
            vec![Box::new(linear), Box::new(norm), Box::new(Activation::Tanh), Box::new(Dropout::new(0.5)?)];
        Ok((Box::new(Sequential(layers)), 6))
    });
    problem_with(network, rows(1, 40, true))
}

/// The weights of FAMO at its first step, without its look at the losses after it.
#[derive(Debug)]
struct FirstOfFamo;

impl LossWeighting for FirstOfFamo {
    fn name(&self) -> &'static str {
        "first_of_famo"
    }
    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let inverse: Vec<f64> = step.losses.values().iter().map(|loss| (1.0 / 3.0) / (loss + 1e-8)).collect();
        let sum: f64 = inverse.iter().sum();
        Ok(inverse.iter().map(|x| x / sum).collect())
    }
}

#[test]
fn the_second_forward_pass_of_famo_updates_no_batch_norm_statistics() {
    let problem = noisy();
    let after_one = |aggregator: Box<dyn Aggregator>| {
        let mut settings = training(1);
        settings.validate_every = None;
        let mut trainer = Trainer::new(&problem, aggregator, settings, &start(&problem)).unwrap();
        trainer.run(go_on).unwrap();
        trainer.params().copy().unwrap()
    };
    let with = after_one(Famo::default().build(&names(&problem)).unwrap());
    let without = after_one(Box::new(OnLosses::new(FirstOfFamo, &names(&problem))));
    assert_eq!(with.max_difference(&without).unwrap(), 0.0);
    let before = start(&problem);
    let moved = |role| {
        let of_role = with.iter().zip(before.iter()).filter(|((entry, _), _)| entry.role == role);
        of_role.map(|((_, a), (_, b))| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
    };
    assert!(moved(Role::Buffer) > 1e-3 && moved(Role::Weight) > 1e-3);
}

/// Sees the losses before and after a step that is next to nothing.
#[derive(Debug)]
struct Before(TaskVec);

impl LossWeighting for Before {
    fn name(&self) -> &'static str {
        "before"
    }
    fn needs(&self) -> Needs {
        Needs { losses_after_step: true, ..Needs::LOSSES }
    }
    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        self.0 = step.losses.clone();
        Ok(vec![1.0; step.losses.len()])
    }
    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        for ((task, before), (of, after)) in self.0.iter().zip(losses.iter()) {
            assert!(task == of && before != after && (before - after).abs() < 1e-4, "{before} {after}");
        }
        Ok(())
    }
}

#[test]
fn losses_after_the_step_are_of_the_same_batch_and_the_same_draws() {
    let problem = noisy();
    let mut settings = training(3);
    settings.learning_rate = 1e-7;
    let aggregator = Box::new(OnLosses::new(Before(TaskVec::default()), &names(&problem)));
    Trainer::new(&problem, aggregator, settings, &start(&problem)).unwrap().run(go_on).unwrap();
}

#[test]
fn the_gradient_of_auto_lambda_is_that_of_the_validation_loss_after_a_step() {
    let problem = problem_of(rows(1, 16, true));
    let weights = AutoLambda::default();
    let aggregator = weights.build(&names(&problem)).unwrap();
    let mut settings = training(1);
    (settings.validate_every, settings.clip_norm) = (None, None);
    let rate = settings.learning_rate;
    let draw = Draw { seed: settings.seed, step: 0, replica: 0, split: Split::Train };
    let mut trainer = Trainer::new(&problem, aggregator, settings, &start(&problem)).unwrap();
    trainer.run(go_on).unwrap();
    let memory = trainer.aggregator.state().unwrap().memory;
    let params = start(&problem).require_grad().unwrap();
    let validation = |lambda: &[f64]| -> f64 {
        let mut pass = problem.forward(&params, draw).unwrap();
        let gradient = pass.finish(&Combination::weighted_losses(lambda.to_vec())).unwrap();
        let moved = params.detach().unwrap().add_scaled(&gradient.detach().unwrap(), -rate).unwrap();
        let losses = problem.losses(&moved, Draw { split: Split::Validation, ..draw }).unwrap();
        losses.values().iter().sum()
    };
    for task in 0..3 {
        let at = |shift: f64| {
            let mut lambda = [weights.initial; 3];
            lambda[task] += shift;
            validation(&lambda)
        };
        let expected = (at(1e-4) - at(-1e-4)) / 2e-4;
        // Adam's mean is a tenth of the gradient after its first step.
        let found = memory["mean"][task].as_f64().unwrap() * 10.0;
        assert!((found - expected).abs() < 1e-3 * expected.abs() + 1e-7, "{task}: {found} {expected}");
    }
}

#[test]
fn steps_in_which_nothing_shared_moves_are_told() {
    let problem = problem_of(rows(1, 44, true));
    let mut trainer = Trainer::new(&problem, Box::new(Nothing), training(3), &start(&problem)).unwrap();
    let mut told = Vec::new();
    trainer
        .run(|_, event| -> Result<_> {
            if let Event::Step(report) = event {
                told.push(report.stationary);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(told, [true; 3]);
    let cagrad = CaGrad::default().build(&names(&problem)).unwrap();
    let mut trainer = Trainer::new(&problem, cagrad, training(3), &start(&problem)).unwrap();
    trainer
        .run(|_, event| -> Result<_> {
            assert!(!matches!(event, Event::Step(report) if report.stationary));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
}

/// As a method at a Pareto-stationary point.
#[derive(Debug)]
struct Nothing;

impl Aggregator for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        Ok(Combination::weights(vec![0.0; step.present().len()]))
    }
}
