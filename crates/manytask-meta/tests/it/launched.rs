//! Meta-batches as a GPU is given them, through rehearsed recordings, against the graph's.

use manytask_meta::data::Episodes;
use manytask_meta::multitask::{Combination, Draw, Problem, Split};
use manytask_meta::nn::Builder;
use manytask_meta::nn::layers::Activation;
use manytask_meta::nn::loss::{Loss, MISSING_CLASS};
use manytask_meta::nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Params, Tensor};
use manytask_meta::{
    Adapts, EpisodeShape, Execution, LearnerSpec, Maml, MatchingNet, MetaModel, MetaProblem, MetaSettings,
    OuterGradient, ProtoNet, R2d2,
};

use crate::source::Written;

const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

fn normal(name: &str, shape: &[i64]) -> Tensor {
    Key::new(7, name).normal(shape, Kind::Double, Device::Cpu).unwrap()
}

/// Three tasks of six examples to adapt on and five queries, some without a label, one task without any to adapt on.
fn episodes(loss: &Loss) -> Episodes {
    let y = |name: &str, rows: i64| {
        let values = normal(name, &[3, rows, 2]);
        if let Loss::CrossEntropy { .. } = loss {
            let classes = values.argmax(-1, false);
            let _ = classes.get(0).narrow(0, 1, 2).fill_(MISSING_CLASS);
            return classes;
        }
        let values = if matches!(loss, Loss::Mse) { values } else { values.gt(0.0).to_kind(Kind::Double) };
        let _ = values.get(1).narrow(0, 0, 2).fill_(f64::NAN);
        let _ = values.get(2).narrow(1, 1, 1).fill_(f64::NAN);
        if name == "support_y" {
            let _ = values.get(0).fill_(f64::NAN);
        }
        values
    };
    Episodes {
        support_x: normal("support_x", &[3, 6, 4]),
        support_y: y("support_y", 6),
        query_x: normal("query_x", &[3, 5, 4]),
        query_y: y("query_y", 5),
    }
}

fn problem(learner: &Maml, loss: &Loss, activation: Activation) -> MetaProblem {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![6, 5], output: Some(2), activation, ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 4, &config).unwrap();
    let shape = match loss {
        Loss::CrossEntropy { .. } => EpisodeShape::classes(&[4], 2),
        _ => EpisodeShape::regression(4, 2),
    };
    let model = MetaModel::build(layout, Box::new(net), learner, shape).unwrap();
    let settings = MetaSettings {
        tasks_per_step: 3,
        evaluation_tasks: 3,
        execution: Execution::Batched,
        ..MetaSettings::default()
    };
    MetaProblem::new(model, Box::new(Written(episodes(loss))), loss.clone(), settings).unwrap()
}

#[test]
fn fused_descents_with_missing_labels_are_the_graphs() {
    let base = Maml { inner_steps: 3, inner_learning_rate: 0.1, ..Maml::default() };
    let learners = [
        base.clone(),
        Maml { adapts: Adapts::Head, ..base.clone() },
        Maml { adapts: Adapts::Body, ..base.clone() },
        Maml { adapts: Adapts::Named(vec!["layer1.bias".into(), "head.weight".into()]), ..base.clone() },
        Maml { outer_gradient: OuterGradient::FirstOrder, ..base },
    ];
    let losses = [
        Loss::Mse,
        Loss::BinaryCrossEntropy { positive_weight: None },
        Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 },
    ];
    for (learner, loss) in learners.iter().flat_map(|learner| losses.iter().map(move |loss| (learner, loss)))
    {
        for activation in [Activation::Relu, Activation::LeakyRelu] {
            let graph = problem(learner, loss, activation);
            let whole = problem(learner, loss, activation).rehearsing();
            let params = graph.layout().init(3, Kind::Double, Device::Cpu).unwrap();
            assert_same(&graph, &whole, &params, &format!("{learner:?} {loss:?} {activation:?}"));
        }
    }
}

