use manytask_meta::multitask::{Problem, Split};
use manytask_meta::nn::nets::{Mlp, MlpConfig, Norm};
use manytask_meta::nn::optim::{Optimizer, Sgd};
use manytask_meta::nn::{Builder, Module, loss::Loss};
use manytask_meta::tensor::{Device, Kind, Layout, LayoutBuilder};
use manytask_meta::{
    Adapts, EpisodeShape, Execution, InnerRule, Maml, MetaModel, MetaProblem, MetaSettings, ProtoNet,
    SinusoidEpisodes,
};

use crate::source::{WAYS, sinusoids};

fn refused(learner: &Maml, settings: MetaSettings) -> String {
    sinusoids(learner, settings).unwrap_err().to_string()
}

#[test]
fn settings_that_cannot_be_are_refused_with_a_remedy() {
    let good = MetaSettings::default;
    assert!(refused(&Maml { inner_steps: 0, ..Maml::default() }, good()).contains("inner_steps is 0"));
    assert!(refused(&Maml { inner_steps: 1_000_000, ..Maml::default() }, good()).contains("take 1 to"));
    assert!(
        refused(&Maml { inner_learning_rate: -1.0, ..Maml::default() }, good())
            .contains("inner_learning_rate")
    );
    let unknown = refused(&Maml { adapts: Adapts::Named(vec!["tail".into()]), ..Maml::default() }, good());
    assert!(unknown.contains("tail") && unknown.contains("head.weight"), "{unknown}");
    let rule = InnerRule(Optimizer::Sgd(Sgd { momentum: 2.0, ..Sgd::default() }));
    assert!(refused(&Maml { inner_rule: rule, ..Maml::default() }, good()).contains("momentum"));
    let rule = InnerRule(Optimizer::Sgd(Sgd { dampening: 0.5, ..Sgd::default() }));
    assert!(refused(&Maml { inner_rule: rule, ..Maml::default() }, good()).contains("dampening"));
    assert!(
        refused(&Maml::default(), MetaSettings { tasks_per_step: 0, ..good() }).contains("tasks_per_step")
    );
    assert!(
        refused(&Maml::default(), MetaSettings { execution: Execution::Threads(0), ..good() })
            .contains("threads")
    );
}

#[test]
fn prototypes_of_values_are_refused_before_anything_is_computed() {
    let error = sinusoids(&ProtoNet::default(), MetaSettings::default()).unwrap_err().to_string();
    assert!(error.contains("classes"), "{error}");
}

#[test]
fn numbers_that_no_machine_has_room_for_are_refused_before_anything_is_allocated() {
    let good = MetaSettings::default;
    for (settings, says) in [
        (MetaSettings { tasks_per_step: usize::MAX, ..good() }, "tasks_per_step"),
        (MetaSettings { evaluation_tasks: 1 << 40, ..good() }, "tasks"),
        (MetaSettings { evaluation_queries: Some(0), ..good() }, "queries"),
        (MetaSettings { evaluation_queries: Some(usize::MAX), ..good() }, "queries"),
        (MetaSettings { evaluation_steps: Some(u32::MAX), ..good() }, "inner_steps"),
        (MetaSettings { execution: Execution::Threads(1 << 40), ..good() }, "threads"),
    ] {
        let error = refused(&Maml::default(), settings);
        assert!(error.contains(says) && error.contains("take"), "{error}");
    }
    for rate in [f64::NAN, f64::INFINITY, 1e39, 1e-60, 0.0] {
        let learner = Maml { inner_learning_rate: rate, ..Maml::default() };
        assert!(refused(&learner, good()).contains("inner_learning_rate"), "{rate}");
    }
}

