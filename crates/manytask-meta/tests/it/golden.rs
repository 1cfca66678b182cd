//! Exact query losses and meta-gradients. The whole set is read where `MANYTASK_GOLDEN` points, else a part kept here.

use std::collections::BTreeMap;
use std::sync::Arc;

use manytask_meta::data::Episodes;
use manytask_meta::multitask::{Combination, Draw, Level, Problem, Split};
use manytask_meta::nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig};
use manytask_meta::nn::{Builder, Module, layers::Activation, loss::Loss};
use manytask_meta::tensor::{Device, Kind, Layout, LayoutBuilder, Params, Tensor};
use manytask_meta::{
    Adapts, EpisodeShape, Imaml, LearnerSpec, Maml, MetaModel, MetaProblem, MetaSettings, MetaSgd,
    OuterGradient, ProtoNet, R2d2,
};
use serde_json::Value;

use crate::source::{WAYS, Written};

fn cases() -> Vec<Value> {
    let text = match std::env::var_os("MANYTASK_GOLDEN") {
        Some(folder) => {
            fs_err::read_to_string(std::path::Path::new(&folder).join("meta_gradients.json")).unwrap()
        }
        None => include_str!("../fixtures/meta_gradients.json").to_owned(),
    };
    serde_json::from_str(&text).unwrap()
}

/// Nested lists as a tensor.
fn tensor(value: &Value) -> Tensor {
    fn walk(value: &Value, depth: usize, shape: &mut Vec<i64>, out: &mut Vec<f64>) {
        let Some(items) = value.as_array() else { return out.push(value.as_f64().unwrap()) };
        if shape.len() == depth {
            shape.push(items.len() as i64);
        }
        for item in items {
            walk(item, depth + 1, shape, out);
        }
    }
    let (mut shape, mut out) = (Vec::new(), Vec::new());
    walk(value, 0, &mut shape, &mut out);
    Tensor::from_slice(&out).reshape(&shape)
}

/// The golden name of a parameter.
fn golden_name(name: &str) -> String {
    name.replace("layer", if name.contains(".conv.") || name.contains(".norm.") { "block" } else { "layer" })
}

struct Case {
    name: String,
    value: Value,
    episodes: Episodes,
    classes: bool,
    inner_steps: u32,
    inner_learning_rate: f64,
}

impl Case {
    fn read(value: Value) -> Self {
        let name = value["name"].as_str().unwrap().to_owned();
        let classes = name.contains("_ce_");
        let stack = |key: &str| {
            let tasks: Vec<Tensor> =
                value["tasks"].as_array().unwrap().iter().map(|task| tensor(&task[key])).collect();
            Tensor::stack(&tasks, 0)
        };
        let labels = |key: &str| if classes { stack(key).to_kind(Kind::Int64) } else { stack(key) };
        let episodes = Episodes {
            support_x: stack("xs"),
            support_y: labels("ys"),
            query_x: stack("xq"),
            query_y: labels("yq"),
        };
        let inner_steps = value["inner_steps"].as_u64().unwrap() as u32;
        let inner_learning_rate = value["inner_lr"].as_f64().unwrap();
        Self { name, value, episodes, classes, inner_steps, inner_learning_rate }
    }

    /// The network. ProtoNet's embedding is what its head gives.
    fn net(&self) -> (LayoutBuilder, Box<dyn Module>) {
        let params = self.value["params"].as_object().unwrap();
        let size = |name: &str, dim: usize| tensor(&params[name]).size()[dim];
        let output = Some(size("head.weight", 0));
        let mut layout = Layout::builder();
        let b = &mut Builder::new(&mut layout);
        if self.name.starts_with("conv") {
            let config = Conv4Config {
                hidden: size("block0.conv.weight", 0),
                blocks: 2,
                output,
                ..Conv4Config::default()
            };
            let shape = self.episodes.support_x.size();
            let net = Conv4::new(b, shape[2], shape[3], &config).unwrap();
            return (layout, Box::new(net));
        }
        let activation = if self.name.contains("relu") { Activation::Relu } else { Activation::Tanh };
        let hidden =
            (0..).map_while(|i| Some(tensor(params.get(&format!("layer{i}.weight"))?).size()[0])).collect();
        let inputs = *self.episodes.support_x.size().last().unwrap();
        let net =
            Mlp::new(b, inputs, &MlpConfig { hidden, output, activation, ..MlpConfig::default() }).unwrap();
        (layout, Box::new(net))
    }

