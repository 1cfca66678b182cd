//! The per-user cache of unpacked libtorch folders, shared by all checkouts.
//!
//! Below `libtorch/` of the cache, for a name such as `2.11.0-x86_64-linux`:
//!
//! | path | what |
//! |---|---|
//! | `NAME/` | a whole libtorch; [`MARKER`] in it lists the wheels it came from |
//! | `NAME.lock` | held by the one set-up that may change the others |
//! | `.NAME.wheels/` | downloads, each checked before it is used |
//! | `.NAME.partial/` | being unpacked; becomes `NAME/` by a rename |
//! | `.NAME.replaced/` | an older `NAME/` on its way out |

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::platform::Platform;
use crate::versions::TORCH_VERSION;
use crate::wheels::Wheel;

/// The file that makes an unpacked folder whole: one line `SHA256  FILE` for each of its wheels.
const MARKER: &str = "manytask-wheels.txt";

/// The places of one libtorch in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    base: PathBuf,
    name: String,
}

/// Keeps other set-ups out until it is dropped, or its process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: fs_err::File,
}

impl Lock {
    /// A standard input for a child process that thereby holds the lock too. A download outlives a killed
    /// set-up; the next one then waits for its end and finds its files.
    pub(crate) fn share(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone()?.into_file()))
    }
}

impl Cache {
    /// The user's cache: `MANYTASK_CACHE`, else `manytask` in the system's cache folder.
    pub(crate) fn locate(platform: Platform) -> Result<Self> {
        let root = cache_root(platform, |name| std::env::var_os(name))?;
        Ok(Self::below(&std::path::absolute(root)?, platform))
    }

    /// A cache in a folder of choice.
    pub(crate) fn below(root: &Path, platform: Platform) -> Self {
        Self { base: root.join("libtorch"), name: format!("{TORCH_VERSION}-{platform}") }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Holds `torch/` and, but on macOS, `nvidia/`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// The folder that `LIBTORCH` has to name.
    pub(crate) fn torch(&self) -> PathBuf {
        self.folder().join("torch")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.base.join(format!(".{}.wheels", self.name))
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.base.join(format!(".{}.partial", self.name))
    }

    fn replaced(&self) -> PathBuf {
        self.base.join(format!(".{}.replaced", self.name))
    }

    /// Waits for other set-ups of the same libtorch. The system frees the lock of a killed process.
    pub(crate) fn lock(&self) -> Result<Lock> {
        fs_err::create_dir_all(&self.base)?;
        let path = self.base.join(format!("{}.lock", self.name));
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("another set-up holds {}; waiting for it to end", path.display());
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(Lock { file })
    }

    /// Clears what a killed set-up left behind, and finishes its last step if only that was missing.
    pub(crate) fn recover(&self, _lock: &Lock) -> Result<()> {
        if !self.folder().exists() && marked(&self.partial()).is_some() {
            fs_err::rename(self.partial(), self.folder())?;
        }
        remove(&self.partial())?;
        remove(&self.replaced())
    }

    /// Puts the partial folder, which has its marker, in place of whatever is there.
    pub(crate) fn publish(&self, _lock: &Lock) -> Result<()> {
        let folder = self.folder();
        if folder.exists() {
            fs_err::rename(&folder, self.replaced())?;
        }
        fs_err::rename(self.partial(), &folder)?;
        remove(&self.replaced())
    }
}

/// Whether a folder holds all of these wheels, wholly unpacked.
pub(crate) fn is_whole(folder: &Path, wheels: &[Wheel]) -> bool {
    marked(folder).is_some_and(|digests| wheels.iter().all(|wheel| digests.iter().any(|d| d == wheel.sha256)))
}

/// Declares a folder to hold these wheels, wholly unpacked; atomically.
pub(crate) fn mark(folder: &Path, wheels: &[Wheel]) -> Result<()> {
    let partial = folder.join(format!(".{MARKER}"));
    let mut file = fs_err::File::create(&partial)?;
    for wheel in wheels {
        writeln!(file, "{}  {}", wheel.sha256, wheel.file)?;
    }
    file.sync_all()?;
    Ok(fs_err::rename(&partial, folder.join(MARKER))?)
}

/// Removes a folder, if it is there, with all it holds.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs_err::remove_dir_all(folder)?;
    }
    Ok(())
}

/// The digests in a folder's marker.
fn marked(folder: &Path) -> Option<Vec<String>> {
    let text = fs_err::read_to_string(folder.join(MARKER)).ok()?;
    Some(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn cache_root(platform: Platform, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(root) = set("MANYTASK_CACHE") {
        return Ok(root);
    }
    // The specification has relative paths ignored.
    if let Some(caches) = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Ok(caches.join("manytask"));
    }
    let home =
        set("HOME").context("neither HOME nor MANYTASK_CACHE is set: set MANYTASK_CACHE to a folder")?;
    let caches = match platform {
        Platform::MacArm => "Library/Caches",
        Platform::LinuxX86 | Platform::LinuxArm => ".cache",
    };
    Ok(home.join(caches).join("manytask"))
}

#[cfg(test)]
mod tests;
