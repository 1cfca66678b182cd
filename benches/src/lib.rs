//! The work of the benchmarks: the same for criterion and for the comparison with other systems.

pub mod census;
pub mod scaling;
mod solve;
mod works;

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use manytask_meta::{Execution, OuterGradient};
use manytask_multitask::aggregators::EqualWeights;
use manytask_multitask::{
    Aggregator, AggregatorSettings, Draw, Event, Freeze, Monitor, Problem, Split, StepReport, Trainer,
    Training,
};
use manytask_nn::Precision;
use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;
use manytask_tensor::{Device, Kind, Params, Tensor};

pub use self::solve::gramian_step;
pub use self::works::{blocks, perceptron, pictures, waves};

/// One piece of work: a problem, how its losses become a direction, and where it starts.
#[derive(Debug)]
pub struct Work {
    /// Its name, as in [`work`].
    pub name: String,
    /// How a meta-batch is computed, which `auto` leaves open; none where there is no meta-batch.
    pub execution: Option<Execution>,
    start: Params,
    problem: Box<dyn Problem>,
    /// Where `problem` draws its own data: the same on data that are given, by which systems are compared.
    checked: Option<Box<dyn Problem>>,
    aggregator: Box<dyn AggregatorSettings>,
    learning_rate: f64,
    /// The parameter whose gradient is compared.
    leaf: &'static str,
    /// The data, by name.
    pub data: Vec<(String, Tensor)>,
}

/// How a work is computed: of itself on the processor, as `auto` takes it, in full precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct How {
    /// The way of computing a meta-batch, where there is one.
    pub execution: Execution,
    /// Where parameters and data are.
    pub device: Device,
    /// What layers compute in.
    pub precision: Precision,
}

impl Default for How {
    fn default() -> Self {
        Self { execution: Execution::Auto, device: Device::Cpu, precision: Precision::Full }
    }
}

impl From<Execution> for How {
    fn from(execution: Execution) -> Self {
        Self { execution, ..Self::default() }
    }
}

/// The draw of the first step.
pub const DRAW: Draw = Draw { seed: 0, step: 0, replica: 0, split: Split::Train };

/// What was seen of a work.
#[derive(Debug)]
pub struct Measured {
    /// Microseconds of each step.
    pub times: Vec<f64>,
    /// The mean loss before each step.
    pub losses: Vec<f64>,
    /// The gradient of one leaf in the first step.
    pub gradient: Vec<f64>,
    /// The same under equal weights.
    pub equal: Vec<f64>,
}

/// The work of a name.
///
/// - `sinusoid-K`: MAML of second order on 25 sine waves of 10 shots and 10 queries, a perceptron 1-40-40-1, K inner steps of
///   0.01, Adam at 0.001.
/// - `sinusoid-K-W`: the same with a perceptron 1-W-W-1.
/// - `conv4-T-K`: MAML of second order on T tasks of 5 ways, 1 shot and 15 queries for each class, pictures of 28 × 28, four
///   blocks of 64 channels, one inner step of 0.4 or K of 0.1, Adam at 0.001.
/// - `protonet-N`: prototypical networks, N ways, 5 shots and 5 queries, drawn in each step from 1,000 classes of 20 pictures,
///   the same blocks, Adam at 0.001.
/// - `trunk-T-A`: T regressions on 256 rows of 1,024 numbers, of different scale and half of them against the other half, a
///   trunk 512-512 and a linear head each, Adam at 0.0001, with the aggregator A of `equal`,
///   `uncertainty`, `pcgrad`, `mgda`, `cagrad` with c = 0.4, `upgrad`, `aligned`, `nash`.
///
/// # Errors
/// When there is no such work.
pub fn work(name: &str, how: impl Into<How>) -> Result<Work> {
    let how = how.into();
    match name.split('-').collect::<Vec<_>>().as_slice() {
        ["sinusoid", steps] => waves(25, steps.parse()?, OuterGradient::SecondOrder, how),
        ["sinusoid", steps, width] => works::wide_waves(name, steps.parse()?, width.parse()?, how),
        ["conv4", tasks, steps] => works::conv4(name, tasks.parse()?, steps.parse()?, how),
        ["protonet", ways] => works::protonet(name, ways.parse()?, how),
        ["trunk", tasks, aggregator] => works::trunk(name, tasks.parse()?, aggregator, how),
        _ => bail!("there is no work `{name}`"),
    }
}

