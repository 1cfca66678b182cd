//! What is measured for a cell of a table, and how it is written.

use manytask_meta::Execution;

use super::case::{Net, Seen, Shape};

/// The threads of all tables but that of threads.
pub(super) const THREADS: usize = 2;
/// How long a time is measured, in seconds.
pub(super) const SECONDS: f64 = 0.7;

/// A meta-batch in training, its way open.
pub(super) fn inner(net: Net, tasks: usize, steps: u32) -> Shape {
    let (every, momentum, way, trained) = (None, false, Execution::Auto, true);
    Shape::Inner { net, tasks, steps, every, momentum, way, trained }
}

/// A time as cells have it.
pub(super) fn time(seen: &Seen) -> String {
    let once = if seen.counted < 2 { ", once" } else { "" };
    let text = match seen.microseconds {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e5 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    };
    text + once
}

/// The first lines of a table.
pub(super) fn head(columns: &[&str]) -> String {
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}
