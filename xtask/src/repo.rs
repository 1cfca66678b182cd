//! The checkout this program belongs to, and commands started in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::config;

/// The root of a checkout.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The checkout whose `xtask` runs. The folder is asked for at run time, because checkouts may share a
    /// target folder and so this very binary.
    pub(crate) fn locate() -> Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("xtask lies at the root of the file system")?.to_path_buf();
        if !root.join("xtask").is_dir() {
            bail!("{} is no checkout of manytask: run `cargo xtask` inside one", root.display());
        }
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where set-up writes the place of libtorch; `.cargo/config.toml` includes it.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.root.join(".cargo").join("libtorch.toml")
    }

    /// A command in the root of the checkout.
    ///
    /// `cargo run` hands the `[env]` of the configuration to this process. It is taken out again, for two
    /// reasons: the file may have been rewritten since, and a nested cargo that sees `LIBTORCH` in its
    /// environment where a plain one does not would rebuild libtorch's bindings on every change between
    /// the two.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root);
        if config::user_libtorch(&self.config_file()).is_none() {
            command.env_remove("LIBTORCH");
        }
        command
    }

    /// The cargo that started this program, so that one toolchain does everything.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// What `cargo metadata` says about the packages of the workspace (not their dependencies).
    pub(crate) fn metadata(&self) -> Result<Value> {
        let output = self
            .cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something that is no JSON")
    }

    /// The folder cargo builds into, wherever the user has put it.
    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        let metadata = self.metadata()?;
        let path =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target_directory")?;
        Ok(PathBuf::from(path))
    }
}
