//! The parsers, fed with damaged text in a process of their own, which is quicker than a command for each.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::attack::subject::Subject;
use crate::attack::trial::Trial;

/// Inputs of one process.
const INPUTS: usize = 1500;
/// What they may take together.
const LIMIT: Duration = Duration::from_mins(5);

/// One process of the program that feeds the parsers, with a seed of its own.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let binary = trial
        .equipment
        .fuzz
        .clone()
        .context("no program `fuzz` lies beside manytask: build manytask-fuzz")?;
    let seed = (trial.rng.next() >> 1).to_string();
    let subject = Subject { binary, limit: LIMIT };
    let running = subject.start(&trial.folder, &[&seed, &INPUTS.to_string(), "."], &trial.variables)?;
    trial.finish(running)?.expect(&[0])?;
    Ok(())
}