/// Losses and combined gradients of what goes through recordings are the graph's.
fn assert_same(graph: &MetaProblem, whole: &MetaProblem, params: &Params, what: &str) {
    let params = params.require_grad().unwrap();
    let mut expected = graph.forward(&params, DRAW).unwrap();
    for _ in 0..4 {
        let mut found = whole.forward(&params, DRAW).unwrap();
        for (a, b) in found.losses().iter().zip(expected.losses()) {
            assert!((a - b).abs() < 1e-12, "{what}: {a} {b}");
        }
        let weights = || Combination::weights(vec![1.0, -0.5, 2.0]);
        let gap = found
            .finish(&weights())
            .unwrap()
            .max_difference(&graph.forward(&params, DRAW).unwrap().finish(&weights()).unwrap())
            .unwrap();
        assert!(gap < 1e-11, "{what}: {gap}");
    }
    expected.finish(&Combination::weights(vec![1.0; 3])).unwrap();
    assert_eq!(whole.uncaptured(), None);
}

/// Two blocks on pictures whose sides are odd, and a linear layer.
fn pictures(learner: &dyn LearnerSpec, output: Option<i64>) -> MetaProblem {
    let mut layout = Layout::builder();
    let config = Conv4Config { hidden: 3, blocks: 2, output, ..Conv4Config::default() };
    let net = Conv4::new(&mut Builder::new(&mut layout), 2, 7, &config).unwrap();
    let classes = |name: &str, rows: i64| normal(name, &[3, rows, 3]).argmax(-1, false);
    let episodes = Episodes {
        support_x: normal("support_x", &[3, 6, 2, 7, 7]),
        support_y: Tensor::from_slice(&[0_i64, 1, 2, 2, 1, 0]).expand([3, 6], false).contiguous(),
        query_x: normal("query_x", &[3, 5, 2, 7, 7]),
        query_y: classes("query_y", 5),
    };
    let model =
        MetaModel::build(layout, Box::new(net), learner, EpisodeShape::classes(&[2, 7, 7], 3)).unwrap();
    let settings = MetaSettings {
        tasks_per_step: 3,
        evaluation_tasks: 3,
        execution: Execution::Batched,
        ..MetaSettings::default()
    };
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    MetaProblem::new(model, Box::new(Written(episodes)), loss, settings).unwrap()
}

/// Parameters in which some channels are turned over by batch-norm.
fn with_signs(problem: &MetaProblem) -> Params {
    let mut params = problem.layout().init(3, Kind::Double, Device::Cpu).unwrap();
    for name in ["layer0.norm.weight", "layer1.norm.weight", "layer0.norm.bias"] {
        let slot = problem.layout().find(name).unwrap();
        params.put(slot, Tensor::from_slice(&[0.7, -1.2, 0.4])).unwrap();
    }
    params
}

#[test]
fn fused_descents_through_blocks_are_the_graphs() {
    let base = Maml { inner_steps: 2, inner_learning_rate: 0.1, ..Maml::default() };
    let named = |names: &[&str]| Adapts::Named(names.iter().map(ToString::to_string).collect());
    for learner in [
        base.clone(),
        Maml { adapts: Adapts::Head, ..base.clone() },
        Maml { adapts: Adapts::Body, ..base.clone() },
        Maml { adapts: named(&["layer1.norm.weight", "head.bias"]), ..base.clone() },
        Maml { adapts: named(&["layer0.conv.weight"]), ..base.clone() },
        Maml { outer_gradient: OuterGradient::FirstOrder, ..base },
    ] {
        let graph = pictures(&learner, Some(3));
        let params = with_signs(&graph);
        assert_same(&graph, &pictures(&learner, Some(3)).rehearsing(), &params, &format!("{learner:?}"));
    }
}

#[test]
fn heads_on_fused_embeddings_are_the_graphs() {
    let learners: [&dyn LearnerSpec; 3] = [&ProtoNet::default(), &R2d2::default(), &MatchingNet::default()];
    for learner in learners {
        for output in [None, Some(4)] {
            let graph = pictures(learner, output);
            let params = with_signs(&graph);
            assert_same(&graph, &pictures(learner, output).rehearsing(), &params, &format!("{learner:?}"));
        }
    }
}
