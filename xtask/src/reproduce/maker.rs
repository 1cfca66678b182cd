//! What makes tables: the built command in a folder of its own, with runs that are kept while nothing of them has changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::program;
use crate::repo::Repository;

/// The command, and where it trains.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    pub(super) repo: &'a Repository,
    pub(super) binary: PathBuf,
    /// Trainings stand in its folder `runs`.
    pub(super) folder: PathBuf,
    /// When the command was built.
    built: u64,
}

/// A run or study that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) run: PathBuf,
    /// Its `results.json`.
    pub(super) results: Value,
    /// The processor time of its command, in seconds, where the system says it.
    pub(super) seconds: Option<f64>,
}

impl<'a> Maker<'a> {
    /// With this manytask, or with one that is built now.
    pub(super) fn new(repo: &'a Repository, binary: Option<&Path>) -> Result<Self> {
        let binary = match binary {
            Some(binary) => std::path::absolute(binary)?,
            None => program::build(repo)?,
        };
        let folder = repo.target_dir()?.join("reproduce");
        fs_err::create_dir_all(folder.join("runs"))?;
        let changed = fs_err::metadata(&binary)?.modified()?;
        let built = changed.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Self { repo, binary, folder, built })
    }

    /// A folder of `MANYTASK_DATA`.
    pub(super) fn data(table: &str, folder: &str) -> Result<PathBuf> {
        let all = std::env::var_os("MANYTASK_DATA").with_context(|| {
            format!("{table}: MANYTASK_DATA is not set: name the folder of `{folder}`, or give `--quick`")
        })?;
        Ok(Path::new(&all).join(folder))
    }

    /// Runs `manytask COMMAND CONFIG ARGUMENTS` under a name, or takes what it came to before with the same command, configuration
    /// and arguments.
    pub(super) fn ended(
        &self,
        command: &str,
        config: &str,
        name: &str,
        arguments: &[String],
    ) -> Result<Ended> {
        let run = self.folder.join("runs").join(name);
        let stamp = self.folder.join("runs").join(format!("{name}.stamp"));
        let path = self.repo.root().join(config);
        let config = fs_err::read_to_string(&path)?;
        let wanted = format!("{}\n{command}\n{}\n{config}", self.built, arguments.join("\n"));
        let kept = fs_err::read_to_string(&stamp).unwrap_or_default();
        if let Some(seconds) = kept.strip_suffix(&wanted).and_then(|head| head.strip_suffix('\n')) {
            eprintln!("{name}: kept, nothing has changed");
            return Ended::read(run, seconds.parse().ok());
        }
        for old in [&run, &stamp] {
            if old.is_dir() {
                fs_err::remove_dir_all(old)?;
            } else if old.exists() {
                fs_err::remove_file(old)?;
            }
        }
        let mut started = Command::new(&self.binary);
        started
            .current_dir(&self.folder)
            .arg(command)
            .arg(path)
            .args(["--quiet", "--name", name])
            .args(arguments);
        let before = processor_seconds();
        let status = started.stdout(Stdio::null()).status();
        if !status.with_context(|| format!("cannot start {}", self.binary.display()))?.success() {
            bail!("{name}: `{command}` failed: see above");
        }
        let seconds = processor_seconds().zip(before).map(|(after, before)| after - before);
        let ended = Ended::read(run, seconds)?;
        let head = seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
        fs_err::write(&stamp, format!("{head}\n{wanted}"))?;
        Ok(ended)
    }
}

impl Ended {
    fn read(run: PathBuf, seconds: Option<f64>) -> Result<Self> {
        let results = serde_json::from_slice(&fs_err::read(run.join("results.json"))?)?;
        Ok(Self { run, results, seconds })
    }
}

/// A name for a folder.
pub(super) fn plain(name: &str) -> String {
    name.replace(|c: char| !c.is_alphanumeric(), "_")
}

/// The processor time of all child processes that have ended, in seconds.
pub(super) fn processor_seconds() -> Option<f64> {
    // proc(5): the 16th and 17th field, in hundredths of a second; the second is a name in brackets.
    let text = fs_err::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(13)? + ticks(14)?) / 100.0)
}

/// A time for people.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        few if few < 10.0 => format!("{few:.1} s"),
        some if some < 120.0 => format!("{some:.0} s"),
        many => format!("{:.0} min", many / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_children_is_counted() {
        let before = processor_seconds().unwrap();
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", busy]).status().unwrap().success());
        assert!(processor_seconds().unwrap() > before);
    }

    #[test]
    fn times_have_their_units() {
        assert_eq!([0.52, 35.4, 600.0].map(time), ["0.5 s", "35 s", "10 min"]);
        assert_eq!(plain("`maml`, one step"), "_maml___one_step");
    }
}
