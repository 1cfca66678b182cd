//! One contender of the comparison with other systems: `twin WORK STEPS THREADS FOLDER [loop|threads|batched]`.
//!
//! Prints one line of JSON: the microseconds of each step, the losses, the highest resident memory in KiB. The data and the
//! parameters it starts from are written to `FOLDER/WORK.safetensors`, for the twins in Python.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::path::Path;

use anyhow::{Context, Result, bail};
use manytask_benches::work;
use manytask_meta::Execution;
use manytask_tensor::{checkpoint, memory::keep_pages, threads};
use serde_json::json;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, steps, cores, folder, way) = match arguments.as_slice() {
        [name, steps, cores, folder] => (name, steps, cores, folder, "batched"),
        [name, steps, cores, folder, way] => (name, steps, cores, folder, way.as_str()),
        _ => bail!("usage: twin WORK STEPS THREADS FOLDER [loop|threads|batched]"),
    };
    let cores: usize = cores.parse().context("THREADS")?;
    let execution = match way {
        "loop" => Execution::Loop,
        "threads" => Execution::Threads(cores),
        "batched" => Execution::Batched,
        "analytic" => Execution::Analytic,
        "auto" => Execution::Auto,
        other => bail!("there is no way `{other}`"),
    };
    keep_pages();
    threads::set(cores)?;
    let work = work(name, execution)?;
    let start = work.start()?;
    let mut tensors: Vec<_> =
        work.data.iter().map(|(name, tensor)| (format!("data.{name}"), tensor.contiguous())).collect();
    tensors
        .extend(start.iter().map(|(entry, leaf)| (format!("params.{}", entry.name), leaf.shallow_clone())));
    let file = Path::new(folder).join(format!("{name}.safetensors"));
    checkpoint::save_tensors(&file, &tensors, &checkpoint::Metadata::new())?;
    let (times, losses) = work.run(steps.parse().context("STEPS")?)?;
    println!("{}", json!({ "times": times, "losses": losses, "memory": memory() }));
    Ok(())
}

/// The highest resident memory of this process in KiB; 0 where the system does not say.
fn memory() -> u64 {
    let status =
        std::process::Command::new("cat").arg(format!("/proc/{}/status", std::process::id())).output();
    let text = status.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
