//! Batches with too few labels or rows, and gradients that are too large.

use manytask_data::{Augmentation, BatchOrder, SplitData as Rows, TaskSampling};
use manytask_nn::layers::{BatchNorm, Linear, Sequential};
use manytask_nn::loss::Loss;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::optim::AdamW;
use manytask_nn::{Builder, Module};
use manytask_tensor::Tensor;

use super::*;
use crate::aggregators::{AlignedMtl, CaGrad, FixedWeights, Mgda, NashMtl, PcGrad, UpGrad};
use crate::testing::{network, networks, relu_trunk, tanh_trunk, tasks};
use crate::{Batches, HardSharing, InputSizes, MultiTaskProblem, TaskSplits};

fn aggregators() -> Vec<Box<dyn AggregatorSettings>> {
    let weights = ["b", "r", "m"].map(|name| (name.to_owned(), 0.5)).into();
    vec![
        Box::new(EqualWeights::default()),
        Box::new(FixedWeights { weights }),
        Box::new(UncertaintyWeighting::default()),
        Box::new(PcGrad::default()),
        Box::new(Mgda::default()),
        Box::new(CaGrad::default()),
        Box::new(UpGrad::default()),
        Box::new(AlignedMtl::default()),
        Box::new(NashMtl::default()),
    ]
}

/// Batches of eight rows, in their order.
fn in_order(network: HardSharing, train: Rows) -> MultiTaskProblem {
    with_batches(network, train, Batches { size: 8, order: BatchOrder::Sequential, ..Batches::default() })
}

fn with_batches(network: HardSharing, train: Rows, batches: Batches) -> MultiTaskProblem {
    MultiTaskProblem::new(
        Box::new(network),
        tasks(),
        TaskSplits { train, validation: None, test: None },
        batches,
    )
    .unwrap()
}

/// Takes labels away.
fn forget(split: &Rows, task: usize, start: i64, length: i64) {
    let target = split.tasks[task].target.narrow(0, start, length);
    let missing = if task == 2 { -100.0 } else { f64::NAN };
    let _ = target.shallow_clone().fill_(missing);
}

fn settings(steps: u64) -> Training {
    let optimizer = Optimizer::AdamW(AdamW { weight_decay: 0.1, ..AdamW::default() });
    Training { optimizer, validate_every: None, clip_norm: None, ..training(steps) }
}

