//! `cargo xtask train`: from a fresh checkout to a training run.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::program;
use crate::repo::Repository;

/// Sets up, builds and runs `manytask train ARGUMENTS`; on Unix it does not return from the run.
pub(crate) fn train(repo: &Repository, arguments: &[String]) -> Result<ExitCode> {
    let binary = program::build(repo)?;
    let mut command = repo.command(&binary);
    // Paths are meant from where the user stands.
    command.current_dir(std::env::current_dir().context("the current folder is gone")?);
    command.arg("train").args(arguments);
    hand_over(command).with_context(|| format!("cannot start {}", binary.display()))
}

/// Becomes the command, so that Ctrl-C and signals reach it alone and its exit code is this one's.
#[cfg(unix)]
fn hand_over(mut command: Command) -> std::io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

#[cfg(not(unix))]
fn hand_over(mut command: Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
