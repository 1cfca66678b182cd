//! Writes that fail: single system calls by a preloaded library, small files, small file systems.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::attack::outcome::{Outcome, is_tidy};
use crate::attack::scenario::{CONFIG, Length};
use crate::attack::subject::Ended;
use crate::attack::trial::Trial;

/// System calls that are let fail.
const CALLS: [&str; 6] = ["write", "fsync", "rename", "mkdir", "open", "unlink"];
/// Parts of paths.
const PATHS: [&str; 6] = ["runs", "checkpoints", "metrics", "manifest", "results", "tables"];
/// EIO, EACCES, EFBIG, ENOSPC, EROFS, EDQUOT.
const ERRORS: [u32; 6] = [5, 13, 27, 28, 30, 122];

/// One training whose writes fail, and its resumption.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    match (trial.rng.below(8), trial.equipment.shim.clone()) {
        (0, _) => small_files(trial),
        (1, _) => small_disk(trial),
        (_, Some(shim)) => failing_calls(trial, &shim.display().to_string()),
        (_, None) => small_files(trial),
    }
}

fn failing_calls(trial: &mut Trial<'_>, shim: &str) -> Result<()> {
    let (call, path) = (trial.rng.pick(&CALLS), trial.rng.pick(&PATHS));
    let log = trial.at("calls");
    let tables = trial.at("tables").display().to_string();
    for (name, value) in [
        ("LD_PRELOAD", shim),
        ("MANYTASK_TABLES", tables.as_str()),
        ("ATTACK_CALL", call),
        ("ATTACK_PATH", path),
        ("ATTACK_AT", "0"),
        ("ATTACK_LOG", &log.display().to_string()),
    ] {
        trial.variables.insert(name.to_owned(), value.to_owned());
    }
    trial.trained(Length::Short)?;
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    let made = fs_err::read(&log).map_or(0, |log| log.len());
    let _ = fs_err::remove_dir_all(trial.at("tables"));
    let short = call == "write" && trial.rng.chance(0.2);
    let error = if short { 0 } else { trial.rng.pick(&ERRORS) };
    let variables = [
        ("ATTACK_AT", trial.rng.between(1, made.max(1)).to_string()),
        ("ATTACK_TIMES", trial.rng.pick(&["1", "1", "3", "1000000"]).to_owned()),
        ("ATTACK_ERRNO", error.to_string()),
    ];
    let ended = trial.command_with(&variables, &["train", CONFIG, "--quiet", "--name", "broken"])?;
    judge(trial, &ended, if short { &[0] } else { &[0, 4] }, &outcome)
}

/// A limit on the size of files.
fn small_files(trial: &mut Trial<'_>) -> Result<()> {
    trial.trained(Length::Short)?;
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    let blocks = trial.rng.between(0, 12).to_string();
    let ended = trial
        .command_with(&[("ATTACK_BLOCKS", blocks)], &["train", CONFIG, "--quiet", "--name", "broken"])?;
    if ended.err.is_empty() && !ended.is(0) {
        // Not even the message fitted in its file.
        return Ok(());
    }
    judge(trial, &ended, &[0, 4], &outcome)
}

/// A file system that is full; where none can be mounted, small files instead.
fn small_disk(trial: &mut Trial<'_>) -> Result<()> {
    let place = trial.at("runs");
    trial.trained(Length::Short)?;
    let outcome = Outcome::read(&trial.at("runs/whole"))?;
    fs_err::remove_dir_all(&place)?;
    fs_err::create_dir_all(&place)?;
    let size = trial.rng.between(8, 120);
    if !mount(&["-t", "tmpfs", "-o", &format!("size={size}k"), "none"], &place) {
        return small_files(trial);
    }
    trial.note(&format!("runs is a file system of {size} KiB"))?;
    let result = on_small_disk(trial, &outcome);
    let unmounted = Command::new("umount").arg(&place).status();
    result?;
    if !unmounted?.success() {
        bail!("{} cannot be unmounted", place.display());
    }
    Ok(())
}

fn on_small_disk(trial: &mut Trial<'_>, outcome: &Outcome) -> Result<()> {
    let ended = trial.command(&["train", CONFIG, "--quiet", "--name", "broken"])?;
    ended.expect(&[0, 4])?;
    if !mount(&["-o", "remount,size=64m"], &trial.at("runs")) {
        bail!("the small file system cannot grow");
    }
    judge(trial, &ended, &[0, 4], outcome)
}

fn mount(arguments: &[&str], place: &std::path::Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(place).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The failure names a path; without it the run goes on to the same bytes.
fn judge(trial: &mut Trial<'_>, ended: &Ended, codes: &[i32], outcome: &Outcome) -> Result<()> {
    ended.expect(codes)?;
    let broken = trial.at("runs/broken");
    if ended.is(0) {
        Outcome::read(&broken)?.same_as(outcome, "a failure that was no hindrance")?;
    } else if !["runs", "tables"].iter().any(|part| ended.complaint().contains(part)) {
        bail!("the failure of `{}` names no path: {}", ended.line, ended.complaint());
    }
    let arguments: &[&str] = if broken.join("config.toml").exists() {
        &["resume", "runs/broken", "--quiet"]
    } else {
        &["train", CONFIG, "--quiet", "--name", "broken"]
    };
    trial.command(arguments)?.expect(&[0])?;
    Outcome::read(&broken)?.same_as(outcome, "writes that failed")?;
    is_tidy(&broken)
}
