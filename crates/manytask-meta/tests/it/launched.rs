//! Meta-batches as a GPU is given them, through rehearsed recordings, against the graph's.

use manytask_meta::data::Episodes;
use manytask_meta::multitask::{Combination, Draw, Problem, Split};
use manytask_meta::nn::Builder;
use manytask_meta::nn::layers::Activation;
use manytask_meta::nn::loss::{Loss, MISSING_CLASS};
use manytask_meta::nn::nets::{Mlp, MlpConfig};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Tensor};
use manytask_meta::{
    Adapts, EpisodeShape, Execution, Maml, MetaModel, MetaProblem, MetaSettings, OuterGradient,
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
            let params = graph.layout().init(3, Kind::Double, Device::Cpu).unwrap().require_grad().unwrap();
            let mut expected = graph.forward(&params, DRAW).unwrap();
            for _ in 0..4 {
                let mut found = whole.forward(&params, DRAW).unwrap();
                for (a, b) in found.losses().iter().zip(expected.losses()) {
                    assert!((a - b).abs() < 1e-12, "{learner:?} {loss:?}: {a} {b}");
                }
                let weights = || Combination::weights(vec![1.0, -0.5, 2.0]);
                let gap = found
                    .finish(&weights())
                    .unwrap()
                    .max_difference(&graph.forward(&params, DRAW).unwrap().finish(&weights()).unwrap())
                    .unwrap();
                assert!(gap < 1e-12, "{learner:?} {loss:?} {activation:?}: {gap}");
            }
            expected.finish(&Combination::weights(vec![1.0; 3])).unwrap();
            assert_eq!(whole.uncaptured(), None);
        }
    }
}
