use std::collections::{BTreeMap, HashSet};

use manytask_data::{Augmentation, BatchOrder, LastBatch, TaskSampling};
use manytask_multitask::{Architecture, Batches, Execution, Task};
use manytask_nn::Precision;
use manytask_nn::calibration::{Calibration, Decision};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::{Metric, Output};
use manytask_tensor::{KeyPath, Segment};
use serde::{Deserialize, Serialize};

use crate::config::Section;
use crate::data::{DataSettings, OutlinedInputs};
use crate::failure::{Failure, Result, Within as _};
use crate::network::NetworkPlan;
use crate::postprocessing::Postprocessing;
use crate::registries::Registries;

/// Tasks on rows.
#[derive(Debug)]
pub struct RowsPlan {
    pub(crate) data: Box<dyn DataSettings>,
    pub(crate) network: NetworkPlan,
    pub(crate) tasks: BTreeMap<String, TaskSection>,
    pub(crate) batches: Batches,
    pub(crate) execution: Execution,
    pub(crate) only: Vec<String>,
    /// The task by whose labels batches are balanced.
    pub(crate) balance: Option<String>,
}

/// `[tasks.NAME]`; `[tasks.default]` is for all that are not named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskSection {
    /// What is minimised.
    pub loss: Option<Loss>,
    /// What is reported, the primary metric first.
    pub metrics: Option<Vec<Metric>>,
    /// How probabilities are calibrated on the validation split; left out: they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What decisions are to be best by on the validation split; left out: `predict` gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How often sets of classes and intervals are to hold the truth; left out: `predict` gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

impl RowsPlan {
    pub(super) fn read(
        data: Section<'_>,
        network: Section<'_>,
        tasks: Option<Section<'_>>,
        mut training: Section<'_>,
        registries: &Registries,
    ) -> Result<Self> {
        let batches = Batches {
            size: training.take_or("batch_size", Batches::default().size)?,
            order: training.take_or("batch_order", BatchOrder::default())?,
            last: training.take_or("last_batch", LastBatch::default())?,
            sampling: training.take_or("task_sampling", TaskSampling::default())?,
            augment: training.take_or("augment", Augmentation::default())?,
        };
        let execution = training.take_or("execution", Execution::default())?;
        batches.augment.check().map_err(Failure::from).within(["training", "augment"])?;
        if batches.size == 0 {
            return Err(Failure::setting(["training", "batch_size"], "`batch_size` is 0"));
        }
        let only = training.take_or("only_tasks", Vec::new())?;
        let balance: Option<String> = training.take("balance")?;
        if balance.is_some() && batches.order == BatchOrder::Sequential {
            let what = "`balance` with batches in the order of the rows, of which none is drawn";
            return Err(Failure::setting(["training", "balance"], what).hint("leave one of both out"));
        }
        training.finish()?;
        let mut described = BTreeMap::new();
        if let Some(mut tasks) = tasks {
            for (name, section) in tasks.tables()? {
                described.insert(name, section.rest::<TaskSection>()?);
            }
        }
        Ok(Self {
            data: registries.data.make(data)?,
            network: NetworkPlan::read(network, registries).within("network")?,
            tasks: described,
            batches,
            execution,
            only,
            balance,
        })
    }

