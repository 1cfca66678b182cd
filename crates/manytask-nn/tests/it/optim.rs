use std::collections::BTreeMap;
use std::path::Path;

use manytask_nn::optim::{Active, Optimizer, OptimizerState};
use manytask_nn::schedule::{PlateauState, Schedule, ScheduleKind};
use manytask_tensor::random::Key;
use manytask_tensor::{
    Device, Graph, Init, Kind, Layout, Owner, Params, Role, Tensor, checkpoint, grad, gradients,
};
use serde_json::Value;

use crate::fixtures::{KINDS, difference, read, tensor};

fn fixture() -> Value {
    read(include_str!("../fixtures/optim.json"))
}

fn params(leaves: &Value, kind: Kind) -> Params {
    let mut layout = Layout::builder();
    layout.add("weight", &[3, 2], Init::Zeros, Role::Weight).unwrap();
    layout.add("running", &[2], Init::Ones, Role::Buffer).unwrap();
    layout.add("bias", &[3], Init::Zeros, Role::Bias).unwrap();
    let buffer = Tensor::ones([2], (kind, Device::Cpu));
    Params::new(layout.build(), vec![tensor(&leaves[0], kind), buffer, tensor(&leaves[1], kind)]).unwrap()
}

fn optimizers(fixture: &Value) -> Vec<Optimizer> {
    let cases = fixture["cases"].as_array().unwrap();
    cases.iter().map(|case| serde_json::from_value(case["optimizer"].clone()).unwrap()).collect()
}

fn gap(a: &Params, b: &Params) -> f64 {
    a.leaves().iter().zip(b.leaves()).map(|(a, b)| difference(a, b)).fold(0.0, f64::max)
}

#[test]
fn every_step_is_pytorchs_in_place_and_as_a_function() {
    let fixture = fixture();
    for (optimizer, case) in optimizers(&fixture).iter().zip(fixture["cases"].as_array().unwrap()) {
        optimizer.check().unwrap();
        for (kind, tolerance) in KINDS {
            let mut now = params(&fixture["start"], kind);
            let mut pure = now.copy().unwrap();
            let (mut state, mut pure_state) = (optimizer.init(&now).unwrap(), optimizer.init(&now).unwrap());
            let rate = Tensor::from(0.1).to_kind(kind);
            let steps =
                fixture["gradients"].as_array().unwrap().iter().zip(case["trace"].as_array().unwrap());
            for (gradient, expected) in steps {
                let gradient = params(gradient, kind);
                optimizer.step(&mut now, &gradient, &mut state, 0.1, Active::All).unwrap();
                (pure, pure_state) =
                    optimizer.step_differentiable(&pure, &gradient, &pure_state, &rate).unwrap();
                let expected = params(expected, kind);
                assert!(gap(&now, &expected) < tolerance, "{optimizer:?} {kind:?} {}", gap(&now, &expected));
                assert!(gap(&pure, &expected) < tolerance * 2.0, "{optimizer:?} {kind:?} as a function");
            }
            assert_eq!((&state.steps, state.steps.iter().max()), (&pure_state.steps, Some(&12)));
        }
    }
}

#[test]
fn tasks_at_once_are_a_loop_over_tasks() {
    let fixture = fixture();
    let (a, b) = (params(&fixture["start"], Kind::Double), params(&fixture["gradients"][0], Kind::Double));
    let gradients: Vec<Params> = (1..4).map(|i| params(&fixture["gradients"][i], Kind::Double)).collect();
    for optimizer in optimizers(&fixture) {
        let mut both = Params::stack(&[a.share(), b.share()]).unwrap();
        let mut state = optimizer.init(&both).unwrap();
        let mut alone: Vec<(Params, OptimizerState)> =
            [&a, &b].map(|p| (p.copy().unwrap(), optimizer.init(p).unwrap())).into();
        for gradient in &gradients {
            let twice = gradient.scale(2.0).unwrap();
            let stacked = Params::stack(&[gradient.share(), twice.share()]).unwrap();
            optimizer.step(&mut both, &stacked, &mut state, 0.1, Active::All).unwrap();
            for ((params, state), gradient) in alone.iter_mut().zip([gradient, &twice]) {
                optimizer.step(params, gradient, state, 0.1, Active::All).unwrap();
            }
        }
        for (t, (params, _)) in alone.iter().enumerate() {
            assert!(both.task(t as i64).unwrap().max_difference(params).unwrap() < 1e-12, "{optimizer:?}");
        }
    }
}

