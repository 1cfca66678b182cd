//! `cargo xtask attack`: the program attacked from outside, by trials that are functions of a seed.
//!
//! Each kind of attack makes trial after trial in a folder of its own until its share of the time is over. A trial that finds
//! a fault keeps its folder, with the commands in `commands.txt`; the same seed and number make the same trial again, but for
//! the moments at which signals arrive.

mod draw;
mod episodes;
mod kinds;
mod mutate;
mod names;
mod outcome;
mod pictures;
mod random;
mod row_families;
mod rows;
mod scenario;
mod subject;
mod table;
mod tally;
mod trial;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

pub(crate) use self::kinds::Kind;
use self::names::Names;
use self::random::Rng;
use self::subject::Subject;
use self::tally::Tally;
use self::trial::{Equipment, Trial};
use crate::repo::Repository;
use crate::setup;

/// The library that lets system calls fail.
const SHIM: &str = include_str!("attack/shim.c");
/// What a command may take, on a busy machine too.
const LIMIT: Duration = Duration::from_mins(1);

/// What is to be attacked, how and for how long.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// For how long, shared among the kinds.
    pub(crate) minutes: f64,
    /// What all trials are functions of; otherwise the time of day.
    pub(crate) seed: Option<u64>,
    /// A single trial of each kind, by its number.
    pub(crate) trial: Option<u64>,
    /// The kinds; all where none is named.
    pub(crate) kinds: Vec<Kind>,
    /// A program that was built already, with `fuzz` beside it.
    pub(crate) binary: Option<PathBuf>,
    /// Which folders stay.
    pub(crate) keep: Keep,
}

/// Which trials keep their folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those that found a fault.
    Faults,
    /// Every one.
    All,
}

impl Default for Options {
    fn default() -> Self {
        Self { minutes: 10.0, seed: None, trial: None, kinds: Vec::new(), binary: None, keep: Keep::Faults }
    }
}

/// Attacks; the exit code is 1 where a trial has found a fault.
pub(crate) fn attack(repo: &Repository, options: &Options) -> Result<ExitCode> {
    let equipment = equip(repo, options)?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = options.seed.unwrap_or_else(now);
    let folder = std::env::temp_dir().join(format!("manytask-attack-{}", std::process::id()));
    let kinds = if options.kinds.is_empty() { Kind::ALL.to_vec() } else { options.kinds.clone() };
    let share = Duration::from_secs_f64(options.minutes * 60.0 / kinds.len() as f64);
    println!("seed {seed}, {:.1} minutes, {}", options.minutes, equipment.subject.binary.display());
    let mut tallies = Vec::new();
    for kind in kinds {
        let numbers = options.trial.map_or(0..u64::MAX, |number| number..number + 1);
        let deadline = Instant::now() + share;
        let mut tally = Tally::default();
        for number in numbers.take_while(|_| options.trial.is_some() || Instant::now() < deadline) {
            let place = folder.join(format!("{kind}-{number}"));
            let rng = Rng::new(seed, kind.name(), number);
            let trial = Trial::new(rng, place, &equipment, &mut tally)?;
            try_once(kind, trial, options.keep, &format!("--seed {seed} --trial {number}"))?;
        }
        if tally.refuses_too_much() {
            tally.failures += 1;
            println!("{kind}: {} of {} valid configurations were refused", tally.refused, tally.offered);
        }
        println!("{kind}: {} tries, {} failures", tally.tries, tally.failures);
        for (reason, count) in tally.reasons().into_iter().take(8) {
            println!("  refused {count} times: {reason}");
        }
        tallies.push((kind.name(), tally));
    }
    println!("\nseed {seed}\n{}", tally::table(&tallies));
    // Where nothing failed it is empty.
    let _ = fs_err::remove_dir(&folder);
    let failed = tallies.iter().any(|(_, tally)| tally.failures > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes one trial and reports what it found; its folder stays where that is a fault.
fn try_once(kind: Kind, mut trial: Trial<'_>, keep: Keep, name: &str) -> Result<()> {
    let found = kind.attack(&mut trial);
    trial.tally.tries += 1;
    if let Err(fault) = &found {
        trial.tally.failures += 1;
        let place = trial.folder.display();
        println!("{kind} failed: {fault:#}\n  again: cargo xtask attack {kind} {name}\n  kept: {place}");
    }
    if found.is_ok() && keep == Keep::Faults {
        fs_err::remove_dir_all(&trial.folder)?;
    }
    Ok(())
}

/// The program, built unless one is named, and what the attacks need beside it.
fn equip(repo: &Repository, options: &Options) -> Result<Equipment> {
    let target = repo.target_dir()?;
    let binary = if let Some(binary) = &options.binary {
        std::path::absolute(binary)?
    } else {
        setup::ensure(repo)?;
        let mut build = repo.cargo();
        build.args(["build", "--release", "--package", "manytask", "--package", "manytask-fuzz"]);
        if !build.status().context("cannot start cargo")?.success() {
            bail!("manytask does not build: see above");
        }
        target.join("release/manytask")
    };
    let fuzz = binary.with_file_name("fuzz");
    let names = Names::ask(&binary)?;
    Ok(Equipment {
        subject: Subject { binary, limit: LIMIT },
        names,
        shim: shim(&target.join("attack"))?,
        fuzz: fuzz.is_file().then_some(fuzz),
        configs: repo.root().join("configs"),
    })
}

/// Compiles the library that lets system calls fail; nothing where there is no C compiler.
fn shim(folder: &Path) -> Result<Option<PathBuf>> {
    fs_err::create_dir_all(folder)?;
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    if fs_err::read_to_string(&source).is_ok_and(|text| text == SHIM) && library.is_file() {
        return Ok(Some(library));
    }
    fs_err::write(&source, SHIM)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    match compiler.status() {
        Ok(status) if status.success() => Ok(Some(library)),
        Ok(status) => bail!("{} does not compile: {status}", source.display()),
        Err(_) => {
            println!("no C compiler: no single write will fail");
            Ok(None)
        }
    }
}