    /// The tasks with what `[tasks]` says of them.
    ///
    /// # Errors
    /// When it names a task that is not there, or a loss or metric does not fit.
    pub(crate) fn describe(&self, tasks: Vec<Task>) -> Result<Vec<Task>> {
        let names: HashSet<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        let section = |name| ("[tasks]", name, KeyPath::from(["tasks", name]));
        let sections = self.tasks.keys().filter(|name| *name != "default").map(|name| section(name.as_str()));
        let only = self.only.iter().enumerate();
        let only = only.map(|(number, name)| {
            ("`only_tasks`", name.as_str(), KeyPath::from(["training", "only_tasks"]).then(number))
        });
        let balance = self.balance.iter();
        let balance =
            balance.map(|name| ("`balance`", name.as_str(), KeyPath::from(["training", "balance"])));
        if let Some((place, name, key)) =
            sections.chain(only).chain(balance).find(|(_, name, _)| !names.contains(name))
        {
            let what = format!("{place} names `{name}`, which is no task");
            let failure = Failure::setting(key, what);
            return Err(match crate::config::nearest(name, names.iter().copied()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("the tasks are {}", listed(&tasks))),
            });
        }
        let described = tasks.into_iter().map(|mut task| {
            for section in [self.tasks.get("default"), self.tasks.get(&task.name)].into_iter().flatten() {
                section.apply(&mut task);
            }
            self.check_task(&task)?;
            Ok(task)
        });
        let described: Vec<Task> = described.collect::<Result<_>>()?;
        self.check_postprocessing(&described)?;
        Ok(described)
    }

    /// What is made of the predictions of a task.
    pub(crate) fn postprocessing(&self, task: &str, output: Output) -> Postprocessing {
        let of = |name: &str| self.tasks.get(name).map(TaskSection::postprocessing).unwrap_or_default();
        of(task).or(of("default")).of_output(output)
    }

    /// Whether any task's predictions are postprocessed, with a key that says so.
    pub(crate) fn postprocessed(&self) -> Option<KeyPath> {
        self.tasks.iter().find_map(|(name, section)| {
            Some(KeyPath::from(["tasks", name.as_str()]).then(section.postprocessing().first_key()?))
        })
    }

    /// Refuses what is for no task, or for another kind of task than the one that it is written for.
    fn check_postprocessing(&self, tasks: &[Task]) -> Result<()> {
        for (name, section) in &self.tasks {
            let own: Vec<Output> = tasks
                .iter()
                .filter(|task| name == "default" || task.name == *name)
                .map(|task| task.output)
                .collect();
            section.postprocessing().check(&own).within(["tasks", name.as_str()])?;
        }
        Ok(())
    }

    /// Refuses a loss or a metric that does not fit, where it is written: for the task, or for all.
    fn check_task(&self, task: &Task) -> Result<()> {
        let own = self.tasks.get(&task.name);
        task.check().map_err(|error| {
            let failure = Failure::from(error);
            let written = match failure.key().and_then(|key| key.segments().first()) {
                Some(Segment::Key(key)) if key == "loss" => own.is_some_and(|own| own.loss.is_some()),
                Some(Segment::Key(key)) if key == "metrics" => own.is_some_and(|own| own.metrics.is_some()),
                _ => own.is_some(),
            };
            failure.within(["tasks", if written { task.name.as_str() } else { "default" }])
        })
    }

    /// A task of each form that `[tasks]` gives to tasks like `task`, whose names only the data have.
    ///
    /// # Errors
    /// When a loss or metric does not fit.
    pub(crate) fn variants(&self, task: &Task) -> Result<Vec<Task>> {
        let default = self.tasks.get("default");
        let own = self.tasks.iter().filter(|(name, _)| *name != "default");
        let own = own.map(|(name, section)| (name.as_str(), Some(section)));
        let described = std::iter::once((task.name.as_str(), None)).chain(own).map(|(name, section)| {
            let mut task = Task { name: name.to_owned(), ..task.clone() };
            default.into_iter().chain(section).for_each(|section| section.apply(&mut task));
            self.check_task(&task)?;
            Ok(task)
        });
        let described: Vec<Task> = described.collect::<Result<_>>()?;
        self.check_postprocessing(&described)?;
        Ok(described)
    }

    /// The network for inputs like these, in a single stream, and no more tasks than tell its form: what it has at least.
    ///
    /// # Errors
    /// When a size or a share is impossible, or the architecture is not for such tasks.
    pub(crate) fn outlined_network(
        &self,
        inputs: OutlinedInputs,
        tasks: &[Task],
        precision: Precision,
    ) -> Result<Box<dyn Architecture>> {
        const MANY: usize = 64;
        let mut sizes = HashSet::new();
        let few = tasks.len() <= MANY;
        let shown = |task: &&Task| few || sizes.insert(task.outputs);
        let mut tasks: Vec<Task> = tasks.iter().filter(shown).cloned().collect();
        if tasks.is_empty() {
            tasks = ["task0", "task1"].map(|name| Task::new(name, Output::Binary, 1)).into();
        }
        for task in &mut tasks {
            task.outputs = task.outputs.max(1);
        }
        self.network.build(&inputs.sizes(), &tasks, precision)
    }

    /// The tasks that `only_tasks` leaves.
    pub(crate) fn kept(&self, tasks: Vec<Task>) -> Vec<Task> {
        let only: HashSet<&String> = self.only.iter().collect();
        tasks.into_iter().filter(|task| only.is_empty() || only.contains(&task.name)).collect()
    }
}

impl TaskSection {
    fn postprocessing(&self) -> Postprocessing {
        Postprocessing { calibration: self.calibration, decision: self.decision, coverage: self.coverage }
    }

    fn apply(&self, task: &mut Task) {
        if let Some(loss) = &self.loss {
            task.loss = loss.clone();
        }
        if let Some(metrics) = &self.metrics {
            task.metrics.clone_from(metrics);
        }
        if let (0, Loss::CrossEntropy { class_weights: Some(weights), .. }) = (task.outputs, &task.loss) {
            task.outputs = weights.len() as i64;
        }
    }
}

/// The names of the first tasks.
fn listed(tasks: &[Task]) -> String {
    const SHOWN: usize = 20;
    let mut names: Vec<&str> = tasks.iter().take(SHOWN).map(|task| task.name.as_str()).collect();
    let more = tasks.len().saturating_sub(SHOWN);
    let rest = format!("and {more} more");
    names.extend((more > 0).then_some(rest.as_str()));
    names.join(", ")
}