/// The reports of all steps, and the parameters after each.
fn followed(trainer: &mut Trainer<'_>) -> Vec<(StepReport, Params)> {
    let (mut reports, mut params) = (Vec::new(), Vec::new());
    trainer
        .run(|trainer, event| -> Result<_> {
            match event {
                Event::Step(report) => reports.push(report.clone()),
                Event::StepDone { .. } => params.push(trainer.params().copy()?),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    reports.into_iter().zip(params).collect()
}

#[test]
fn a_batch_without_a_label_is_passed_over_with_every_aggregator() {
    for (settings_of, single_input) in aggregators().iter().flat_map(|one| [(one, true), (one, false)]) {
        for network in networks() {
            let split = rows(1, 20, single_input);
            (0..3).for_each(|task| forget(&split, task, 8, 8));
            let problem = in_order(network, split);
            let aggregator = settings_of.build(&names(&problem)).unwrap();
            let mut trainer = Trainer::new(&problem, aggregator, settings(6), &start(&problem)).unwrap();
            let steps = followed(&mut trainer);
            assert_eq!((steps.len(), trainer.progress().step), (6, 6));
            for (number, (report, params)) in steps.iter().enumerate() {
                let empty = number % 3 == 1;
                assert_eq!(
                    (report.present.len(), report.epoch),
                    (if empty { 0 } else { 3 }, number as u64 / 3)
                );
                assert_eq!((report.losses.is_empty(), report.weights.is_none()), (empty, empty));
                let before = number.checked_sub(1).map(|before| &steps[before].1);
                let moved = before.map(|before| params.max_difference(before).unwrap());
                assert!(
                    moved.is_none_or(|moved| (moved == 0.0) == empty),
                    "{settings_of:?}: {number} {moved:?}"
                );
            }
        }
    }
}

#[test]
fn a_task_rests_where_no_row_with_a_label_counts() {
    for (network, weighted) in
        networks().into_iter().chain(networks()).zip([true; 4].into_iter().chain([false; 4]))
    {
        let mut split = rows(1, 24, true);
        if weighted {
            split.tasks[1].weight = Some(Tensor::zeros([24], crate::testing::F64));
        } else {
            forget(&split, 1, 8, 16);
        }
        let problem = in_order(network, split);
        let mut trainer = Trainer::new(&problem, equal(&problem), settings(3), &start(&problem)).unwrap();
        let steps = followed(&mut trainer);
        for pair in steps.windows(2) {
            let [(_, before), (report, after)] = pair else { panic!("a window of two") };
            assert_eq!(report.present, [0, 2]);
            for (entry, leaf) in after.iter() {
                let rests = before.named(&entry.name) == Some(leaf);
                assert_eq!(rests, entry.name.starts_with("heads.r."), "{}", entry.name);
            }
        }
    }
}

#[test]
fn a_task_that_comes_late_is_resumed_bit_for_bit() {
    let problem = || {
        let split = rows(1, 24, true);
        forget(&split, 0, 0, 16);
        in_order(network(relu_trunk(5)), split)
    };
    let (first, second) = (problem(), problem());
    let mut whole = Trainer::new(&first, equal(&first), settings(9), &start(&first)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    whole
        .run(|trainer, event| -> Result<_> {
            if let Event::StepDone { step: 4 } = event {
                trainer.save(folder.path())?;
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let mut resumed = Trainer::new(&second, equal(&second), settings(9), &start(&second)).unwrap();
    resumed.restore(folder.path()).unwrap();
    resumed.run(go_on).unwrap();
    assert_eq!(resumed.params().max_difference(whole.params()).unwrap(), 0.0);
}

#[test]
fn a_gradient_that_is_not_finite_ends_the_training_before_it_reaches_the_parameters() {
    let split = rows(1, 8, true);
    let _ = split.inputs[0].features().unwrap().dense.shallow_clone().g_mul_scalar_(1e150);
    let mut described = tasks();
    described[0].loss = Loss::BinaryCrossEntropy { positive_weight: Some(1e200) };
    let splits = TaskSplits { train: split, validation: None, test: None };
    let problem =
        MultiTaskProblem::new(Box::new(network(relu_trunk(5))), described, splits, Batches::default())
            .unwrap();
    let begin = start(&problem);
    let _ = begin.named("trunk.layer0.weight").unwrap().shallow_clone().g_mul_scalar_(1e-100);
    for clip_norm in [None, Some(1.0)] {
        let settings = Training { clip_norm, ..settings(2) };
        let mut trainer = Trainer::new(&problem, equal(&problem), settings, &begin).unwrap();
        let error = trainer.run(go_on).unwrap_err();
        assert!(matches!(error, Error::Diverged { step: 0, .. }), "{error}");
        assert!(error.to_string().contains("the gradient of task `b` is not finite"), "{error}");
        assert_eq!(trainer.params().max_difference(&begin).unwrap(), 0.0);
    }
}

fn normalised(b: &mut Builder<'_>, inputs: &[i64]) -> Result<(Box<dyn Module>, i64)> {
    let linear = Linear::new(&mut b.scope("layer0"), inputs.iter().product(), 6)?;
    let norm = BatchNorm::new(&mut b.scope("norm"), 6)?;
    Ok((Box::new(Sequential(vec![Box::new(linear), Box::new(norm)])), 6))
}

fn normalised_heads() -> HardSharing {
    let sizes = InputSizes::numbers(4);
    let names = ["b", "r", "m"].map(String::from);
    HardSharing::build(&sizes, 0, &names, tanh_trunk, |b, task, features| {
        let norm = BatchNorm::new(&mut b.scope("norm"), features)?;
        let last = Linear::new(b, features, tasks()[task].outputs)?;
        Ok(Box::new(Sequential(vec![Box::new(norm), Box::new(last)])))
    })
    .unwrap()
}

#[test]
fn batch_norm_never_sees_a_single_row() {
    let orders = [BatchOrder::Shuffled, BatchOrder::Sequential];
    for (order, single_input) in orders.into_iter().flat_map(|order| [(order, true), (order, false)]) {
        for network in [network(normalised), normalised_heads()] {
            let batches = Batches { size: 8, order, ..Batches::default() };
            let problem = with_batches(network, rows(1, 17, single_input), batches);
            assert_eq!(problem.steps_per_epoch(), Some(2));
            let mut trainer = Trainer::new(&problem, equal(&problem), settings(4), &start(&problem)).unwrap();
            assert_eq!(trainer.run(go_on).unwrap(), Finish::Completed);
        }
    }
    for (network, count, size) in
        [(network(normalised), 5, 1), (normalised_heads(), 5, 1), (normalised_heads(), 1, 8)]
    {
        let problem = with_batches(network, rows(1, count, true), Batches { size, ..Batches::default() });
        let error = Trainer::new(&problem, equal(&problem), settings(1), &start(&problem)).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
        let remedy = if size == 1 { "batch_size to at least 2" } else { "more rows" };
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn proportional_sampling_is_for_tasks_with_rows_of_their_own() {
    let sampling = |single_input| {
        let batches = Batches { size: 8, sampling: TaskSampling::Proportional, ..Batches::default() };
        with_batches(network(tanh_trunk), rows(1, 20, single_input), batches)
    };
    let of_each = sampling(false);
    assert_eq!(of_each.repeats().unwrap(), [1.0; 3]);
    assert!(Trainer::new(&of_each, equal(&of_each), settings(1), &start(&of_each)).is_ok());
    let shared = sampling(true);
    let error = Trainer::new(&shared, equal(&shared), settings(1), &start(&shared)).unwrap_err();
    assert!(error.to_string().contains("task_sampling"), "{error}");
}

#[test]
fn changed_rows_are_a_function_of_the_draw_and_no_split_that_is_judged_has_any() {
    let augment = Augmentation { noise: Some(0.3), mixup: Some(0.5), ..Augmentation::default() };
    let of = |augment| {
        let batches = Batches { size: 8, augment, ..Batches::default() };
        let splits = TaskSplits { train: rows(1, 40, true), validation: Some(rows(2, 40, true)), test: None };
        MultiTaskProblem::new(Box::new(network(relu_trunk(8))), tasks(), splits, batches).unwrap()
    };
    let (plain, changed) = (of(Augmentation::default()), of(augment));
    let params = start(&plain);
    let draw = |split, step| crate::Draw { seed: 1, step, replica: 0, split };
    for step in 0..3 {
        let draw = draw(Split::Train, step);
        let losses = changed.losses(&params, draw).unwrap();
        assert_eq!(losses, of(augment).losses(&params, draw).unwrap());
        assert_ne!(losses, plain.losses(&params, draw).unwrap());
    }
    let judged = draw(Split::Validation, 0);
    assert_eq!(changed.losses(&params, judged).unwrap(), plain.losses(&params, judged).unwrap());
    let (one, other) = (changed.evaluate(&params, Split::Train), plain.evaluate(&params, Split::Train));
    assert_eq!(one.unwrap().mean_loss(), other.unwrap().mean_loss());
    // The fused passes see the same rows as the graph.
    let problem = of(augment).executed(crate::Execution::Verify);
    let mut trainer = Trainer::new(&problem, equal(&problem), settings(4), &params).unwrap();
    trainer.run(go_on).unwrap();
    let turned = of(Augmentation { rotation: Some(10.0), ..Augmentation::default() });
    let error = Trainer::new(&turned, equal(&turned), settings(4), &params).unwrap_err().to_string();
    assert!(error.contains("`rotation` is for pictures"), "{error}");
}

/// Two layers, between which rows can be mixed.
fn mlp_trunk(b: &mut Builder<'_>, inputs: &[i64]) -> Result<crate::Built> {
    let config = MlpConfig { hidden: vec![8, 6], ..MlpConfig::default() };
    let net = Mlp::new(b, inputs.iter().product(), &config)?;
    Ok((Box::new(net), 6))
}

#[test]
fn activations_are_mixed_between_layers_with_the_labels_of_both_rows() {
    let of = |augment, execution| {
        let batches = Batches { size: 8, augment, ..Batches::default() };
        let splits = TaskSplits { train: rows(1, 40, true), validation: None, test: None };
        let problem = MultiTaskProblem::new(Box::new(network(mlp_trunk)), tasks(), splits, batches).unwrap();
        problem.executed(execution)
    };
    let manifold = Augmentation { manifold_mixup: Some(0.5), ..Augmentation::default() };
    let inputs = Augmentation { mixup: Some(0.5), ..Augmentation::default() };
    let auto = crate::Execution::Auto;
    let (hidden, mixup, plain) = (of(manifold, auto), of(inputs, auto), of(Augmentation::default(), auto));
    let params = start(&plain);
    let mut places = [0; 3];
    for step in 0..20 {
        let draw = crate::Draw { seed: 1, step, replica: 0, split: Split::Train };
        let key = manytask_tensor::random::Key::new(1, "augment").step(step).within(0).within(9).task(0);
        let place = manytask_nn::HiddenMix { share: 0.5, key }.place(3);
        places[place] += 1;
        let of = |problem: &MultiTaskProblem| problem.losses(&params, draw).unwrap().values().to_vec();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10);
        assert_eq!(
            near(&of(&hidden), &of(&mixup)),
            place == 0,
            "step {step}: before the first layer it is mixup"
        );
        assert!(!near(&of(&hidden), &of(&plain)));
        let pass = hidden.forward(&params, draw).unwrap();
        assert!(near(pass.losses(), &of(&hidden)), "the pass of a step mixes alike");
    }
    assert!(places.iter().all(|count| *count > 2), "{places:?}");
    assert!(hidden.fused(&params).is_err() && mixup.fused(&params).is_ok());
    let mut trainer = Trainer::new(&hidden, equal(&hidden), settings(30), &params).unwrap();
    trainer.run(go_on).unwrap();
    let loss = |params: &Params| plain.evaluate(params, Split::Train).unwrap().mean_loss().unwrap();
    assert!(loss(trainer.params()) < loss(&params));
    let both = Augmentation { mixup: Some(0.5), ..manifold };
    let error = Trainer::new(&of(both, auto), equal(&hidden), settings(1), &params).unwrap_err().to_string();
    assert!(error.contains("leave one out"), "{error}");
    let batches = Batches { size: 8, augment: manifold, ..Batches::default() };
    let of_each = with_batches(network(mlp_trunk), rows(1, 40, false), batches);
    let error = Trainer::new(&of_each, equal(&of_each), settings(1), &params).unwrap_err().to_string();
    assert!(error.contains("on the same rows"), "{error}");
}
