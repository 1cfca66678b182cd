//! Writing checkpoints: folders that are whole or absent, and two files that name the best and the latest.

use std::path::Path;

use manytask_tensor::ShownPath as _;
use manytask_tensor::io::{exchange, sync_folder};

use super::seal::{Cause, Seal};
use super::which::{name_of, step_of};
use super::{CHECKPOINTS, RunFolder, WRITING, Which};
use crate::failure::{Failure, Result};

/// A checkpoint to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// After how many steps.
    pub step: u64,
    /// Whether these parameters are the best so far.
    pub best: bool,
    /// How many of the latest checkpoints stay, beside the best; at least one.
    pub keep: usize,
    /// Why it is written.
    pub cause: Cause,
}

/// Whether the checkpoint that a training calls its best is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BestKept {
    /// It is, or there is none yet.
    Yes,
    /// It is not.
    No,
}

impl RunFolder {
    /// Writes a checkpoint with `save`, which is given an empty folder, then names it `latest` and, if it is, `best`, and
    /// removes those that are not to be kept. Gives the old ones that could not be removed, each with the reason.
    ///
    /// # Errors
    /// Those of `save`, and when the disk does not take it; the checkpoints before are still there then.
    pub fn checkpoint(
        &self,
        written: Written,
        save: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Vec<String>> {
        let all = self.path().join(CHECKPOINTS);
        let name = name_of(written.step);
        let (writing, done) = (all.join(format!("{WRITING}{name}")), all.join(&name));
        remove(&writing)?;
        fs_err::create_dir(&writing)?;
        let sealed = save(&writing).and_then(|()| Seal::put(&writing, written.step, written.cause));
        if let Err(failure) = sealed {
            // What is left of it must not look like a checkpoint; that it could not be written is what counts.
            let _ = remove(&writing);
            return Err(failure);
        }
        sync(&writing)?;
        let name_best = || self.write(&format!("{CHECKPOINTS}/{}", Which::Best), name.as_bytes());
        if done.is_dir() {
            // The same parameters, perhaps with another state beside them.
            if written.best {
                name_best()?;
            }
            if exchange(&writing, &done).is_err() {
                remove(&done)?;
                fs_err::rename(&writing, &done)?;
            }
            sync(&all)?;
        } else {
            fs_err::rename(&writing, &done)?;
            sync(&all)?;
            if written.best {
                // Before `latest`: a run that goes on from `latest` knows of the best one at that step.
                name_best()?;
            }
        }
        self.write(&format!("{CHECKPOINTS}/{}", Which::Latest), name.as_bytes())?;
        self.prune(written)
    }

    /// Names the checkpoint after so many steps as the latest where none is named.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn name_latest(&self, step: u64) -> Result<()> {
        match self.named(Which::Latest)? {
            Some(_) => Ok(()),
            None => self.write(&format!("{CHECKPOINTS}/{}", Which::Latest), name_of(step).as_bytes()),
        }
    }

    /// Names the checkpoint that a training calls its best, after it went back to an earlier step perhaps.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn set_best(&self, best: Option<u64>) -> Result<BestKept> {
        // A damaged name is put right.
        let named = self.named(Which::Best).ok().flatten();
        let file = format!("{CHECKPOINTS}/{}", Which::Best);
        match best {
            Some(best) if self.at_step(best).is_dir() => {
                if named != Some(best) {
                    self.write(&file, name_of(best).as_bytes())?;
                }
                Ok(BestKept::Yes)
            }
            _ => {
                match fs_err::remove_file(self.path().join(file)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
                Ok(if best.is_some() { BestKept::No } else { BestKept::Yes })
            }
        }
    }

    /// Removes the checkpoints that are neither the best nor to be kept, and what a killed run has written after this step.
    /// Nothing else that lies there is touched.
    fn prune(&self, written: Written) -> Result<Vec<String>> {
        let best = self.named(Which::Best)?;
        let (mut kept, mut surplus) = (1, Vec::new());
        for step in self.steps()? {
            if best == Some(step) || step == written.step {
                continue;
            }
            let by_time = || Seal::read(&self.at_step(step)).is_ok_and(|seal| seal.cause == Cause::Time);
            if step > written.step || kept >= written.keep || by_time() {
                surplus.push(self.at_step(step));
            } else {
                kept += 1;
            }
        }
        let all = self.path().join(CHECKPOINTS);
        surplus.push(all.join(format!("{WRITING}{}", name_of(written.step))));
        let left = surplus.iter().filter_map(|path| Some(remove(path).err()?.to_string()));
        Ok(left.collect())
    }
}

/// Whether a name is one of a checkpoint that was not finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.strip_prefix(WRITING).and_then(step_of).is_some()
}

/// Removes a folder if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Makes the names in a folder survive a loss of power, where the file system can.
fn sync(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Failure::new(crate::failure::Code::Data, format!("{}: {error}", folder.shown()))
    };
    sync_folder(folder).map(|_| ()).map_err(failed)
}
