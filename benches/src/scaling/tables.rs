use std::fmt::Write as _;

use anyhow::{Result, bail};
use manytask_meta::Execution;

use super::bytes::{Numbers, Trunk};
use super::case::{Case, Made, Net, Seen, Shape};
use super::cell::{SECONDS, THREADS, head, inner, time};
use super::machine;

/// Tasks of a meta-batch where it is not their number that changes.
const TASKS: usize = 25;
/// The classical perceptron 1-40-40-1.
const CLASSICAL: Net = Net::Perceptron(40);

const WAYS: [Execution; 3] = [Execution::Analytic, Execution::Batched, Execution::Loop];

/// A table by name, in Markdown.
///
/// # Errors
/// When there is none, or a measurement fails.
pub fn table(name: &str) -> Result<String> {
    match name {
        "trunk" => trunk(),
        "waves" => by_way("tasks", [2, 10, 25, 100, 300, 1000].map(|tasks| inner(CLASSICAL, tasks, 1))),
        "width" => {
            by_way("hidden width", [16, 64, 256, 1024].map(|width| inner(Net::Perceptron(width), TASKS, 1)))
        }
        "steps" => by_way("inner steps", [1, 5, 10, 25, 50].map(|steps| inner(CLASSICAL, TASKS, steps))),
        "threads" => threads(),
        "memory" => memory(),
        "checkpoints" => checkpoints(),
        "ways" => ways(),
        "precision" => machine::precision(),
        other => bail!("there is no table `{other}`"),
    }
}

fn in_way(shape: &Shape, to: Execution) -> Shape {
    let mut shape = shape.clone();
    if let Shape::Inner { way, .. } = &mut shape {
        *way = to;
    }
    shape
}

fn timed(shape: Shape, threads: usize) -> Result<Seen> {
    Case::new(shape, threads, SECONDS).seen()
}

fn mebibytes(bytes: f64) -> String {
    let found = bytes / f64::from(1 << 20);
    if found < 10.0 { format!("{found:.1} MiB") } else { format!("{found:.0} MiB") }
}

