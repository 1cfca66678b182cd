//! Tables of `manytask compare-strategies`: separate networks and one network under several strategies.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::maker::{Maker, time};
use super::significance::sentence;

/// What is compared.
#[derive(Debug)]
pub(super) struct Compared {
    /// From the repository's root.
    pub(super) config: &'static str,
    pub(super) seeds: u64,
    /// Names of aggregators, or their tables, with commas between.
    pub(super) strategies: &'static str,
    /// Further `key=value` arguments.
    pub(super) settings: Vec<&'static str>,
    /// What stands beside Δm.
    pub(super) shown: Shown,
}

/// Which metrics are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// That of each task.
    Tasks,
    /// Their mean.
    Mean,
}

impl Compared {
    /// Trains everything.
    pub(super) fn lines(&self, maker: &Maker<'_>, table: &str, data: Option<&Path>) -> Result<Vec<String>> {
        let seeds = self.seeds.to_string();
        let mut arguments: Vec<String> =
            ["--seeds", &seeds, "--strategies", self.strategies, "--jobs", "1", "--threads", "1"]
                .map(str::to_owned)
                .into();
        arguments.extend(self.settings.iter().map(|setting| (*setting).to_owned()));
        arguments.extend(data.map(|data| format!("data.folder={}", data.display())));
        let ended = maker.ended("compare-strategies", self.config, table, &arguments)?;
        self.page(&ended.results).with_context(|| format!("{table}: its results are not as expected"))
    }

    fn page(&self, results: &Value) -> Option<Vec<String>> {
        let tasks = results["tasks"].as_array()?;
        let strategies = results["strategies"].as_array()?;
        let mut names = vec!["strategy".to_owned()];
        match self.shown {
            Shown::Tasks => names.extend(tasks.iter().filter_map(|task| {
                Some(format!("`{}` {}", task["name"].as_str()?, task["metric"].as_str()?))
            })),
            Shown::Mean => names.push(format!("mean {}", tasks.first()?["metric"].as_str()?)),
        }
        names.extend(["Δm in percent", "mean rank", "time"].map(str::to_owned));
        let mut lines =
            vec![format!("| {} |", names.join(" | ")), format!("|{}", "---|".repeat(names.len()))];
        for strategy in strategies {
            lines.push(self.line(strategy)?);
        }
        lines.extend([String::new(), ranked(tasks, strategies)?]);
        Some(lines)
    }

    fn line(&self, strategy: &Value) -> Option<String> {
        let name = strategy["name"].as_str()?;
        let metrics = strategy["metrics"].as_array()?;
        let means: Vec<f64> =
            metrics.iter().map(|metric| metric["mean"].as_f64()).collect::<Option<Vec<_>>>()?;
        let mut cells = vec![name.to_owned()];
        match self.shown {
            Shown::Tasks => cells.extend(means.iter().map(|mean| format!("{mean:.4}"))),
            Shown::Mean => cells.push(format!("{:.4}", means.iter().sum::<f64>() / means.len() as f64)),
        }
        let change = &strategy["delta_m"];
        cells.push(match (change["mean"].as_f64(), change["half_width"].as_f64()) {
            _ if name == SEPARATE => "-".to_owned(),
            (Some(mean), Some(half)) => format!("{mean:+.2} ± {half:.2}"),
            (Some(mean), None) => format!("{mean:+.2}"),
            _ => "-".to_owned(),
        });
        cells
            .push(strategy["mean_rank"].as_f64().map_or_else(|| "-".to_owned(), |rank| format!("{rank:.2}")));
        cells.push(strategy["seconds"].as_f64().map_or_else(|| "-".to_owned(), time));
        Some(format!("| {} |", cells.join(" | ")))
    }
}

/// What `compare-strategies` calls a network for each task.
const SEPARATE: &str = "separate networks";

/// The tests between strategies, over pairs of a task and a seed.
fn ranked(tasks: &[Value], strategies: &[Value]) -> Option<String> {
    let names: Vec<String> = strategies
        .iter()
        .map(|strategy| strategy["name"].as_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    let mut blocks = Vec::new();
    for (place, task) in tasks.iter().enumerate() {
        let sign = if task["higher_is_better"] == true { -1.0 } else { 1.0 };
        let values: Vec<Vec<f64>> = strategies
            .iter()
            .map(|strategy| {
                let values = strategy["metrics"][place]["values"].as_array()?;
                values.iter().map(|value| value.as_f64().map(|value| sign * value)).collect()
            })
            .collect::<Option<_>>()?;
        let seeds = values.iter().map(Vec::len).min()?;
        blocks.extend((0..seeds).map(|seed| values.iter().map(|of| of[seed]).collect::<Vec<f64>>()));
    }
    Some(sentence(&names, &blocks, "pairs of a task and a seed"))
}

#[cfg(test)]
mod tests {
    use super::super::{Page, Source};
    use super::*;
    use crate::repo::Repository;

    #[test]
    fn configurations_are_there() {
        let repo = Repository::locate().unwrap();
        for table in Page::ALL.into_iter().flat_map(Page::tables) {
            if let Source::Compared(compared) = &table.source {
                assert!(repo.root().join(compared.config).exists(), "{}", compared.config);
            }
        }
    }

    #[test]
    fn strategies_become_rows() {
        let strategy = |name: &str, values: [f64; 2], change: f64| {
            serde_json::json!({
                "name": name, "mean_rank": 1.5, "seconds": 3.0,
                "metrics": [{"mean": 0.5, "values": values}],
                "delta_m": {"mean": change, "half_width": 0.25},
            })
        };
        let results = serde_json::json!({
            "tasks": [{"name": "a", "metric": "roc_auc", "higher_is_better": true}],
            "strategies": [strategy(SEPARATE, [0.5, 0.6], 0.0), strategy("pcgrad", [0.6, 0.7], -1.0)],
        });
        let compared =
            Compared { config: "", seeds: 2, strategies: "", settings: Vec::new(), shown: Shown::Tasks };
        let page = compared.page(&results).unwrap();
        assert_eq!(page[0], "| strategy | `a` roc_auc | Δm in percent | mean rank | time |");
        assert_eq!(page[2], "| separate networks | 0.5000 | - | 1.50 | 3.0 s |");
        assert_eq!(page[3], "| pcgrad | 0.5000 | -1.00 ± 0.25 | 1.50 | 3.0 s |");
        assert!(page[5].contains("2 pairs of a task and a seed"), "{}", page[5]);
        assert_eq!(compared.page(&serde_json::json!({})), None);
    }
}
