//! The kinds of attack.

use std::fmt;

use anyhow::Result;

use super::trial::Trial;

mod command;
mod config;
mod disk;
mod fuzz;
mod kill;
mod picture;
mod run;
mod table;
mod valid;

/// A kind of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Random valid configurations.
    Valid,
    /// Whatever else can be asked for, in order and out of order.
    Command,
    /// Kills and signals at random moments.
    Kill,
    /// Writes that fail.
    Disk,
    /// Damaged configurations.
    Config,
    /// Damaged tables, and tables written in other ways.
    Table,
    /// Damaged folders of runs.
    Run,
    /// Damaged pictures and archives.
    Picture,
    /// Parsers that are fed damaged text.
    Fuzz,
}

impl Kind {
    /// All, in the order of the table at the end.
    pub(crate) const ALL: [Self; 9] = [
        Self::Valid,
        Self::Command,
        Self::Kill,
        Self::Disk,
        Self::Config,
        Self::Table,
        Self::Run,
        Self::Picture,
        Self::Fuzz,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Command => "command",
            Self::Kill => "kill",
            Self::Disk => "disk",
            Self::Config => "config",
            Self::Table => "table",
            Self::Run => "run",
            Self::Picture => "picture",
            Self::Fuzz => "fuzz",
        }
    }

    /// Makes one trial; an error is a fault that it found.
    pub(crate) fn attack(self, trial: &mut Trial<'_>) -> Result<()> {
        match self {
            Self::Valid => valid::attack(trial),
            Self::Command => command::attack(trial),
            Self::Kill => kill::attack(trial),
            Self::Disk => disk::attack(trial),
            Self::Config => config::attack(trial),
            Self::Table => table::attack(trial),
            Self::Run => run::attack(trial),
            Self::Picture => picture::attack(trial),
            Self::Fuzz => fuzz::attack(trial),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
