//! The tutorial's program on Census-Income, run by the command `manytask` as a user runs it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use manytask_data::{SplitData, TableDataset};
use manytask_tensor::{Kind, Tensor, checkpoint};
use serde_json::Value;

use crate::memory;

const CONFIG: &str = include_str!("../census.toml");
/// The folder of the data below `MANYTASK_DATA`.
const FOLDER: &str = "census_kdd";

/// What was seen of the command.
#[derive(Debug)]
pub struct Seen {
    /// Microseconds of each epoch with its validation; or from the command to the end of the first step.
    pub times: Vec<f64>,
    /// The mean loss on the validation split after each epoch; or before the first step.
    pub losses: Vec<f64>,
    /// The highest resident memory of the command in KiB.
    pub memory: u64,
}

/// Runs `manytask train` with batches of so many rows for so many epochs; with `start` for batches until its first step.
///
/// Before that, the encoded rows are written to `FOLDER/census.safetensors`, for the twins in Python.
///
/// # Errors
/// When `MANYTASK_DATA` is not set, or the command fails.
pub fn run(batches: &str, epochs: u64, threads: usize, folder: &Path) -> Result<Seen> {
    let data = std::env::var_os("MANYTASK_DATA").context("MANYTASK_DATA is not set")?;
    let data = PathBuf::from(data).join(FOLDER);
    write(&data, &folder.join("census.safetensors"))?;
    let config = folder.join("census.toml");
    fs_err::write(&config, CONFIG)?;
    let runs = folder.join(format!("runs-{}", std::process::id()));
    let mut command = Command::new(binary()?);
    command.arg("train").arg(&config).arg(format!("data.folder={}", data.display()));
    command.args(["--name", "census", "--threads", &threads.to_string(), "--runs"]).arg(&runs);
    if batches == "start" {
        return first_step(command.arg("--dry-run"));
    }
    let batches: u32 = batches.parse().context("a number of rows")?;
    command.args([format!("training.batch_size={batches}"), format!("training.epochs={epochs}")]);
    let seen = all_epochs(&mut command, &runs.join("census/metrics.jsonl"));
    if runs.exists() {
        fs_err::remove_dir_all(&runs)?;
    }
    seen
}

/// The command that is built beside this program.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name(format!("manytask{}", std::env::consts::EXE_SUFFIX));
    if !binary.is_file() {
        bail!("{} is not built: cargo build --release --package manytask", binary.display());
    }
    Ok(binary)
}

/// Calls `seen` with each line of the command's stderr and its process, and waits for its end.
fn watch(command: &mut Command, mut seen: impl FnMut(&str, u32) -> Result<()>) -> Result<()> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
    let mut all = String::new();
    for line in lines {
        let line = line?;
        seen(&line, child.id())?;
        all = all + &line + "\n";
    }
    if !child.wait()?.success() {
        bail!("{command:?} failed:\n{all}");
    }
    Ok(())
}

fn first_step(command: &mut Command) -> Result<Seen> {
    let started = Instant::now();
    let mut found = Seen { times: Vec::new(), losses: Vec::new(), memory: 0 };
    watch(command, |line, process| {
        if let Some(rest) = line.strip_prefix("one step was made, losses ") {
            found.times.push(started.elapsed().as_secs_f64() * 1e6);
            found.memory = memory(process);
            let losses = rest.split(';').next().unwrap_or_default().split(", ").map(str::parse::<f64>);
            let losses = losses.collect::<Result<Vec<_>, _>>()?;
            found.losses.push(losses.iter().sum::<f64>() / losses.len() as f64);
        }
        Ok(())
    })?;
    Ok(found)
}

fn all_epochs(command: &mut Command, metrics: &Path) -> Result<Seen> {
    let mut found = Seen { times: Vec::new(), losses: Vec::new(), memory: 0 };
    let mut last = Instant::now();
    watch(command, |line, process| {
        if line.starts_with("run: ") {
            last = Instant::now();
        } else if line.contains(": validation loss ") {
            found.times.push(last.elapsed().as_secs_f64() * 1e6);
            found.memory = memory(process);
            last = Instant::now();
        }
        Ok(())
    })?;
    let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for line in fs_err::read_to_string(metrics)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if line["split"] == "validation" && line["metric"] == "loss" {
            let step = line["step"].as_u64().context("no step")?;
            by_step.entry(step).or_default().extend(line["value"].as_f64());
        }
    }
    let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
    found.losses = by_step.values().map(mean).collect();
    Ok(found)
}

/// Writes inputs `[rows, D]` and labels `[tasks, rows]` of the training and the validation split.
fn write(data: &Path, file: &Path) -> Result<()> {
    let config: toml::Table = toml::from_str(CONFIG)?;
    let mut section = config.get("data").and_then(toml::Value::as_table).context("no [data]")?.clone();
    for word in ["kind", "folder"] {
        section.remove(word);
    }
    let mut described: TableDataset = section.try_into()?;
    described.source.path = data.join(&described.source.path);
    if let Some(manytask_data::SplitRule::Files(files)) = &mut described.split {
        for path in [&mut files.validation, &mut files.test].into_iter().flatten() {
            *path = data.join(&path);
        }
    }
    let dataset = described.load()?;
    let mut tensors = split("train", &dataset.splits.train)?;
    tensors.extend(split("validation", dataset.splits.validation.as_ref().context("no validation split")?)?);
    checkpoint::save_tensors(file, &tensors, &checkpoint::Metadata::new())?;
    Ok(())
}

fn split(name: &str, split: &SplitData) -> Result<Vec<(String, Tensor)>> {
    let inputs = split.inputs.first().context("no inputs")?;
    let labels: Vec<Tensor> = split.tasks.iter().map(|task| task.target.shallow_clone()).collect();
    let labels = Tensor::f_stack(&labels, 0)?;
    Ok(vec![
        (format!("{name}_x"), inputs.tensor(Kind::Float)?.contiguous()),
        (format!("{name}_y"), labels.contiguous()),
    ])
}
