//! The same works in both precisions, on the processor and on another device.

use std::fmt::Write as _;

use anyhow::Result;
use manytask_meta::Execution;
use manytask_nn::Precision;

use super::case::{Case, Net, Seen, Shape};
use super::tables::{SECONDS, THREADS, head, inner, time};

fn seen(shape: &Shape, device: &str, precision: Precision, threads: usize) -> Result<Seen> {
    let device = device.to_owned();
    Case { shape: shape.clone(), threads, device, precision, seconds: SECONDS }.seen()
}

fn way(seen: &Seen) -> String {
    match seen.execution {
        None => String::new(),
        Some(Execution::Analytic) => ", analytic".into(),
        Some(Execution::Threads(_)) => ", threads".into(),
        Some(Execution::Loop) => ", loop".into(),
        Some(Execution::Batched | Execution::Auto) => ", batched".into(),
    }
}

/// Works that a processor can do in either precision.
fn small() -> Vec<(&'static str, Shape)> {
    let steps = |name: &str| Shape::Steps(name.to_owned());
    vec![
        ("1-40-40-1, 25 tasks, 5 steps", inner(Net::Perceptron(40), 25, 5)),
        ("1-256-256-1, 25 tasks, 1 step", inner(Net::Perceptron(256), 25, 1)),
        ("Conv4, 4 tasks, 1 step", inner(Net::Conv4, 4, 1)),
        ("ProtoNet, 60 ways", steps("protonet-60")),
        ("trunk, 40 tasks, equal weights", steps("trunk-40-equal")),
        ("trunk, 40 tasks, MGDA", steps("trunk-40-mgda")),
    ]
}

/// Those, and works that keep a GPU busy.
fn large() -> Vec<(&'static str, Shape)> {
    let mut works = small();
    works.extend([
        ("1-1024-1024-1, 25 tasks, 1 step", inner(Net::Perceptron(1024), 25, 1)),
        ("Conv4, 32 tasks, 1 step", inner(Net::Conv4, 32, 1)),
        ("Conv4, 32 tasks, 5 steps", inner(Net::Conv4, 32, 5)),
        ("trunk, 40 tasks, PCGrad", Shape::Steps("trunk-40-pcgrad".to_owned())),
        ("trunk, 400 tasks, MGDA", Shape::Steps("trunk-400-mgda".to_owned())),
    ]);
    works
}

/// Full precision against bfloat16 on the processor, each in the way that `auto` takes for it.
pub(super) fn precision() -> Result<String> {
    let mut text = head(&["work", "full", "bfloat16", "bfloat16 / full"]);
    for (name, shape) in small() {
        let full = seen(&shape, "cpu", Precision::Full, THREADS)?;
        let half = seen(&shape, "cpu", Precision::Bfloat16, THREADS)?;
        let ratio = half.microseconds / full.microseconds;
        let cell = |seen: &Seen| time(seen) + &way(seen);
        writeln!(text, "| {name} | {} | {} | {ratio:.2} |", cell(&full), cell(&half))?;
    }
    Ok(text)
}

/// The processor with all its cores against a device, and that in both precisions.
pub(super) fn gpu(device: &str) -> Result<String> {
    let threads = std::thread::available_parallelism()?.get();
    let processor = format!("processor, {threads} threads");
    let columns = [format!("{device}, full"), format!("{device}, bfloat16")];
    let mut text =
        head(&["work", &processor, &columns[0], &columns[1], "processor / full", "full / bfloat16"]);
    for (name, shape) in large() {
        // First of all, so that a device that is not there is told before minutes have passed.
        let full = seen(&shape, device, Precision::Full, threads)?;
        let half = seen(&shape, device, Precision::Bfloat16, threads)?;
        let here = seen(&shape, "cpu", Precision::Full, threads)?;
        writeln!(
            text,
            "| {name} | {} | {} | {} | {:.2} | {:.2} |",
            time(&here),
            time(&full),
            time(&half),
            here.microseconds / full.microseconds,
            full.microseconds / half.microseconds
        )?;
    }
    Ok(text)
}
