//! `cargo xtask bench`: the criterion benchmarks with pinned threads and one table at the end.

mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repo::Repository;
use crate::setup;
use table::Row;

const PACKAGE: &str = "manytask-benches";

/// The arguments of `bench`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) filter: Option<String>,
    pub(crate) save: Option<String>,
    pub(crate) against: Option<String>,
    /// Per cent by which a median may be slower than the baseline's.
    pub(crate) gate: Option<f64>,
    pub(crate) threads: usize,
    pub(crate) format: Format,
    pub(crate) contenders: Contenders,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contenders {
    /// The parts of manytask.
    Parts,
    /// manytask against other systems.
    Peers,
}

/// How the table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: None,
            save: None,
            against: None,
            gate: None,
            threads: 1,
            format: Format::Table,
            contenders: Contenders::Parts,
        }
    }
}

/// Runs the benchmarks and reports.
pub(crate) fn bench(repo: &Repository, options: &Options) -> Result<ExitCode> {
    setup::ensure(repo)?;
    let targets = bench_targets(&repo.metadata()?);
    if targets.is_empty() {
        bail!(
            "{PACKAGE} has no benchmarks: add one under benches/benches and a [[bench]] with `harness = false`"
        );
    }
    let results = repo.target_dir()?.join("criterion");
    let before = written(&results)?;
    if !command(repo, &targets, options, &results).status().context("cannot start cargo")?.success() {
        bail!("the benchmarks did not run through: see above");
    }
    let rows = rows(&results, &before, options.against.as_deref())?;
    if rows.is_empty() {
        bail!("no benchmark has `{}` in its name", options.filter.as_deref().unwrap_or_default());
    }
    match options.format {
        Format::Table => print!("{}", table::text(&rows)),
        Format::Json => println!("{:#}", table::json(&rows, options.threads)),
    }
    let slower = options.gate.map_or_else(Vec::new, |percent| table::slower(&rows, percent));
    for line in &slower {
        eprintln!("slower: {line}");
    }
    Ok(if slower.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn command(repo: &Repository, targets: &[String], options: &Options, results: &Path) -> Command {
    let mut command = repo.cargo();
    command.args(["bench", "--package", PACKAGE]);
    for target in targets {
        command.args(["--bench", target]);
    }
    command.arg("--").args(&options.filter).arg("--noplot");
    if let Some(name) = &options.save {
        command.args(["--save-baseline", name]);
    }
    let threads = options.threads.to_string();
    command.env("OMP_NUM_THREADS", &threads).env("MKL_NUM_THREADS", &threads).env("CRITERION_HOME", results);
    // Standard output is for the table alone.
    command.stdout(std::io::stderr());
    command
}

/// The names of the package's benchmark programs.
fn bench_targets(metadata: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let targets =
        packages.iter().filter(|package| package["name"] == PACKAGE).flat_map(|p| list(&p["targets"]));
    targets
        .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bench"))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// The folders of results, with the time of the last one in each.
fn written(results: &Path) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let mut folders = BTreeMap::new();
    find_results(results, &mut folders)?;
    Ok(folders)
}

/// What criterion has written anew, by name.
fn rows(results: &Path, before: &BTreeMap<PathBuf, SystemTime>, against: Option<&str>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (folder, time) in written(results)? {
        if before.get(&folder) == Some(&time) {
            continue;
        }
        let estimates = folder.join("new").join("estimates.json");
        let benchmark = read_json(&folder.join("new").join("benchmark.json"))?;
        let baseline =
            against.map(|name| folder.join(name).join("estimates.json")).filter(|path| path.exists());
        let baseline = baseline.map(|path| read_json(&path)).transpose()?;
        rows.push(
            Row::new(&benchmark, &read_json(&estimates)?, baseline.as_ref())
                .with_context(|| format!("{} has not the form criterion 0.8 writes", estimates.display()))?,
        );
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(name) = against
        && !rows.is_empty()
        && rows.iter().all(|row| row.baseline.is_none())
    {
        bail!("there is no baseline `{name}`: record one with `cargo xtask bench --save {name}`");
    }
    Ok(rows)
}

/// Collects the folders below which `new/estimates.json` lies.
fn find_results(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let estimates = folder.join("new").join("estimates.json");
    if estimates.is_file() {
        found.insert(folder.to_path_buf(), fs_err::metadata(&estimates)?.modified()?);
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find_results(&entry.path(), found)?;
        }
    }
    Ok(())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(folder: &Path, name: &str, median: f64) {
        fs_err::create_dir_all(folder.join(name)).unwrap();
        let estimate = |value: f64| json!({ "point_estimate": value });
        let estimates = json!({ "median": estimate(median), "median_abs_dev": estimate(median / 50.0) });
        fs_err::write(folder.join(name).join("estimates.json"), estimates.to_string()).unwrap();
        let benchmark = json!({ "full_id": "ops/add/16" });
        fs_err::write(folder.join(name).join("benchmark.json"), benchmark.to_string()).unwrap();
    }

    #[test]
    fn results_of_this_run_are_read_and_compared() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("ops").join("add").join("16");
        record(&folder, "main", 100.0);
        record(&folder, "new", 110.0);
        let row = &rows(root.path(), &BTreeMap::new(), Some("main")).unwrap()[0];
        assert_eq!(row.name, "ops/add/16");
        assert_eq!((row.median, row.baseline), (110.0, Some(100.0)));
        let before = written(root.path()).unwrap();
        assert!(rows(root.path(), &before, None).unwrap().is_empty());
        assert!(rows(root.path(), &BTreeMap::new(), None).unwrap()[0].baseline.is_none());
    }

    #[test]
    fn an_unknown_baseline_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        record(root.path(), "new", 110.0);
        let error = rows(root.path(), &BTreeMap::new(), Some("other")).unwrap_err().to_string();
        assert!(error.contains("`other`") && error.contains("--save other"), "{error}");
    }

    #[test]
    fn benchmark_programs_are_found_by_kind() {
        let metadata = json!({ "packages": [
            { "name": PACKAGE, "targets": [
                { "name": "manytask_benches", "kind": ["lib"] }, { "name": "ops", "kind": ["bench"] } ] },
            { "name": "xtask", "targets": [{ "name": "other", "kind": ["bench"] }] },
        ] });
        assert_eq!(bench_targets(&metadata), ["ops"]);
    }
}
