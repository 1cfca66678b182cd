//! The folder of a run: `config.toml`, `manifest.json`, `metrics.jsonl`, TensorBoard's file and checkpoints.

mod manifest;
mod metrics;
mod tensorboard;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use manytask_tensor::io::{sync_folder, write_atomically};

pub use self::manifest::Manifest;
pub use self::metrics::Metrics;
pub use self::tensorboard::TensorBoard;
use crate::failure::{Code, Failure, Result};

/// The effective configuration.
pub const CONFIG: &str = "config.toml";
/// How files become inputs.
pub const SCHEMA: &str = "schema.json";
/// The figures at the end.
pub const RESULTS: &str = "results.json";
const MANIFEST: &str = "manifest.json";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
const CHECKPOINTS: &str = "checkpoints";

/// Which checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// The one with the best validation figure.
    Best,
    /// The last one.
    Latest,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Latest => "latest",
        }
    }
}

/// The folder of a run, locked against other processes for as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock goes with it.
    _lock: File,
}

impl RunFolder {
    /// Makes a new folder `runs/NAME`, or `runs/NAME-2` and so on where that is taken; with `exact` it must be free.
    ///
    /// # Errors
    /// When it cannot be made, or an exact name is taken (exit code 2).
    pub fn create(runs: &Path, name: &str, exact: Exact) -> Result<Self> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(Failure::new(Code::Usage, format!("`{name}` is no name for a run"))
                .hint("take letters, digits, - and _"));
        }
        fs_err::create_dir_all(runs)?;
        for number in 1.. {
            let path = runs.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
            match fs_err::create_dir(&path) {
                Ok(()) => {
                    fs_err::create_dir(path.join(CHECKPOINTS))?;
                    return Self::lock(path);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    if exact == Exact::Yes {
                        return Err(Failure::new(
                            Code::Usage,
                            format!("{} is there already", path.display()),
                        )
                        .hint(format!(
                            "continue it with `manytask resume {}`, or take another name",
                            path.display()
                        )));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::new(Code::Data, format!("no name is left for {}", runs.join(name).display())))
    }

    /// Opens the folder of a run.
    ///
    /// # Errors
    /// When it is no run (exit code 4), or another process works in it (7).
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join(CONFIG).is_file() {
            return Err(Failure::new(Code::Data, format!("{} is not the folder of a run", path.display()))
                .hint("name a folder that `manytask train` has made, such as runs/quickstart"));
        }
        Self::lock(path.to_owned())
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let name = path.join(LOCK);
        let file =
            fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&name)?.into_parts().0;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Code::InUse,
                format!("{}: another process works in this folder", path.display()),
            )
            .hint("wait for it, or end it first")),
            Err(TryLockError::Error(error)) => {
                Err(Failure::new(Code::Data, format!("{}: cannot be locked: {error}", name.display())))
            }
        }
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

    /// Opens `metrics.jsonl` behind the last line of a step up to `step`; later lines are cut off.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn metrics(&self, step: u64) -> Result<Metrics> {
        Metrics::open(&self.path.join(METRICS), step)
    }

    /// Opens a new file for TensorBoard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tensorboard(&self) -> Result<TensorBoard> {
        TensorBoard::create(&self.path)
    }

    /// Writes a checkpoint with `save`, which is given an empty folder, then names it `latest` and, if it is, `best`, and
    /// removes those that are neither.
    ///
    /// # Errors
    /// Those of `save`, and when the disk does not take it; the checkpoints before are still there then.
    pub fn checkpoint(&self, step: u64, best: bool, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let all = self.path.join(CHECKPOINTS);
        let name = format!("step-{step}");
        let (writing, done) = (all.join(format!(".writing-{name}")), all.join(&name));
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
        if best {
            self.write(&format!("{CHECKPOINTS}/{}", Which::Best.name()), name.as_bytes())?;
        }
        self.write(&format!("{CHECKPOINTS}/{}", Which::Latest.name()), name.as_bytes())?;
        self.prune()
    }

    /// The folder of a checkpoint; `None` before the first. Without a best one the latest is it.
    ///
    /// # Errors
    /// When it is named but not there (exit code 6).
    pub fn find(&self, which: Which) -> Result<Option<PathBuf>> {
        let all = self.path.join(CHECKPOINTS);
        let read = |which: Which| match fs_err::read_to_string(all.join(which.name())) {
            Ok(name) => Ok(Some(all.join(name.trim()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io(&error)),
        };
        let found = match read(which)? {
            None if which == Which::Best => read(Which::Latest)?,
            found => found,
        };
        match found {
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

    fn prune(&self) -> Result<()> {
        let keep = [self.find(Which::Best)?, self.find(Which::Latest)?];
        for entry in fs_err::read_dir(self.path.join(CHECKPOINTS))? {
            let path = entry?.path();
            if path.is_dir() && !keep.contains(&Some(path.clone())) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether a name is taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exact {
    /// The user has chosen it.
    Yes,
    /// A number may follow.
    No,
}

/// Removes a folder if it is there.
fn remove(folder: &Path) -> Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
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
        .map_err(|error| Failure::new(Code::Checkpoint, format!("{}: is damaged: {error}", path.display())))
}
