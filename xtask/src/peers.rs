//! `cargo xtask peers` and `cargo xtask bench --peers`: the same work in other systems, one process after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repo::Repository;
use crate::setup;

/// How often every contender runs, in turn with the others.
const ROUNDS: usize = 3;
/// Between these lines of `benches/RESULTS.md` stands what was measured last.
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];

/// A piece of work: its name, the steps of a run, and who does it beside manytask.
struct Work {
    name: String,
    steps: usize,
    systems: &'static [&'static str],
}

fn works() -> Vec<Work> {
    let sinusoids = [1, 5].map(|steps| Work {
        name: format!("sinusoid-{steps}"),
        steps: 60,
        systems: &["eager", "func", "jax"],
    });
    let trunks = [2, 12, 40].into_iter().flat_map(|tasks| {
        ["equal", "uncertainty", "pcgrad", "mgda"].map(|aggregator| Work {
            name: format!("trunk-{tasks}-{aggregator}"),
            steps: 12,
            systems: &["backwards", "torchjd"],
        })
    });
    sinusoids.into_iter().chain(trunks).collect()
}

/// Makes the virtual environment of the peers, unless it is there.
pub(crate) fn peers(repo: &Repository) -> Result<PathBuf> {
    let folder = repo.target_dir()?.join("peers");
    let wanted = fs_err::read_to_string(repo.root().join("benches/peers/requirements.txt"))?;
    let (python, marker) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if fs_err::read_to_string(&marker).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    let run = |command: &mut Command, what: &str| -> Result<()> {
        if command.stdout(Stdio::null()).status().context("python3 cannot be started")?.success() {
            return Ok(());
        }
        bail!("{what} failed: see its message above")
    };
    eprintln!("setting up the peers in {} (some gigabytes, once)", folder.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    let requirements = repo.root().join("benches/peers/requirements.txt");
    run(
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements),
        "pip install",
    )?;
    fs_err::write(marker, wanted)?;
    Ok(python)
}

/// What one run said.
struct Run {
    microseconds: f64,
    losses: Vec<f64>,
    memory: f64,
}

