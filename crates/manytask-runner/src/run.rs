//! The folder of a run: `config.toml`, `manifest.json`, `metrics.jsonl`, TensorBoard's file and checkpoints.

mod checkpoints;
mod manifest;
mod metrics;
mod tensorboard;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use manytask_tensor::io::write_atomically;

pub use self::checkpoints::Written;
pub(crate) use self::checkpoints::of_checkpoint;
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
/// What is known of the run beside its configuration.
pub const MANIFEST: &str = "manifest.json";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
const CHECKPOINTS: &str = "checkpoints";
/// Before the names of files and folders that are not whole yet.
const WRITING: &str = ".writing-";

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

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Kept against other processes that would write; the system frees it with the process, however that ends.
    _lock: Option<File>,
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
                    let folder = fs_err::create_dir(path.join(CHECKPOINTS)).map_err(Failure::from);
                    return folder.and_then(|()| Self::lock(path.clone())).inspect_err(|_| {
                        // It was made here, and is of no use.
                        let _ = fs_err::remove_dir_all(&path);
                    });
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
            return Err(Failure::new(Code::Data, format!("{} is not the folder of a run", path.display()))
                .hint("name a folder that `manytask train` has made, such as runs/quickstart"));
        }
        Ok(Self { path: path.to_owned(), _lock: None })
    }

    /// Removes a folder that was made for a run which could not begin.
    pub fn discard(self) {
        // What hindered the run hinders this perhaps as well; the run's failure is what is told.
        let _ = fs_err::remove_dir_all(&self.path);
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let name = path.join(LOCK);
        let file =
            fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&name)?.into_parts().0;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: Some(file) }),
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

    /// Opens a new file for TensorBoard, which takes back what earlier files have of steps after `resumed`, where that is
    /// given.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tensorboard(&self, resumed: Option<u64>) -> Result<TensorBoard> {
        TensorBoard::create(&self.path, resumed)
    }

    /// Removes what has the name of something half-written.
    fn sweep(&self) -> Result<()> {
        for folder in [self.path.clone(), self.path.join(CHECKPOINTS)] {
            for entry in fs_err::read_dir(folder)? {
                let entry = entry?;
                if !entry.file_name().to_string_lossy().starts_with(WRITING) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs_err::remove_dir_all(entry.path())?;
                } else {
                    fs_err::remove_file(entry.path())?;
                }
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
