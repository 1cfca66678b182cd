//! One trial: a folder, random numbers, and commands of the program that are counted and written down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::draw;
use super::names::Names;
use super::random::Rng;
use super::scenario::{CONFIG, Length, Scenario};
use super::subject::{Ended, Running, Subject};
use super::tally::Tally;

/// What all trials have in common.
#[derive(Debug)]
pub(crate) struct Equipment {
    /// The program.
    pub(crate) subject: Subject,
    /// What it can be asked for.
    pub(crate) names: Names,
    /// The library that lets system calls fail, where there is a C compiler.
    pub(crate) shim: Option<PathBuf>,
    /// The program that feeds the parsers, where it was built.
    pub(crate) fuzz: Option<PathBuf>,
    /// The shipped configurations.
    pub(crate) configs: PathBuf,
}

/// One trial.
#[derive(Debug)]
pub(crate) struct Trial<'e> {
    /// Its random numbers.
    pub(crate) rng: Rng,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What all trials have in common.
    pub(crate) equipment: &'e Equipment,
    /// The counts of its kind.
    pub(crate) tally: &'e mut Tally,
    /// Variables of the environment of each command.
    pub(crate) variables: BTreeMap<String, String>,
    log: String,
}

impl<'e> Trial<'e> {
    /// A trial in a new folder.
    pub(crate) fn new(
        rng: Rng,
        folder: PathBuf,
        equipment: &'e Equipment,
        tally: &'e mut Tally,
    ) -> Result<Self> {
        let _ = fs_err::remove_dir_all(&folder);
        fs_err::create_dir_all(&folder)?;
        let variables =
            BTreeMap::from([("XDG_CACHE_HOME".to_owned(), folder.join("cache").display().to_string())]);
        Ok(Self { rng, folder, equipment, tally, variables, log: String::new() })
    }

    /// A path in its folder.
    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a command.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Result<Running> {
        self.equipment.subject.start(&self.folder, arguments, &self.variables)
    }

    /// Waits for a command that was started; it is counted and written down.
    pub(crate) fn finish(&mut self, running: Running) -> Result<Ended> {
        let ended = running.finish()?;
        self.tally.count(&ended);
        self.note(&format!("{}\n  {:?}: {}", ended.line, ended.end, ended.complaint()))?;
        Ok(ended)
    }

    /// Runs a command to its end.
    pub(crate) fn command(&mut self, arguments: &[&str]) -> Result<Ended> {
        let running = self.start(arguments)?;
        self.finish(running)
    }

    /// Runs a command with further variables of the environment.
    pub(crate) fn command_with(&mut self, variables: &[(&str, String)], arguments: &[&str]) -> Result<Ended> {
        let before = self.variables.clone();
        self.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.note(&format!("with {variables:?}"))?;
        let ended = self.command(arguments);
        self.variables = before;
        ended
    }

    /// Writes down what was done.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.log += text;
        self.log.push('\n');
        Ok(fs_err::write(self.folder.join("commands.txt"), &self.log)?)
    }

    /// Draws scenarios until one trains to its end, as the run `runs/whole`; those that are refused are counted.
    pub(crate) fn trained(&mut self, length: Length) -> Result<(Scenario, Ended)> {
        const DRAWS: usize = 10;
        for _ in 0..DRAWS {
            let scenario = draw::scenario(&mut self.rng, &self.equipment.names, length)?;
            if let Some(ended) = self.offer(&scenario)? {
                return Ok((scenario, ended));
            }
        }
        bail!("{DRAWS} valid configurations were refused, one after the other");
    }

    /// Trains a scenario as `runs/whole`. Nothing where it is refused with a reason; a refusal leaves no run.
    pub(crate) fn offer(&mut self, scenario: &Scenario) -> Result<Option<Ended>> {
        scenario.write(&self.folder)?;
        self.tally.offered += 1;
        let ended = self.command(&["train", CONFIG, "--quiet", "--name", "whole"])?;
        ended.expect(&[0, 3, 4, 5])?;
        if ended.is(0) {
            return Ok(Some(ended));
        }
        self.tally.refuse(&ended);
        if ended.complaint().len() < 20 {
            bail!("`{}` was refused without a reason: {}", ended.line, ended.complaint());
        }
        // A method may find out at some step what it cannot do.
        let in_training = ended.is(5) || ended.complaint().contains("at step ");
        if !in_training && self.at("runs/whole").exists() {
            bail!("`{}` was refused and has left a run behind: {}", ended.line, ended.complaint());
        }
        let _ = fs_err::remove_dir_all(self.at("runs"));
        Ok(None)
    }
}