    fn params(&self, layout: &Arc<Layout>) -> Params {
        let given = self.value["params"].as_object().unwrap();
        // Running statistics are no part of the golden values: they are not used.
        let leaves = layout.entries().iter().map(|entry| match given.get(&golden_name(&entry.name)) {
            Some(value) => tensor(value),
            None if entry.role.is_trained() => self.own(&entry.name, &entry.shape),
            None => Tensor::zeros(&entry.shape, (Kind::Double, Device::Cpu)),
        });
        Params::new(layout.clone(), leaves.collect()).unwrap()
    }
}

impl Case {
    /// A learner's own parameter.
    fn own(&self, name: &str, shape: &[i64]) -> Tensor {
        let value = match name {
            _ if name.starts_with("learner.rate.") => self.inner_learning_rate,
            "learner.log_lambda" => 0.5_f64.ln(),
            "learner.scale" => 1.5,
            "learner.offset" => -0.2,
            _ => panic!("{name} has no golden value"),
        };
        Tensor::full(shape, value, (Kind::Double, Device::Cpu))
    }

    /// The form of the tasks.
    fn shape(&self) -> EpisodeShape {
        let input = &self.episodes.support_x.size()[2..];
        let params = self.value["params"].as_object().unwrap();
        if self.classes {
            let ways = self.episodes.support_y.max().int64_value(&[]) + 1;
            return EpisodeShape::classes(input, ways);
        }
        EpisodeShape::regression(input[0], tensor(&params["head.weight"]).size()[0])
    }
}

/// Learners' own parameters whose gradients are no part of the golden values: differences know them.
const UNKNOWN: [&str; 3] = ["learner.log_lambda", "learner.scale", "learner.offset"];

/// Whether a meta-batch is run from a recording.
#[derive(Clone, Copy, PartialEq)]
enum Launched {
    OneByOne,
    AsAWhole,
}

