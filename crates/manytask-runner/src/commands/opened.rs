//! A run that is judged, continued or predicts: its folder, its configuration with changes, and its data wherever they are now.

use std::path::PathBuf;

use manytask_tensor::ShownPath as _;

use super::changes::{self, Purpose};
use crate::config::{Source, changed_keys};
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::{Plan, Work};
use crate::postprocessing::Fitted;
use crate::registries::Registries;
use crate::report::say;
use crate::run::{CONFIG, Manifest, RESULTS, RunFolder, Which, of_checkpoint};

/// A run with its configuration.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) folder: RunFolder,
    /// What is known of the run; to be judged and to predict it is not needed.
    pub(super) manifest: Option<Manifest>,
    /// The configuration, with the changes behind it.
    pub(super) source: Source,
    /// The keys that the changes change.
    pub(super) changed: Vec<String>,
    /// The sections of the configuration that were changed since the run began, though they cannot change.
    pub(super) edited: Vec<String>,
    purpose: Purpose,
}

impl Opened {
    /// Reads what there is of a run without its data, and says what was changed by hand.
    pub(super) fn new(folder: RunFolder, overrides: &[String], purpose: Purpose) -> Result<Self> {
        let manifest = match folder.manifest() {
            Ok(manifest) => Some(manifest),
            Err(failure) if purpose != Purpose::Resume => {
                say(&format!(
                    "note: {failure}: whether data and configuration are those of the training is not known"
                ));
                None
            }
            Err(failure) => return Err(of_checkpoint(failure)),
        };
        let path = folder.path().join(CONFIG);
        let plain = Source::read(&path, &[])?;
        let source = Source::read(&path, overrides)?;
        let own = plain.effective()?;
        let changed = changed_keys(&own, &source.effective()?);
        purpose.check(&changed)?;
        let mut edited = Vec::new();
        if let Some(manifest) = &manifest
            && digest(&fs_err::read(&path)?) != manifest.config_digest
        {
            if !manifest.fixed.is_empty() {
                edited = changes::differing(&manifest.fixed, &changes::fixed(&own));
            }
            let what = if edited.is_empty() { String::new() } else { format!(": {}", edited.join(", ")) };
            say(&format!("note: {} was changed since this run began{what}", path.shown()));
        }
        Ok(Self { folder, manifest, source, changed, edited, purpose })
    }

    /// What the configuration asks for, on a device that there is.
    pub(super) fn plan(&self, registries: &Registries) -> Result<Plan> {
        let mut plan = Plan::read(&self.source, registries)?;
        if let Err(error) = plan.device.resolve()
            && !self.changed.iter().any(|key| key == "device")
        {
            if self.purpose == Purpose::Resume {
                let failure = self.source.locate(Failure::from(error).within("device"));
                return Err(failure.hint("continue on the processor with --device cpu"));
            }
            say(&format!("note: {error}: computed on the processor"));
            plan.device = manytask_tensor::DeviceChoice::Cpu;
        }
        // Whatever it began with, it has parameters of its own once there is a checkpoint.
        if self.purpose != Purpose::Resume
            || self.folder.find(Which::Latest).is_ok_and(|found| found.is_some())
        {
            plan.training.init_from = None;
            if let Work::Episodes(episodes) = &mut plan.work {
                episodes.weights = None;
            }
        }
        Ok(plan)
    }

    /// What was fitted for the predictions of its parameters of this step, where anything was.
    pub(super) fn fitted(&self, step: u64) -> Result<Option<Fitted>> {
        let written = self.manifest.as_ref().and_then(|manifest| manifest.results_digest.as_deref());
        let Some(fitted) = Fitted::of_run(&self.folder.path().join(RESULTS), written)? else {
            return Ok(None);
        };
        if fitted.step != step {
            say(&format!(
                "note: calibration, thresholds and intervals of this run belong to its parameters of step {}: these of step {step} go without",
                fitted.step
            ));
            return Ok(None);
        }
        Ok(Some(fitted))
    }

    /// The run with its data: where the configuration says, or where they are as seen from the run's folder.
    pub(super) fn load(&self, registries: &Registries) -> Result<Experiment> {
        let mut first = None;
        for place in self.places() {
            let mut plan = self.plan(registries)?;
            let moved = place.is_some();
            if let Some(place) = place {
                plan.folder = place;
            }
            let folder = plan.folder.clone();
            let loaded = Experiment::load(plan);
            match loaded.and_then(|experiment| self.fits(&experiment).map(|()| experiment)) {
                Ok(experiment) => {
                    if moved {
                        say(&format!("note: the data are taken from {}", folder.shown()));
                    }
                    return Ok(experiment);
                }
                Err(failure) if matches!(failure.code, Code::Data | Code::Checkpoint) => {
                    first.get_or_insert(failure);
                }
                Err(failure) => return Err(first.unwrap_or(failure)),
            }
        }
        let failure = first.unwrap_or_else(|| Failure::new(Code::Data, "the run has no data"));
        Err(if failure.code == Code::Data {
            failure.hint("if the data were moved, say where they are with data.folder=FOLDER")
        } else {
            failure
        })
    }

    /// Whether the course of the training was changed at this step, now or in a process that ended before its next checkpoint.
    pub(super) fn goes_on_anew(&self, step: u64) -> bool {
        let course =
            |key: &str| ["training.", "optimizer.", "schedule."].iter().any(|of| key.starts_with(of));
        let last = self
            .manifest
            .iter()
            .filter_map(|manifest| manifest.history.last())
            .find(|last| last.step == step);
        let before = last.into_iter().flat_map(|last| &last.changes);
        self.changed.iter().chain(before).any(|key| course(key))
    }

    /// Where the data may be: `None` is where the configuration says.
    fn places(&self) -> Vec<Option<PathBuf>> {
        let mut places = vec![None];
        let told = self.changed.iter().any(|key| key == "data.folder");
        let from_run = self.manifest.as_ref().and_then(|manifest| manifest.data_folder.as_ref());
        if let Some(from_run) = from_run.filter(|_| !told) {
            let place = fs_err::canonicalize(self.folder.path().join(from_run)).ok();
            places.extend(place.filter(|place| place.is_dir()).map(Some));
        }
        places
    }

    /// Refuses other data, or the same in other parts, than those of the run.
    fn fits(&self, experiment: &Experiment) -> Result<()> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let run = self.folder.path().shown();
        let refuse = |what: &str, hint: &str| {
            Err(Failure::new(Code::Checkpoint, format!("{run}: {what} since this run began")).hint(hint))
        };
        if experiment.digest != manifest.data_digest {
            return refuse(
                "the data have changed",
                "bring the old files back, say where they are with data.folder=FOLDER, or train anew with `manytask train`",
            );
        }
        if !manifest.split_digest.is_empty() && experiment.split_digest != manifest.split_digest {
            return refuse(
                "the split of the data has changed",
                "bring the old [data] back into its config.toml, or train anew with `manytask train`",
            );
        }
        Ok(())
    }
}
