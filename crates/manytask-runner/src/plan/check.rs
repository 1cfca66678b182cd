//! What can be refused before any data are read: all that `train` would say of the configuration alone.

use std::collections::BTreeMap;

use manytask_multitask::{Evaluation, Freeze, Identity, Monitor, Needs, Offers, Task, Training, check_for};
use manytask_nn::schedule::ScheduleKind;
use manytask_tensor::{KeyPath, Owner};

use super::{EpisodesPlan, Plan, RowsPlan, Work};
use crate::data::{OutlinedInputs, OutlinedTasks};
use crate::failure::{Failure, Result, Within as _};

impl Plan {
    /// Refuses what is impossible, or has no effect, whatever the data hold.
    ///
    /// # Errors
    /// At the first mistake, with its place (exit code 3).
    pub fn check(&self) -> Result<()> {
        self.check_unlocated().map_err(|failure| self.source.locate(failure))
    }

    fn check_unlocated(&self) -> Result<()> {
        self.check_validation()?;
        self.check_start()?;
        if let Some(run) = &self.training.init_from {
            crate::run::RunFolder::view(run)?;
        }
        match &self.work {
            Work::Rows(rows) => {
                self.training(Some(1))?;
                self.check_rows(rows)
            }
            Work::Episodes(episodes) => {
                self.training(None)?;
                self.check_episodes(episodes)
            }
        }
    }

    /// How the loop trains, where an epoch has so many steps.
    ///
    /// # Errors
    /// When a setting is out of range, or epochs are counted where there are none.
    pub(crate) fn training(&self, steps_per_epoch: Option<u64>) -> Result<Training> {
        let section = &self.training;
        let steps = section.total(steps_per_epoch).ok_or_else(|| {
            let what = "[training] counts `epochs`, but tasks are sampled without end";
            Failure::setting(["training", "epochs"], what).hint("set `steps` instead")
        })?;
        let training = Training {
            seed: self.seed,
            steps,
            learning_rate: self.learning_rate,
            optimizer: self.optimizer.clone(),
            schedule: self.schedule.clone(),
            clip_norm: section.clip_norm,
            validate_every: section.validate_every(steps_per_epoch),
            save_every: section.save_every_steps,
            diagnose_every: section.diagnose_every_steps,
            monitor: section.monitor.clone().unwrap_or_default(),
            early_stopping: section.early_stopping,
            freeze: self.freeze(),
            average: section.average,
        };
        training.check().within("training")?;
        Ok(training)
    }

    /// What is held still, after the steps of a pretraining.
    pub(crate) fn freeze(&self) -> Freeze {
        let pretraining = match &self.work {
            Work::Rows(_) => None,
            Work::Episodes(episodes) => episodes.pretraining.and_then(|section| section.steps),
        };
        Freeze { parts: self.training.freeze.clone(), after: pretraining.unwrap_or(0) }
    }

    /// The monitor of a training of `kept` out of `all` tasks. One that looks at what `only_tasks` leaves out is passed over,
    /// which the second answer says.
    ///
    /// # Errors
    /// When no task or metric has its name.
    pub(crate) fn monitor(&self, all: &[Task], kept: &[Task]) -> Result<(Monitor, Option<String>)> {
        let schema = |tasks: &[Task]| Evaluation::new(tasks.iter().map(Task::evaluation_schema).collect());
        let monitor = self.training.monitor.clone().unwrap_or_default();
        monitor.read(&schema(all)).within(["training", "monitor"])?;
        let kept = schema(kept);
        if monitor.read(&kept).is_ok() {
            return Ok((monitor, None));
        }
        let wider = Monitor { task: None, weights: BTreeMap::default(), ..monitor.clone() };
        let instead = if wider.read(&kept).is_ok() { wider } else { Monitor::default() };
        let of = monitor.task.map_or(String::new(), |task| format!(" of `{task}`"));
        let note = format!(
            "note: `monitor` is the {}{of}, which `only_tasks` leaves out: the mean {} of the tasks that are trained decides instead",
            monitor.metric, instead.metric
        );
        Ok((instead, Some(note)))
    }

    /// Refuses two things that the network would begin with.
    fn check_start(&self) -> Result<()> {
        if let Work::Episodes(episodes) = &self.work
            && episodes.weights.is_some()
            && self.training.init_from.is_some()
        {
            let what = "the network begins with `weights` of [network], and with `init_from` of [training]";
            return Err(Failure::setting(["training", "init_from"], what).hint("leave one of them out"));
        }
        Ok(())
    }

    /// Refuses settings that look at a validation split where none is looked at.
    fn check_validation(&self) -> Result<()> {
        let section = &self.training;
        if let Work::Rows(rows) = &self.work
            && let Some(key) = rows.postprocessed()
            && self.has_validation()? == Some(false)
        {
            return Err(crate::postprocessing::no_validation(key));
        }
        let when = match &self.work {
            Work::Rows(_) => "set `validate_every_epochs` or `validate_every_steps`",
            Work::Episodes(_) => "set `validate_every_steps`",
        };
        if section.validates() {
            return match self.has_validation()? {
                Some(false) => {
                    let key = section.validate_key();
                    let what = format!("`{key}` is set, but the data have no validation split");
                    Err(Failure::setting(["training", key], what).hint("give the split one, or leave it out"))
                }
                _ => Ok(()),
            };
        }
        let idle = |key: KeyPath, what: &str| {
            let what = format!("{what} has no effect: no validation split is looked at");
            Err(Failure::setting(key, what).hint(format!("{when}, or leave it out")))
        };
        if section.early_stopping.is_some() {
            return idle(["training", "early_stopping"].into(), "`early_stopping`");
        }
        if section.monitor.is_some() {
            return idle(["training", "monitor"].into(), "`monitor`");
        }
        if matches!(self.schedule.kind, ScheduleKind::Plateau { .. }) {
            return idle("schedule".into(), "[schedule] `plateau`");
        }
        Ok(())
    }

