//! `cargo xtask reproduce`: the tables of `docs/results`, trained anew.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::measured::{processor, replaced};
use crate::program;
use crate::repo::Repository;

mod meta;
mod tables;

/// What `cargo xtask reproduce` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which page's tables.
    pub(crate) page: Page,
    /// How much is trained.
    pub(crate) extent: Extent,
    /// A manytask that was built already.
    pub(crate) binary: Option<PathBuf>,
}

/// A page of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Of tasks on rows.
    #[default]
    Multitask,
    /// Of learners.
    Meta,
}

/// How much is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every table; those of data that are not shipped need `MANYTASK_DATA`.
    #[default]
    All,
    /// The tables of shipped data.
    Quick,
}

/// Trainings that are compared: one configuration with other settings in each row.
#[derive(Debug)]
struct Table {
    /// Its marks on the page.
    name: &'static str,
    /// The configuration, from the repository's root.
    config: &'static str,
    /// The folder of its data below `MANYTASK_DATA`; absent: they are shipped.
    data: Option<&'static str>,
    /// Each row is trained with the seeds from 1 to this.
    seeds: u64,
    /// The tasks whose first metric is shown.
    tasks: &'static [&'static str],
    rows: Vec<Row>,
}

/// One setting of a table.
#[derive(Debug)]
struct Row {
    name: &'static str,
    /// `key=value` arguments of `manytask train`.
    settings: Vec<&'static str>,
}

/// A metric with half the width of its 95 % interval, where it is known.
type Measured = (f64, Option<f64>);

impl Page {
    /// From the repository's root.
    fn path(self) -> &'static str {
        match self {
            Self::Multitask => "docs/results/multitask.md",
            Self::Meta => "docs/results/meta.md",
        }
    }

    /// Its tables, in their order.
    fn tables(self) -> Vec<Table> {
        match self {
            Self::Multitask => tables::all(),
            Self::Meta => meta::all(),
        }
    }
}

