//! `cargo xtask test`: everything that must hold before a change lands.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::config;
use crate::repo::Repository;
use crate::setup;
use crate::steps::{self, Step};

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Formatting, lints, unit and integration tests.
    Fast,
    /// Also doctests, documentation, and the shipped configurations.
    Full,
}

/// Sets up what is missing and runs the checks.
pub(crate) fn test(repo: &Repository, extent: Extent) -> Result<ExitCode> {
    setup::ensure(repo)?;
    Ok(steps::run(checks(repo, extent)?))
}

/// The checks of `test`; all in the development profile, so that they share what is built.
pub(crate) fn checks(repo: &Repository, extent: Extent) -> Result<Vec<Step<'_>>> {
    let cargo = |words: &[&str]| {
        let mut command = repo.cargo();
        command.args(words);
        command
    };
    let mut steps = vec![
        Step::command("formatting", "cargo fmt --all", cargo(&["fmt", "--all", "--check"])),
        Step::command(
            "lints",
            "cargo clippy --workspace --all-targets -- -D warnings",
            cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        ),
    ];
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if extent == Extent::Fast {
        tests.args(["--lib", "--bins", "--tests"]);
    }
    steps.push(Step::command("tests", "cargo test --package CRATE NAME, for the ones that failed", tests));
    if extent == Extent::Full {
        steps.push(Step::command("documentation", "cargo doc --workspace --no-deps", documentation(repo)?));
        if let Some(command) = configurations(repo)? {
            steps.push(Step::command("configurations", "cargo run -- check configs/*.toml", command));
        }
    }
    Ok(steps)
}

/// `cargo doc` with warnings as errors, added to the flags that are in force.
fn documentation(repo: &Repository) -> Result<Command> {
    let mut flags = match (std::env::var("CARGO_ENCODED_RUSTDOCFLAGS"), std::env::var("RUSTDOCFLAGS")) {
        (Ok(flags), _) => flags.split('\x1f').map(str::to_owned).collect(),
        (_, Ok(flags)) => flags.split_whitespace().map(str::to_owned).collect(),
        _ => config::configured(&repo.config_file())
            .map(|path| config::link_flags(&path))
            .transpose()?
            .map_or(vec![], Vec::from),
    };
    flags.extend(["-D".to_owned(), "warnings".to_owned()]);
    let mut command = repo.cargo();
    command.args(["doc", "--workspace", "--no-deps"]);
    command.env_remove("RUSTDOCFLAGS").env("CARGO_ENCODED_RUSTDOCFLAGS", flags.join("\x1f"));
    Ok(command)
}

/// `manytask check` on everything in `configs/`, if there is anything.
fn configurations(repo: &Repository) -> Result<Option<Command>> {
    let folder = repo.root().join("configs");
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    let mut words: Vec<OsString> =
        ["run", "--quiet", "--package", "manytask", "--bin", "manytask", "--", "check"]
            .map(OsString::from)
            .into();
    words.extend(files.iter().map(|path| path.strip_prefix(repo.root()).unwrap_or(path).into()));
    let mut command = repo.cargo();
    command.args(words);
    Ok((!files.is_empty()).then_some(command))
}
