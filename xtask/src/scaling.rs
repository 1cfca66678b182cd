//! `cargo xtask scaling`: the tables of `docs/scaling.md`, and that of a GPU in `benches/RESULTS.md`, measured anew.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::measured::{processor, replaced};
use crate::peers;
use crate::repo::Repository;
use crate::setup;

/// The tables, in the order of the page.
pub(crate) const TABLES: [&str; 10] =
    ["trunk", "waves", "width", "steps", "threads", "memory", "checkpoints", "ways", "precision", GPU];

/// The table that needs a GPU: measured only where it is named.
const GPU: &str = "gpu";

/// Where a table stands.
fn page(table: &str) -> &'static str {
    if table == GPU { "benches/RESULTS.md" } else { "docs/scaling.md" }
}

/// Measures one table, or all but that of a GPU; each is printed, and written between its marks of its page.
pub(crate) fn scaling(repo: &Repository, table: Option<&str>) -> Result<ExitCode> {
    setup::ensure(repo)?;
    let mut build = repo.cargo();
    build.args(["build", "--release", "--package", "manytask-benches", "--bin", "scaling", "--bin", "twin"]);
    if !build.status().context("cannot start cargo")?.success() {
        bail!("the measurement does not build: see above");
    }
    let program = repo.target_dir()?.join("release/scaling");
    let is_meant = |name: &&str| table.map_or(*name != GPU, |table| table == *name);
    for name in TABLES.into_iter().filter(is_meant) {
        let page = page(name);
        let path = repo.root().join(page);
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.arg(name).stderr(Stdio::inherit());
        if let Some(python) = peers::made(repo).filter(|_| name == GPU) {
            command.arg("cuda").arg(python).arg(repo.root().join("benches/peers"));
        }
        let output = command.output().with_context(|| format!("cannot start {}", program.display()))?;
        if !output.status.success() {
            bail!("{name}: the measurement failed with {}: see above", output.status);
        }
        let found = String::from_utf8(output.stdout).context("the measurement printed no text")?;
        println!("{name}\n\n{found}");
        let text = fs_err::read_to_string(&path)?;
        let [begin, end] = marks(name);
        let place = if name == GPU { format!("{} and {}", processor(), graphics()) } else { processor() };
        let measured = format!("On {place}.\n\n{found}");
        fs_err::write(&path, replaced(&path, &text, [&begin, &end], &measured)?)?;
        eprintln!("{name}: {:.0} s, kept in {page}", start.elapsed().as_secs_f64());
    }
    Ok(ExitCode::SUCCESS)
}

/// The first GPU's name, as its driver says.
fn graphics() -> String {
    let output = Command::new("nvidia-smi").args(["--query-gpu=name", "--format=csv,noheader"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines()
        .next()
        .map_or_else(|| "a GPU without a name".to_owned(), |name| format!("one {}", name.trim()))
}

fn marks(table: &str) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {table}: {place} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_place_on_its_page() {
        let repo = Repository::locate().unwrap();
        for table in TABLES {
            let path = repo.root().join(page(table));
            let text = fs_err::read_to_string(&path).unwrap();
            let [begin, end] = marks(table);
            let new = replaced(&path, &text, [&begin, &end], "a table\n").unwrap();
            assert!(new.contains(&format!("{begin}\na table\n{end}")), "{table}");
        }
    }
}
