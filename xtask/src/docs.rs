//! `cargo xtask docs`: the book, with its reference as the command itself says it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::program;
use crate::repo::Repository;

/// Writes the reference and builds the book; says where it is.
pub(crate) fn docs(repo: &Repository, binary: Option<&PathBuf>) -> Result<ExitCode> {
    let binary = match binary {
        Some(binary) => std::path::absolute(binary)?,
        None => program::build(repo)?,
    };
    let book = repo.root().join("docs").join("book");
    let said = repo.command(&binary).args(["list", "--markdown"]).output();
    let said = said.with_context(|| format!("cannot start {}", binary.display()))?;
    if !said.status.success() {
        bail!("`manytask list --markdown` ended with {}", said.status);
    }
    let reference = book.join("src").join("reference.md");
    fs_err::write(&reference, &said.stdout)?;
    println!("written: {}", reference.display());
    match Command::new("mdbook").arg("build").arg(&book).status() {
        Ok(status) if status.success() => {
            println!("the book is {}", book.join("book").join("index.html").display());
            Ok(ExitCode::SUCCESS)
        }
        Ok(status) => bail!("mdbook ended with {status}"),
        Err(_) => {
            bail!("there is no mdbook: get it with `cargo install mdbook`, or read docs/book/src as it is")
        }
    }
}
