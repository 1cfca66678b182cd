//! The virtual environment of the peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repo::Repository;

/// What is installed, with its versions.
pub(super) const REQUIREMENTS: &str = "benches/peers/requirements.txt";
/// The same for tables.
const OF_TABLES: &str = "benches/peers/requirements-tables.txt";

/// Makes the virtual environment of the peers, or brings it to the versions that are wanted; gives its Python.
pub(crate) fn peers(repo: &Repository) -> Result<PathBuf> {
    environment(repo, "peers", REQUIREMENTS)
}

/// The same for the systems that tables are compared with.
pub(crate) fn tables(repo: &Repository) -> Result<PathBuf> {
    environment(repo, "peers-tables", OF_TABLES)
}

fn environment(repo: &Repository, name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = repo.target_dir()?.join(name);
    let path = repo.root().join(requirements);
    let wanted = fs_err::read_to_string(&path)?;
    let (python, marker) = (folder.join("bin/python"), folder.join("requirements.txt"));
    if python.exists() && is_there(&marker, &wanted) {
        return Ok(python);
    }
    if !python.exists() {
        eprintln!("setting up {name} in {} (up to some gigabytes, once)", folder.display());
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    }
    eprintln!("installing what {requirements} names");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(path);
    run(&mut install, "pip install")?;
    fs_err::write(marker, wanted)?;
    Ok(python)
}

/// The Python of the peers, where their environment was made before.
pub(crate) fn made(repo: &Repository) -> Option<PathBuf> {
    let python = repo.target_dir().ok()?.join("peers/bin/python");
    python.exists().then_some(python)
}

fn is_there(marker: &Path, wanted: &str) -> bool {
    fs_err::read_to_string(marker).is_ok_and(|there| there == wanted)
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command.stdout(Stdio::null()).status();
    if status.with_context(|| format!("{what}: it cannot be started"))?.success() {
        return Ok(());
    }
    bail!("{what} failed: see its message above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("requirements.txt");
        assert!(!is_there(&marker, "torch==1\n"));
        fs_err::write(&marker, "torch==1\n").unwrap();
        assert!(is_there(&marker, "torch==1\n"));
        assert!(!is_there(&marker, "torch==2\n"));
    }

    #[test]
    fn what_fails_is_named() {
        let error = run(&mut Command::new("false"), "pip install").unwrap_err().to_string();
        assert!(error.contains("pip install failed"), "{error}");
        let error = run(&mut Command::new("no-such-program"), "python3 -m venv").unwrap_err().to_string();
        assert!(error.contains("python3 -m venv: it cannot be started"), "{error}");
    }
}
