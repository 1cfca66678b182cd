//! The same works in both precisions.

use std::fmt::Write as _;

use anyhow::Result;
use manytask_meta::Execution;
use manytask_nn::Precision;

use super::case::{Case, Net, Seen, Shape};
use super::cell::{SECONDS, THREADS, head, inner, time};

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
        Some(Execution::Batched | Execution::Auto | Execution::Verify) => ", batched".into(),
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