/// Trains the tables and writes them between their marks of the page.
pub(crate) fn reproduce(repo: &Repository, options: &Options) -> Result<ExitCode> {
    let binary = match &options.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => program::build(repo)?,
    };
    let path = repo.root().join(options.page.path());
    let folder = repo.target_dir()?.join("reproduce");
    fs_err::create_dir_all(&folder)?;
    let is_meant = |table: &Table| options.extent == Extent::All || table.data.is_none();
    for table in options.page.tables().into_iter().filter(is_meant) {
        let data = data_of(&table)?;
        let mut lines = header(options.page, &table);
        for row in &table.rows {
            let found = (1..=table.seeds)
                .map(|seed| trained(repo, &binary, &folder, &table, row, seed, data.as_deref()))
                .collect::<Result<Vec<_>>>()?;
            let line = line(&table, row, &found);
            eprintln!("{}: {line}", table.name);
            lines.push(line);
        }
        let text = fs_err::read_to_string(&path)?;
        let marks = marks(table.name);
        let measured = format!("On {}.\n\n{}\n", processor(), lines.join("\n"));
        fs_err::write(&path, replaced(&path, &text, [&marks[0], &marks[1]], &measured)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a table's data are, if not with the configuration.
fn data_of(table: &Table) -> Result<Option<PathBuf>> {
    let Some(folder) = table.data else { return Ok(None) };
    let all = std::env::var_os("MANYTASK_DATA").with_context(|| {
        format!("{}: MANYTASK_DATA is not set: name the folder of `{folder}`, or give `--quick`", table.name)
    })?;
    Ok(Some(Path::new(&all).join(folder)))
}

/// The first metric of each task of one training.
fn trained(
    repo: &Repository,
    binary: &Path,
    folder: &Path,
    table: &Table,
    row: &Row,
    seed: u64,
    data: Option<&Path>,
) -> Result<Vec<Measured>> {
    let name = format!("{}-{}-{seed}", table.name, row.name.replace(|c: char| !c.is_alphanumeric(), "_"));
    let run = folder.join("runs").join(&name);
    if run.exists() {
        fs_err::remove_dir_all(&run)?;
    }
    let mut command = Command::new(binary);
    command.current_dir(folder).arg("train").arg(repo.root().join(table.config));
    command.args(["--quiet", "--name", &name]).arg(format!("seed={seed}")).args(&row.settings);
    if let Some(data) = data {
        command.arg(format!("data.folder={}", data.display()));
    }
    let status = command.stdout(Stdio::null()).status();
    if !status.with_context(|| format!("cannot start {}", binary.display()))?.success() {
        bail!("{}, {} with seed {seed}: the training failed: see above", table.name, row.name);
    }
    let results = run.join("results.json");
    let read: Value = serde_json::from_slice(&fs_err::read(&results)?)?;
    table.tasks.iter().map(|task| metric(&read, task, &results)).collect()
}

/// The first metric of a task in the results of a run, with its interval over tasks where there is one.
fn metric(results: &Value, task: &str, path: &Path) -> Result<Measured> {
    let tasks = results["tasks"].as_array().into_iter().flatten();
    let own = tasks.into_iter().find(|of| of["name"] == task);
    let metrics = own.map_or(&Value::Null, |own| &own["metrics"]);
    let value = metrics[0][1].as_f64();
    let is_interval = metrics[1][0].as_str().is_some_and(|name| name.ends_with("_ci95"));
    let half = metrics[1][1].as_f64().filter(|_| is_interval);
    Ok((value.with_context(|| format!("{}: no metric of task `{task}`", path.display()))?, half))
}

fn header(page: Page, table: &Table) -> Vec<String> {
    let mut names: Vec<String> = vec!["setting".to_owned()];
    match page {
        Page::Multitask => names.extend(table.tasks.iter().map(|task| format!("`{task}`"))),
        Page::Meta => names.extend(["squared error".to_owned()]),
    }
    vec![format!("| {} |", names.join(" | ")), format!("|{}", "---|".repeat(names.len()))]
}

/// A row: the mean over seeds, with half the width of its 95 % interval where there are several; of one seed that over its tasks.
fn line(table: &Table, row: &Row, found: &[Vec<Measured>]) -> String {
    let mut cells = vec![row.name.to_owned()];
    for task in 0..table.tasks.len() {
        let all: Vec<Measured> = found.iter().filter_map(|seed| seed.get(task).copied()).collect();
        let values: Vec<f64> = all.iter().map(|(value, _)| *value).collect();
        let (mean, half) = interval(&values);
        let half = half.or_else(|| all.first().and_then(|(_, half)| *half));
        cells.push(half.map_or_else(|| format!("{mean:.4}"), |half| format!("{mean:.4} ± {half:.4}")));
    }
    format!("| {} |", cells.join(" | "))
}

/// The mean of some numbers, and half the width of its 95 % interval by Student's t.
fn interval(values: &[f64]) -> (f64, Option<f64>) {
    const T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let Some(t) = values.len().checked_sub(2).map(|free| T.get(free).copied().unwrap_or(1.96)) else {
        return (mean, None);
    };
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, Some(t * (variance / count).sqrt()))
}

fn marks(table: &str) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {table}: {place} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_place_on_its_page_and_a_configuration() {
        let repo = Repository::locate().unwrap();
        for page in [Page::Multitask, Page::Meta] {
            let path = repo.root().join(page.path());
            let text = fs_err::read_to_string(&path).unwrap();
            for table in page.tables() {
                let [begin, end] = marks(table.name);
                replaced(&path, &text, [&begin, &end], "").unwrap();
                assert!(repo.root().join(table.config).exists(), "{}", table.config);
                let mut names: Vec<&str> = table.rows.iter().map(|row| row.name).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), table.rows.len(), "{}: rows of one name", table.name);
            }
        }
    }

    #[test]
    fn a_mean_has_the_interval_of_students_t() {
        assert_eq!(interval(&[0.5]), (0.5, None));
        let (mean, half) = interval(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((mean - 3.0).abs() < 1e-12);
        // The deviation is √2.5.
        assert!((half.unwrap() - 2.776 * (2.5_f64 / 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_first_metric_of_a_task_is_found() {
        let results: Value = serde_json::from_str(
            r#"{"tasks": [{"name": "a", "metrics": [["roc_auc", 0.75], ["accuracy", 0.5]]}]}"#,
        )
        .unwrap();
        assert_eq!(metric(&results, "a", Path::new("r")).unwrap(), (0.75, None));
        let text = r#"{"tasks": [{"name": "a", "metrics": [["mse", 0.75], ["mse_ci95", 0.5]]}]}"#;
        let results_of_episodes: Value = serde_json::from_str(text).unwrap();
        assert_eq!(metric(&results_of_episodes, "a", Path::new("r")).unwrap(), (0.75, Some(0.5)));
        assert!(metric(&results, "b", Path::new("r")).unwrap_err().to_string().contains("task `b`"));
    }
}
