//! `cargo xtask setup`, and what the other commands call to have it done.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cache::Cache;
use crate::capture;
use crate::config;
use crate::install::{Existing, Supply, install};
use crate::libtorch::{self, Origin};
use crate::platform::{Platform, Support};
use crate::repo::Repository;
use crate::wheels::Compute;

/// The arguments of `setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) compute: Compute,
    pub(crate) supply: Supply,
    pub(crate) existing: Existing,
    pub(crate) output: Output,
}

/// What `setup` writes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Nothing,
    /// The configuration, for use in another workspace.
    Config,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compute: Compute::Cpu,
            supply: Supply::Index,
            existing: Existing::Keep,
            output: Output::Nothing,
        }
    }
}

/// Makes libtorch available and writes the configuration that finds it.
pub(crate) fn setup(repo: &Repository, options: &Options) -> Result<()> {
    let platform = Platform::host()?;
    let folder = match libtorch::origin(repo)? {
        Origin::PyTorch(path) => chosen(&path, "LIBTORCH_USE_PYTORCH", platform, options)?,
        Origin::Variable(path) => chosen(&path, "LIBTORCH", platform, options)?,
        Origin::Configured(path) => configured(path, platform, options)?,
        Origin::Unset => cached(platform, options)?,
    };
    config::write(&repo.config_file(), &folder)?;
    if options.output == Output::Config {
        print!("{}", config::text(&folder)?);
    }
    Ok(())
}

/// Sets up only what is missing; says nothing when nothing is.
pub(crate) fn ensure(repo: &Repository) -> Result<()> {
    if let Origin::Configured(path) = libtorch::origin(repo)?
        && libtorch::check(&path, Platform::host()?).is_ok()
    {
        return Ok(());
    }
    setup(repo, &Options::default())
}

/// A libtorch of the user's choice is taken as it is.
fn chosen(path: &Path, variable: &str, platform: Platform, options: &Options) -> Result<PathBuf> {
    if options.compute == Compute::Cuda
        || options.supply != Supply::Index
        || options.existing == Existing::Replace
    {
        bail!("--cuda, --wheels and --force are for the libtorch in the cache: unset {variable} to use it");
    }
    let path = std::path::absolute(path)?;
    libtorch::check(&path, platform)?;
    eprintln!("using the libtorch that {variable} names: {}", path.display());
    Ok(path)
}

/// A libtorch that the configuration names outside the cache was the user's choice in an earlier set-up.
/// Whether `LIBTORCH` still says so cannot be seen here, since cargo sets it from the configuration.
fn configured(path: PathBuf, platform: Platform, options: &Options) -> Result<PathBuf> {
    let plain = options == &Options { output: options.output, ..Options::default() };
    let own = path != Cache::locate(platform)?.torch();
    if plain && own && libtorch::check(&path, platform).is_ok() {
        eprintln!("keeping the libtorch that .cargo/libtorch.toml names: {}", path.display());
        eprintln!("  `cargo xtask setup --force` sets up the one in the cache instead");
        return Ok(path);
    }
    cached(platform, options)
}

fn cached(platform: Platform, options: &Options) -> Result<PathBuf> {
    if platform.support() == Support::Untried {
        eprintln!(
            "note: set-up on {platform} follows the published wheels, but was never run there by its authors"
        );
    }
    let torch =
        install(&Cache::locate(platform)?, platform, options.compute, &options.supply, options.existing)?;
    if options.compute == Compute::Cuda {
        capture::build(&torch)?;
    }
    Ok(torch)
}
