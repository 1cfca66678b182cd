//! Kills and signals at random moments, from the start on; whatever happened, the run ends with the same bytes.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::attack::outcome::{Outcome, is_tidy};
use crate::attack::scenario::{CONFIG, Length};
use crate::attack::subject::{End, Ended};
use crate::attack::trial::Trial;

/// The run that is interrupted.
const RUN: &str = "runs/broken";

/// Signals, and the exit code of a process that has saved its state upon them; none for a kill.
const SIGNALS: [(&str, i32, Option<i32>); 4] =
    [("KILL", 9, None), ("TERM", 15, Some(143)), ("INT", 2, Some(130)), ("HUP", 1, Some(129))];

/// A longer training, interrupted.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let (_, trained) = trial.trained(Length::Long)?;
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    interrupted(trial, trained.took, &outcome)
}

/// Trains the trial's configuration again with interruptions and expects this outcome. A training takes about `duration`.
pub(super) fn interrupted(trial: &mut Trial<'_>, duration: Duration, outcome: &Outcome) -> Result<()> {
    let _ = fs_err::remove_dir_all(trial.at(RUN));
    for _ in 0..trial.rng.between(1, 4) {
        let arguments = next(trial);
        let running = trial.start(&arguments)?;
        let ended = hit(trial, running, duration)?;
        if ended.is(0) {
            break;
        }
    }
    let mut arguments = next(trial);
    if !arguments.contains(&"resume") && trial.at(RUN).exists() {
        trial.note("the folder is there without a configuration")?;
        arguments = next(trial);
    }
    trial.command(&arguments)?.expect(&[0])?;
    is_tidy(&trial.at(RUN))?;
    Outcome::read(&trial.at(RUN))?.same_as(outcome, "interruptions")
}

/// What goes on with the run: its resumption where it can be resumed, otherwise the same training.
fn next(trial: &Trial<'_>) -> Vec<&'static str> {
    if trial.at(RUN).join("config.toml").exists() {
        vec!["resume", RUN, "--quiet"]
    } else {
        vec!["train", CONFIG, "--quiet", "--name", "broken"]
    }
}

/// Sends a signal, or two of them, at a random moment.
fn hit(
    trial: &mut Trial<'_>,
    mut running: crate::attack::subject::Running,
    duration: Duration,
) -> Result<Ended> {
    let place = trial.rng.below(SIGNALS.len());
    let Some(&(signal, number, code)) = SIGNALS.get(place) else { return running.finish() };
    let twice = trial.rng.chance(0.3);
    let wait = duration.mul_f64(trial.rng.unit() * 1.05);
    trial.note(&format!("{signal}{} after {wait:?}", if twice { " twice" } else { "" }))?;
    running.wait_for(wait)?;
    running.signal(signal)?;
    if twice {
        running.wait_for(Duration::from_millis(trial.rng.between(0, 30) as u64))?;
        running.signal(signal)?;
    }
    let ended = trial.finish(running)?;
    // Before a process listens to signals they end it, and nothing is lost.
    let killed = ended.end == End::Signal(number);
    if !killed {
        let codes: Vec<i32> = [Some(0), code].into_iter().flatten().collect();
        ended.expect(&codes)?;
    }
    if ended.end == code.map_or(End::Hang, End::Code) && !trial.at(RUN).join("checkpoints/latest").exists() {
        bail!("{signal} ended `{}` with {code:?}, and no state was saved", ended.line);
    }
    Ok(ended)
}
