//! The built command, and `cargo xtask install`, which puts it where a shell finds it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::repo::Repository;
use crate::setup;

/// Sets up and builds the command; answers with its path.
pub(crate) fn build(repo: &Repository) -> Result<PathBuf> {
    setup::ensure(repo)?;
    let built =
        repo.cargo().args(["build", "--release", "--package", "manytask", "--bin", "manytask"]).status();
    if !built.context("cannot start cargo")?.success() {
        bail!("manytask does not build: see above; `cargo xtask doctor` checks compilers and libtorch");
    }
    Ok(repo.target_dir()?.join("release").join("manytask"))
}

/// Builds the command and copies it into the folder `bin` of `root`, or of cargo's own folder. It finds libtorch in the cache where
/// set-up has put it.
pub(crate) fn install(repo: &Repository, root: Option<&Path>) -> Result<()> {
    let built = build(repo)?;
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_cargo = || variable("CARGO_HOME").or_else(|| Some(variable("HOME")?.join(".cargo")));
    let Some(root) = root.map(Path::to_owned).or_else(of_cargo) else {
        bail!("neither CARGO_HOME nor HOME is set: name a folder with `--root DIR`");
    };
    let folder = std::path::absolute(root)?.join("bin");
    let installed = put(&built, &folder)?;
    eprintln!("installed {}", installed.display());
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|place| place == folder) {
        eprintln!("note: {} is not in PATH: add it, or call the program by this path", folder.display());
    }
    Ok(())
}

/// Copies a program into a folder. One that runs there goes on as it is.
fn put(program: &Path, folder: &Path) -> Result<PathBuf> {
    let name = program.file_name().context("the program has no name")?;
    fs_err::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let installed = folder.join(name);
    let aside = folder.join(format!(".{}-{}", name.to_string_lossy(), std::process::id()));
    let copied = fs_err::copy(program, &aside).and_then(|_| fs_err::rename(&aside, &installed));
    if copied.is_err() {
        let _ = fs_err::remove_file(&aside);
    }
    copied.with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_put_in_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let (built, bin) = (folder.path().join("manytask"), folder.path().join("root").join("bin"));
        for content in ["old", "new"] {
            fs_err::write(&built, content).unwrap();
            let installed = put(&built, &bin).unwrap();
            assert_eq!(fs_err::read_to_string(&installed).unwrap(), content);
        }
        assert_eq!(fs_err::read_dir(&bin).unwrap().count(), 1, "nothing is left beside it");
        assert!(put(&folder.path().join("absent"), &bin).is_err());
        assert_eq!(fs_err::read_dir(&bin).unwrap().count(), 1);
    }
}