/// Compares and prints the table; that of all work is kept in `benches/RESULTS.md`.
pub(crate) fn compare(repo: &Repository, filter: Option<&str>, threads: usize) -> Result<ExitCode> {
    setup::ensure(repo)?;
    let python = peers(repo)?;
    let built =
        repo.cargo().args(["build", "--release", "--package", "manytask-benches", "--bin", "twin"]).status();
    if !built.context("cannot start cargo")?.success() {
        bail!("the work does not build: see above");
    }
    let twin = repo.target_dir()?.join("release/twin");
    let script = repo.root().join("benches/peers/twin.py");
    let folder = repo.target_dir()?.join("peers/work");
    fs_err::create_dir_all(&folder)?;
    let works: Vec<Work> =
        works().into_iter().filter(|work| filter.is_none_or(|filter| work.name.contains(filter))).collect();
    if works.is_empty() {
        bail!("no work has `{}` in its name", filter.unwrap_or_default());
    }
    let mut table =
        "| work | system | median step | spread | times manytask | memory |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for work in &works {
        let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for system in std::iter::once(&"manytask").chain(work.systems) {
                let mut command = if *system == "manytask" {
                    Command::new(&twin)
                } else {
                    let mut command = Command::new(&python);
                    command.arg(&script).arg(system);
                    command
                };
                command.args([&work.name, &work.steps.to_string(), &threads.to_string()]).arg(&folder);
                command
                    .env("OMP_NUM_THREADS", threads.to_string())
                    .env("MKL_NUM_THREADS", threads.to_string());
                runs.entry(system).or_default().push(run(&mut command)?);
            }
        }
        table.push_str(&rows(work, &runs)?);
    }
    print!("{table}");
    // A part of the work would replace the whole.
    if filter.is_none() {
        keep(repo, &table, &format!("cargo xtask bench --peers --threads {threads}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run(command: &mut Command) -> Result<Run> {
    let output = command.stderr(Stdio::inherit()).output().context("a contender cannot be started")?;
    if !output.status.success() {
        bail!("a contender failed: {command:?}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let said: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).context("no JSON")?;
    let numbers = |name: &str| -> Vec<f64> {
        said[name].as_array().map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_f64).collect())
    };
    // The first quarter warms up: allocators, compilers, pools of threads.
    let times = numbers("times");
    let warm = times.len() / 4;
    Ok(Run {
        microseconds: median(times.into_iter().skip(warm).collect()),
        losses: numbers("losses"),
        memory: said["memory"].as_f64().unwrap_or_default() / 1024.0,
    })
}

/// The rows of one piece of work; an error where systems do not do the same.
fn rows(work: &Work, runs: &BTreeMap<&str, Vec<Run>>) -> Result<String> {
    let of = |system: &str| runs.get(system).map_or(&[][..], Vec::as_slice);
    let medians = |system: &str| of(system).iter().map(|run| run.microseconds).collect::<Vec<_>>();
    let ours = median(medians("manytask"));
    let losses = |system: &str| of(system).first().map(|run| run.losses.clone()).unwrap_or_default();
    let reference = losses("manytask");
    let mut text = String::new();
    for system in std::iter::once(&"manytask").chain(work.systems) {
        // PCGrad draws other orders and MGDA is solved less exactly elsewhere; all else is the same arithmetic.
        let tolerance =
            if work.name.ends_with("pcgrad") || work.name.ends_with("mgda") { 0.02 } else { 1e-3 };
        let theirs = losses(system);
        for (step, (a, b)) in reference.iter().zip(&theirs).enumerate() {
            if (a - b).abs() > tolerance * a.abs() || theirs.len() != reference.len() {
                bail!(
                    "{}: {system} does not do the same: loss {b} where manytask has {a} at step {step}",
                    work.name
                );
            }
        }
        let times = medians(system);
        let low = times.iter().copied().fold(f64::INFINITY, f64::min);
        let high = times.iter().copied().fold(0.0, f64::max);
        let memory = median(of(system).iter().map(|run| run.memory).collect());
        let middle = median(times);
        writeln!(
            text,
            "| {} | {system} | {} | {} to {} | {:.2} | {memory:.0} MiB |",
            work.name,
            time(middle),
            time(low),
            time(high),
            middle / ours
        )?;
    }
    Ok(text)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn time(microseconds: f64) -> String {
    if microseconds < 1000.0 {
        format!("{microseconds:.0} µs")
    } else {
        format!("{:.2} ms", microseconds / 1000.0)
    }
}

/// Writes what was measured between the marks of `benches/RESULTS.md`.
fn keep(repo: &Repository, table: &str, command: &str) -> Result<()> {
    let path = repo.root().join("benches/RESULTS.md");
    let text = fs_err::read_to_string(&path)?;
    fs_err::write(&path, replaced(&path, &text, &format!("{}\n\n    {command}\n\n{table}", machine(repo)))?)?;
    eprintln!("kept in {}", path.display());
    Ok(())
}

fn replaced(path: &Path, text: &str, measured: &str) -> Result<String> {
    let parts =
        text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
    let (before, after) = parts.with_context(|| format!("{} has not the lines {MARKS:?}", path.display()))?;
    Ok(format!("{before}{}\n{measured}{}{after}", MARKS[0], MARKS[1]))
}

/// The processor and the versions.
fn machine(repo: &Repository) -> String {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let versions =
        fs_err::read_to_string(repo.root().join("benches/peers/requirements.txt")).unwrap_or_default();
    let versions =
        versions.split_whitespace().map(|version| version.replace("==", " ")).collect::<Vec<_>>().join(", ");
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    format!("On {cores} cores of {model}; libtorch 2.11.0 here, there {versions}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(microseconds: f64, losses: &[f64]) -> Run {
        Run { microseconds, losses: losses.to_vec(), memory: 10.0 }
    }

    fn work() -> Work {
        Work { name: "trunk-2-equal".into(), steps: 2, systems: &["torchjd"] }
    }

    #[test]
    fn ratios_are_of_medians() {
        let runs = BTreeMap::from([
            ("manytask", vec![run(10.0, &[1.0, 0.5]), run(30.0, &[1.0, 0.5]), run(20.0, &[1.0, 0.5])]),
            ("torchjd", vec![run(50.0, &[1.0, 0.5]), run(3000.0, &[1.0, 0.5]), run(40.0, &[1.0, 0.5])]),
        ]);
        let text = rows(&work(), &runs).unwrap();
        assert!(
            text.contains("| trunk-2-equal | torchjd | 50 µs | 40 µs to 3.00 ms | 2.50 | 10 MiB |"),
            "{text}"
        );
    }

    #[test]
    fn other_work_is_no_comparison() {
        let runs = BTreeMap::from([
            ("manytask", vec![run(1.0, &[1.0, 0.5])]),
            ("torchjd", vec![run(1.0, &[1.0, 0.6])]),
        ]);
        let error = rows(&work(), &runs).unwrap_err().to_string();
        assert!(error.contains("torchjd does not do the same"), "{error}");
    }

    #[test]
    fn what_was_measured_stands_between_the_marks() {
        let text = format!("before\n{}\nold\n{}\nafter\n", MARKS[0], MARKS[1]);
        let new = replaced(Path::new("R.md"), &text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{}\nnew\n{}\nafter\n", MARKS[0], MARKS[1]));
        assert!(replaced(Path::new("R.md"), "nothing", "new").is_err());
    }
}
