//! The work of the benchmarks: the same for criterion and for the comparison with other systems.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use manytask_data::{Encoded, Episodes, Part as Rows, Sinusoid, TaskData};
use manytask_meta::{EpisodeSource, Execution, Maml, MetaProblem, MetaSettings};
use manytask_multitask::aggregators::{EqualWeights, Mgda, PcGrad, UncertaintyWeighting};
use manytask_multitask::{
    Aggregator, AggregatorSettings, Batches, Event, HardSharing, InputSizes, Monitor, Part, Parts, Problem,
    SharedTrunk, Task, Trainer, Training,
};
use manytask_nn::Builder;
use manytask_nn::layers::Linear;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Layout, Params, Tensor};

/// One piece of work: a problem, how its losses become a direction, and where it starts.
#[derive(Debug)]
pub struct Work {
    /// Its name: `sinusoid-STEPS` or `trunk-TASKS-AGGREGATOR`.
    pub name: String,
    problem: Box<dyn Problem>,
    aggregator: Box<dyn AggregatorSettings>,
    learning_rate: f64,
    /// The data, by name.
    pub data: Vec<(String, Tensor)>,
}

/// The work of a name.
///
/// - `sinusoid-K`: MAML of second order on 25 sine waves of 10 shots and 10 queries, a perceptron 1-40-40-1, K inner steps of
///   0.01, Adam at 0.001.
/// - `trunk-T-A`: T regressions on 256 rows of 1,024 numbers, a trunk 512-512 and a linear head each, Adam at 0.0001, with
///   the aggregator A of `equal`, `uncertainty`, `pcgrad`, `mgda`.
///
/// # Errors
/// When there is no such work.
pub fn work(name: &str, execution: Execution) -> Result<Work> {
    match name.split('-').collect::<Vec<_>>().as_slice() {
        ["sinusoid", steps] => sinusoid(name, steps.parse()?, execution),
        ["trunk", tasks, aggregator] => trunk(name, tasks.parse()?, aggregator),
        _ => bail!("there is no work `{name}`"),
    }
}

/// Tasks that are the same in every step.
#[derive(Debug)]
struct Written(Episodes);

impl EpisodeSource for Written {
    fn episodes(
        &self,
        _: Part,
        _: u64,
        _: Range<u64>,
        _: Option<usize>,
    ) -> manytask_multitask::Result<Episodes> {
        let own = Tensor::shallow_clone;
        let Episodes { support_x, support_y, query_x, query_y } = &self.0;
        Ok(Episodes {
            support_x: own(support_x),
            support_y: own(support_y),
            query_x: own(query_x),
            query_y: own(query_y),
        })
    }

    fn has_validation(&self) -> bool {
        false
    }
}

fn sinusoid(name: &str, steps: u32, execution: Execution) -> Result<Work> {
    const TASKS: usize = 25;
    let drawn = Sinusoid::default().episodes(10, 10, 0, "bench", 0..TASKS as u64, Kind::Float)?;
    let data = [
        ("support_x", &drawn.support_x),
        ("support_y", &drawn.support_y),
        ("query_x", &drawn.query_x),
        ("query_y", &drawn.query_y),
    ];
    let data = data.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).into();
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config)?;
    let learner = Maml { inner_steps: steps, ..Maml::default() };
    let settings = MetaSettings { tasks_per_step: TASKS, execution, ..MetaSettings::default() };
    let source = Box::new(Written(drawn));
    let problem = MetaProblem::new(
        layout.build(),
        Box::new(net),
        Box::new(learner),
        source,
        Output::Regression,
        Loss::Mse,
        settings,
    )?;
    let aggregator = Box::new(EqualWeights::default());
    Ok(Work { name: name.into(), problem: Box::new(problem), aggregator, learning_rate: 1e-3, data })
}

fn trunk(name: &str, tasks: usize, aggregator: &str) -> Result<Work> {
    const ROWS: i64 = 256;
    const INPUTS: i64 = 1024;
    let aggregator: Box<dyn AggregatorSettings> = match aggregator {
        "equal" => Box::new(EqualWeights::default()),
        "uncertainty" => Box::new(UncertaintyWeighting::default()),
        "pcgrad" => Box::new(PcGrad::default()),
        "mgda" => Box::new(Mgda::default()),
        other => bail!("there is no aggregator `{other}`"),
    };
    let normal = |what: &str, shape: &[i64]| Key::new(0, what).normal(shape, Kind::Float, Device::Cpu);
    let (x, y) = (normal("x", &[ROWS, INPUTS])?, normal("y", &[tasks as i64, ROWS])?);
    let names: Vec<String> = (0..tasks).map(|task| format!("task{task}")).collect();
    let labels = names.iter().enumerate().map(|(task, name)| TaskData {
        name: name.clone(),
        target: y.select(0, task as i64),
        weight: None,
    });
    let inputs = vec![Encoded::numbers(x.shallow_clone())];
    let parts = Parts { train: Rows::new(inputs, labels.collect())?, validation: None, test: None };
    let config = MlpConfig { hidden: vec![512, 512], ..MlpConfig::default() };
    let network = SharedTrunk::build(
        &InputSizes { dense: INPUTS, categories: Vec::new() },
        1,
        &names,
        |b, inputs| {
            let net = Mlp::new(b, inputs, &config)?;
            let features = net.features();
            Ok((Box::new(net), features))
        },
        |b, _, features| Ok(Box::new(Linear::new(b, features, 1)?)),
    )?;
    let described = names.iter().map(|name| Task::new(name, Output::Regression, 1)).collect();
    let batches =
        Batches { size: ROWS as usize, order: manytask_data::BatchOrder::Sequential, ..Batches::default() };
    let problem = HardSharing::new(network, described, parts, batches)?;
    let data = vec![("x".to_owned(), x), ("y".to_owned(), y)];
    Ok(Work { name: name.into(), problem: Box::new(problem), aggregator, learning_rate: 1e-4, data })
}

impl Work {
    /// The parameters before the first step.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn start(&self) -> Result<Params> {
        Ok(self.problem.layout().init(0, Kind::Float, Device::Cpu)?)
    }

    /// The problem.
    pub fn problem(&self) -> &dyn Problem {
        self.problem.as_ref()
    }

    /// An aggregator before its first step.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn aggregator(&self) -> Result<Box<dyn Aggregator>> {
        Ok(self.aggregator.build(self.problem.tasks())?)
    }

    /// Makes steps of the training loop; gives the microseconds of each and the mean loss before each.
    ///
    /// # Errors
    /// When a step fails.
    pub fn run(&self, steps: u64) -> Result<(Vec<f64>, Vec<f64>)> {
        let training = Training {
            seed: 0,
            steps,
            learning_rate: self.learning_rate,
            optimizer: Optimizer::adam(),
            schedule: Schedule::default(),
            clip_norm: None,
            validate_every: None,
            save_every: None,
            monitor: Monitor::default(),
            early_stopping: None,
        };
        let mut trainer = Trainer::new(self.problem(), self.aggregator()?, training, &self.start()?)?;
        let (mut times, mut losses) = (Vec::new(), Vec::new());
        let mut last = Instant::now();
        trainer
            .run(|_, event| -> manytask_multitask::Result<_> {
                if let Event::Step(report) = event {
                    times.push(last.elapsed().as_secs_f64() * 1e6);
                    losses.push(report.losses.iter().sum::<f64>() / report.losses.len() as f64);
                    last = Instant::now();
                }
                Ok(ControlFlow::Continue(()))
            })
            .map_err(|error| anyhow!("{}: {error}", self.name))?;
        Ok((times, losses))
    }
}
