//! `cargo xtask ci`: what continuous integration runs.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::architecture;
use crate::config;
use crate::cycles;
use crate::repo::Repository;
use crate::setup;
use crate::steps::{self, Step};
use crate::test::{self, Extent};

/// All of `test`, the crate outside the workspace, and what the documents must mention.
pub(crate) fn ci(repo: &Repository) -> Result<ExitCode> {
    setup::ensure(repo)?;
    let mut steps = vec![
        Step::check("architecture", "mend the Cargo.toml or ARCHITECTURE.md it names", || {
            architecture::check(
                &repo.metadata()?,
                &fs_err::read_to_string(repo.root().join("ARCHITECTURE.md"))?,
            )
        }),
        Step::check("import cycles", "move what both modules use into one below them", || {
            cycles::check(&repo.metadata()?, repo.root())
        }),
    ];
    steps.extend(test::checks(repo, Extent::Full)?);
    steps.push(Step::check("downstream crate", "see examples/downstream/README.md", || downstream(repo)));
    Ok(steps::run(steps))
}

/// Builds and runs `examples/downstream` as its README says, from a folder that has nothing of this
/// repository's configuration above it.
fn downstream(repo: &Repository) -> Result<()> {
    let libtorch = config::configured(&repo.config_file()).context("there is no .cargo/libtorch.toml")?;
    let elsewhere = std::env::temp_dir().join(format!("manytask-downstream-{}", std::process::id()));
    let result = run_from(repo, &elsewhere, &config::text(&libtorch)?);
    fs_err::remove_dir_all(&elsewhere)?;
    result
}

fn run_from(repo: &Repository, folder: &std::path::Path, config: &str) -> Result<()> {
    let cargo_folder = folder.join(".cargo");
    fs_err::create_dir_all(&cargo_folder)?;
    fs_err::write(cargo_folder.join("config.toml"), config)?;
    let mut command = repo.cargo();
    command.current_dir(folder).arg("run").arg("--manifest-path");
    command.arg(repo.root().join("examples/downstream/Cargo.toml"));
    command.arg("--target-dir").arg(repo.target_dir()?.join("downstream"));
    if !command.status().context("cannot start cargo")?.success() {
        bail!("examples/downstream does not build and run from {}", folder.display());
    }
    Ok(())
}
