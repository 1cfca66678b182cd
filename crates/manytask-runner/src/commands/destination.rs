//! Files that commands are told to write: what is not to be lost is refused before any work begins.

use std::path::{Path, PathBuf};

use manytask_data::is_file_of;
use manytask_tensor::ShownPath as _;

use crate::failure::{Code, Failure, Result};
use crate::run::SCHEMA;

/// A file, and the option that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) option: &'static str,
    pub(super) path: &'a Path,
}

impl Destination<'_> {
    fn refuse(self, what: &str, hint: &'static str) -> Failure {
        Failure::new(Code::Usage, format!("{} {}: {what}", self.option, self.path.shown())).hint(hint)
    }

    /// Refuses a file in a folder that is not there.
    pub(super) fn has_folder(self) -> Result<()> {
        match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) if !parent.is_dir() => {
                let what = format!("there is no folder {}", parent.shown());
                let failure = self.refuse(&what, "make it first, or give another file");
                Err(Failure { code: Code::Data, ..failure })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a file that is there.
    pub(super) fn is_new(self) -> Result<()> {
        self.has_folder()?;
        if self.path.exists() {
            return Err(self.refuse("is there already", "give another file, or remove it"));
        }
        Ok(())
    }

    /// Refuses a file that is there and does not begin as those do that the command writes.
    pub(super) fn is_new_or_begins_with(self, mark: &str) -> Result<()> {
        self.has_folder()?;
        let begins = || fs_err::read(self.path).is_ok_and(|bytes| bytes.starts_with(mark.as_bytes()));
        if self.path.exists() && !begins() {
            return Err(self.refuse(
                "is there already, and is no page of this command",
                "give another file, or remove it",
            ));
        }
        Ok(())
    }

    /// Refuses to write over inputs, which may be patterns, and over files of a run.
    pub(super) fn spares(self, inputs: &[&Path], run: &Path) -> Result<()> {
        const OWN: [&str; 10] = [
            "config.toml",
            "manifest.json",
            SCHEMA,
            "results.json",
            "metrics.jsonl",
            ".lock",
            "study.json",
            "base.toml",
            "out_of_fold.csv",
            "report.html",
        ];
        const HINT: &str = "give another file, or - for stdout";
        self.has_folder()?;
        let Some(place) = placed(self.path) else { return Ok(()) };
        for input in inputs {
            if placed(input).as_deref() == Some(&place) && place.is_file() {
                return Err(self.refuse("this is the input", HINT));
            }
            if is_file_of(input, self.path) {
                return Err(self.refuse("the input is all files of such a name", HINT));
            }
        }
        let Some(inside) = placed(run).and_then(|run| place.strip_prefix(run).ok().map(Path::to_owned))
        else {
            return Ok(());
        };
        let own = OWN.iter().any(|name| inside == Path::new(name))
            || ["checkpoints", "members", "logs"].iter().any(|folder| inside.starts_with(folder))
            || inside.to_string_lossy().starts_with("events.out.tfevents");
        if own { Err(self.refuse("this is a file of the run", HINT)) } else { Ok(()) }
    }
}

/// Where a path leads, which need not exist.
fn placed(path: &Path) -> Option<PathBuf> {
    if let Ok(place) = fs_err::canonicalize(path) {
        return Some(place);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(fs_err::canonicalize(parent).ok()?.join(path.file_name()?))
}