impl Work {
    /// The parameters before the first step.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn start(&self) -> Result<Params> {
        Ok(self.start.copy()?)
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

    /// A training before its first step.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn trainer(&self, steps: u64) -> Result<Trainer<'_>> {
        self.trainer_of(self.problem(), steps)
    }

    fn trainer_of<'w>(&self, problem: &'w dyn Problem, steps: u64) -> Result<Trainer<'w>> {
        let training = training(steps, self.learning_rate, Optimizer::adam());
        Ok(Trainer::new(problem, self.aggregator()?, training, &self.start()?)?)
    }

    /// Makes so many steps of the training loop and goes on until so many seconds have passed, after that what the comparison
    /// with other systems looks at.
    ///
    /// # Errors
    /// When a step fails.
    pub fn run(&self, steps: usize, seconds: f64) -> Result<Measured> {
        const CHECKED: usize = 3;
        let (times, own) = self.steps_of(self.problem(), steps, seconds)?;
        let (problem, losses) = match &self.checked {
            Some(problem) => (problem.as_ref(), self.steps_of(problem.as_ref(), CHECKED, 0.0)?.1),
            None => (self.problem(), own),
        };
        let equal = EqualWeights::default().build(problem.tasks())?;
        Ok(Measured {
            times,
            losses,
            gradient: self.gradient(problem, self.aggregator()?)?,
            equal: self.gradient(problem, equal)?,
        })
    }

    /// The microseconds of each step, and the mean loss before it.
    fn steps_of(&self, problem: &dyn Problem, steps: usize, seconds: f64) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut trainer = self.trainer_of(problem, 1 << 40)?;
        let (mut times, mut losses) = (Vec::new(), Vec::new());
        let start = Instant::now();
        let mut last = start;
        run(&self.name, &mut trainer, |report| {
            times.push(last.elapsed().as_secs_f64() * 1e6);
            losses.push(report.losses.iter().sum::<f64>() / report.losses.len() as f64);
            last = Instant::now();
            if times.len() < steps || start.elapsed().as_secs_f64() < seconds {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok((times, losses))
    }

    /// The first gradient of the leaf that is compared: a step of plain descent is made, and seen in the parameters.
    fn gradient(&self, problem: &dyn Problem, aggregator: Box<dyn Aggregator>) -> Result<Vec<f64>> {
        // Far enough that the difference has all digits of the gradient.
        const RATE: f64 = 1e3;
        let start = self.start()?;
        let mut trainer = Trainer::new(problem, aggregator, training(1, RATE, Optimizer::sgd(0.0)), &start)?;
        run(&self.name, &mut trainer, |_| ControlFlow::Continue(()))?;
        let place =
            start.iter().zip(trainer.params().leaves()).find(|((entry, _), _)| entry.name == self.leaf);
        let ((_, before), after) = place.ok_or_else(|| anyhow!("{}: no leaf `{}`", self.name, self.leaf))?;
        let moved = (before - after).f_to_kind(Kind::Double)?.f_div_scalar(RATE)?.f_reshape([-1])?;
        Ok(Vec::<f64>::try_from(moved)?)
    }
}

/// The highest resident memory of a process in KiB; 0 where the system does not say.
pub fn memory(process: u32) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn training(steps: u64, learning_rate: f64, optimizer: Optimizer) -> Training {
    Training {
        seed: 0,
        steps,
        learning_rate,
        optimizer,
        schedule: Schedule::default(),
        clip_norm: None,
        validate_every: None,
        save_every: None,
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
        freeze: Freeze::default(),
        average: None,
    }
}

fn run(
    name: &str,
    trainer: &mut Trainer<'_>,
    mut seen: impl FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<()> {
    let finish = trainer.run(|_, event| -> manytask_multitask::Result<_> {
        Ok(if let Event::Step(report) = event { seen(report) } else { ControlFlow::Continue(()) })
    });
    finish.map(drop).map_err(|error| anyhow!("{name}: {error}"))
}