    /// Whether there is a validation split, where the settings of the data say so.
    fn has_validation(&self) -> Result<Option<bool>> {
        Ok(match &self.work {
            Work::Rows(rows) => rows.data.outline().within("data")?.validation,
            Work::Episodes(episodes) => {
                episodes.source.outline().within("data")?.map(|outline| outline.validation)
            }
        })
    }

    fn check_rows(&self, rows: &RowsPlan) -> Result<()> {
        let outline = rows.data.outline().within("data")?;
        if outline.embeds == Some(false) && rows.network.sets_embedding() {
            let what = "`embedding` has no effect: no column is embedded";
            return Err(Failure::setting(["network", "embedding"], what)
                .hint("name columns under `inputs.embedding`, or leave it out"));
        }
        if outline.numbers == Some(false) && rows.network.embeds_numbers() {
            let what = "`periodic` has no effect: no input is a number as it is";
            return Err(Failure::setting(["network", "periodic"], what).hint(
                "name columns under `inputs.numeric` with another `scale` than \"piecewise\", or leave it out",
            ));
        }
        let validation = outline.validation.unwrap_or(true);
        let embeds = outline.embeds != Some(false);
        let (all, single_input) = match outline.tasks {
            OutlinedTasks::Unknown => {
                return self.check_unnamed(rows, (outline.inputs, &[]), (true, embeds, validation));
            }
            OutlinedTasks::Alike(task) => {
                let tasks = rows.variants(&task)?;
                return self.check_unnamed(rows, (outline.inputs, &tasks), (false, embeds, validation));
            }
            OutlinedTasks::Named(tasks) => (rows.describe(tasks)?, true),
        };
        let kept = rows.kept(all.clone());
        self.monitor(&all, &kept)?;
        let offers = self.check_network(rows, (outline.inputs, &kept), (single_input, embeds, validation))?;
        let names = |tasks: &[Task]| tasks.iter().map(|task| task.name.clone()).collect::<Vec<_>>();
        self.check_aggregator(Some((&names(&kept), &names(&all))), Identity::Fixed, offers).map(|_| ())
    }

    /// Refuses a network that cannot be built, is not for these tasks (where there are any), or whose training does not fit
    /// into memory. Answers with what it offers to aggregators.
    fn check_network(
        &self,
        rows: &RowsPlan,
        (inputs, tasks): (OutlinedInputs, &[Task]),
        (single_input, embeds, validation): (bool, bool, bool),
    ) -> Result<Offers> {
        rows.network.check_pixels(tasks).within("network")?;
        let network = rows.outlined_network(inputs, tasks, self.precision).within("network")?;
        if !tasks.is_empty() {
            network.check(tasks, single_input).within("network")?;
        }
        let layout = network.layout();
        // Otherwise there may be entries that are not known here.
        if single_input && !embeds {
            self.freeze().slots(layout).within("training")?;
        }
        if inputs.is_least() {
            self.check_network_memory(layout)?;
        }
        let shares =
            layout.entries().iter().any(|entry| entry.role.is_trained() && entry.owner == Owner::Shared);
        Ok(Offers {
            // Tables of embedded columns are shared in every architecture.
            shared: shares || embeds,
            representation: single_input && network.bottleneck().is_some(),
            validation,
            preference: network.preferences().is_some(),
        })
    }

    /// Checks what does not depend on the names of the tasks, which only the data have.
    fn check_unnamed(
        &self,
        rows: &RowsPlan,
        form: (OutlinedInputs, &[Task]),
        known: (bool, bool, bool),
    ) -> Result<()> {
        let offers = self.check_network(rows, form, known)?;
        self.check_aggregator(None, Identity::Fixed, offers).map(|_| ())
    }

    fn check_episodes(&self, episodes: &EpisodesPlan) -> Result<()> {
        let outline = episodes.source.outline().within("data")?;
        episodes.settings.check()?;
        let validation = outline.as_ref().is_none_or(|outline| outline.validation);
        let offers = Offers { shared: true, representation: false, validation, preference: false };
        let needs = self.check_aggregator(None, Identity::Resampled, offers)?;
        if let Some(outline) = outline {
            let pretraining = self.pretraining(episodes, Some(outline.form.output))?;
            // How many classes there are, the data say.
            let pretraining = pretraining.map(|pretraining| (pretraining, 2));
            let model = episodes.build(&outline.form, pretraining, self.precision)?;
            self.freeze().slots(model.layout()).within("training")?;
            episodes.weights(model.layout()).within("network")?;
            self.check_episode_memory(episodes, &outline, model.layout(), &needs)?;
        } else {
            self.pretraining(episodes, None)?;
        }
        Ok(())
    }

    /// Builds the aggregator for some of all tasks; where their names are not known, for those that it names itself. Answers with
    /// what it needs.
    fn check_aggregator(
        &self,
        tasks: Option<(&[String], &[String])>,
        identity: Identity,
        offers: Offers,
    ) -> Result<Needs> {
        let built = match tasks {
            Some((kept, all)) => self.aggregator.build_for_some(kept, all),
            None => self.aggregator.build(&self.aggregator.named()),
        };
        let aggregator = built.within("aggregator")?;
        check_for(aggregator.as_ref(), identity, offers).within("aggregator")?;
        Ok(aggregator.needs())
    }
}