#[test]
fn what_a_part_cannot_give_is_refused_before_the_first_step() {
    let problem = sinusoids(&Maml::default(), MetaSettings::default()).unwrap();
    for split in [Split::Train, Split::Validation, Split::Test] {
        problem.ready(split).unwrap();
    }
    let with = |shots, queries, norm| {
        let mut layout = Layout::builder();
        let config = MlpConfig { hidden: vec![3], output: Some(1), norm, ..MlpConfig::default() };
        let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).unwrap();
        let source = SinusoidEpisodes { shots, queries, ..SinusoidEpisodes::default() };
        let settings = MetaSettings { evaluation_queries: Some(2), ..MetaSettings::default() };
        let shape = EpisodeShape::regression(1, 1);
        let model = MetaModel::build(layout, Box::new(net), &Maml::default(), shape).unwrap();
        MetaProblem::new(model, Box::new(source), Loss::Mse, settings).unwrap()
    };
    for (shots, queries, split, says) in [
        (0, 1, Split::Train, "`shots` is 0"),
        (1, 0, Split::Train, "`queries` is 0"),
        (
            1,
            2,
            Split::Train,
            "the support set of a task of the train split has 1 example, which the network cannot take: the number of values that batch-norm has",
        ),
        (
            2,
            1,
            Split::Train,
            "the query set of a task of the train split has 1 example, which the network cannot take: the number of values that batch-norm has",
        ),
        (1, 2, Split::Test, "the support set of a task of the test split"),
    ] {
        let error = with(shots, queries, Norm::Batch).ready(split).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Two of each are enough, as a test split with queries of its own has them; layer-norm takes one.
    with(2, 1, Norm::Batch).ready(Split::Test).unwrap();
    with(1, 1, Norm::Layer).ready(Split::Train).unwrap();
}

#[test]
fn tasks_that_diverge_while_they_are_adapted_are_told_in_every_way_of_computing() {
    for execution in WAYS {
        let settings = MetaSettings {
            tasks_per_step: 3,
            evaluation_tasks: 8,
            evaluation_steps: Some(60),
            execution,
            ..MetaSettings::default()
        };
        // Large amplitudes diverge at this rate, small ones do not.
        let learner = Maml { inner_learning_rate: 0.4, ..Maml::default() };
        let (layout, source) = (relu_layout(), SinusoidEpisodes { shots: 5, ..SinusoidEpisodes::default() });
        let (layout, net) = layout;
        let model = MetaModel::build(layout, net, &learner, EpisodeShape::regression(1, 1)).unwrap();
        let problem = MetaProblem::new(model, Box::new(source), Loss::Mse, settings).unwrap();
        let params = problem.layout().init(1, Kind::Float, Device::Cpu).unwrap();
        let evaluation = problem.evaluate(&params, Split::Test).unwrap();
        let task = &evaluation.tasks[0];
        let diverged = task.metric("diverged").unwrap();
        assert!((1.0..=8.0).contains(&diverged), "{execution:?} {diverged}");
        assert!(
            evaluation.notes[0].contains(&format!("{diverged} of 8 evaluation tasks diverged")),
            "{evaluation:?}"
        );
        for (name, value) in &task.metrics {
            assert!(value.is_none_or(f64::is_finite), "{execution:?} {name} {value:?}");
        }
        assert!(task.loss.is_none_or(f64::is_finite));
    }
}

/// A wide perceptron, for which a rate is soon too large.
fn relu_layout() -> (LayoutBuilder, Box<dyn Module>) {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).unwrap();
    (layout, Box::new(net))
}

#[test]
fn settings_are_read_by_their_names_and_no_others() {
    let maml: Maml = serde_json::from_str(
        r#"{"inner_steps": 5, "adapts": {"named": ["layer0"]}, "outer_gradient": "first_order", "inner_rule": {"adam": {}}}"#,
    )
    .unwrap();
    assert_eq!((maml.inner_steps, maml.adapts), (5, Adapts::Named(vec!["layer0".into()])));
    assert!(serde_json::from_str::<Maml>(r#"{"inner_step": 5}"#).is_err());
    assert!(serde_json::from_str::<ProtoNet>(r#"{"distance": "cosine"}"#).is_err());
    let threads: Execution = serde_json::from_str(r#"{"threads": 2}"#).unwrap();
    assert_eq!(threads, Execution::Threads(2));
}