/// Compares query losses and the gradient of their mean, computed in every way and from the rows.
fn compare(method: &str, learner: impl Fn(&Case) -> Box<dyn LearnerSpec>) {
    let mut compared = 0;
    for case in cases().into_iter().map(Case::read) {
        let Some(expected) = case.value["expected"].get(method) else { continue };
        // A method whose gradient is none of the query losses has none.
        let losses = expected.get("query_losses").map(tensor);
        let mut gradient: BTreeMap<String, Value> =
            serde_json::from_value(expected["meta_gradient"].clone()).unwrap();
        let of_rates = expected["meta_gradient_inner_lr"].as_object().into_iter().flatten();
        gradient.extend(of_rates.map(|(name, value)| (format!("learner.rate.{name}"), value.clone())));
        let ways = WAYS.map(|way| (way, Launched::OneByOne)).into_iter();
        for (execution, launched) in ways.chain([(manytask_meta::Execution::Batched, Launched::AsAWhole)]) {
            let (layout, net) = case.net();
            let model = MetaModel::build(layout, net, learner(&case).as_ref(), case.shape()).unwrap();
            let params = case.params(model.layout()).require_grad().unwrap();
            let count = case.value["tasks"].as_array().unwrap().len();
            let settings = MetaSettings { tasks_per_step: count, execution, ..MetaSettings::default() };
            let loss = if case.classes {
                Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 }
            } else {
                Loss::Mse
            };
            let Episodes { support_x, support_y, query_x, query_y } = &case.episodes;
            let own = Tensor::shallow_clone;
            let episodes = Episodes {
                support_x: own(support_x),
                support_y: own(support_y),
                query_x: own(query_x),
                query_y: own(query_y),
            };
            let problem = MetaProblem::new(model, Box::new(Written(episodes)), loss, settings).unwrap();
            let draw = Draw { seed: 1, step: 0, replica: 0, split: Split::Train };
            let problem = match launched {
                Launched::OneByOne => problem,
                Launched::AsAWhole => problem.rehearsing(),
            };
            // Work is recorded when it comes again and again.
            for _ in 0..2 * u32::from(launched == Launched::AsAWhole) {
                drop(problem.forward(&params, draw).unwrap());
            }
            let mut pass = problem.forward(&params, draw).unwrap();
            if let Some(losses) = &losses {
                let gap = (Tensor::from_slice(pass.losses()) - losses).abs().max().double_value(&[]);
                assert!(gap < 1e-9, "{method}, {}, {execution:?}: losses differ by {gap}", case.name);
            }
            let weights = vec![1.0 / count as f64; count];
            let direct = pass.finish(&Combination::weighted_losses(weights.clone())).unwrap();
            drop(pass);
            assert_eq!(problem.uncaptured(), None);
            let mut pass = problem.forward(&params, draw).unwrap();
            pass.jacobian(&Level::Parameters).unwrap();
            let by_rows = pass.finish(&Combination::weights(weights)).unwrap();
            for found in [direct, by_rows] {
                let compared = |name: &str| !UNKNOWN.contains(&name);
                for (entry, leaf) in
                    found.iter().filter(|(entry, _)| entry.role.is_trained() && compared(&entry.name))
                {
                    let Some(expected) = gradient.get(&golden_name(&entry.name)) else {
                        panic!("{method}, {}: no golden gradient of {}", case.name, entry.name)
                    };
                    let gap = (leaf - tensor(expected)).abs().max().double_value(&[]);
                    assert!(
                        gap < 1e-9,
                        "{method}, {}, {execution:?}: {} differs by {gap}",
                        case.name,
                        entry.name
                    );
                }
            }
        }
        compared += 1;
    }
    assert!(compared >= 1, "{method}: no case");
}

fn maml(case: &Case, adapts: Adapts, outer_gradient: OuterGradient) -> Box<dyn LearnerSpec> {
    Box::new(Maml {
        inner_steps: case.inner_steps,
        inner_learning_rate: case.inner_learning_rate,
        adapts,
        outer_gradient,
        ..Maml::default()
    })
}

#[test]
fn golden_maml() {
    compare("maml", |case| maml(case, Adapts::All, OuterGradient::SecondOrder));
}

#[test]
fn golden_fomaml() {
    compare("fomaml", |case| maml(case, Adapts::All, OuterGradient::FirstOrder));
}

#[test]
fn golden_anil() {
    compare("anil", |case| maml(case, Adapts::Head, OuterGradient::SecondOrder));
}

#[test]
fn golden_boil() {
    compare("boil", |case| maml(case, Adapts::Body, OuterGradient::SecondOrder));
}

#[test]
fn golden_protonet() {
    compare("protonet", |_| Box::new(ProtoNet::default()));
}

#[test]
fn golden_reptile() {
    compare("reptile", |case| maml(case, Adapts::All, OuterGradient::Difference));
}

#[test]
fn golden_r2d2() {
    compare("r2d2", |_| Box::new(R2d2::default()));
}

#[test]
fn golden_meta_sgd() {
    compare("meta_sgd", |case| Box::new(MetaSgd { inner_steps: case.inner_steps, ..MetaSgd::default() }));
}

/// The optimum of the inner problem is reached to the last digits, and the system is solved.
#[test]
fn golden_imaml() {
    if std::env::var_os("MANYTASK_GOLDEN").is_none() {
        eprintln!("skipped: MANYTASK_GOLDEN is not set");
        return;
    }
    let exact = Imaml { inner_steps: 120, inner_learning_rate: 0.04, lambda: 20.0, cg_steps: 70 };
    compare("imaml_exact", |_| Box::new(exact));
}
