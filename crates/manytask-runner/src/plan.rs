//! What a configuration asks for, read and checked without touching data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use manytask_data::{BatchOrder, LastBatch};
use manytask_meta::{Execution, Learner, MetaSettings};
use manytask_multitask::{AggregatorSettings, Batches, Task};
use manytask_nn::Precision;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Metric;
use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;
use manytask_tensor::DeviceChoice;
use serde::{Deserialize, Serialize};

use crate::config::{Section, Source, Spot};
use crate::data::DataSettings;
use crate::episodes::{BackboneSettings, EpisodeSettings};
use crate::failure::Result;
use crate::network::NetworkPlan;
use crate::registries::Registries;

mod training;

pub use self::training::TrainingSection;

/// A configuration, read.
#[derive(Debug)]
pub struct Plan {
    /// What every draw is keyed by.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// What layers compute in.
    pub precision: Precision,
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
    /// For mistakes that show when data are read or the network is built.
    pub places: Places,
}

/// Where the sections of a configuration stand.
#[derive(Debug)]
pub struct Places {
    /// `[data]`.
    pub data: Spot,
    /// `[network]`.
    pub network: Spot,
    /// `[aggregator]`.
    pub aggregator: Spot,
    /// `[training]`.
    pub training: Spot,
    /// The whole configuration.
    pub everything: Spot,
}

/// The problem of a configuration.
#[derive(Debug)]
pub enum Work {
    /// Tasks on rows.
    Rows(RowsPlan),
    /// Tasks drawn anew at each step.
    Episodes(EpisodesPlan),
}

/// Tasks drawn anew at each step, for a learner.
#[derive(Debug)]
pub struct EpisodesPlan {
    pub(crate) source: Box<dyn EpisodeSettings>,
    pub(crate) network: Box<dyn BackboneSettings>,
    pub(crate) learner: Arc<dyn Learner>,
    pub(crate) settings: MetaSettings,
}

/// Tasks on rows with a shared trunk.
#[derive(Debug)]
pub struct RowsPlan {
    pub(crate) data: Box<dyn DataSettings>,
    pub(crate) network: NetworkPlan,
    pub(crate) tasks: BTreeMap<String, TaskSection>,
    pub(crate) batches: Batches,
    pub(crate) only: Vec<String>,
}

/// `[tasks.NAME]`; `[tasks.default]` is for all that are not named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskSection {
    /// What is minimised.
    pub loss: Option<Loss>,
    /// What is reported, the primary figure first.
    pub metrics: Option<Vec<Metric>>,
}

impl Plan {
    /// Reads a configuration.
    ///
    /// # Errors
    /// At the first mistake, with its place (exit code 3).
    pub fn read(source: &Source, registries: &Registries) -> Result<Self> {
        let mut whole = source.section()?;
        let everything = whole.spot();
        let seed = whole.take_or("seed", 0_u64)?;
        let device: String = whole.take_or("device", "cpu".to_owned())?;
        let device = device.parse::<DeviceChoice>().map_err(|error| everything.place(error))?;
        let precision = whole.take_or("precision", Precision::default())?;
        let threads = whole.take::<usize>("threads")?;
        if threads == Some(0) {
            return Err(everything.fault("`threads` is 0; leave it out to use every core"));
        }
        let mut data = whole.required_table("data")?;
        let of_data = data.spot();
        let folder = data.take::<PathBuf>("folder")?.unwrap_or_default();
        let folder = source.folder().join(folder);
        let mut training = whole.required_table("training")?;
        let of_training = training.spot();
        let section = TrainingSection::read(&mut training)?;
        let (optimizer, learning_rate) = optimizer(whole.required_table("optimizer")?, registries)?;
        let schedule = schedule(whole.table("schedule")?, registries)?;
        let aggregator = whole.required_table("aggregator")?;
        let of_aggregator = aggregator.spot();
        let aggregator = registries.aggregators.make(aggregator)?;
        let network = whole.required_table("network")?;
        let places = Places {
            data: of_data,
            network: network.spot(),
            aggregator: of_aggregator,
            training: of_training,
            everything,
        };
        let work = if let Some(learner) = whole.table("learner")? {
            let evaluation = whole.table("evaluation")?;
            Work::Episodes(episodes(data, network, learner, training, evaluation, registries)?)
        } else {
            if let Some(kind) = data.peek("kind").filter(|kind| registries.episodes.has(kind)) {
                let what = format!("`{kind}` gives episodes, and the configuration has no [learner]");
                return Err(data.fault(&what).hint("add one, e.g. [learner] with kind = \"maml\""));
            }
            Work::Rows(rows(data, network, whole.table("tasks")?, training, registries)?)
        };
        whole.finish()?;
        Ok(Self {
            seed,
            device,
            precision,
            threads,
            folder,
            aggregator,
            optimizer,
            learning_rate,
            schedule,
            training: section,
            work,
            places,
        })
    }
}