#[test]
fn a_step_is_differentiable_by_all_it_is_given() {
    let fixture = fixture();
    let start = params(&fixture["start"], Kind::Double);
    // Two steps down a quartic, as an inner loop makes them.
    let after = |optimizer: &Optimizer, start: &Params, rate: &Tensor| -> Tensor {
        let mut now = start.share();
        let mut state = optimizer.init(start).unwrap();
        for _ in 0..2 {
            let quartic = now.leaves()[0].pow_tensor_scalar(4).sum(Kind::Double)
                + now.leaves()[2].square().sum(Kind::Double);
            let gradient = grad(&quartic, &now, Graph::Differentiable).unwrap();
            (now, state) = optimizer.step_differentiable(&now, &gradient, &state, rate).unwrap();
        }
        now.leaves()[0].sin().sum(Kind::Double) + now.leaves()[2].exp().sum(Kind::Double)
    };
    for optimizer in optimizers(&fixture) {
        let leaf = start.require_grad().unwrap();
        let rate = Tensor::from(0.05).set_requires_grad(true);
        let value = after(&optimizer, &leaf, &rate);
        let by_params = grad(&value, &leaf, Graph::Keep).unwrap();
        let by_rate = gradients(&value, &[&rate], Graph::Free).unwrap().remove(0).double_value(&[]);
        let h = 1e-6;
        let direction =
            start.unflatten(&Key::new(1, "d").normal(&[9], Kind::Double, Device::Cpu).unwrap()).unwrap();
        let at = |shift: f64, rate: f64| {
            let moved = start.add_scaled(&direction, shift).unwrap().require_grad().unwrap();
            after(&optimizer, &moved, &Tensor::from(rate)).double_value(&[])
        };
        let expected = (at(h, 0.05) - at(-h, 0.05)) / (2.0 * h);
        let found = by_params.dot(&direction).unwrap().double_value(&[]);
        assert!(
            (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{optimizer:?} {found} {expected}"
        );
        let expected = (at(0.0, 0.05 + h) - at(0.0, 0.05 - h)) / (2.0 * h);
        assert!(
            (by_rate - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{optimizer:?} {by_rate} {expected}"
        );
    }
}

#[test]
fn a_parameter_never_reached_has_a_zero_derivative_and_no_nan() {
    let optimizer = Optimizer::adam();
    let start = params(&fixture()["start"], Kind::Double).require_grad().unwrap();
    let loss = start.leaves()[0].square().sum(Kind::Double);
    let gradient = grad(&loss, &start, Graph::Differentiable).unwrap();
    let state = optimizer.init(&start).unwrap();
    let (next, _) = optimizer.step_differentiable(&start, &gradient, &state, &Tensor::from(0.1)).unwrap();
    let outer = grad(&next.dot(&next).unwrap(), &start, Graph::Free).unwrap();
    assert!(outer.is_finite().unwrap());
}

#[test]
fn a_state_saved_and_read_goes_on_bit_for_bit() {
    let fixture = fixture();
    let gradient = params(&fixture["gradients"][0], Kind::Float);
    for optimizer in optimizers(&fixture) {
        let mut one = params(&fixture["start"], Kind::Float);
        let mut state = optimizer.init(&one).unwrap();
        optimizer.step(&mut one, &gradient, &mut state, 0.1, Active::All).unwrap();
        let mut other = one.copy().unwrap();
        let mut read = optimizer.init(&other).unwrap();
        let mut tensors: BTreeMap<String, Tensor> =
            state.to_tensors().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        assert!(!tensors.keys().any(|name| name.contains("running")));
        read.take_tensors(Path::new("x"), one.layout(), &mut tensors).unwrap();
        read.steps.clone_from(&state.steps);
        for (params, state) in [(&mut one, &mut state), (&mut other, &mut read)] {
            optimizer.step(params, &gradient, state, 0.1, Active::All).unwrap();
        }
        assert_eq!(one.max_difference(&other).unwrap(), 0.0, "{optimizer:?}");
    }
    let mut state = Optimizer::adam().init(&gradient).unwrap();
    let mut nothing = BTreeMap::new();
    assert!(state.take_tensors(Path::new("x"), gradient.layout(), &mut nothing).is_err());
    let mut plain = Optimizer::sgd(0.0).init(&gradient).unwrap();
    let mut many = BTreeMap::from([("mean.weight".to_owned(), Tensor::from(1.0))]);
    let error = plain.take_tensors(Path::new("x"), gradient.layout(), &mut many).unwrap_err();
    assert!(error.to_string().contains("another optimizer"), "{error}");
    let _ = checkpoint::Metadata::new();
}

#[test]
fn buffers_and_what_does_not_decay_are_left_alone() {
    let fixture = fixture();
    let zero = params(&fixture["start"], Kind::Double).zeros_like().unwrap();
    let optimizer: Optimizer =
        serde_json::from_value(serde_json::json!({"adamw": {"weight_decay": 0.5, "decay": "weights"}}))
            .unwrap();
    let mut now = params(&fixture["start"], Kind::Double);
    let before = now.copy().unwrap();
    optimizer.step(&mut now, &zero, &mut optimizer.init(&zero).unwrap(), 0.1, Active::All).unwrap();
    assert!(difference(&now.leaves()[0], &(&before.leaves()[0] * 0.95)) < 1e-12, "weights decay");
    assert_eq!(now.leaves()[1], before.leaves()[1], "a buffer is no parameter");
    assert_eq!(now.leaves()[2], before.leaves()[2], "biases do not decay");
}

#[test]
fn impossible_settings_and_other_networks_are_refused() {
    let from = |text: &str| serde_json::from_str::<Optimizer>(text).unwrap().check().unwrap_err().to_string();
    assert!(from(r#"{"sgd": {"momentum": 1.0}}"#).contains("momentum"));
    assert!(from(r#"{"sgd": {"nesterov": true}}"#).contains("nesterov"));
    assert!(from(r#"{"adam": {"beta2": -0.1}}"#).contains("beta2"));
    assert!(from(r#"{"adam": {"epsilon": 0.0}}"#).contains("epsilon"));
    assert!(from(r#"{"rmsprop": {"weight_decay": -1.0}}"#).contains("weight_decay"));
    assert!(serde_json::from_str::<Optimizer>(r#"{"adam": {"beta": 0.1}}"#).is_err());
    let mut one = params(&fixture()["start"], Kind::Double);
    let mut layout = Layout::builder();
    layout.add("w", &[1], Init::Zeros, Role::Weight).unwrap();
    let other = layout.build().zeros(Kind::Double, Device::Cpu).unwrap();
    let adam = Optimizer::adam();
    let mut state = adam.init(&one).unwrap();
    assert!(adam.step(&mut one, &other, &mut state, 0.1, Active::All).is_err());
    assert!(state.steps.iter().all(|steps| *steps == 0), "nothing was done");
    let copy = one.copy().unwrap();
    assert!(Optimizer::sgd(0.0).step(&mut one, &copy, &mut state, 0.1, Active::All).is_err());
}

#[test]
fn schedules_are_pytorchs() {
    let fixture = fixture();
    for case in fixture["schedules"].as_array().unwrap() {
        let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).unwrap();
        schedule.check().unwrap();
        for (step, expected) in case["rates"].as_array().unwrap().iter().enumerate() {
            let found = schedule.rate(0.4, step as u64, 20, &PlateauState::default());
            assert!(
                (found - expected.as_f64().unwrap()).abs() < 1e-12,
                "{schedule:?} at {step}: {found} {expected}"
            );
        }
    }
    let kind = ScheduleKind::Plateau { factor: 0.5, patience: 1, threshold: 1e-4 };
    let (schedule, mut state) = (Schedule { warm_up: 0, kind }, PlateauState::default());
    let metrics = fixture["plateau"]["metrics"].as_array().unwrap();
    for (metric, expected) in metrics.iter().zip(fixture["plateau"]["rates"].as_array().unwrap()) {
        schedule.observe(&mut state, metric.as_f64().unwrap());
        let found = schedule.rate(0.4, 0, 20, &state);
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-12, "{metric}: {found} {expected}");
    }
}

#[test]
fn an_exponential_rate_changes_by_one_factor_up_or_down() {
    // torch.optim.lr_scheduler.ExponentialLR has rate · gamma^n, here with gamma = ratio^(1/N).
    for ratio in [0.01_f64, 1e6] {
        let schedule = Schedule { warm_up: 2, kind: ScheduleKind::Exponential { ratio } };
        schedule.check().unwrap();
        let gamma = ratio.powf(1.0 / 10.0);
        for n in 0..=10 {
            let found = schedule.rate(0.4, 2 + n, 12, &PlateauState::default());
            let expected = 0.4 * gamma.powi(n as i32);
            assert!((found / expected - 1.0).abs() < 1e-12, "{n}: {found} {expected}");
        }
    }
    for ratio in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Schedule { warm_up: 0, kind: ScheduleKind::Exponential { ratio } }.check().is_err());
    }
}

#[test]
fn a_warm_up_rises_to_the_schedule() {
    let schedule = Schedule { warm_up: 4, kind: ScheduleKind::Constant };
    let rates: Vec<f64> = (0..6).map(|step| schedule.rate(1.0, step, 10, &PlateauState::default())).collect();
    for (found, expected) in rates.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0, 1.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    let kind = ScheduleKind::Step { every: 0, factor: 0.1 };
    assert!(Schedule { warm_up: 0, kind }.check().is_err());
}

#[test]
fn one_pass_over_memory_is_what_the_operations_on_tensors_give() {
    let size = 37;
    let mut layout = Layout::builder();
    layout.add("weight", &[size, size], Init::Normal { mean: 0.0, std: 1.0 }, Role::Weight).unwrap();
    let layout = layout.build();
    // A transposed matrix has gaps between its rows, so that its steps are operations on tensors.
    let turned = |params: &Params| {
        let leaf = params.leaves()[0].transpose(0, 1).contiguous().transpose(0, 1);
        assert!(!leaf.is_contiguous());
        Params::new(params.layout().clone(), vec![leaf]).unwrap()
    };
    for optimizer in optimizers(&fixture()) {
        for (kind, tolerance) in [(Kind::Double, 1e-14), (Kind::Float, 1e-5)] {
            let mut one = layout.init(1, kind, Device::Cpu).unwrap();
            let mut other = turned(&one);
            let (mut state, mut other_state) =
                (optimizer.init(&one).unwrap(), optimizer.init(&other).unwrap());
            for step in 0..5 {
                let gradient = layout.init(step + 10, kind, Device::Cpu).unwrap();
                optimizer.step(&mut one, &gradient, &mut state, 0.05, Active::All).unwrap();
                optimizer.step(&mut other, &gradient, &mut other_state, 0.05, Active::All).unwrap();
            }
            let gap = one.max_difference(&other).unwrap();
            assert!(gap < tolerance, "{optimizer:?} {kind:?} {gap}");
            assert!(one.max_difference(&layout.init(1, kind, Device::Cpu).unwrap()).unwrap() > 0.01);
        }
    }
}

#[test]
fn the_parameters_of_an_absent_task_rest_and_their_first_step_is_as_long_as_any_first_step() {
    let mut layout = Layout::builder();
    layout.add("trunk", &[3], Init::Ones, Role::Weight).unwrap();
    for task in 0..2 {
        layout.add_of(Owner::Task(task), format!("head{task}"), &[2], Init::Ones, Role::Weight).unwrap();
    }
    let layout = layout.build();
    let mut all = optimizers(&fixture());
    all.push(serde_json::from_value(serde_json::json!({ "adamw": { "weight_decay": 0.1 } })).unwrap());
    for optimizer in all {
        let start = layout.init(1, Kind::Double, Device::Cpu).unwrap();
        let gradient = start.scale(0.3).unwrap();
        let mut expected = start.copy().unwrap();
        let mut fresh = optimizer.init(&start).unwrap();
        optimizer.step(&mut expected, &gradient, &mut fresh, 0.1, Active::All).unwrap();

        let (mut now, mut state) = (start.copy().unwrap(), optimizer.init(&start).unwrap());
        for _ in 0..40 {
            optimizer
                .step(&mut now, &gradient, &mut state, 0.1, Active::Tasks { present: &[0], frozen: &[] })
                .unwrap();
        }
        assert_eq!(state.steps, [40, 40, 0], "{optimizer:?}");
        assert_eq!(now.named("head1"), start.named("head1"), "{optimizer:?}: it rests");
        for (name, buffer) in &state.buffers {
            assert_eq!(buffer.named("head1").unwrap().abs().max().double_value(&[]), 0.0, "{name}");
        }
        optimizer
            .step(&mut now, &gradient, &mut state, 0.1, Active::Tasks { present: &[1], frozen: &[] })
            .unwrap();
        assert_eq!(now.named("head1"), expected.named("head1"), "{optimizer:?}: its first step");
        assert_eq!(state.steps, [41, 40, 1]);
        assert_ne!(now.named("head0"), start.named("head0"));
    }
}
