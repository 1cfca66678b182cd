use manytask_nn::optim::AdamW;
use manytask_tensor::Params;

use super::*;
use crate::Freeze;
use crate::aggregators::{GradDrop, Mgda, PcGrad};
use crate::testing::{network, problem_with, relu_trunk};

fn settings(parts: &[&str], after: u64) -> Training {
    let freeze = Freeze { parts: parts.iter().map(|part| (*part).to_owned()).collect(), after };
    let optimizer = Optimizer::AdamW(AdamW { weight_decay: 0.1, ..AdamW::default() });
    Training { optimizer, freeze, validate_every: None, diagnose_every: Some(2), ..training(6) }
}

fn deep() -> crate::MultiTaskProblem {
    problem_with(network(relu_trunk(8)), rows(1, 44, true))
}

/// The names of what differs.
fn moved(before: &Params, after: &Params) -> Vec<String> {
    let changed = before.iter().zip(after.leaves()).filter(|((_, a), b)| a != b);
    changed.map(|((entry, _), _)| entry.name.clone()).collect()
}

#[test]
fn frozen_parts_keep_their_values_moments_and_counts_of_steps() {
    let problem = deep();
    let methods: [&dyn AggregatorSettings; 4] =
        [&EqualWeights::default(), &Mgda::default(), &PcGrad::default(), &GradDrop::default()];
    for method in methods {
        let begin = start(&problem);
        let aggregator = method.build(&names(&problem)).unwrap();
        let settings = settings(&["trunk.layer1", "heads.r"], 0);
        let mut trainer = Trainer::new(&problem, aggregator, settings, &begin).unwrap();
        trainer.run(go_on).unwrap();
        let held = |name: &str| name.starts_with("trunk.layer1.") || name.starts_with("heads.r.");
        let all = begin.layout().entries().iter().map(|entry| entry.name.clone());
        let others: Vec<String> = all.filter(|name| !held(name)).collect();
        assert_eq!(moved(&begin, trainer.params()), others, "{method:?}");
        for (entry, steps) in begin.layout().entries().iter().zip(&trainer.optimizer.steps) {
            assert_eq!(*steps, if held(&entry.name) { 0 } else { 6 }, "{}", entry.name);
        }
        for (_, buffer) in &trainer.optimizer.buffers {
            for (entry, leaf) in buffer.iter() {
                let is_zero = leaf.abs().max().double_value(&[]) == 0.0;
                assert_eq!(is_zero, held(&entry.name), "{}", entry.name);
            }
        }
    }
}

#[test]
fn parts_that_are_frozen_later_move_until_then_and_a_resumed_training_is_the_same() {
    let problem = deep();
    let trainer = || {
        let aggregator = Mgda::default().build(&names(&problem)).unwrap();
        Trainer::new(&problem, aggregator, settings(&["trunk"], 3), &start(&problem)).unwrap()
    };
    let until = |trainer: &mut Trainer<'_>, last: u64| {
        let stop = |_: &Trainer<'_>, event: Event<'_>| -> Result<_> {
            let stop = matches!(event, Event::StepDone { step } if step == last);
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        trainer.run(stop).unwrap();
        trainer.params().copy().unwrap()
    };
    let mut whole = trainer();
    let third = until(&mut whole, 3);
    assert!(moved(&start(&problem), &third).iter().any(|name| name == "trunk.layer0.weight"));
    let end = until(&mut whole, 6);
    assert!(moved(&third, &end).iter().all(|name| name.starts_with("heads.")), "{:?}", moved(&third, &end));
    assert!(!moved(&third, &end).is_empty());
    for stop in [2, 3, 4] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = trainer();
        until(&mut first, stop);
        first.save(folder.path()).unwrap();
        let mut second = trainer();
        second.restore(folder.path()).unwrap();
        assert_eq!(until(&mut second, 6).max_difference(&end).unwrap(), 0.0, "{stop}");
    }
}

/// Says what it is given at two levels.
#[derive(Debug)]
struct Watcher;

impl Aggregator for Watcher {
    fn name(&self) -> &'static str {
        "watcher"
    }
    fn needs(&self) -> Needs {
        let (all, layer) = (Level::Parameters, Level::Layers(vec!["trunk.layer0".into()]));
        let gradients = [all, layer].into_iter().flat_map(|level| {
            [Needs::jacobian(level.clone()).gradients, Needs::gramian(level).gradients].concat()
        });
        Needs { gradients: gradients.collect(), ..Needs::LOSSES }
    }
    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }
    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        for (level, part) in
            [(Level::Parameters, "trunk.layer1."), (Level::Layers(vec!["trunk.layer0".into()]), "nothing")]
        {
            let columns = step.columns(&level)?;
            let rows = step.jacobian(&level)?.rows().shallow_clone();
            for (name, range) in columns {
                let columns = rows.narrow(1, range.start as i64, range.len() as i64);
                let is_zero = columns.abs().max().double_value(&[]) == 0.0;
                assert_eq!(is_zero, name.starts_with(part), "{name}");
            }
            let products = crate::Jacobian::new(&rows)?.gramian()?;
            assert!((products.at(0, 1) - step.gramian(&level)?.at(0, 1)).abs() < 1e-12);
        }
        Ok(Combination::weights(vec![1.0; step.losses().len()]))
    }
}

#[test]
fn aggregators_compare_the_gradients_of_what_moves() {
    let problem = deep();
    let settings = Training { diagnose_every: None, ..settings(&["trunk.layer1"], 0) };
    Trainer::new(&problem, Box::new(Watcher), settings, &start(&problem)).unwrap().run(go_on).unwrap();
}

#[test]
fn names_that_match_nothing_and_nothing_left_to_train_are_refused() {
    let problem = deep();
    let refused = |method: &dyn AggregatorSettings, parts: &[&str], after| {
        let aggregator = method.build(&names(&problem)).unwrap();
        let settings = Training { diagnose_every: None, ..settings(parts, after) };
        Trainer::new(&problem, aggregator, settings, &start(&problem)).unwrap_err().to_string()
    };
    let message = refused(&EqualWeights::default(), &["trunk", "trnk"], 0);
    assert!(message.contains("`trnk`") && message.contains("`trunk.layer0`, "), "{message}");
    let message = refused(&EqualWeights::default(), &["*"], 0);
    assert!(message.contains("nothing to train"), "{message}");
    // Gradients of nothing cannot be compared.
    assert!(refused(&Mgda::default(), &["trunk"], 0).contains("mgda"));
}