fn trunk() -> Result<String> {
    let mut text = head(&["tasks", "equal weights", "PCGrad", "MGDA"]);
    for tasks in [2, 4, 12, 40, 128, 400, 1000] {
        write!(text, "| {tasks} |")?;
        for method in ["equal", "pcgrad", "mgda"] {
            let shape = Shape::Steps(format!("trunk-{tasks}-{method}"));
            write!(text, " {} |", time(&timed(shape, THREADS)?))?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The three ways for each of some shapes.
fn by_way<const N: usize>(what: &str, shapes: [Shape; N]) -> Result<String> {
    let mut text = head(&[what, "parameters", "analytic", "batched", "loop"]);
    for shape in shapes {
        let Shape::Inner { net, tasks, steps, .. } = shape else { continue };
        let number = match (what, net) {
            ("tasks", _) => tasks as i64,
            ("inner steps", _) => i64::from(steps),
            (_, Net::Perceptron(width)) => width,
            (_, Net::Conv4) => 64,
        };
        write!(text, "| {number} | {} |", Numbers::of(net).parameters)?;
        for way in WAYS {
            write!(text, " {} |", time(&timed(in_way(&shape, way), THREADS)?))?;
        }
        text.push('\n');
    }
    Ok(text)
}

fn threads() -> Result<String> {
    let steps = |method: &str, tasks: usize| Shape::Steps(format!("trunk-{tasks}-{method}"));
    let analytic = |net, tasks| in_way(&inner(net, tasks, 1), Execution::Analytic);
    let works = [
        ("trunk, 12 tasks, equal weights", steps("equal", 12)),
        ("trunk, 12 tasks, MGDA", steps("mgda", 12)),
        ("trunk, 128 tasks, MGDA", steps("mgda", 128)),
        ("1-40-40-1, 25 tasks, analytic", analytic(CLASSICAL, 25)),
        ("1-256-256-1, 25 tasks, analytic", analytic(Net::Perceptron(256), 25)),
        ("1-256-256-1, 25 tasks, batched", in_way(&inner(Net::Perceptron(256), 25, 1), Execution::Batched)),
        ("1-256-256-1, 25 tasks, loop", in_way(&inner(Net::Perceptron(256), 25, 1), Execution::Loop)),
        ("Conv4, 4 tasks, analytic", analytic(Net::Conv4, 4)),
        ("Conv4, 1 task, analytic", analytic(Net::Conv4, 1)),
    ];
    let mut text = head(&["work", "1 thread", "2 threads", "times as fast"]);
    for (name, shape) in works {
        let (one, two) = (timed(shape.clone(), 1)?, timed(shape, 2)?);
        let gain = one.microseconds / two.microseconds;
        writeln!(text, "| {name} | {} | {} | {gain:.2} |", time(&one), time(&two))?;
    }
    Ok(text)
}

/// What a process sees, its memory without that of the same with a tiny work.
fn beyond(shape: &Shape, threads: usize, least: Option<&Seen>) -> Result<Seen> {
    let once = |shape| Case::new(shape, threads, 0.0).seen();
    let seen = once(shape.clone())?;
    let least = least.map_or_else(|| once(tiny(shape)), |least| Ok(least.clone()))?;
    Ok(Seen { first: seen.first - least.first, memory: seen.memory - least.memory, ..seen })
}

/// The same with a single small task.
fn tiny(shape: &Shape) -> Shape {
    match shape {
        Shape::Steps(_) | Shape::Trunk { .. } => Shape::Steps("trunk-1-equal".to_owned()),
        &Shape::Inner { momentum, way, .. } => {
            let (net, tasks, steps, every, trained) = (Net::Perceptron(2), 1, 1, None, false);
            Shape::Inner { net, tasks, steps, every, momentum, way, trained }
        }
    }
}

fn pass(net: Net, tasks: usize, steps: u32, every: Option<u32>, way: Execution) -> Shape {
    Shape::Inner { net, tasks, steps, every, momentum: false, way, trained: false }
}

/// Numbers of a graph's activations for each one of a pass forward, as measured: see the page.
fn factor(net: Net) -> f64 {
    if matches!(net, Net::Conv4) { 1.7 } else { 3.0 }
}

/// The formula's bytes, of passes: none counts what a training has beside them.
fn predicted(shape: &Shape, threads: usize) -> f64 {
    match *shape {
        Shape::Steps(_) => f64::NAN,
        Shape::Trunk { tasks, made } => {
            let rows = match made {
                Made::Gradients => Trunk::gradients(tasks),
                Made::Gramian => Trunk::compact(tasks),
            };
            rows + Trunk::pieces(tasks, threads)
        }
        Shape::Inner { net, tasks, steps, every, way, .. } => {
            let numbers = Numbers::of(net);
            match way {
                Execution::Analytic => numbers.written(tasks, steps, every, threads),
                Execution::Batched => numbers.graph(tasks, steps, every, factor(net)),
                _ => numbers.graph(1, steps, every, factor(net)) + 4.0 * tasks as f64 * numbers.parameters,
            }
        }
    }
}

fn memory() -> Result<String> {
    let wide = Net::Perceptron(512);
    let trunk = |tasks, made| Shape::Trunk { tasks, made };
    let (analytic, batched, one) = (Execution::Analytic, Execution::Batched, Execution::Loop);
    let works = [
        ("1-512-512-1, 2 tasks, 50 steps, analytic", pass(wide, 2, 50, None, analytic), 1),
        ("the same", pass(wide, 2, 50, None, analytic), 2),
        ("1-512-512-1, 2 tasks, 50 steps, analytic, every 7", pass(wide, 2, 50, Some(7), analytic), 2),
        ("1-512-512-1, 100 tasks, 5 steps, analytic", pass(wide, 100, 5, None, analytic), 2),
        ("Conv4, 2 tasks, 50 steps, analytic", pass(Net::Conv4, 2, 50, None, analytic), 2),
        ("1-512-512-1, 25 tasks, 5 steps, batched", pass(wide, 25, 5, None, batched), 2),
        ("1-512-512-1, 25 tasks, 20 steps, batched", pass(wide, 25, 20, None, batched), 2),
        ("1-512-512-1, 25 tasks, 20 steps, loop", pass(wide, 25, 20, None, one), 2),
        ("Conv4, 1 task, 20 steps, loop", pass(Net::Conv4, 1, 20, None, one), 2),
        ("trunk, 128 tasks, Gramian, compact", trunk(128, Made::Gramian), 2),
        ("trunk, 400 tasks, Gramian, compact", trunk(400, Made::Gramian), 2),
        ("trunk, 128 tasks, Gramian of gradients", trunk(128, Made::Gradients), 2),
        ("trunk, 400 tasks, Gramian of gradients", trunk(400, Made::Gradients), 2),
    ];
    let columns = ["work", "threads", "by the formula", "first pass", "first / formula", "later"];
    let mut text = head(&columns);
    for (name, shape, threads) in works {
        let (seen, expected) = (beyond(&shape, threads, None)?, predicted(&shape, threads));
        writeln!(
            text,
            "| {name} | {threads} | {} | {} | {:.2} | {} |",
            mebibytes(expected),
            mebibytes(seen.first),
            seen.first / expected,
            mebibytes(seen.memory)
        )?;
    }
    Ok(text)
}

fn checkpoints() -> Result<String> {
    const STEPS: u32 = 50;
    let works = [
        ("1-256-256-1, 25 tasks, batched", Net::Perceptron(256), 25, Execution::Batched),
        ("1-256-256-1, 25 tasks, analytic", Net::Perceptron(256), 25, Execution::Analytic),
        ("Conv4, 1 task, loop", Net::Conv4, 1, Execution::Loop),
        ("Conv4, 2 tasks, analytic", Net::Conv4, 2, Execution::Analytic),
    ];
    let mut text =
        head(&["work", "checkpoint_every", "by the formula", "measured", "time of a pass", "times without"]);
    for (name, net, tasks, way) in works {
        let mut without = None;
        let of = pass(net, tasks, STEPS, None, way);
        let least = Case::new(tiny(&of), THREADS, 0.0).seen()?;
        for every in [None, Some(25), Some(7), Some(1)] {
            let shape = pass(net, tasks, STEPS, every, way);
            let seen = beyond(&shape, THREADS, Some(&least))?;
            let reference = *without.get_or_insert(seen.microseconds);
            writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {:.2} |",
                every.map_or("absent".to_owned(), |every| every.to_string()),
                mebibytes(predicted(&shape, THREADS)),
                mebibytes(seen.first),
                time(&seen).trim_end_matches(", once"),
                seen.microseconds / reference
            )?;
        }
    }
    Ok(text)
}

fn ways() -> Result<String> {
    let shape = |net, tasks, steps, with_momentum| {
        let mut shape = inner(net, tasks, steps);
        if let Shape::Inner { momentum, .. } = &mut shape {
            *momentum = with_momentum;
        }
        shape
    };
    let works = [
        ("1-40-40-1, 4 tasks, 1 step", shape(CLASSICAL, 4, 1, false)),
        ("1-40-40-1, 25 tasks, 5 steps", shape(CLASSICAL, 25, 5, false)),
        ("1-256-256-1, 25 tasks, 1 step", shape(Net::Perceptron(256), 25, 1, false)),
        ("1-40-40-1, 25 tasks, 5 steps, momentum", shape(CLASSICAL, 25, 5, true)),
        ("1-256-256-1, 25 tasks, 1 step, momentum", shape(Net::Perceptron(256), 25, 1, true)),
        ("Conv4, 1 task, 1 step", shape(Net::Conv4, 1, 1, false)),
        ("Conv4, 4 tasks, 1 step", shape(Net::Conv4, 4, 1, false)),
        ("Conv4, 1 task, 1 step, momentum", shape(Net::Conv4, 1, 1, true)),
        ("Conv4, 4 tasks, 1 step, momentum", shape(Net::Conv4, 4, 1, true)),
    ];
    let columns = [Execution::Analytic, Execution::Threads(THREADS), Execution::Batched, Execution::Loop];
    let mut text = head(&["work", "analytic", "threads", "batched", "loop"]);
    for (name, shape) in works {
        let chosen = Case::new(shape.clone(), THREADS, 0.0).seen()?.execution;
        write!(text, "| {name} |")?;
        for way in columns {
            let possible =
                way != Execution::Analytic || !matches!(shape, Shape::Inner { momentum: true, .. });
            let cell = if possible { time(&timed(in_way(&shape, way), THREADS)?) } else { "–".to_owned() };
            // However many threads `auto` takes: one for each core.
            let kind = std::mem::discriminant::<Execution>;
            let marked = chosen.as_ref().map(kind) == Some(kind(&way));
            write!(text, " {} |", if marked { format!("**{cell}**") } else { cell })?;
        }
        text.push('\n');
    }
    Ok(text)
}
