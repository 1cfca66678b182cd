//! Tables by manytask and by other systems, on the same folds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::maker::{Ended, Maker, plain, time};
use super::significance::{interval, widened};
use super::trained::{Row, Unit};
use crate::peers;

/// A table, and what is trained on it.
#[derive(Debug)]
pub(super) struct Folds {
    /// From the repository's root.
    pub(super) config: &'static str,
    /// How it is split.
    pub(super) protocol: Protocol,
    /// What is trained by manytask.
    pub(super) rows: Vec<Row>,
    /// What is trained by other systems, as `benches/peers/tables.py` names them.
    pub(super) peers: &'static [&'static str],
    /// The metrics that the script gives, with their units; the first one decides.
    pub(super) metrics: Vec<Metric>,
}

/// A metric of the script.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) heading: &'static str,
    pub(super) unit: Unit,
    pub(super) best: Best,
}

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Best {
    Highest,
    Lowest,
}

/// Which rows are trained on and which are tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// So many folds, as `manytask train --folds` divides the table.
    Folds(u64),
    /// The configuration's test file, with the seeds from 1 to this.
    TestFile { name: &'static str, seeds: u64 },
}

/// What a system came to.
#[derive(Debug, Clone)]
struct Found {
    name: String,
    /// The values of each metric, one of each fold or seed.
    values: Vec<Vec<f64>>,
    seconds: Option<f64>,
}

/// The script, from the repository's root.
const SCRIPT: &str = "benches/peers/tables.py";

impl Folds {
    /// Trains everything.
    pub(super) fn lines(&self, maker: &Maker<'_>, table: &str, data: Option<&Path>) -> Result<Vec<String>> {
        let python = peers::tables(maker.repo)?;
        let shipped = maker.repo.root().join("configs/data/census_income");
        let scripted = Scripted { maker, python, table, data: data.unwrap_or(&shipped) };
        let (mut found, mut folds) = (Vec::new(), None);
        for row in &self.rows {
            let (predictions, seconds) = self.ours(maker, table, row, data)?;
            if folds.is_none() && matches!(self.protocol, Protocol::Folds(_)) {
                folds = predictions.first().cloned();
            }
            let said = scripted.said("judge", &json!({ "folds": folds, "predictions": predictions }))?;
            found.push(Found::read(format!("manytask, {}", row.name), &said, seconds)?);
        }
        for system in self.peers {
            let seeds = match self.protocol {
                Protocol::Folds(_) => 1,
                Protocol::TestFile { seeds, .. } => seeds,
            };
            let said = scripted.said(system, &json!({ "folds": folds, "seeds": seeds }))?;
            let seconds = said["seconds"].as_f64();
            found.push(Found::read((*system).to_owned(), &said, seconds)?);
            eprintln!("{table}: {system} {:?}", found.last().map(|found| found.values.clone()));
        }
        Ok(self.page(&found))
    }

    /// The files of predictions, and the processor time.
    fn ours(
        &self,
        maker: &Maker<'_>,
        table: &str,
        row: &Row,
        data: Option<&Path>,
    ) -> Result<(Vec<PathBuf>, Option<f64>)> {
        let name = format!("{table}-{}", plain(row.name));
        let mut settings: Vec<String> = row.settings.iter().map(|setting| (*setting).to_owned()).collect();
        settings.push("threads=1".to_owned());
        settings.extend(data.map(|data| format!("data.folder={}", data.display())));
        match self.protocol {
            Protocol::Folds(count) => {
                settings.extend(["--jobs", "1", "--folds", &count.to_string()].map(str::to_owned));
                let ended = maker.ended("train", self.config, &name, &settings)?;
                Ok((vec![ended.run.join("out_of_fold.csv")], ended.seconds))
            }
            Protocol::TestFile { name: file, seeds } => {
                let input = data.unwrap_or(Path::new("")).join(file);
                let (mut files, mut seconds) = (Vec::new(), Some(0.0));
                for seed in 1..=seeds {
                    let mut arguments = settings.clone();
                    arguments.push(format!("seed={seed}"));
                    let ended = maker.ended("train", self.config, &format!("{name}-{seed}"), &arguments)?;
                    files.push(predicted(maker, &ended, &input)?);
                    seconds = seconds.zip(ended.seconds).map(|(sum, one)| sum + one);
                }
                Ok((files, seconds))
            }
        }
    }

