//! The table, and whether all have done the same.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::environment::REQUIREMENTS;
use super::run::{Run, Runs};
use super::works::{Gradient, Work};
use super::{OURS, ROUNDS};
use crate::measured::{median, processor, replaced};
use crate::repo::Repository;

/// Between these lines of `benches/RESULTS.md` stands what was measured last.
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];

/// The rows of all works so far.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: String,
}

impl Table {
    /// Adds the rows of a work, and gives them; an error where systems do not do the same.
    pub(super) fn push(&mut self, work: &Work, runs: &Runs) -> Result<&str> {
        let start = self.rows.len();
        let of = |system: &str| runs.get(system).map_or(&[][..], Vec::as_slice);
        let medians = |system: &str| of(system).iter().map(|run| run.microseconds).collect::<Vec<_>>();
        let ours = of(OURS).first().with_context(|| format!("{}: {OURS} did not run", work.name))?;
        let reference = median(medians(OURS));
        for system in work.contenders() {
            let runs = of(system);
            for run in runs {
                same(work, ours, run)
                    .with_context(|| format!("{}: {system} does not do the same", work.name))?;
            }
            let times = medians(system);
            let low = times.iter().copied().fold(f64::INFINITY, f64::min);
            let high = times.iter().copied().fold(0.0, f64::max);
            let memory = median(runs.iter().map(|run| run.memory).collect());
            let once = if runs.len() < ROUNDS { ", once" } else { "" };
            let middle = median(times);
            writeln!(
                self.rows,
                "| {} | {system} | {}{once} | {} to {} | {:.2} | {memory:.0} MiB |",
                work.name,
                time(middle),
                time(low),
                time(high),
                middle / reference
            )?;
        }
        Ok(self.rows.get(start..).unwrap_or_default())
    }

    /// Adds a row that says that a work was not done, and gives it.
    pub(super) fn skipped(&mut self, work: &Work) -> &str {
        let start = self.rows.len();
        self.rows.extend(["| ", &work.name, " | skipped: MANYTASK_DATA not set | | | | |\n"]);
        self.rows.get(start..).unwrap_or_default()
    }

    /// The whole table.
    pub(super) fn text(&self) -> String {
        format!(
            "| work | system | median | spread | times {OURS} | memory |\n|---|---|---|---|---|---|\n{}",
            self.rows
        )
    }
}

/// Fails where a run is not near enough to ours.
fn same(work: &Work, ours: &Run, theirs: &Run) -> Result<()> {
    let tolerance = work.tolerance;
    if theirs.losses.is_empty() || ours.losses.is_empty() {
        bail!("there are no losses to compare");
    }
    for (step, (a, b)) in ours.losses.iter().zip(&theirs.losses).take(work.compared()).enumerate() {
        let within = (tolerance.first * tolerance.growth.powi(step as i32)).min(tolerance.most);
        // Also where one is no number.
        if (a - b).abs() <= within * a.abs().max(1e-2) {
            continue;
        }
        bail!("loss {b} where {OURS} has {a} at step {step}, relative tolerance {within:.0e}");
    }
    let within = match tolerance.gradient {
        Gradient::Unknown => return Ok(()),
        Gradient::Within(within) => within,
        Gradient::NearerThanEqual => (distance(&ours.gradient, &ours.equal)? / 2.0).max(1e-3),
    };
    let found = distance(&ours.gradient, &theirs.gradient)?;
    if found > within {
        bail!("the direction of its first gradient is off by {found:.1e}, tolerance {within:.1e}");
    }
    Ok(())
}

/// The distance of two vectors of the same length, each brought to length 1.
fn distance(a: &[f64], b: &[f64]) -> Result<f64> {
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (left, right) = (norm(a), norm(b));
    if a.len() != b.len() || !(left > 0.0 && right > 0.0 && left.is_finite() && right.is_finite()) {
        bail!("gradients of {} and {} numbers, norms {left} and {right}", a.len(), b.len());
    }
    Ok(a.iter().zip(b).map(|(a, b)| (a / left - b / right).powi(2)).sum::<f64>().sqrt())
}

fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// Writes what was measured between the marks of `benches/RESULTS.md`.
pub(super) fn keep(repo: &Repository, table: &str, command: &str) -> Result<()> {
    let path = repo.root().join("benches/RESULTS.md");
    let text = fs_err::read_to_string(&path)?;
    let measured = format!("{}\n\n    {command}\n\n{table}", machine(repo));
    fs_err::write(&path, replaced(&path, &text, MARKS, &measured)?)?;
    eprintln!("kept in {}", path.display());
    Ok(())
}

/// The processor and the versions.
fn machine(repo: &Repository) -> String {
    let versions = fs_err::read_to_string(repo.root().join(REQUIREMENTS)).unwrap_or_default();
    let versions: Vec<String> =
        versions.split_whitespace().map(|version| version.replace("==", " ")).collect();
    format!("On {}; libtorch 2.11.0 here, there {}.", processor(), versions.join(", "))
}

#[cfg(test)]
mod tests;
