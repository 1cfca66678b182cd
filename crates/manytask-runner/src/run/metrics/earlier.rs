//! Lines as earlier versions wrote them: one for each event, with tasks and metrics in lists.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use fs_err::File;
use serde::Deserialize;

use super::{Origin, Record, Split};
use crate::failure::Result;

/// A line of an event.
#[derive(Deserialize)]
struct Line {
    step: u64,
    epoch: Option<u64>,
    part: Split,
    #[serde(default)]
    losses: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    weights: BTreeMap<String, Option<f64>>,
    learning_rate: Option<f64>,
    gradient_norm: Option<f64>,
    #[serde(default)]
    epoch_losses: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    auxiliary: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    terms: BTreeMap<String, Option<f64>>,
    #[serde(default)]
    tasks: Vec<Task>,
    improved: Option<bool>,
}

/// What an evaluation found of a task.
#[derive(Deserialize)]
struct Task {
    name: String,
    loss: Option<f64>,
    #[serde(default)]
    metrics: Vec<(String, Option<f64>)>,
}

/// The content with a line for each number, where there are lines of events.
pub(super) fn rewritten(file: &mut File) -> Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(&mut *file);
    let (mut lines, mut line, mut events) = (Vec::new(), Vec::new(), 0_usize);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        match serde_json::from_slice::<Line>(&line) {
            Ok(event) if line.ends_with(b"\n") => {
                events += 1;
                lines.extend(event.records().iter().flat_map(|record| record.line().into_bytes()));
            }
            // The first line that can be read decides.
            _ if events == 0 && Record::read(&line).is_some() => break,
            _ => lines.extend_from_slice(&line),
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok((events > 0).then_some(lines))
}

impl Line {
    fn records(&self) -> Vec<Record> {
        let origin = Origin { step: self.step, epoch: self.epoch, split: self.part };
        let by_task = |metric: &'static str, values: &BTreeMap<String, Option<f64>>| -> Vec<Record> {
            values.iter().map(|(task, value)| origin.record(Some(task), metric, *value)).collect()
        };
        let mut records = by_task("loss", &self.losses);
        records.extend(by_task("weight", &self.weights));
        for (name, value) in &self.auxiliary {
            records.push(origin.record(None, &format!("auxiliary/{name}"), *value));
        }
        records.extend(self.terms.iter().map(|(name, value)| origin.record(None, name, *value)));
        records.extend(self.learning_rate.map(|rate| origin.record(None, "learning_rate", Some(rate))));
        records.extend(self.gradient_norm.map(|norm| origin.record(None, "gradient_norm", Some(norm))));
        records.extend(by_task("epoch_loss", &self.epoch_losses));
        for task in &self.tasks {
            records.push(origin.record(Some(&task.name), "loss", task.loss));
            let metrics = task.metrics.iter();
            records.extend(metrics.map(|(metric, value)| origin.record(Some(&task.name), metric, *value)));
        }
        let improved = self.improved.map(|improved| f64::from(u8::from(improved)));
        records.extend(improved.map(|improved| origin.record(None, "improved", Some(improved))));
        records
    }
}
