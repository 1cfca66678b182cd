//! What a configuration asks for, read and checked without touching data.

use std::path::PathBuf;

use manytask_multitask::AggregatorSettings;
use manytask_multitask::aggregators::EqualWeights;
use manytask_nn::Precision;
use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;
use manytask_tensor::DeviceChoice;
use manytask_tensor::capture::Capture;

use crate::config::{Section, Source};
use crate::failure::{Failure, Result, Within as _};
use crate::registries::Registries;
use crate::threads;

mod check;
mod effective;
mod episodes;
mod pretraining;
mod rows;
mod sizes;
#[cfg(test)]
mod tests;
mod training;

pub(crate) use self::episodes::FileWeights;
pub use self::episodes::{EpisodesPlan, PretrainingSection};
pub use self::rows::{RowsPlan, TaskSection};
pub use self::training::TrainingSection;
pub(crate) use self::training::{KEEP_CHECKPOINTS, LOG_EVERY_STEPS, SAVE_EVERY_MINUTES};

/// A configuration, read.
#[derive(Debug)]
pub struct Plan {
    /// What every draw is keyed by.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// What layers compute in.
    pub precision: Precision,
    /// Whether steps on a GPU are launched as a whole.
    pub capture: Capture,
    /// Threads of each kernel; absent: one for each core.
    pub threads: Option<usize>,
    /// Where relative paths of data start.
    pub folder: PathBuf,
    /// How losses become a direction.
    pub aggregator: Box<dyn AggregatorSettings>,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// The learning rate that the schedule multiplies.
    pub learning_rate: f64,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// `[training]`, as far as every problem has it.
    pub training: TrainingSection,
    /// The problem.
    pub work: Work,
    /// All that was read, with the defaults of what is not written.
    pub settings: toml::Table,
    /// The text that it was read from, for mistakes that show when data are read or the network is built.
    pub source: Source,
}

/// The problem of a configuration.
#[derive(Debug)]
pub enum Work {
    /// Tasks on rows.
    Rows(RowsPlan),
    /// Tasks drawn anew at each step.
    Episodes(EpisodesPlan),
}

/// The number of threads that a plan means.
pub(crate) fn threads_of(plan: &Plan) -> usize {
    plan.threads.unwrap_or_else(threads::usual)
}

impl Plan {
    /// Reads a configuration.
    ///
    /// # Errors
    /// At the first mistake, with its place (exit code 3).
    pub fn read(source: &Source, registries: &Registries) -> Result<Self> {
        Self::read_unlocated(source, registries).map_err(|failure| source.locate(failure))
    }

    fn read_unlocated(source: &Source, registries: &Registries) -> Result<Self> {
        let mut whole = source.section()?;
        let seed = whole.take_or("seed", 0_u64)?;
        let device: String = whole.take_or("device", "cpu".to_owned())?;
        let device = device.parse::<DeviceChoice>().within("device")?;
        // What is read below may try a network on the processor.
        device.prepare();
        let precision = whole.take_or("precision", Precision::default())?;
        let capture = whole.take_or("capture", Capture::default())?;
        let threads = whole.take::<usize>("threads")?;
        if let Some(threads) = threads {
            threads::check(threads).within("threads")?;
        }
        let mut data = whole.required_table("data")?;
        let folder = data.take::<PathBuf>("folder")?.unwrap_or_default();
        let folder = source.folder().join(folder);
        let mut training = whole.required_table("training")?;
        let mut section = TrainingSection::read(&mut training).within("training")?;
        section.init_from = section.init_from.map(|run| source.folder().join(run));
        let idle = section.trains_nothing();
        let (optimizer, learning_rate) =
            optimizer(wanted(&mut whole, "optimizer", idle)?, registries).within("optimizer")?;
        let schedule = schedule(whole.table("schedule")?, registries).within("schedule")?;
        let aggregator = match wanted(&mut whole, "aggregator", idle)? {
            Some(aggregator) => registries.aggregators.make(aggregator)?,
            None => Box::new(EqualWeights::default()),
        };
        let network = whole.required_table("network")?;
        let learner = whole.table("learner")?;
        let pretraining = if learner.is_some() { whole.table("pretraining")? } else { None };
        let tasks = if learner.is_none() { whole.table("tasks")? } else { None };
        let work = if let Some(learner) = learner {
            let evaluation = whole.table("evaluation")?;
            let further = (pretraining, evaluation);
            Work::Episodes(EpisodesPlan::read(data, network, learner, training, further, registries)?)
        } else {
            let episodes_alone = |kind: &&str| registries.episodes.has(kind) && !registries.data.has(kind);
            if let Some(kind) = data.peek("kind").filter(episodes_alone) {
                let what = format!("`{kind}` gives episodes, and the configuration has no [learner]");
                return Err(data.diagnostic(&what).hint("add one, e.g. [learner] with kind = \"maml\""));
            }
            if idle {
                let what = "[training] has a number of steps that is 0";
                return Err(Failure::setting(["training", "steps"], what)
                    .hint("0 is for a [learner] that adapts to tasks without a training"));
            }
            Work::Rows(RowsPlan::read(data, network, tasks, training, registries)?)
        };
        let settings = whole.read_so_far();
        whole.finish()?;
        Ok(Self {
            settings,
            seed,
            device,
            precision,
            capture,
            threads,
            folder,
            aggregator,
            optimizer,
            learning_rate,
            schedule,
            training: section,
            work,
            source: source.clone(),
        })
    }
}

/// A section that may be left out where nothing is trained.
fn wanted<'s>(whole: &mut Section<'s>, key: &str, idle: bool) -> Result<Option<Section<'s>>> {
    if idle { whole.table(key) } else { whole.required_table(key).map(Some) }
}

fn optimizer(section: Option<Section<'_>>, registries: &Registries) -> Result<(Optimizer, f64)> {
    let Some(mut section) = section else { return Ok((Optimizer::sgd(0.0), 1.0)) };
    let learning_rate: f64 = section.required("learning_rate")?;
    if !(learning_rate.is_finite() && learning_rate > 0.0) {
        let what = format!("`learning_rate` is {learning_rate}: it must be above 0");
        return Err(Failure::setting("learning_rate", what));
    }
    let optimizer = registries.optimizers.make(section)?;
    optimizer.check()?;
    Ok((optimizer, learning_rate))
}

fn schedule(section: Option<Section<'_>>, registries: &Registries) -> Result<Schedule> {
    let Some(mut section) = section else { return Ok(Schedule::default()) };
    let warm_up = section.take_or("warm_up_steps", 0_u64)?;
    let schedule = Schedule { warm_up, kind: registries.schedules.make(section)? };
    schedule.check()?;
    Ok(schedule)
}
