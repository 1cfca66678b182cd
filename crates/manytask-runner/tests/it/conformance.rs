//! Every fused pass against the graph, in float64: the tests walk the registries, so that a network, an activation or a loss with a
//! fused form cannot be added without them. What has none says why.

use std::path::Path;

use manytask::Registries;
use manytask::config::Source;
use manytask::data_sets::{Episodes, Images, Inputs, Normalisation, SplitData, TaskData};
use manytask::meta::{
    EpisodeShape, EpisodeSource, Execution as MetaExecution, MetaModel, MetaProblem, MetaSettings,
};
use manytask::multitask::{
    Batches, Combination, Draw, Error, Execution, InputSizes, Level, MultiTaskProblem, Problem, Result,
    Shared, Split, Task, TaskSplits,
};
use manytask::network::NetworkPlan;
use manytask::nn::Precision;
use manytask::nn::loss::Loss;
use manytask::nn::metrics::Output;
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Layout, Params, Tensor};

use crate::command::Place;

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

/// The names of a kind, as `manytask list` has them.
fn names(kind: &str) -> Vec<String> {
    let text = Place::new().good(&["list", kind]).out;
    let names = text.lines().filter(|line| line.starts_with("  "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn network(text: &str) -> NetworkPlan {
    let source = Source::new(Path::new("a.toml"), &format!("[network]\n{text}"), &[]).unwrap();
    let section = source.section().unwrap().required_table("network").unwrap();
    NetworkPlan::read(section, &Registries::default()).unwrap_or_else(|failure| panic!("{text}: {failure}"))
}

/// A loss with its usual settings, as a configuration names it.
fn loss_named(name: &str) -> Loss {
    let settings = toml::Table::from_iter([(name.to_owned(), toml::Value::Table(toml::Table::new()))]);
    let plain = toml::Value::from(name).try_into();
    plain.or_else(|_| toml::Value::Table(settings).try_into()).unwrap()
}

/// A task of each kind, with one of the losses of its kind.
fn tasks(loss: &str) -> Vec<Task> {
    // Of directions there are those of vectors alone.
    let numbers = if loss == "cosine" { 3 } else { 1 };
    let mut tasks = vec![
        Task::new("y", Output::Binary, 1),
        Task::new("r", Output::Regression, numbers),
        Task::new("m", Output::Multiclass, 3),
    ];
    let named = loss_named(loss);
    for task in &mut tasks {
        let own = std::mem::replace(&mut task.loss, named.clone());
        if task.check().is_err() {
            task.loss = own;
        }
    }
    assert!(tasks.iter().any(|task| task.loss == named), "{loss}");
    tasks
}

fn labels(score: &Tensor, tasks: &[Task]) -> Vec<TaskData> {
    let vectors = tasks.iter().any(|task| task.name == "r" && task.outputs > 1);
    let values = if vectors { score.narrow(1, 0, 3) } else { score.select(1, 1) };
    let of = |name: &str, target: Tensor| TaskData { name: name.into(), target, weight: None };
    vec![
        of("y", score.select(1, 0).gt(0.0).to_kind(F64.0)),
        of("r", values * 2.0 + 0.3),
        of("m", score.narrow(1, 0, 3).argmax(1, false)),
    ]
}

/// Rows of four numbers, or pictures of one channel.
fn rows(seed: u64, count: i64, tasks: &[Task], pictures: bool) -> SplitData {
    let x = Key::new(seed, "x").normal(&[count, 4], F64.0, F64.1).unwrap();
    if !pictures {
        return SplitData::new(vec![Inputs::numbers(x.shallow_clone())], labels(&x, tasks)).unwrap();
    }
    let dots = (Key::new(seed, "dots").normal(&[count, 1, 28, 28], Kind::Float, F64.1).unwrap() * 60.0
        + 120.0)
        .clamp(0.0, 255.0)
        .to_kind(Kind::Uint8);
    let images = Images::new(dots, Normalisation { mean: vec![0.5], std: vec![0.25] }).unwrap();
    SplitData::new(vec![Inputs::Images(images)], labels(&x, tasks)).unwrap()
}

fn problem(text: &str, tasks: Vec<Task>, pictures: bool) -> std::result::Result<MultiTaskProblem, String> {
    let sizes = if pictures {
        InputSizes::Images { channels: 1, height: 28, width: 28 }
    } else {
        InputSizes::numbers(4)
    };
    let network = network(text).build(&sizes, &tasks, Precision::Full).map_err(|error| error.to_string())?;
    network.check(&tasks, true).map_err(|error| error.to_string())?;
    let splits = TaskSplits { train: rows(1, 40, &tasks, pictures), validation: None, test: None };
    let batches = Batches { size: 8, ..Batches::default() };
    let problem =
        MultiTaskProblem::new(network, tasks, splits, batches).map_err(|error| error.to_string())?;
    Ok(problem.executed(Execution::Verify))
}

/// Everything that an aggregator can ask of a pass, verified as it is asked; whether the pass was fused.
fn verified(problem: &MultiTaskProblem, what: &str) -> bool {
    let params = problem.layout().init(3, F64.0, F64.1).unwrap().require_grad().unwrap();
    if let Err(reason) = problem.fused(&params) {
        assert!(!reason.to_string().is_empty(), "{what}");
        return false;
    }
    let good = |result: Result<()>| result.unwrap_or_else(|error| panic!("{what}: {error}"));
    let pass = || problem.forward(&params, DRAW).unwrap_or_else(|error| panic!("{what}: {error}"));
    let weights = vec![0.3, -1.0, 2.0];
    good(pass().finish(&Combination::weighted_losses(weights.clone())).map(drop));
    let mut levels = vec![Level::Parameters, Level::LastLayer];
    if problem.offers().representation {
        levels.push(Level::Representation);
    }
    for level in levels {
        let mut pass = pass();
        good(pass.gramian(&level).map(drop));
        let rows = pass.jacobian(&level).unwrap_or_else(|error| panic!("{what}: {error}")).rows().copy();
        if level == Level::LastLayer {
            continue;
        }
        let vector = rows.abs().sum_dim_intlist([0_i64].as_slice(), false, Kind::Double);
        let shared = Shared::Direction { vector, level };
        good(pass.finish(&Combination { shared, heads: weights.clone() }).map(drop));
    }
    true
}

#[test]
fn fused_passes_of_tasks_are_the_graphs() {
    let (activations, norms) = (names("activation"), names("norm"));
    let mut fused = Vec::new();
    for architecture in names("architecture") {
        // What decides is the trunk; of another architecture one is enough.
        let all = architecture == "hard_sharing";
        let [activations, norms] =
            [&activations, &norms].map(|names| if all { &names[..] } else { &names[..1] });
        for activation in activations {
            for norm in norms {
                let trunk = format!(
                    "trunk = {{ kind = \"mlp\", hidden = [6, 5], activation = \"{activation}\", norm = \"{norm}\" }}"
                );
                let text = format!("kind = \"{architecture}\"\n{trunk}\n");
                // An architecture of a kind of its own takes tasks of that kind alone, and no fused pass.
                if let Ok(problem) = problem(&text, tasks("mse"), false)
                    && verified(&problem, &text)
                {
                    fused.push((architecture.clone(), activation.clone(), norm.clone()));
                }
            }
        }
    }
    let expected = ["identity", "leaky_relu", "relu"];
    let mut found: Vec<&str> = fused.iter().map(|(_, activation, _)| activation.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{fused:?}");
    assert!(fused.iter().all(|(architecture, _, norm)| architecture == "hard_sharing" && norm == "none"));
}

#[test]
fn fused_passes_are_the_graphs_with_every_loss_head_and_trunk() {
    let mut trunks = 0;
    for loss in names("loss") {
        for head in ["", "head = { kind = \"mlp\", hidden = [4], activation = \"gelu\" }\n"] {
            let text =
                format!("kind = \"hard_sharing\"\ntrunk = {{ kind = \"mlp\", hidden = [6, 5] }}\n{head}");
            let problem = problem(&text, tasks(&loss), false).unwrap();
            assert!(verified(&problem, &format!("{loss}: {text}")), "{loss}: {text}");
        }
    }
    for trunk in names("trunk") {
        let text = format!("kind = \"hard_sharing\"\ntrunk = {{ kind = \"{trunk}\" }}\n");
        for pictures in [false, true] {
            if let Ok(problem) = problem(&text, tasks("mse"), pictures) {
                verified(&problem, &text);
                trunks += 1;
            }
        }
    }
    assert!(trunks >= names("trunk").len());
}

/// Three classes of points, or of pictures, with two shots and three queries of each.
#[derive(Debug)]
struct Classes {
    shape: Vec<i64>,
    /// Whether labels are numbers.
    regression: bool,
}

const CLASSES: i64 = 3;

impl EpisodeSource for Classes {
    fn episodes(
        &self,
        _split: Split,
        seed: u64,
        ids: std::ops::Range<u64>,
        queries: Option<usize>,
    ) -> Result<Episodes> {
        let tasks = (ids.end - ids.start) as i64;
        let set = |what: &str, each: i64| -> Result<(Tensor, Tensor)> {
            let rows = CLASSES * each;
            let x = ids.clone().map(|id| {
                let size = [&[rows], self.shape.as_slice()].concat();
                Ok::<_, Error>(Key::new(seed, what).task(id).normal(&size, F64.0, F64.1)?)
            });
            let x = Tensor::stack(&x.collect::<Result<Vec<_>>>()?, 0);
            let classes =
                Tensor::arange(CLASSES, (Kind::Int64, F64.1)).repeat_interleave_self_int(each, 0, None);
            let y = if self.regression {
                x.reshape([tasks, rows, -1]).narrow(2, 0, 1).sin()
            } else {
                classes.repeat([tasks, 1])
            };
            Ok((x, y))
        };
        let (support, query) = (set("support", 2)?, set("query", queries.unwrap_or(3) as i64)?);
        Ok(Episodes { support_x: support.0, support_y: support.1, query_x: query.0, query_y: query.1 })
    }

    fn has_validation(&self) -> bool {
        false
    }
}

/// A problem of a learner with this backbone, where it can have it.
fn of_learner(learner: &str, backbone: &str, loss: Loss, source: Classes) -> Option<MetaProblem> {
    let all = Registries::default();
    let example = all.learners.example(learner)?;
    let text = format!("{example}\n[network]\n{backbone}\n");
    let file = Source::new(Path::new("a.toml"), &text, &[]).unwrap();
    let mut section = file.section().unwrap();
    let spec = all.learners.make(section.required_table("learner").unwrap()).unwrap();
    let backbone = all.backbones.make(section.required_table("network").unwrap()).unwrap();
    let shape = if source.regression {
        EpisodeShape::regression(source.shape[0], 1)
    } else {
        EpisodeShape::classes(&source.shape, CLASSES)
    };
    let wanted = spec.network(&shape);
    let mut layout = Layout::builder();
    let mut builder = manytask::nn::Builder::new(&mut layout);
    let net = backbone.build(&mut builder, &wanted.input, wanted.outputs).ok()?;
    let model = MetaModel::build(layout, net, spec.as_ref(), shape).ok()?;
    let settings =
        MetaSettings { tasks_per_step: 2, execution: MetaExecution::Verify, ..MetaSettings::default() };
    MetaProblem::new(model, Box::new(source), loss, settings).ok()
}

/// The meta-gradients of a step, verified; whether they were fused.
fn verified_learner(problem: &MetaProblem, what: &str) -> bool {
    let params: Params = problem.layout().init(3, F64.0, F64.1).unwrap().require_grad().unwrap();
    let fused = problem.fused(&params);
    assert!(fused.is_ok() || fused.as_ref().is_err_and(|reason| !reason.to_string().is_empty()), "{what}");
    let mut pass = match problem.forward(&params, DRAW) {
        Ok(pass) => pass,
        // A learner without a meta-gradient: all is learned before the first task.
        Err(Error::Setting(refused)) if refused.what.contains("in which nothing has a gradient") => {
            return false;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    pass.gramian(&Level::Parameters).unwrap_or_else(|error| panic!("{what}: {error}"));
    let weighted = pass.finish(&Combination::weights(vec![0.3, 2.0]));
    weighted.unwrap_or_else(|error| panic!("{what}: {error}"));
    fused.is_ok()
}

#[test]
fn fused_meta_gradients_are_the_graphs() {
    let mut fused = Vec::new();
    let activations = names("activation");
    for learner in names("learner") {
        for activation in &activations {
            let backbone = format!("kind = \"mlp\"\nhidden = [6, 5]\nactivation = \"{activation}\"");
            let classes = Classes { shape: vec![4], regression: false };
            let numbers = Classes { shape: vec![4], regression: true };
            for (loss, source) in [(loss_named("cross_entropy"), classes), (loss_named("mse"), numbers)] {
                let what = format!("{learner}, {loss:?}: {backbone}");
                if let Some(problem) = of_learner(&learner, &backbone, loss, source)
                    && verified_learner(&problem, &what)
                {
                    fused.push((learner.clone(), activation.clone()));
                }
            }
        }
        let pictures = Classes { shape: vec![1, 16, 16], regression: false };
        let backbone = "kind = \"conv4\"\nhidden = 3";
        if let Some(problem) = of_learner(&learner, backbone, loss_named("cross_entropy"), pictures)
            && verified_learner(&problem, &format!("{learner}: {backbone}"))
        {
            fused.push((learner.clone(), "conv4".into()));
        }
    }
    let has = |learner: &str, form: &str| fused.contains(&(learner.to_owned(), form.to_owned()));
    for learner in ["maml", "fomaml", "anil", "boil", "meta_sgd"] {
        for form in ["relu", "tanh", "sigmoid", "conv4"] {
            assert!(has(learner, form), "{learner}, {form}: {fused:?}");
        }
    }
    // Of one task's embeddings; tasks of perceptrons are computed along a dimension.
    assert!(["protonet", "r2d2"].into_iter().all(|learner| has(learner, "conv4")), "{fused:?}");
}

#[test]
fn a_training_that_is_verified_is_the_same_to_the_byte() {
    let place = Place::new();
    let result = |name: &str, execution: &str| {
        let change = format!("training.execution=\"{execution}\"");
        let trunk = "network.trunk={ kind = \"mlp\", hidden = [8] }";
        let said = place.good(&["train", "a.toml", "--name", name, trunk, &change]);
        let passes = said.err.lines().find(|line| line.starts_with("passes: ")).unwrap().to_owned();
        let tasks: serde_json::Value =
            serde_json::from_str(&place.read(&format!("runs/{name}/results.json"))).unwrap();
        (passes, tasks["tasks"].to_string())
    };
    let (fused, verified, graph) = (result("a", "auto"), result("b", "verify"), result("c", "graph"));
    assert_eq!(fused, verified);
    assert_eq!(fused.0, "passes: fused");
    assert_eq!(graph.0, "passes: through the graph, because of `execution = \"graph\"`");
}
