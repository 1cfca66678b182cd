//! Checkpoints: folders that are whole or absent, and two files that name the best and the latest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manytask_multitask::PARAMS;
use manytask_tensor::io::sync_folder;
use manytask_tensor::{Device, Layout, Params, checkpoint};

use super::{CHECKPOINTS, RunFolder, WRITING, Which};
use crate::failure::{Code, Failure, Result};

/// Before the number of steps in the name of a checkpoint.
const STEP: &str = "step-";

/// A checkpoint to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// After how many steps.
    pub step: u64,
    /// Whether these parameters are the best so far.
    pub best: bool,
    /// How many of the latest checkpoints stay, beside the best; at least one.
    pub keep: usize,
}

impl RunFolder {
    /// Writes a checkpoint with `save`, which is given an empty folder, then names it `latest` and, if it is, `best`, and
    /// removes those that are not to be kept.
    ///
    /// # Errors
    /// Those of `save`, and when the disk does not take it; the checkpoints before are still there then.
    pub fn checkpoint(&self, written: Written, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let all = self.path().join(CHECKPOINTS);
        let name = format!("{STEP}{}", written.step);
        let (writing, done) = (all.join(format!("{WRITING}{name}")), all.join(&name));
        remove(&writing)?;
        fs_err::create_dir(&writing)?;
        if let Err(failure) = save(&writing) {
            // What is left of it must not look like a checkpoint; that it could not be written is what counts.
            let _ = remove(&writing);
            return Err(failure);
        }
        sync_folder(&writing)?;
        // The same step again, after a run was killed between two lines below: the same content.
        remove(&done)?;
        fs_err::rename(&writing, &done)?;
        sync_folder(&all)?;
        if written.best {
            // Before `latest`: a run that goes on from `latest` knows of the best one at that step.
            self.write(&format!("{CHECKPOINTS}/{}", Which::Best.name()), name.as_bytes())?;
        }
        self.write(&format!("{CHECKPOINTS}/{}", Which::Latest.name()), name.as_bytes())?;
        self.prune(written)
    }

    /// The folder of a checkpoint; `None` before the first. Without a best one the latest is it.
    ///
    /// # Errors
    /// When it is named but not there (exit code 6).
    pub fn find(&self, which: Which) -> Result<Option<PathBuf>> {
        let found = match self.named(which)? {
            None if which == Which::Best => self.named(Which::Latest)?,
            found => found,
        };
        match found.map(|name| self.path().join(CHECKPOINTS).join(name)) {
            Some(path) if !path.is_dir() => {
                let what = format!(
                    "{}: this checkpoint is named by `{}` but not there",
                    path.display(),
                    which.name()
                );
                Err(Failure::new(Code::Checkpoint, what))
            }
            found => Ok(found),
        }
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
            return Err(Failure::new(
                Code::Checkpoint,
                format!("{} has no checkpoint", self.path().display()),
            )
            .hint("it was ended before its first one: start it again with `manytask resume`"));
        };
        let (params, about) = checkpoint::load(&found.join(PARAMS), layout, device).map_err(of_checkpoint)?;
        Ok((params, about.get("step").and_then(|step| step.parse().ok()).unwrap_or_default()))
    }

    /// The name of a checkpoint that is the best or the latest.
    fn named(&self, which: Which) -> Result<Option<String>> {
        match fs_err::read_to_string(self.path().join(CHECKPOINTS).join(which.name())) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io(&error)),
        }
    }

    /// Removes what is neither the best nor one of the latest, and what a killed run has written after this step.
    fn prune(&self, written: Written) -> Result<()> {
        let best = self.named(Which::Best)?;
        let (mut older, mut others) = (Vec::new(), Vec::new());
        for entry in fs_err::read_dir(self.path().join(CHECKPOINTS))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_dir() || best.as_ref() == Some(&name) {
                continue;
            }
            match name.strip_prefix(STEP).and_then(|step| step.parse::<u64>().ok()) {
                Some(step) if step <= written.step => older.push((step, entry.path())),
                _ => others.push(entry.path()),
            }
        }
        older.sort();
        let surplus = older.len().saturating_sub(written.keep.max(1));
        let older = older.into_iter().take(surplus).map(|(_, path)| path);
        older.chain(others).try_for_each(|path| remove(&path))
    }
}

/// Whatever hinders reading a checkpoint, it is the checkpoint that does not fit.
pub(crate) fn of_checkpoint(error: impl Into<Failure>) -> Failure {
    match error.into() {
        Failure { code: Code::Data | Code::Config | Code::Bug, message, hints } => {
            Failure { code: Code::Checkpoint, message, hints }
        }
        other => other,
    }
}

/// Removes a folder if it is there.
fn remove(folder: &Path) -> Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
