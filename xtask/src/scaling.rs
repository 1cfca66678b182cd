//! `cargo xtask scaling`: the tables of `docs/scaling.md`, measured anew.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::measured::{processor, replaced};
use crate::repo::Repository;
use crate::setup;

/// The tables, in the order of the page.
pub(crate) const TABLES: [&str; 8] =
    ["trunk", "waves", "width", "steps", "threads", "memory", "checkpoints", "ways"];

/// The page.
const PAGE: &str = "docs/scaling.md";

/// Measures one table or all; each is printed, and written between its marks of the page.
pub(crate) fn scaling(repo: &Repository, table: Option<&str>) -> Result<ExitCode> {
    setup::ensure(repo)?;
    let mut build = repo.cargo();
    build.args(["build", "--release", "--package", "manytask-benches", "--bin", "scaling"]);
    if !build.status().context("cannot start cargo")?.success() {
        bail!("the measurement does not build: see above");
    }
    let program = repo.target_dir()?.join("release/scaling");
    let path = repo.root().join(PAGE);
    for name in TABLES.into_iter().filter(|name| table.is_none_or(|table| table == *name)) {
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.arg(name).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
        if !output.status.success() {
            bail!("{name}: the measurement failed with {}: see above", output.status);
        }
        let found = String::from_utf8(output.stdout).context("the measurement printed no text")?;
        println!("{name}\n\n{found}");
        let text = fs_err::read_to_string(&path)?;
        let [begin, end] = marks(name);
        let measured = format!("On {}.\n\n{found}", processor());
        fs_err::write(&path, replaced(&path, &text, [&begin, &end], &measured)?)?;
        eprintln!("{name}: {:.0} s, kept in {PAGE}", start.elapsed().as_secs_f64());
    }
    Ok(ExitCode::SUCCESS)
}

fn marks(table: &str) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {table}: {place} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_every_table() {
        let path = Repository::locate().unwrap().root().join(PAGE);
        let text = fs_err::read_to_string(&path).unwrap();
        for table in TABLES {
            let [begin, end] = marks(table);
            let new = replaced(&path, &text, [&begin, &end], "a table\n").unwrap();
            assert!(new.contains(&format!("{begin}\na table\n{end}")), "{table}");
        }
    }
}
