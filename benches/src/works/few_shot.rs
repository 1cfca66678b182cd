//! Works on pictures, which are made: classes of coarse strokes, of which each picture has a quarter of its pixels turned, on rough paper.

use anyhow::Result;
use manytask_data::{ClassPool, EpisodeSpec, Episodes, Splits};
use manytask_meta::{
    ClassEpisodes, EpisodeShape, EpisodeSource, LearnerSpec, Maml, MetaModel, MetaProblem, MetaSettings,
    ProtoNet,
};
use manytask_multitask::Problem;
use manytask_multitask::aggregators::EqualWeights;
use manytask_nn::Builder;
use manytask_nn::loss::Loss;
use manytask_nn::nets::{Conv4, Conv4Config};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Layout, Tensor};

use super::{Written, named, on};
use crate::{How, Work};

/// Pictures of a class.
const EACH: usize = 20;
/// The leaf whose gradient is compared; that of a convolution's bias is 0 before a batch-norm.
const LEAF: &str = "layer1.norm.weight";

/// Classes of 20 pictures of 28 × 28, `[classes * 20, 1, 28, 28]` uint8.
///
/// No two patches are alike, so that no maximum of a pool is reached twice: then gradients are the same in every system.
///
/// # Errors
/// When memory runs out.
pub fn pictures(classes: usize) -> Result<Tensor> {
    let (count, each) = (classes as i64, EACH as i64);
    let bits =
        |what: &str, p: f64, shape: &[i64]| Key::new(0, what).bernoulli(p, shape, Kind::Float, Device::Cpu);
    let strokes = bits("strokes", 0.3, &[count, 1, 1, 7, 7])?;
    let strokes =
        strokes.f_repeat_interleave_self_int(4, 3, None)?.f_repeat_interleave_self_int(4, 4, None)?;
    let shape = [count, each, 1, 28, 28];
    let turned = bits("turned", 0.25, &shape)?;
    let paper = Key::new(0, "paper").uniform(0.0, 75.0, &shape, Kind::Float, Device::Cpu)?;
    let ink = strokes.f_sub(&turned)?.f_abs()?.f_mul_scalar(180.0)?.f_add(&paper)?;
    Ok(ink.f_to_kind(Kind::Uint8)?.f_reshape([count * each, 1, 28, 28])?)
}

fn pool(images: &Tensor) -> Result<ClassPool> {
    let classes = images.size().first().copied().unwrap_or_default() as usize / EACH;
    let names = (0..classes).map(|class| class.to_string()).collect();
    Ok(ClassPool::new(images.shallow_clone(), &vec![EACH as i64; classes], names)?)
}

fn problem(
    output: Option<i64>,
    ways: usize,
    learner: &dyn LearnerSpec,
    source: impl EpisodeSource + 'static,
    tasks_per_step: usize,
    How { execution, precision, .. }: How,
) -> Result<MetaProblem> {
    let mut layout = Layout::builder();
    let config = Conv4Config { output, ..Conv4Config::default() };
    let mut root = Builder::new(&mut layout);
    let net = Conv4::new(&mut root.with_precision(precision), 1, 28, &config)?;
    let settings = MetaSettings { tasks_per_step, execution, ..MetaSettings::default() };
    let shape = EpisodeShape::classes(&[1, 28, 28], ways as i64);
    let model = MetaModel::build(layout, Box::new(net), learner, shape)?;
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    Ok(MetaProblem::new(model, Box::new(source), loss, settings)?)
}

pub(crate) fn conv4(name: &str, tasks: usize, steps: u32, how: How) -> Result<Work> {
    // The rates of Finn et al. (2017) for one step and for five.
    let rate = if steps == 1 { 0.4 } else { 0.1 };
    let learner = Maml { inner_steps: steps, inner_learning_rate: rate, ..Maml::default() };
    blocks(name, tasks, &learner, how)
}

/// A learner on so many tasks of 5 ways, 1 shot and 15 queries for each class, with four blocks of 64 channels.
///
/// # Errors
/// When a number is 0.
pub fn blocks(name: &str, tasks: usize, learner: &Maml, how: impl Into<How>) -> Result<Work> {
    let how = how.into();
    let spec = EpisodeSpec { ways: 5, shots: 1, queries: 15 };
    let drawn = pool(&pictures(50)?)?.episodes(spec, 0, "bench", 0..tasks as u64)?;
    let data = named(&drawn);
    let problem = problem(Some(5), 5, learner, Written(on(how.device, &drawn)?), tasks, how)?;
    let start = problem.layout().init(0, Kind::Float, how.device)?;
    Ok(Work {
        name: name.into(),
        execution: Some(problem.execution(&start)),
        start,
        problem: Box::new(problem),
        checked: None,
        aggregator: Box::new(EqualWeights::default()),
        learning_rate: 1e-3,
        leaf: LEAF,
        data,
    })
}

pub(crate) fn protonet(name: &str, ways: usize, how: How) -> Result<Work> {
    const CLASSES: usize = 1000;
    let spec = EpisodeSpec { ways, shots: 5, queries: 5 };
    let images = pictures(CLASSES)?;
    let (support, query) = rows(CLASSES, spec);
    let (support, query) = (Tensor::f_from_slice(&support)?, Tensor::f_from_slice(&query)?);
    let gathered = |rows: &Tensor| -> Result<Tensor> {
        let found = images.f_index_select(0, rows)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
        Ok(found.f_unsqueeze(0)?)
    };
    let labels = |each: usize| -> Result<Tensor> {
        let labels = Tensor::f_arange(ways as i64, (Kind::Int64, Device::Cpu))?;
        Ok(labels.f_repeat_interleave_self_int(each as i64, 0, None)?.f_unsqueeze(0)?)
    };
    let episode = Episodes {
        support_x: gathered(&support)?,
        support_y: labels(spec.shots)?,
        query_x: gathered(&query)?,
        query_y: labels(spec.queries)?,
    };
    // One episode leaves nothing to share between threads but the kernels.
    let there = |images: &Tensor| -> Result<ClassPool> { Ok(pool(images)?.to_device(how.device)?) };
    let pools = Splits { train: there(&images)?, validation: None, test: Some(there(&pictures(ways)?)?) };
    let source = ClassEpisodes { pools, spec };
    let data = [("pool", images), ("support_rows", support), ("query_rows", query)];
    let drawn = problem(None, ways, &ProtoNet::default(), source, 1, how)?;
    let start = drawn.layout().init(0, Kind::Float, how.device)?;
    let given = problem(None, ways, &ProtoNet::default(), Written(on(how.device, &episode)?), 1, how)?;
    Ok(Work {
        name: name.into(),
        execution: Some(drawn.execution(&start)),
        start,
        problem: Box::new(drawn),
        checked: Some(Box::new(given)),
        aggregator: Box::new(EqualWeights::default()),
        learning_rate: 1e-3,
        leaf: LEAF,
        data: data.map(|(name, tensor)| (name.to_owned(), tensor)).into(),
    })
}

/// The rows of one episode's support and query set, sorted by class.
fn rows(classes: usize, spec: EpisodeSpec) -> (Vec<i64>, Vec<i64>) {
    let (mut support, mut query) = (Vec::new(), Vec::new());
    for class in Key::new(0, "ways").permutation(classes).into_iter().take(spec.ways) {
        let drawn = Key::new(0, "rows").task(class as u64).permutation(EACH);
        let mut rows = drawn.into_iter().map(|row| class * EACH as i64 + row);
        support.extend(rows.by_ref().take(spec.shots));
        query.extend(rows.take(spec.queries));
    }
    (support, query)
}