fn episodes(
    data: Section<'_>,
    network: Section<'_>,
    learner: Section<'_>,
    mut training: Section<'_>,
    evaluation: Option<Section<'_>>,
    registries: &Registries,
) -> Result<EpisodesPlan> {
    let usual = MetaSettings::default();
    let spot = training.spot();
    let mut settings = MetaSettings {
        tasks_per_step: training.take_or("tasks_per_step", usual.tasks_per_step)?,
        execution: training.take_or("execution", usual.execution)?,
        ..usual
    };
    if settings.tasks_per_step == 0 {
        return Err(spot.fault("`tasks_per_step` is 0"));
    }
    if settings.execution == Execution::Threads(0) {
        return Err(spot.fault("`execution` is in 0 threads"));
    }
    training.finish()?;
    if let Some(mut section) = evaluation {
        settings.evaluation_tasks = section.take_or("tasks", usual.evaluation_tasks)?;
        settings.evaluation_queries = section.take("queries")?;
        settings.evaluation_steps = section.take("inner_steps")?;
        settings.evaluation_seed = section.take_or("seed", usual.evaluation_seed)?;
        if settings.evaluation_tasks == 0 || settings.evaluation_queries == Some(0) {
            return Err(section.fault("[evaluation] has a number that is 0"));
        }
        section.finish()?;
    }
    Ok(EpisodesPlan {
        source: registries.episodes.make(data)?,
        network: registries.backbones.make(network)?,
        learner: registries.learners.make(learner)?,
        settings,
    })
}

fn optimizer(mut section: Section<'_>, registries: &Registries) -> Result<(Optimizer, f64)> {
    let spot = section.spot();
    let learning_rate: f64 = section.required("learning_rate")?;
    if !(learning_rate.is_finite() && learning_rate > 0.0) {
        return Err(spot.fault(format!("`learning_rate` is {learning_rate}: it must be above 0")));
    }
    let optimizer = registries.optimizers.make(section)?;
    optimizer.check().map_err(|error| spot.place(error))?;
    Ok((optimizer, learning_rate))
}

fn schedule(section: Option<Section<'_>>, registries: &Registries) -> Result<Schedule> {
    let Some(mut section) = section else { return Ok(Schedule::default()) };
    let spot = section.spot();
    let warm_up = section.take_or("warm_up_steps", 0_u64)?;
    let schedule = Schedule { warm_up, course: registries.schedules.make(section)? };
    schedule.check().map_err(|error| spot.place(error))?;
    Ok(schedule)
}

fn rows(
    data: Section<'_>,
    network: Section<'_>,
    tasks: Option<Section<'_>>,
    mut training: Section<'_>,
    registries: &Registries,
) -> Result<RowsPlan> {
    let spot = training.spot();
    let batches = Batches {
        size: training.take_or("batch_size", Batches::default().size)?,
        order: training.take_or("batch_order", BatchOrder::default())?,
        last: training.take_or("last_batch", LastBatch::default())?,
    };
    if batches.size == 0 {
        return Err(spot.fault("`batch_size` is 0"));
    }
    let only = training.take_or("only_tasks", Vec::new())?;
    training.finish()?;
    let mut described = BTreeMap::new();
    if let Some(mut tasks) = tasks {
        for (name, section) in tasks.tables()? {
            described.insert(name, section.rest::<TaskSection>()?);
        }
    }
    Ok(RowsPlan {
        data: registries.data.make(data)?,
        network: NetworkPlan::read(network, registries)?,
        tasks: described,
        batches,
        only,
    })
}

impl RowsPlan {
    /// The tasks with what `[tasks]` says of them.
    ///
    /// # Errors
    /// When it names a task that is not there, or a loss or metric does not fit.
    pub(crate) fn describe(&self, tasks: Vec<Task>) -> Result<Vec<Task>> {
        let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        let sections = self.tasks.keys().map(|name| ("[tasks]", name)).filter(|(_, name)| *name != "default");
        let only = self.only.iter().map(|name| ("`only_tasks`", name));
        for (place, name) in sections.chain(only) {
            if !names.contains(&name.as_str()) {
                let failure = crate::failure::Failure::new(
                    crate::failure::Code::Config,
                    format!("{place} names `{name}`, which is no task"),
                );
                return Err(match crate::config::nearest(name, names.iter().copied()) {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None => failure.hint(format!("the tasks are {}", names.join(", "))),
                });
            }
        }
        let described = tasks.into_iter().map(|mut task| {
            for section in [self.tasks.get("default"), self.tasks.get(&task.name)].into_iter().flatten() {
                if let Some(loss) = &section.loss {
                    task.loss = loss.clone();
                }
                if let Some(metrics) = &section.metrics {
                    task.metrics.clone_from(metrics);
                }
            }
            task.check()?;
            Ok(task)
        });
        described.collect()
    }
}