    fn page(&self, found: &[Found]) -> Vec<String> {
        let mut names = vec!["system"];
        names.extend(self.metrics.iter().map(|metric| metric.heading));
        names.extend(["against the best other", "processor time"]);
        let mut lines =
            vec![format!("| {} |", names.join(" | ")), format!("|{}", "---|".repeat(names.len()))];
        let best = self.best(found.get(self.rows.len()..).unwrap_or_default());
        for one in found {
            let mut cells = vec![one.name.clone()];
            for (metric, values) in self.metrics.iter().zip(&one.values) {
                let (mean, half) = interval(values);
                cells.push(metric.unit.write(mean, half));
            }
            cells.push(match best.filter(|best| best.name != one.name) {
                Some(best) => self.difference(one, best),
                None => "-".to_owned(),
            });
            cells.push(one.seconds.map_or_else(|| "-".to_owned(), time));
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines
    }

    /// The best of some systems by the first metric.
    fn best<'a>(&self, found: &'a [Found]) -> Option<&'a Found> {
        let sign = if self.metrics.first()?.best == Best::Highest { 1.0 } else { -1.0 };
        let mean = |one: &Found| one.values.first().map_or(f64::NAN, |values| sign * interval(values).0);
        found.iter().max_by(|a, b| mean(a).total_cmp(&mean(b)))
    }

    /// The difference of the first metric, pair by pair.
    fn difference(&self, one: &Found, other: &Found) -> String {
        let Some(((ours, theirs), metric)) =
            one.values.first().zip(other.values.first()).zip(self.metrics.first())
        else {
            return "-".to_owned();
        };
        let pairs: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect();
        let (mean, half) = match self.protocol {
            Protocol::Folds(count) => widened(&pairs, 1.0 / (count as f64 - 1.0)),
            Protocol::TestFile { .. } => interval(&pairs),
        };
        let sign = if mean < 0.0 { "" } else { "+" };
        format!("{sign}{}", metric.unit.write(mean, half))
    }
}

impl Found {
    fn read(name: String, said: &Value, seconds: Option<f64>) -> Result<Self> {
        let numbers =
            |values: &Value| values.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let values = said["values"].as_array().map(|all| all.iter().map(numbers).collect::<Option<Vec<_>>>());
        let values = values.flatten().with_context(|| format!("{name}: no values, but {said}"))?;
        Ok(Self { name, values, seconds })
    }
}

/// The script with what does not change.
struct Scripted<'a> {
    maker: &'a Maker<'a>,
    python: PathBuf,
    table: &'a str,
    data: &'a Path,
}

impl Scripted<'_> {
    /// What the script says of a system, or said of the same plan before.
    fn said(&self, system: &str, plan: &Value) -> Result<Value> {
        let script = self.maker.repo.root().join(SCRIPT);
        let plan = plan.to_string();
        let stamp = self.maker.folder.join("runs").join(format!("{}-{}.said", self.table, plain(system)));
        let folds = plan_folds(&plan);
        let wanted = format!("{system}\n{plan}\n{folds}\n{}", fs_err::read_to_string(&script)?);
        let kept = fs_err::read_to_string(&stamp).unwrap_or_default();
        if let Some(said) = kept.strip_suffix(&wanted).filter(|_| system != "judge") {
            return Ok(serde_json::from_str(said)?);
        }
        let mut command = Command::new(&self.python);
        command.arg(&script).args([self.table, system, &plan]).arg(self.data);
        command.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {}", self.python.display()))?;
        if !output.status.success() {
            bail!("{}, {system}: {SCRIPT} failed: see above", self.table);
        }
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().last().unwrap_or_default();
        let said =
            serde_json::from_str(line).with_context(|| format!("{SCRIPT} said no JSON, but `{line}`"))?;
        fs_err::write(&stamp, format!("{line}\n{wanted}"))?;
        Ok(said)
    }
}

