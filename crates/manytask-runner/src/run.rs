//! The folder of a run: `config.toml`, `manifest.json`, `metrics.jsonl`, TensorBoard's file and checkpoints.

mod checkpoints;
mod create;
mod find;
mod manifest;
mod metrics;
mod seal;
mod tensorboard;
#[cfg(test)]
mod tests;
mod validation;
mod which;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use manytask_tensor::ShownPath as _;
use manytask_tensor::io::{Support, is_unsupported, sync_folder, write_atomically};

pub use self::checkpoints::{BestKept, Written};
pub use self::create::Exact;
pub(crate) use self::create::check as check_name;
pub(crate) use self::find::{of_checkpoint, step_of_folder};
pub(crate) use self::manifest::now;
pub use self::manifest::{Change, Manifest};
pub use self::metrics::{Form, Metrics, Origin, Record, Split, UpTo};
pub use self::seal::Cause;
pub use self::tensorboard::TensorBoard;
pub(crate) use self::validation::{records_of, validation_of};
pub use self::which::Which;
use crate::failure::{Code, Failure, Result};

/// The effective configuration.
pub const CONFIG: &str = "config.toml";
/// How files become inputs.
pub const SCHEMA: &str = "schema.json";
/// The metrics at the end.
pub const RESULTS: &str = "results.json";
/// What is known of the run beside its configuration.
pub const MANIFEST: &str = "manifest.json";
/// What a study of several runs trains, in its folder.
pub(crate) const STUDY: &str = "study.json";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
const CHECKPOINTS: &str = "checkpoints";
/// Before the names of files and folders that are not whole yet.
const WRITING: &str = ".writing-";

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Kept against other processes that would write; the system frees it with the process, however that ends.
    _lock: Option<File>,
    notes: Vec<String>,
}

impl RunFolder {
    /// Opens the folder of a run to go on in it, and removes what a killed process has left half-written.
    ///
    /// # Errors
    /// When it is no run (exit code 4), or another process works in it (7).
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::lock(Self::view(path)?.path)?;
        folder.sweep()?;
        Ok(folder)
    }

    /// Opens the folder of a run to read, also while a training goes on in it, and where nothing may be written.
    ///
    /// # Errors
    /// When it is no run (exit code 4).
    pub fn view(path: &Path) -> Result<Self> {
        if !path.join(CONFIG).is_file() {
            if is_study(path) {
                let what = format!("{} is the folder of a study of several runs", path.shown());
                return Err(
                    Failure::new(Code::Data, what).hint("name one of the runs in its folder `members`")
                );
            }
            return Err(Failure::new(Code::Data, format!("{} is not the folder of a run", path.shown()))
                .hint("name a folder that `manytask train` has made, such as runs/quickstart"));
        }
        Ok(Self { path: path.to_owned(), _lock: None, notes: Vec::new() })
    }

    /// Locks a folder against other processes that would write into it.
    pub(crate) fn lock(path: PathBuf) -> Result<Self> {
        let name = path.join(LOCK);
        let file =
            fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&name)?.into_parts().0;
        let mut notes = Vec::new();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("{}: another process works in this folder", path.shown());
                return Err(Failure::new(Code::InUse, what).hint("wait for it, or end it first"));
            }
            Err(TryLockError::Error(error)) if is_unsupported(&error) => notes.push(format!(
                "the file system of {} has no locks ({error}): see to it that no second process works in this run",
                path.shown()
            )),
            Err(TryLockError::Error(error)) => {
                let what = format!("{}: cannot be locked: {error}", name.shown());
                return Err(Failure::new(Code::Data, what));
            }
        }
        let synced = sync_folder(&path)
            .map_err(|error| Failure::new(Code::Data, format!("{}: {error}", path.shown())))?;
        if synced == Support::Absent {
            notes.push(format!(
                "the file system of {} cannot secure names against a loss of power: after one, the last checkpoint may be gone",
                path.shown()
            ));
        }
        Ok(Self { path, _lock: Some(file), notes })
    }

    /// What the user should know of the file system.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        Ok(write_atomically(&self.path.join(name), content)?)
    }

    /// Writes what is known of the run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.write(MANIFEST, &json(manifest)?)
    }

    /// What is known of the run.
    ///
    /// # Errors
    /// When it is missing or damaged (exit code 6).
    pub fn manifest(&self) -> Result<Manifest> {
        read_json(&self.path.join(MANIFEST))
    }

    /// Opens `metrics.jsonl` to go on behind a step; later lines are cut off.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn metrics(&self, up_to: UpTo) -> Result<Metrics> {
        Metrics::open(&self.path.join(METRICS), up_to)
    }

    /// Opens a new file for TensorBoard, which takes back what earlier files have of steps after `resumed`, where that is
    /// given.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tensorboard(&self, resumed: Option<u64>) -> Result<TensorBoard> {
        TensorBoard::create(&self.path, resumed)
    }

    /// Removes what a process that was killed has left half-written. What cannot be removed stays.
    fn sweep(&self) -> Result<()> {
        for entry in fs_err::read_dir(self.path())? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_temporary) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
        for entry in fs_err::read_dir(self.path().join(CHECKPOINTS))? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Some(name) if is_temporary(name) => drop(fs_err::remove_file(entry.path())),
                Some(name) if checkpoints::is_unfinished(name) => {
                    drop(fs_err::remove_dir_all(entry.path()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a folder is that of a study of several runs.
pub(crate) fn is_study(path: &Path) -> bool {
    path.join(STUDY).is_file()
}

/// Whether a name is that of a file on its way to its own name: the prefix and six characters.
fn is_temporary(name: &str) -> bool {
    let behind = name.strip_prefix(WRITING);
    behind.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A value as JSON with a last line end.
///
/// # Errors
/// When it has no form in JSON: a mistake in the program.
pub fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|error| Failure::new(Code::Bug, error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a file of a run.
///
/// # Errors
/// When it is missing (exit code 4) or damaged (6).
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs_err::read(path)?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::new(Code::Checkpoint, format!("{}: is damaged: {error}", path.shown())))
}
