//! A plan with its data: what can be trained.

mod first;
mod load;
mod rows;

use std::path::Path;
use std::time::{Duration, Instant};

use manytask_data::DataReport;
use manytask_multitask::{Aggregator, Problem, Split, Trainer, Training, check};
use manytask_tensor::{Device, Kind, Params, threads};

use self::first::{first_from, first_with};
use self::load::{few_threads, with_episodes, with_rows};
use crate::data::{Detail, say_report};
use crate::device;
use crate::failure::{Result, Within as _};
use crate::plan::{KEEP_CHECKPOINTS, LOG_EVERY_STEPS, Plan, SAVE_EVERY_MINUTES, Work, threads_of};
use crate::postprocessing::{Fitted, Postprocessing, no_validation};
use crate::report::say;
use crate::schema::InputSchema;

/// A problem with everything that is needed to train it.
#[derive(Debug)]
pub struct Experiment {
    /// The problem.
    pub problem: Box<dyn Problem>,
    /// How files become inputs, for `predict`.
    pub schema: Option<InputSchema>,
    /// How it is trained.
    pub training: Training,
    /// Where it computes.
    pub device: Device,
    /// Threads of each kernel.
    pub threads: usize,
    /// A digest of the data.
    pub digest: String,
    /// A digest of the data and of what they are split into.
    pub split_digest: String,
    /// What was read of the data.
    pub report: DataReport,
    /// The part that the result is reported on.
    pub judged_by: Split,
    /// What is to be said before a training.
    notes: Vec<String>,
    /// The tasks of the data, also those that `only_tasks` leaves out.
    all_tasks: Vec<String>,
    pub(crate) plan: Plan,
}

impl Experiment {
    /// Whether `adapt` has the trained learner label files: pictures out of folders, or rows of a table.
    pub(crate) fn adapts(&self) -> bool {
        match &self.plan.work {
            Work::Episodes(episodes) => {
                episodes.source.pictures().is_some() || episodes.source.table().is_some()
            }
            Work::Rows(_) => false,
        }
    }

    /// Reads the data and builds the network.
    ///
    /// # Errors
    /// When data are missing or damaged, or do not have what the plan names.
    pub fn load(plan: Plan) -> Result<Self> {
        let source = plan.source.clone();
        Self::load_unlocated(plan).map_err(|failure| source.locate(failure))
    }

    fn load_unlocated(plan: Plan) -> Result<Self> {
        plan.check()?;
        let (device, of_device) = device::open(&plan)?;
        let threads = threads_of(&plan);
        let obtained = threads::obtainable(threads);
        threads::set(obtained).within("threads")?;
        let loaded = match &plan.work {
            Work::Rows(rows) => with_rows(&plan, rows, device)?,
            Work::Episodes(episodes) => with_episodes(&plan, episodes, device)?,
        };
        let training = plan.training(loaded.problem.steps_per_epoch())?;
        Ok(Self {
            problem: loaded.problem,
            schema: loaded.schema,
            training: Training { monitor: loaded.monitor, ..training },
            device,
            threads: obtained,
            digest: loaded.digest,
            split_digest: loaded.split_digest,
            report: loaded.report,
            judged_by: loaded.judged_by,
            notes: of_device.into_iter().chain(few_threads(threads, obtained)).chain(loaded.notes).collect(),
            all_tasks: loaded.all_tasks,
            plan,
        })
    }

