//! One contender of the comparison with other systems: `twin WORK STEPS SECONDS THREADS FOLDER [WAY [DEVICE [uncaptured|tf32]]]`, with
//! a way of `auto`, `analytic`, `loop`, `threads` and `batched`.
//!
//! Makes at least so many steps, and goes on until so many seconds have passed. Prints one line of JSON: the microseconds of each step, the losses, the gradient of one leaf in the first step, the same
//! under equal weights, the highest resident memory in KiB. The data and the parameters it starts from are written to
//! `FOLDER/WORK.safetensors`, for the twins in Python.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::path::Path;

use anyhow::{Context, Result, bail};
use manytask_benches::{How, census, memory, work};
use manytask_meta::Execution;
use manytask_tensor::{Device, DeviceChoice, capture, checkpoint, memory::keep_pages, threads};
use serde_json::json;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, steps, seconds, cores, folder, rest @ ..] = arguments.as_slice() else {
        bail!(
            "usage: twin WORK STEPS SECONDS THREADS FOLDER [auto|analytic|loop|threads|batched [DEVICE [uncaptured|tf32]]]"
        )
    };
    let way = rest.first().map_or("auto", String::as_str);
    let device = rest.get(1).map_or("cpu", String::as_str).parse::<DeviceChoice>()?.resolve()?;
    let words = rest.get(2..).unwrap_or_default();
    let said = |word: &str| words.iter().any(|own| own == word);
    capture::allow(!said("uncaptured"));
    if device != Device::Cpu {
        capture::allow_tf32(said("tf32"))?;
    }
    let cores: usize = cores.parse().context("THREADS")?;
    let steps: usize = steps.parse().context("STEPS")?;
    let seconds: f64 = seconds.parse().context("SECONDS")?;
    let folder = Path::new(folder);
    if let Some(batches) = name.strip_prefix("census-") {
        let seen = census::run(batches, steps as u64, cores, folder)?;
        println!("{}", json!({ "times": seen.times, "losses": seen.losses, "memory": seen.memory }));
        return Ok(());
    }
    let execution = match way {
        "auto" => Execution::Auto,
        "analytic" => Execution::Analytic,
        "loop" => Execution::Loop,
        "threads" => Execution::Threads(cores),
        "batched" => Execution::Batched,
        other => bail!("there is no way `{other}`"),
    };
    keep_pages();
    threads::enter_pool(std::thread::available_parallelism().map_or(1, usize::from));
    threads::set(cores)?;
    let work = work(name, How { execution, device, ..How::default() })?;
    let start = work.start()?;
    let mut tensors: Vec<_> = work
        .data
        .iter()
        .map(|(name, tensor)| (format!("data.{name}"), tensor.to_device(Device::Cpu).contiguous()))
        .collect();
    tensors.extend(
        start.iter().map(|(entry, leaf)| (format!("params.{}", entry.name), leaf.to_device(Device::Cpu))),
    );
    checkpoint::save_tensors(
        &folder.join(format!("{name}.safetensors")),
        &tensors,
        &checkpoint::Metadata::new(),
    )?;
    let seen = work.run(steps, seconds)?;
    println!(
        "{}",
        json!({
            "times": seen.times,
            "losses": seen.losses,
            "gradient": seen.gradient,
            "equal": seen.equal,
            "memory": memory(std::process::id()),
            "uncaptured": work.problem().uncaptured(),
        })
    );
    Ok(())
}
