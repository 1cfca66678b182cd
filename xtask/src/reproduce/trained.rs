//! Tables of trainings: one configuration with other settings in each row.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::maker::{Ended, Maker, plain, time};
use super::significance::{interval, mean_ranks, sentence};

/// What is trained, and what is shown of it.
#[derive(Debug)]
pub(super) struct Trained {
    /// From the repository's root.
    pub(super) config: &'static str,
    /// Each row is trained with the seeds from 1 to this.
    pub(super) seeds: u64,
    pub(super) columns: Vec<Column>,
    pub(super) ranks: Ranks,
    pub(super) rows: Vec<Row>,
}

/// A number of each training.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) of: Of,
    /// A metric's name; absent: the first.
    pub(super) metric: Option<&'static str>,
    pub(super) unit: Unit,
}

/// Whose number it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Task(&'static str),
    /// The mean over all tasks.
    Mean,
}

/// How a number is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// With so many places behind the point.
    Places(usize),
}

/// Whether rows are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranks {
    None,
    /// Over all pairs of a task and a seed, by the tasks' first metric.
    Tasks,
}

/// One setting of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What others have published for it; empty: nothing.
    pub(super) published: &'static str,
    /// `key=value` arguments of `manytask train`.
    pub(super) settings: Vec<&'static str>,
}

/// A metric with half the width of its 95 % interval, where it is known.
type Measured = (f64, Option<f64>);

impl Column {
    /// The first metric of a task, under its name.
    pub(super) const fn task(heading: &'static str, name: &'static str) -> Self {
        Self { heading, of: Of::Task(name), metric: None, unit: Unit::Places(4) }
    }

    /// Its number in a run's results.
    fn read(&self, results: &Value) -> Option<Measured> {
        let tasks = results["tasks"].as_array()?;
        match self.of {
            Of::Task(name) => metric(tasks.iter().find(|task| task["name"] == name)?, self.metric),
            Of::Mean => {
                let all = tasks.iter().map(|task| metric(task, self.metric));
                let all: Vec<Measured> = all.collect::<Option<_>>()?;
                Some((all.iter().map(|(value, _)| value).sum::<f64>() / all.len() as f64, None))
            }
        }
    }

    /// Over seeds, where there are several, else of the one training.
    fn cell(&self, found: &[Measured]) -> String {
        let values: Vec<f64> = found.iter().map(|(value, _)| *value).collect();
        let (mean, half) = interval(&values);
        self.unit.write(mean, half.or_else(|| found.first().and_then(|(_, half)| *half)))
    }
}

impl Unit {
    /// A number with half the width of its interval.
    pub(super) fn write(self, value: f64, half: Option<f64>) -> String {
        let Self::Places(places) = self;
        let (factor, unit) = (1.0, "");
        let value = value * factor;
        match half {
            Some(half) => format!("{value:.places$} ± {:.places$}{unit}", half * factor),
            None => format!("{value:.places$}{unit}"),
        }
    }
}

impl Row {
    pub(super) fn new(name: &'static str, settings: &[&'static str]) -> Self {
        Self::published(name, "", settings)
    }

    /// With what others have published.
    pub(super) fn published(name: &'static str, published: &'static str, settings: &[&'static str]) -> Self {
        Self { name, published, settings: settings.to_vec() }
    }
}

