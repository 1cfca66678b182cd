//! Making the folder of a run: aside, with its configuration in it, and then given its name in one move.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use manytask_tensor::ShownPath as _;
use manytask_tensor::io::sync_folder;

use super::checkpoints::{is_unfinished, remove};
use super::{CHECKPOINTS, CONFIG, LOCK, MANIFEST, RunFolder, SCHEMA, WRITING, is_temporary};
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};

/// Whether a name is taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exact {
    /// The user has chosen it.
    Yes,
    /// A number may follow.
    No,
}

/// The longest name of a run in bytes: file systems have 255 for a name, and a number may follow.
const LONGEST: usize = 200;

/// Behind [`WRITING`], before what tells two processes apart.
const ASIDE: &str = "run-";

impl RunFolder {
    /// Makes a new folder `runs/NAME`, or `runs/NAME-2` and so on where that is taken; with an exact name it must be free.
    /// It appears with all of these files at once. A folder in which no run has begun is taken over.
    ///
    /// # Errors
    /// When it cannot be made (exit code 4), or the name is none or taken (2).
    pub fn create(runs: &Path, name: &str, exact: Exact, files: &[(&str, &[u8])]) -> Result<Self> {
        check(name)?;
        fs_err::create_dir_all(runs)?;
        sweep(runs);
        let folder = Self::aside(runs)?;
        let made = folder.fill(files).and_then(|()| take_name(folder.path(), runs, name, exact));
        match made {
            Ok(path) => Ok(Self { path, ..folder }),
            Err(mut failure) => {
                // The name that the user knows.
                let aside = folder.path().shown().to_string();
                failure.message = failure.message.replace(&aside, &runs.join(name).shown().to_string());
                folder.discard();
                Err(failure)
            }
        }
    }

    /// An empty folder of a run without a name, locked.
    fn aside(runs: &Path) -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = runs.join(format!("{WRITING}{ASIDE}{}-{}", std::process::id(), since.as_nanos()));
        fs_err::create_dir(&path)?;
        Self::lock(path.clone()).inspect_err(|_| {
            let _ = remove(&path);
        })
    }

    fn fill(&self, files: &[(&str, &[u8])]) -> Result<()> {
        fs_err::create_dir(self.path().join(CHECKPOINTS))?;
        files.iter().try_for_each(|(name, content)| self.write(name, content))
    }

    /// Removes a folder that was made for a run which could not begin.
    pub fn discard(self) {
        // What hindered the run hinders this perhaps as well; the run's failure is what is told.
        let _ = fs_err::remove_dir_all(&self.path);
    }
}

pub(crate) fn check(name: &str) -> Result<()> {
    if name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return Err(Failure::new(Code::Usage, format!("`{}` is no name for a run", name.escape_debug()))
            .hint("take letters, digits, - and _"));
    }
    if name.len() > LONGEST {
        let what = format!("the name of the run has {} bytes, at most {LONGEST} are possible", name.len());
        return Err(Failure::new(Code::Usage, what).hint("give a shorter one with --name"));
    }
    Ok(())
}

/// Gives a folder the name, or the first free one that a number makes of it.
fn take_name(folder: &Path, runs: &Path, name: &str, exact: Exact) -> Result<PathBuf> {
    for number in 1_u64.. {
        let path = runs.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
        clear(&path);
        // An empty folder is replaced; any other, and a file, hinders it.
        match fs_err::rename(folder, &path) {
            Ok(()) => {
                sync_folder(runs).map_err(|error| in_place(&path, &error))?;
                return Ok(path);
            }
            Err(error) if !is_taken(&path, &error) => return Err(in_place(&path, &error)),
            Err(_) if exact == Exact::Yes => {
                let what = format!("{} is there already", path.shown());
                let failure = Failure::new(Code::Usage, what);
                return Err(if path.join(CONFIG).is_file() {
                    let resume = format!("{} resume {}", program(), quoted(&path));
                    failure.hint(format!("continue it with `{resume}`, or take another name"))
                } else {
                    failure.hint("it is no run; take another name")
                });
            }
            Err(_) => {}
        }
    }
    Err(Failure::new(Code::Data, format!("no name is left for {}", runs.join(name).shown())))
}

fn in_place(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Data, format!("{}: cannot be made: {error}", path.shown()))
}

/// Whether a name could not be had because something has it.
fn is_taken(path: &Path, error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
        && fs_err::symlink_metadata(path).is_ok()
}

/// Empties a folder in which a run was to begin and has not: nothing but files of this program, no configuration, and no
/// process at work. What cannot be removed hinders the name, which is told then.
fn clear(path: &Path) {
    let Ok(entries) = fs_err::read_dir(path) else { return };
    let mut names = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else { return };
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    let ours = |name: &String| {
        matches!(name.as_str(), LOCK | SCHEMA | MANIFEST)
            || is_temporary(name)
            || (name == CHECKPOINTS && is_empty(&path.join(name)))
    };
    if names.is_empty() || !names.iter().all(ours) || is_young(path) {
        return;
    }
    if let Ok(_lock) = RunFolder::lock(path.to_owned()) {
        for name in &names {
            let inside = path.join(name);
            let _ = if inside.is_dir() { fs_err::remove_dir(inside) } else { fs_err::remove_file(inside) };
        }
        let _ = fs_err::remove_file(path.join(LOCK));
    }
}

fn is_empty(folder: &Path) -> bool {
    let unfinished = |entry: std::io::Result<fs_err::DirEntry>| {
        entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_unfinished))
    };
    fs_err::read_dir(folder).is_ok_and(|mut entries| !entries.any(|entry| !unfinished(entry)))
}

/// Whether a folder has changed so lately that another process may be about to lock it.
fn is_young(folder: &Path) -> bool {
    let changed = fs_err::metadata(folder).and_then(|about| about.modified());
    let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_none_or(|age| age < Duration::from_secs(2))
}

/// Removes what processes that were killed have left without a name.
fn sweep(runs: &Path) {
    let Ok(entries) = fs_err::read_dir(runs) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let of_run = name.to_str().and_then(|name| name.strip_prefix(WRITING)?.strip_prefix(ASIDE));
        if of_run.is_none() || is_young(&entry.path()) {
            continue;
        }
        if let Ok(abandoned) = RunFolder::lock(entry.path()) {
            abandoned.discard();
        }
    }
}
