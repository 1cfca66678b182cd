//! The memory that a plan needs, told before anything is allocated.

use manytask_multitask::Needs;
use manytask_tensor::{DeviceChoice, Layout};

use super::{EpisodesPlan, Plan, Work};
use crate::episodes::EpisodeOutline;
use crate::failure::Result;
use crate::memory::{self, Need, NetworkSize};

/// A number of an example.
const NUMBER: f64 = 4.0;

impl Plan {
    /// Refuses a network whose training does not fit into memory.
    ///
    /// # Errors
    /// With the key to lower.
    pub(crate) fn check_network_memory(&self, layout: &Layout) -> Result<()> {
        self.check_needs(&[NetworkSize::of(layout, 1.0).training(&self.optimizer)])
    }

    /// Refuses a training whose steps on `rows` rows of the shape `row`, `[D]` or `[C, H, W]`, do not fit into memory.
    ///
    /// # Errors
    /// With the key to lower.
    pub(crate) fn check_step_memory(
        &self,
        layout: &Layout,
        (rows, row): (usize, &[i64]),
        (needs, tasks): (&Needs, usize),
    ) -> Result<()> {
        let size = NetworkSize::of(layout, plane(row));
        let rows = rows as f64;
        let inputs: f64 = row.iter().map(|size| *size as f64).product();
        let batch = Need {
            keys: vec![("batch_size", rows, 4096.0), ("hidden", size.widest, 512.0)],
            what: "a step".into(),
            bytes: rows * (inputs + size.activations) * NUMBER,
        };
        let gradients = size.gradients(needs, tasks as f64);
        let needs = [Some(size.training(&self.optimizer)), Some(batch), gradients];
        self.check_needs(&needs.into_iter().flatten().collect::<Vec<_>>())
    }

    /// Refuses a learner whose steps or evaluation do not fit into memory.
    ///
    /// # Errors
    /// With the key to lower.
    pub(super) fn check_episode_memory(
        &self,
        plan: &EpisodesPlan,
        outline: &EpisodeOutline,
        layout: &Layout,
        needs: &Needs,
    ) -> Result<()> {
        let size = NetworkSize::of(layout, plane(&outline.form.input));
        let input: f64 = outline.form.input.iter().map(|size| *size as f64).product();
        let [classes, shots, queries] =
            [outline.spec.ways, outline.spec.shots, outline.spec.queries].map(|n| n as f64);
        let tasks = plan.settings.tasks_per_step as f64;
        let judged = plan.settings.evaluation_queries.map_or(queries, |queries| queries as f64);
        let keys = |queries: f64| {
            let side = outline.form.input.last().copied().unwrap_or(1) as f64;
            vec![
                ("shots", shots, 10.0),
                ("queries", queries, 15.0),
                ("ways", classes, 20.0),
                ("tasks_per_step", tasks, 32.0),
                ("size", side, 84.0),
                ("hidden", size.widest, 512.0),
            ]
        };
        // All tasks' examples are drawn at once, and at least one task is worked on.
        let examples = |queries: f64| {
            let drawn = tasks * classes * (shots + queries) * (input + 1.0);
            (drawn + classes * (shots + queries) * size.activations) * NUMBER
        };
        let step = Need { keys: keys(queries), what: "a step".into(), bytes: examples(queries) };
        let evaluation = Need { keys: keys(judged), what: "an evaluation".into(), bytes: examples(judged) };
        let larger = if evaluation.bytes > step.bytes { evaluation } else { step };
        let needs = [Some(size.training(&self.optimizer)), Some(larger), size.gradients(needs, tasks)];
        self.check_needs(&needs.into_iter().flatten().collect::<Vec<_>>())
    }

    /// What a step is made of, and the setting with which it takes about half of the memory.
    pub(crate) fn half_a_step(&self) -> Option<String> {
        let (what, key, now) = match &self.work {
            Work::Rows(rows) => ("rows are computed at once", "training.batch_size", rows.batches.size),
            Work::Episodes(episodes) => {
                ("tasks are computed at once", "training.tasks_per_step", episodes.settings.tasks_per_step)
            }
        };
        let half = (now > 1).then_some(now / 2)?;
        Some(format!("{now} {what}: {key} = {half} takes about half of the memory, and makes other steps"))
    }

    fn check_needs(&self, needs: &[Need]) -> Result<()> {
        // What an accelerator has is not known here.
        if self.device != DeviceChoice::Cpu {
            return Ok(());
        }
        memory::check(needs)
    }
}

/// The pixels of a picture of the shape `[C, H, W]`; 1 of a row of numbers.
fn plane(shape: &[i64]) -> f64 {
    shape.iter().skip(1).map(|side| *side as f64).product()
}