impl Trained {
    /// Trains all rows.
    pub(super) fn lines(&self, maker: &Maker<'_>, table: &str, data: Option<&Path>) -> Result<Vec<String>> {
        let (mut lines, mut blocks) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let ended = (1..=self.seeds).map(|seed| self.ended(maker, table, row, seed, data));
            let ended = ended.collect::<Result<Vec<_>>>()?;
            lines.push(self.line(row, &ended)?);
            eprintln!("{table}: {}", lines.last().map_or("", String::as_str));
            blocks.push(ended.iter().flat_map(|ended| primary(&ended.results)).collect::<Vec<f64>>());
        }
        let mut page = self.header();
        match self.ranks {
            Ranks::None => page.extend(lines.into_iter().map(|line| format!("{line} |"))),
            Ranks::Tasks => {
                // From methods with a value for each block to blocks with a value of each method.
                let count = blocks.iter().map(Vec::len).min().unwrap_or(0);
                let blocks: Vec<Vec<f64>> =
                    (0..count).map(|block| blocks.iter().map(|of| of[block]).collect()).collect();
                let ranks = mean_ranks(&blocks);
                page.extend(lines.iter().zip(ranks).map(|(line, rank)| format!("{line} | {rank:.2} |")));
                let names: Vec<String> = self.rows.iter().map(|row| row.name.to_owned()).collect();
                page.extend([String::new(), sentence(&names, &blocks, "pairs of a task and a seed")]);
            }
        }
        Ok(page)
    }

    fn ended(
        &self,
        maker: &Maker<'_>,
        table: &str,
        row: &Row,
        seed: u64,
        data: Option<&Path>,
    ) -> Result<Ended> {
        let name = format!("{table}-{}-{seed}", plain(row.name));
        let mut arguments = vec![format!("seed={seed}"), "threads=1".to_owned()];
        arguments.extend(row.settings.iter().map(|setting| (*setting).to_owned()));
        arguments.extend(data.map(|data| format!("data.folder={}", data.display())));
        maker.ended("train", self.config, &name, &arguments)
    }

    fn header(&self) -> Vec<String> {
        let mut names = vec!["setting"];
        names.extend(self.shows_published().then_some("published"));
        names.extend(self.columns.iter().map(|column| column.heading));
        names.push("processor time");
        names.extend((self.ranks == Ranks::Tasks).then_some("mean rank"));
        vec![format!("| {} |", names.join(" | ")), format!("|{}", "---|".repeat(names.len()))]
    }

    fn shows_published(&self) -> bool {
        self.rows.iter().any(|row| !row.published.is_empty())
    }

    /// A row without its end.
    fn line(&self, row: &Row, ended: &[Ended]) -> Result<String> {
        let mut cells = vec![row.name.to_owned()];
        cells.extend(self.shows_published().then(|| row.published.to_owned()));
        for column in &self.columns {
            let found: Option<Vec<Measured>> =
                ended.iter().map(|ended| column.read(&ended.results)).collect();
            let found =
                found.with_context(|| format!("{}: its results have no {}", row.name, column.heading))?;
            cells.push(column.cell(&found));
        }
        let seconds: Option<Vec<f64>> = ended.iter().map(|ended| ended.seconds).collect();
        cells.push(seconds.map_or_else(|| "-".to_owned(), |seconds| time(interval(&seconds).0)));
        Ok(format!("| {}", cells.join(" | ")))
    }
}

/// A metric of a task, the first where no name is given, with its interval over tasks where there is one.
fn metric(task: &Value, name: Option<&str>) -> Option<Measured> {
    let metrics = task["metrics"].as_array()?;
    let name = match name {
        Some(name) => name,
        None => metrics.first()?[0].as_str()?,
    };
    let of =
        |name: &str| metrics.iter().find(|metric| metric[0] == name).and_then(|metric| metric[1].as_f64());
    Some((of(name)?, of(&format!("{name}_ci95"))))
}

/// The first metric of each task, less is better.
fn primary(results: &Value) -> Vec<f64> {
    let tasks = results["tasks"].as_array().into_iter().flatten();
    tasks
        .filter_map(|task| {
            let sign = if task["higher_is_better"] == true { -1.0 } else { 1.0 };
            Some(sign * metric(task, None)?.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Page, Source};
    use super::*;
    use crate::repo::Repository;

    fn results(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn configurations_are_there_and_rows_have_names_of_their_own() {
        let repo = Repository::locate().unwrap();
        for table in Page::ALL.into_iter().flat_map(Page::tables) {
            let Source::Trained(trained) = &table.source else { continue };
            assert!(repo.root().join(trained.config).exists(), "{}", trained.config);
            let mut names: Vec<String> = trained.rows.iter().map(|row| plain(row.name)).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), trained.rows.len(), "{}: rows of one name", table.name);
        }
    }

    #[test]
    fn a_column_is_the_metric_of_a_task_or_the_mean_of_all() {
        let of_rows = results(
            r#"{"tasks": [{"name": "a", "higher_is_better": true, "metrics": [["roc_auc", 0.75], ["accuracy", 0.5]]},
                          {"name": "b", "higher_is_better": false, "metrics": [["roc_auc", 0.25], ["accuracy", 0.5]]}]}"#,
        );
        let column = Column::task("a", "a");
        assert_eq!(column.read(&of_rows), Some((0.75, None)));
        assert_eq!(Column { metric: Some("accuracy"), ..column }.read(&of_rows), Some((0.5, None)));
        assert_eq!(Column { of: Of::Mean, ..column }.read(&of_rows), Some((0.5, None)));
        assert_eq!(Column::task("c", "c").read(&of_rows), None);
        assert_eq!(primary(&of_rows), [-0.75, 0.25]);
        let text = r#"{"tasks": [{"name": "a", "metrics": [["mse", 0.75], ["mse_median", 0.5], ["mse_ci95", 0.25]]}]}"#;
        let of_episodes = results(text);
        assert_eq!(column.read(&of_episodes), Some((0.75, Some(0.25))));
        assert_eq!(Column { metric: Some("mse_median"), ..column }.read(&of_episodes), Some((0.5, None)));
    }

    #[test]
    fn numbers_are_written_in_their_unit() {
        assert_eq!(Unit::Places(2).write(0.5, None), "0.50");
        let column = Column::task("a", "a");
        assert_eq!(column.cell(&[(0.5, Some(0.25))]), "0.5000 ± 0.2500");
        assert_eq!(column.cell(&[(0.5, None), (0.5, None)]), "0.5000 ± 0.0000");
    }
}
