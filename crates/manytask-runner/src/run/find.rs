//! Finding a run's checkpoints, whole ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manytask_multitask::{PARAMS, STATE};
use manytask_tensor::ShownPath as _;
use manytask_tensor::{Device, Layout, Params, checkpoint};
use serde::Deserialize;

use super::seal::Seal;
use super::which::{name_of, step_of};
use super::{CHECKPOINTS, RunFolder, Which};
use crate::failure::{Code, Failure, Result};
use crate::report::say;

/// What of a training's state is needed to tell which checkpoint is the best.
#[derive(Deserialize)]
struct State {
    best: Option<Best>,
}

#[derive(Deserialize)]
struct Best {
    step: u64,
}

impl RunFolder {
    /// The folder of a checkpoint, in which every file is as it was written; `None` before the first. Without a best one the
    /// latest is it.
    ///
    /// # Errors
    /// When it is named but not there, or damaged (exit code 6), with the newest one that is whole.
    pub fn find(&self, which: Which) -> Result<Option<PathBuf>> {
        let step = self.step(which).map_err(|failure| self.with_whole(failure, None))?;
        let Some(step) = step else { return Ok(None) };
        let path = self.at_step(step);
        let checked = if path.is_dir() {
            Seal::check(&path, step).map_err(of_checkpoint)
        } else {
            let what = format!("{}: there is no such checkpoint", path.shown());
            let by = if which == Which::Step(step) {
                String::new()
            } else {
                format!(", though `{which}` names it")
            };
            Err(Failure::new(Code::Checkpoint, what + &by))
        };
        checked.map_err(|failure| self.with_whole(failure, Some(step)))?;
        Ok(Some(path))
    }

    /// The parameters of a checkpoint, and after how many steps they were.
    ///
    /// # Errors
    /// When there is no checkpoint, or it is damaged or of another network (exit code 6).
    pub fn params(&self, which: Which, layout: &Arc<Layout>, device: Device) -> Result<(Params, u64)> {
        const TRIES: usize = 3;
        let mut tries = 1;
        loop {
            let read = self.find(which).and_then(|found| self.read_params(found, layout, device));
            // A training that goes on in this folder may have taken a newer one and removed this, and it is quick.
            match read {
                Err(failure) if failure.code == Code::Checkpoint && tries < TRIES => tries += 1,
                read => return read,
            }
        }
    }

    fn read_params(
        &self,
        found: Option<PathBuf>,
        layout: &Arc<Layout>,
        device: Device,
    ) -> Result<(Params, u64)> {
        let Some(found) = found else {
            return Err(Failure::new(Code::Checkpoint, format!("{} has no checkpoint", self.path().shown()))
                .hint("it was ended before its first one: start it again with `manytask resume`"));
        };
        let (params, about) = checkpoint::load(&found.join(PARAMS), layout, device).map_err(of_checkpoint)?;
        Ok((params, about.get("step").and_then(|step| step.parse().ok()).unwrap_or_default()))
    }

    /// After how many steps the latest or best checkpoint was; `None` before the first.
    pub(super) fn step(&self, which: Which) -> Result<Option<u64>> {
        let latest = match which {
            Which::Step(step) => return Ok(Some(step)),
            _ => self.named(Which::Latest)?,
        };
        let Some(latest) = latest else {
            return match self.steps()?.as_slice() {
                [] => Ok(None),
                // The first one of a process that ended, or met a full disk, before it named it.
                [only] => {
                    say(&format!(
                        "note: {}; {} is taken, the only checkpoint",
                        self.missing(Which::Latest).message,
                        name_of(*only)
                    ));
                    Ok(Some(*only))
                }
                _ => Err(self.missing(Which::Latest)),
            };
        };
        if which == Which::Latest {
            return Ok(Some(latest));
        }
        // What the latest checkpoint knows of the best one; a damaged one is noticed where it is read.
        let state = fs_err::read(self.at_step(latest).join(STATE)).ok();
        let known = state.and_then(|text| serde_json::from_slice::<State>(&text).ok());
        let known = known.and_then(|state| Some(state.best?.step));
        match (self.named(Which::Best)?, known) {
            (None, Some(_)) => Err(self.missing(Which::Best)),
            // A training that was ended between the two files has named a newer one as the best.
            (Some(best), Some(known)) if best != known && best < latest => {
                let what = format!(
                    "{}: names `{}`, but `{}` is the best",
                    self.path().join(CHECKPOINTS).join("best").shown(),
                    name_of(best),
                    name_of(known)
                );
                Err(Failure::new(Code::Checkpoint, what))
            }
            (best, _) => Ok(best.or(Some(latest))),
        }
    }

    /// The checkpoint that the file `best` or `latest` names; `None` without the file.
    pub(super) fn named(&self, which: Which) -> Result<Option<u64>> {
        let path = self.path().join(CHECKPOINTS).join(which.to_string());
        let name = match fs_err::read(&path) {
            Ok(name) => String::from_utf8_lossy(&name).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::new(Code::Checkpoint, error.to_string())),
        };
        let damaged = || {
            let what = format!("{}: is damaged: it names no checkpoint", path.shown());
            Failure::new(Code::Checkpoint, what)
        };
        step_of(name.trim_end()).map(Some).ok_or_else(damaged)
    }

    /// The steps of all checkpoints, the newest first.
    pub(super) fn steps(&self) -> Result<Vec<u64>> {
        let mut steps = Vec::new();
        for entry in fs_err::read_dir(self.path().join(CHECKPOINTS))? {
            let entry = entry?;
            let step = entry.file_name().to_str().and_then(step_of);
            if entry.file_type()?.is_dir() {
                steps.extend(step);
            }
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// The folder of the checkpoint after so many steps.
    pub(super) fn at_step(&self, step: u64) -> PathBuf {
        self.path().join(CHECKPOINTS).join(name_of(step))
    }

    fn missing(&self, which: Which) -> Failure {
        let path = self.path().join(CHECKPOINTS).join(which.to_string());
        Failure::new(Code::Checkpoint, format!("{}: is missing", path.shown()))
    }

    /// Says which checkpoint can be taken instead of one that cannot.
    fn with_whole(&self, failure: Failure, broken: Option<u64>) -> Failure {
        let steps = self.steps().unwrap_or_default();
        let whole = |step: &u64| Some(*step) != broken && Seal::check(&self.at_step(*step), *step).is_ok();
        match steps.into_iter().find(whole) {
            Some(step) => {
                let name = name_of(step);
                failure.hint(format!("the last whole checkpoint is {name}: take it with --checkpoint {name}"))
            }
            None => failure.hint("no other checkpoint of this run is whole: train it anew"),
        }
    }
}

/// Whatever hinders reading a checkpoint, it is the checkpoint that does not fit.
pub(crate) fn of_checkpoint(error: impl Into<Failure>) -> Failure {
    match error.into() {
        failure if matches!(failure.code, Code::Data | Code::Config | Code::Bug) => {
            Failure { code: Code::Checkpoint, ..failure }
        }
        other => other,
    }
}

/// The step of a checkpoint's folder.
pub(crate) fn step_of_folder(path: &Path) -> Option<u64> {
    path.file_name()?.to_str().and_then(step_of)
}
