//! The parsers, fed with damaged text in a process of their own, which is quicker than a command for each.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::attack::subject::End;
use crate::attack::trial::Trial;

/// Inputs of one process.
const INPUTS: usize = 2000;

/// One process of the program that feeds the parsers, with a seed of its own.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let program = trial.equipment.fuzz.clone().context("the program `fuzz` was not built")?;
    let seed = (trial.rng.next() >> 1).to_string();
    let inputs = INPUTS.to_string();
    trial.note(&format!("{} {seed} {inputs} {}", program.display(), trial.folder.display()))?;
    let output = Command::new(&program)
        .args([&seed, &inputs])
        .arg(&trial.folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let end = output.status.code().map_or(End::Signal(0), End::Code);
    trial.tally.count_end(end);
    if end == End::Code(0) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().take(5).collect();
    bail!(
        "{end:?} of `{} {seed} {inputs}`; the input lies in the folder: {}",
        program.display(),
        said.join(" | ")
    );
}
