//! What a run leaves behind that must not depend on how it got there.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

/// The files of a run without those that hold times, by name: metrics, results, and all of the best and latest checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    files: BTreeMap<String, Vec<u8>>,
}

impl Outcome {
    /// Reads the folder of a run that has ended.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in ["metrics.jsonl", "results.json"] {
            files.insert(name.to_owned(), fs_err::read(run.join(name))?);
        }
        let checkpoints = run.join("checkpoints");
        for which in ["best", "latest"] {
            // Without a validation split there is no best one.
            let Ok(name) = fs_err::read_to_string(checkpoints.join(which)) else { continue };
            let folder = checkpoints.join(name.trim());
            files.insert(which.to_owned(), name.into_bytes());
            for entry in fs_err::read_dir(&folder)? {
                let entry = entry?;
                let name = format!("{which}/{}", entry.file_name().to_string_lossy());
                files.insert(name, fs_err::read(entry.path())?);
            }
        }
        if !files.contains_key("latest") {
            bail!("{} has no latest checkpoint", run.display());
        }
        Ok(Self { files })
    }

    /// Without what nobody needs any more: of the best checkpoint the parameters alone count.
    pub(crate) fn needed(mut self) -> Self {
        self.files.retain(|name, _| !name.starts_with("best/") || name.contains("params"));
        self
    }

    /// Takes the lines of metrics out.
    pub(crate) fn take_metrics(&mut self) -> Vec<u8> {
        self.files.remove("metrics.jsonl").unwrap_or_default()
    }

    /// Fails where another outcome has other bytes, with the files' names.
    pub(crate) fn same_as(&self, other: &Self, after: &str) -> Result<()> {
        let all = self.files.keys().chain(other.files.keys());
        let mut differing: Vec<&str> =
            all.filter(|name| self.files.get(*name) != other.files.get(*name)).map(String::as_str).collect();
        differing.sort_unstable();
        differing.dedup();
        if differing.is_empty() {
            return Ok(());
        }
        bail!("other bytes after {after}: {}", differing.join(", "))
    }
}

/// Nothing half-written may be left in the folder of a run that has ended well.
pub(crate) fn is_tidy(run: &Path) -> Result<()> {
    for folder in [run.to_owned(), run.join("checkpoints")] {
        for entry in fs_err::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(".writing-") {
                bail!("{}/{name} is left half-written", folder.display());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(params: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoints/step-2");
        fs_err::create_dir_all(&checkpoint).unwrap();
        fs_err::write(folder.path().join("metrics.jsonl"), "{}\n").unwrap();
        fs_err::write(folder.path().join("results.json"), "{}\n").unwrap();
        fs_err::write(folder.path().join("manifest.json"), params).unwrap();
        fs_err::write(folder.path().join("checkpoints/latest"), "step-2").unwrap();
        fs_err::write(checkpoint.join("params.safetensors"), params).unwrap();
        folder
    }

    #[test]
    fn outcomes_differ_by_their_checkpoints() {
        let [one, same, other] = ["a", "a", "b"].map(run);
        let read = |folder: &tempfile::TempDir| Outcome::read(folder.path()).unwrap();
        assert!(read(&one).same_as(&read(&same), "nothing").is_ok());
        assert_eq!(read(&one).needed(), read(&one));
        let error = read(&one).same_as(&read(&other), "a kill").unwrap_err().to_string();
        assert_eq!(error, "other bytes after a kill: latest/params.safetensors");
        fs_err::remove_file(one.path().join("checkpoints/latest")).unwrap();
        assert!(Outcome::read(one.path()).is_err());
    }

    #[test]
    fn what_is_half_written_is_seen() {
        let folder = run("a");
        assert!(is_tidy(folder.path()).is_ok());
        fs_err::write(folder.path().join("checkpoints/.writing-x"), "").unwrap();
        assert!(is_tidy(folder.path()).is_err());
    }
}
