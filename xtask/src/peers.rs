//! `cargo xtask peers` and `cargo xtask bench --peers`: the same work in other systems, one process after the other.

mod environment;
mod report;
mod run;
mod works;

use std::process::ExitCode;

use anyhow::{Result, bail};

pub(crate) use self::environment::{made, peers, tables};
use self::report::Table;
use self::run::{Contenders, Runs};
use self::works::{Data, Work, works};
use crate::repo::Repository;
use crate::setup;

/// How often every contender runs, in turn with the others.
const ROUNDS: usize = 3;
/// The one all others are compared with.
const OURS: &str = "manytask";

/// Compares and prints the table; that of all work is kept in `benches/RESULTS.md`.
pub(crate) fn compare(repo: &Repository, filter: Option<&str>, threads: usize) -> Result<ExitCode> {
    let works: Vec<Work> =
        works().into_iter().filter(|work| filter.is_none_or(|filter| work.name.contains(filter))).collect();
    if works.is_empty() {
        bail!("no work has `{}` in its name", filter.unwrap_or_default());
    }
    setup::ensure(repo)?;
    let contenders = Contenders::new(repo, peers(repo)?, threads)?;
    let mut table = Table::default();
    // Rows are printed as they come: what was measured before a contender fails took its time too.
    print!("{}", table.text());
    for work in &works {
        if work.data == Data::Whole && std::env::var_os("MANYTASK_DATA").is_none() {
            eprintln!("skipped: {}, MANYTASK_DATA not set", work.name);
            print!("{}", table.skipped(work));
            continue;
        }
        eprintln!("{}", work.name);
        print!("{}", table.push(work, &rounds(&contenders, work)?)?);
    }
    // A part of the work would replace the whole.
    if filter.is_none() {
        report::keep(repo, &table.text(), &format!("cargo xtask bench --peers --threads {threads}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All rounds of a work: each contender once in each, but the slow ones in the first alone.
fn rounds(contenders: &Contenders, work: &Work) -> Result<Runs> {
    let mut runs = Runs::new();
    for round in 0..ROUNDS {
        for system in work.contenders() {
            if round > 0 && work.slow.contains(&system) {
                continue;
            }
            runs.entry(system).or_default().push(contenders.run(work, system)?);
        }
    }
    Ok(runs)
}