    /// A training before its first step.
    ///
    /// # Errors
    /// When the aggregator needs what the problem has not, or settings are out of range.
    pub fn trainer(&self) -> Result<Trainer<'_>> {
        self.trainer_around(Ok)
    }

    /// As [`Experiment::trainer`], with another aggregator around that of the plan.
    ///
    /// # Errors
    /// As [`Experiment::trainer`].
    pub(crate) fn trainer_around(
        &self,
        around: impl FnOnce(Box<dyn Aggregator>) -> manytask_multitask::Result<Box<dyn Aggregator>>,
    ) -> Result<Trainer<'_>> {
        self.trainer_unlocated(around).map_err(|failure| self.plan.source.locate(failure))
    }

    fn trainer_unlocated(
        &self,
        around: impl FnOnce(Box<dyn Aggregator>) -> manytask_multitask::Result<Box<dyn Aggregator>>,
    ) -> Result<Trainer<'_>> {
        for note in &self.notes {
            say(note);
        }
        let (trainer, notes) = self.prepared(around)?;
        for note in &notes {
            say(note);
        }
        Ok(trainer)
    }

    /// A training, and what is to be said of its parameters.
    fn prepared(
        &self,
        around: impl FnOnce(Box<dyn Aggregator>) -> manytask_multitask::Result<Box<dyn Aggregator>>,
    ) -> Result<(Trainer<'_>, Vec<String>)> {
        let aggregator = self.plan.aggregator.build_for_some(self.problem.tasks(), &self.all_tasks);
        let aggregator = around(aggregator.within("aggregator")?)?;
        check(aggregator.as_ref(), self.problem.as_ref()).within("aggregator")?;
        self.ready()?;
        let (start, mut notes) = self.first().within("network")?;
        notes.extend(self.frozen()?);
        let trainer = Trainer::new(self.problem.as_ref(), aggregator, self.training.clone(), &start);
        Ok((trainer.within("training")?, notes))
    }

    /// How long a step takes, the median of some of a training that is given up; `None` where a step fails.
    ///
    /// # Errors
    /// As [`Experiment::trainer`].
    pub(crate) fn time_of_a_step(&self) -> Result<Option<Duration>> {
        // The first ones open libraries and record what is launched as a whole.
        const WARM: usize = 4;
        const STEPS: usize = 24;
        const LONGEST: Duration = Duration::from_millis(500);
        let (mut trainer, _) = self.prepared(Ok)?;
        let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
        for number in 0..WARM + STEPS {
            let start = Instant::now();
            if trainer.try_step().is_err() {
                return Ok(None);
            }
            let time = start.elapsed();
            if number >= WARM {
                times.push(time);
            }
            spent += time;
            if spent > LONGEST && times.len() > 2 {
                break;
            }
        }
        times.sort();
        Ok(times.get(times.len() / 2).copied())
    }

    /// What is to be said of what is held still.
    fn frozen(&self) -> Result<Option<String>> {
        let (freeze, layout) = (&self.training.freeze, self.problem.layout());
        let slots = freeze.slots(layout).within("training")?;
        if slots.is_empty() {
            return Ok(None);
        }
        let trained = layout.trained();
        let held = slots.iter().filter(|slot| trained.contains(slot)).count();
        let training = self.plan.settings.get("training").and_then(toml::Value::as_table);
        let begins = training.is_some_and(|training| training.contains_key("init_from"));
        let how = match freeze.after {
            0 if begins => String::new(),
            0 => " as they are drawn, since there is no `init_from`".to_owned(),
            steps => format!(" after the {steps} steps of [pretraining]"),
        };
        let all = trained.len();
        Ok(Some(format!("note: {held} of {all} parameters are frozen{how}: {}", freeze.parts.join(", "))))
    }

    /// What is fitted on the validation split to the predictions of these parameters, with what is to be said of it; `None` where no
    /// task asks for anything.
    ///
    /// # Errors
    /// When memory runs out.
    pub(crate) fn postprocessed(&self, params: &Params, step: u64) -> Result<Option<(Fitted, Vec<String>)>> {
        let Work::Rows(rows) = &self.plan.work else { return Ok(None) };
        if rows.postprocessed().is_none() {
            return Ok(None);
        }
        let outputs = self.problem.outputs(params, Split::Validation)?;
        let asked: Vec<Postprocessing> =
            outputs.iter().map(|outputs| rows.postprocessing(&outputs.name, outputs.output)).collect();
        Ok(Some(Fitted::fit(&asked, &outputs, step)))
    }

    /// Says what was read of the data, and what is odd about them.
    pub fn say_data(&self, detail: Detail) {
        say_report(&self.report, detail);
    }

    /// Refuses parts that cannot give what the training, its validation or the evaluation at its end take from them.
    fn ready(&self) -> Result<()> {
        if let Work::Rows(rows) = &self.plan.work
            && let Some(key) = rows.postprocessed()
            && !self.problem.offers().validation
        {
            return Err(no_validation(key));
        }
        let validated = self.training.validate_every.is_some() && self.problem.offers().validation;
        // Without a step no task is trained on.
        let trained = (self.training.steps > 0).then_some(Split::Train);
        let splits = [trained, validated.then_some(Split::Validation), Some(self.judged_by)];
        for split in splits.into_iter().flatten() {
            // What rows need to be trained on is a matter of batches.
            let of_batches = split == Split::Train && matches!(self.plan.work, Work::Rows(_));
            self.problem.ready(split).within(if of_batches { "training" } else { "data" })?;
        }
        Ok(())
    }

    /// Steps between two lines of training losses.
    pub fn log_every(&self) -> u64 {
        self.plan.training.log_every_steps.unwrap_or(LOG_EVERY_STEPS)
    }

    /// The time between two checkpoints by the clock.
    pub fn save_every(&self) -> Duration {
        let minutes = self.plan.training.save_every_minutes.unwrap_or(SAVE_EVERY_MINUTES);
        Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX)
    }

    /// What a step and an evaluation work on, with the keys that say so.
    pub(crate) fn work(&self) -> String {
        match &self.plan.work {
            Work::Rows(rows) => format!("a step works on {} rows (`batch_size`)", rows.batches.size),
            Work::Episodes(episodes) => format!(
                "a step works on {} tasks (`tasks_per_step`), an evaluation on {} (`tasks` of [evaluation])",
                episodes.settings.tasks_per_step, episodes.settings.evaluation_tasks
            ),
        }
    }

    /// Where the relative paths of its data start.
    pub fn data_folder(&self) -> &Path {
        &self.plan.folder
    }

    /// How many of the latest checkpoints stay, beside the best.
    pub fn keep_checkpoints(&self) -> usize {
        self.plan.training.keep_checkpoints.unwrap_or(KEEP_CHECKPOINTS)
    }

    /// The parameters before the first step.
    ///
    /// # Errors
    /// When memory runs out, or the run that they are taken from does not fit.
    pub fn start(&self) -> Result<Params> {
        Ok(self.first()?.0)
    }

    /// The same, with what is to be said of them.
    fn first(&self) -> Result<(Params, Vec<String>)> {
        let drawn = self.problem.layout().init(self.plan.seed, Kind::Float, self.device)?;
        if let Work::Episodes(episodes) = &self.plan.work
            && let Some(weights) = episodes.weights(drawn.layout())?
        {
            return first_with(&drawn, weights);
        }
        match &self.plan.training.init_from {
            None => Ok((drawn, Vec::new())),
            Some(run) => first_from(&drawn, run, self.schema.as_ref()),
        }
    }
}
