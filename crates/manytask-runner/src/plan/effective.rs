//! The whole configuration, with what stands for everything that is not written.

use manytask_multitask::{Monitor, Task};
use serde::Serialize;
use toml::{Table, Value};

use super::{Plan, RowsPlan, Work, threads_of};
use crate::data::OutlinedTasks;
use crate::failure::{Code, Failure, Result, Within as _};

impl Plan {
    /// All settings with their defaults: a configuration that means the same. Losses and metrics of tasks whose names only the
    /// data have stand under `tasks.default`.
    ///
    /// # Errors
    /// When a setting is impossible whatever the data hold.
    pub fn effective(&self) -> Result<Table> {
        self.effective_unlocated().map_err(|failure| self.source.locate(failure))
    }

    fn effective_unlocated(&self) -> Result<Table> {
        let mut all = self.settings.clone();
        missing(&mut all, "threads", &threads_of(self))?;
        within(&mut all, "schedule", |schedule| {
            missing(schedule, "kind", &"constant")?;
            missing(schedule, "warm_up_steps", &0)
        })?;
        within(&mut all, "data", |data| missing(data, "folder", &""))?;
        if self.training.validates() {
            within(&mut all, "training", |training| missing(training, "monitor", &Monitor::default()))?;
        }
        match &self.work {
            Work::Rows(rows) => {
                let described = rows.data.described().within("data")?.unwrap_or_default();
                within(&mut all, "data", |data| {
                    data.extend(described);
                    Ok(())
                })?;
                for (name, task) in outlined_tasks(rows)? {
                    within(&mut all, "tasks", |tasks| {
                        within(tasks, &name, |section| {
                            missing(section, "loss", &task.loss)?;
                            missing(section, "metrics", &task.metrics)
                        })
                    })?;
                }
            }
            Work::Episodes(episodes) => {
                // As in training, where the learner adapts in steps.
                let steps = all.get("learner").and_then(|learner| learner.get("inner_steps")).cloned();
                if let Some(steps) = steps {
                    within(&mut all, "evaluation", |evaluation| missing(evaluation, "inner_steps", &steps))?;
                }
                if let Some(outline) = episodes.source.outline().within("data")? {
                    within(&mut all, "evaluation", |evaluation| {
                        missing(evaluation, "queries", &outline.spec.queries)
                    })?;
                }
            }
        }
        Ok(all)
    }
}

/// The tasks as far as they are known, with their losses and metrics, by the name of their section.
fn outlined_tasks(rows: &RowsPlan) -> Result<Vec<(String, Task)>> {
    let outline = rows.data.outline().within("data")?;
    Ok(match outline.tasks {
        OutlinedTasks::Unknown => Vec::new(),
        OutlinedTasks::Named(tasks) => {
            let tasks = rows.describe(tasks)?;
            tasks.into_iter().map(|task| (task.name.clone(), task)).collect()
        }
        OutlinedTasks::Alike(task) => {
            let first = rows.variants(&task)?.into_iter().next();
            first.map(|task| ("default".to_owned(), task)).into_iter().collect()
        }
    })
}

/// A table in a table, which is written where it is missing.
fn within(table: &mut Table, key: &str, change: impl FnOnce(&mut Table) -> Result<()>) -> Result<()> {
    let inner = table.entry(key.to_owned()).or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => change(inner),
        _ => Ok(()),
    }
}

fn missing(table: &mut Table, key: &str, value: &impl Serialize) -> Result<()> {
    if !table.contains_key(key) {
        let value = Value::try_from(value).map_err(|error| Failure::new(Code::Bug, error.to_string()))?;
        table.insert(key.to_owned(), value);
    }
    Ok(())
}