/// The content of the file with the folds, by which what was said is kept.
fn plan_folds(plan: &str) -> String {
    let plan: Value = serde_json::from_str(plan).unwrap_or_default();
    let text = plan["folds"].as_str().and_then(|path| fs_err::read_to_string(path).ok()).unwrap_or_default();
    text.lines().map(|line| line.split(',').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// The predictions of a run for a file.
fn predicted(maker: &Maker<'_>, ended: &Ended, input: &Path) -> Result<PathBuf> {
    let output = ended.run.join("predictions.csv");
    let mut command = Command::new(&maker.binary);
    command.arg("predict").arg(&ended.run).arg("--input").arg(input).arg("--output").arg(&output);
    let status = command.stdout(Stdio::null()).status();
    if !status.with_context(|| format!("cannot start {}", maker.binary.display()))?.success() {
        bail!("{}: `predict` failed: see above", ended.run.display());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::super::{Page, Source};
    use super::*;
    use crate::repo::Repository;

    fn folds(protocol: Protocol, best: Best) -> Folds {
        let metrics = vec![Metric { heading: "error", unit: Unit::Places(2), best }];
        Folds { config: "", protocol, rows: vec![Row::new("mlp", &[])], peers: &[], metrics }
    }

    fn found(name: &str, values: &[f64]) -> Found {
        Found { name: name.to_owned(), values: vec![values.to_vec()], seconds: Some(2.0) }
    }

    #[test]
    fn systems_are_known_to_the_script() {
        let repo = Repository::locate().unwrap();
        let script = fs_err::read_to_string(repo.root().join(SCRIPT)).unwrap();
        for table in Page::ALL.into_iter().flat_map(Page::tables) {
            let Source::Folds(folds) = &table.source else { continue };
            assert!(repo.root().join(folds.config).exists(), "{}", folds.config);
            for name in folds.peers.iter().chain([&table.name]) {
                assert!(script.contains(&format!("\"{name}\"")), "{SCRIPT} does not know {name}");
            }
        }
    }

    #[test]
    fn systems_are_compared_with_the_best_other_one() {
        let all = [found("ours", &[1.0, 3.0]), found("worse", &[5.0, 5.0]), found("better", &[2.0, 2.0])];
        let page = folds(Protocol::TestFile { name: "", seeds: 2 }, Best::Lowest).page(&all);
        assert_eq!(page[0], "| system | error | against the best other | processor time |");
        // t of one degree of freedom: 12.706 · √2 / √2.
        assert_eq!(page[2], "| ours | 2.00 ± 12.71 | +0.00 ± 12.71 | 2.0 s |");
        assert_eq!(page[4], "| better | 2.00 ± 0.00 | - | 2.0 s |");
        let page = folds(Protocol::Folds(2), Best::Highest).page(&all);
        assert!(page[3].contains("| - |"), "{page:?}");
        // Two folds share no row: 1/2 + 1 in place of 1/2.
        assert!(page[2].contains("-3.00 ± 22.01"), "{page:?}");
    }

    #[test]
    fn what_is_said_has_values_of_each_metric() {
        let found = Found::read("a".to_owned(), &json!({ "values": [[0.5, 0.25]] }), None).unwrap();
        assert_eq!(found.values, [[0.5, 0.25]]);
        let error = Found::read("a".to_owned(), &json!({ "values": [["x"]] }), None).unwrap_err().to_string();
        assert!(error.contains("a: no values"), "{error}");
    }
}
