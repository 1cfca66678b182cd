//! One contender's run: a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::OURS;
use super::works::{Extent, Work};
use crate::measured::median;
use crate::repo::Repository;

/// What all runs of a work said, by system.
pub(super) type Runs = BTreeMap<&'static str, Vec<Run>>;

/// What one run said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    /// The median of its counted steps.
    pub(super) microseconds: f64,
    pub(super) losses: Vec<f64>,
    /// The first gradient of one leaf, where it says so.
    pub(super) gradient: Vec<f64>,
    /// The same under equal weights; ours alone says it.
    pub(super) equal: Vec<f64>,
    /// The highest resident memory in MiB.
    pub(super) memory: f64,
}

/// Everything that is needed to start a contender.
#[derive(Debug)]
pub(super) struct Contenders {
    twin: PathBuf,
    python: PathBuf,
    script: PathBuf,
    folder: PathBuf,
    threads: usize,
}

impl Contenders {
    /// Builds ours.
    pub(super) fn new(repo: &Repository, python: PathBuf, threads: usize) -> Result<Self> {
        let mut build = repo.cargo();
        build.args(["build", "--release", "--package", "manytask-benches", "--bin", "twin"]);
        build.args(["--package", "manytask", "--bin", "manytask"]);
        if !build.status().context("cannot start cargo")?.success() {
            bail!("the work does not build: see above");
        }
        let folder = repo.target_dir()?.join("peers/work");
        fs_err::create_dir_all(&folder)?;
        Ok(Self {
            twin: repo.target_dir()?.join("release/twin"),
            python,
            script: repo.root().join("benches/peers/twin.py"),
            folder,
            threads,
        })
    }

    /// Runs a work in a system. Ours comes first in a round: it writes the data for the others.
    pub(super) fn run(&self, work: &Work, system: &str) -> Result<Run> {
        let mut command = if system == OURS {
            Command::new(&self.twin)
        } else {
            let mut command = Command::new(&self.python);
            command.arg(&self.script).arg(system);
            command
        };
        let extent = work.extent_of(system);
        let threads = self.threads.to_string();
        let (steps, seconds) = (extent.steps.to_string(), extent.seconds.to_string());
        command.args([&work.name, &steps, &seconds, &threads]).arg(&self.folder);
        command.env("OMP_NUM_THREADS", &threads).env("MKL_NUM_THREADS", &threads);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        command.env("STARTED", now.to_string());
        said(&mut command, extent).with_context(|| format!("{}: {system}", work.name))
    }
}

fn said(command: &mut Command, extent: Extent) -> Result<Run> {
    let output = command.stderr(Stdio::piped()).output().context("it cannot be started")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().collect();
        bail!("it failed with {}:\n{}", output.status, lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    read(text.lines().last().unwrap_or_default(), extent)
}

/// Reads the one line of JSON.
fn read(line: &str, extent: Extent) -> Result<Run> {
    let said: Value = serde_json::from_str(line).with_context(|| format!("it said no JSON, but `{line}`"))?;
    let numbers = |name: &str| -> Vec<f64> {
        said[name].as_array().map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_f64).collect())
    };
    let times = numbers("times");
    let mut begun = 0.0;
    let counted = times.iter().enumerate().filter(|(number, time)| {
        let counts = *number >= extent.warm && begun >= extent.warm_seconds * 1e6;
        begun += **time;
        counts
    });
    let counted: Vec<f64> = counted.map(|(_, time)| *time).collect();
    if counted.is_empty() {
        bail!("it made {} steps, of which none counts", times.len());
    }
    Ok(Run {
        microseconds: median(counted),
        losses: numbers("losses"),
        gradient: numbers("gradient"),
        equal: numbers("equal"),
        memory: said["memory"].as_f64().unwrap_or_default() / 1024.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(warm: usize, warm_seconds: f64) -> Extent {
        Extent { steps: 1, warm, seconds: 1.0, warm_seconds }
    }

    #[test]
    fn the_first_steps_do_not_count() {
        let line =
            r#"{"times": [900.0, 30.0, 10.0, 20.0], "losses": [1.0], "gradient": [3, 4], "memory": 2048}"#;
        let run = read(line, extent(1, 0.0)).unwrap();
        assert_eq!((run.microseconds, run.memory), (20.0, 2.0));
        assert_eq!((run.losses, run.gradient), (vec![1.0], vec![3.0, 4.0]));
        assert!(run.equal.is_empty());
        // Begun after 0, 900, 930 and 940 µs.
        assert_eq!(read(line, extent(0, 930e-6)).unwrap().microseconds, 15.0);
        assert!(read(line, extent(0, 941e-6)).is_err());
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = read(r#"{"times": [1.0]}"#, extent(1, 0.0)).unwrap_err().to_string();
        assert!(error.contains("1 steps, of which none counts"), "{error}");
        assert!(read("Killed", extent(0, 0.0)).unwrap_err().to_string().contains("`Killed`"));
        let mut peer = Command::new("sh");
        peer.args(["-c", "echo 'ModuleNotFoundError: jax' >&2; exit 3"]);
        let error = said(&mut peer, extent(0, 0.0)).unwrap_err().to_string();
        assert!(error.contains("ModuleNotFoundError: jax") && error.contains('3'), "{error}");
    }
}
