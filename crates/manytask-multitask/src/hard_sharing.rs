//! Tasks on tables with a shared trunk.

mod dense;
mod empty;
mod evaluate;
mod gradient;
mod pass;
mod present;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use manytask_data as data;
use manytask_data::{Batch, BatchOrder, Batcher, LastBatch, TaskSampling};
use manytask_nn::Cx;
use manytask_nn::dense::DenseLayer;
use manytask_tensor::random::Key;
use manytask_tensor::{Layout, Params, Slot, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use crate::{
    Draw, Error, Evaluation, Identity, Offers, Part, Pass, Problem, Result, SharedTrunk, Task, TaskVec,
};

/// How rows become batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batches {
    /// Rows in a batch; with several inputs, rows of each task.
    pub size: usize,
    /// Shuffled anew in each epoch, or as they come.
    pub order: BatchOrder,
    /// What becomes of a last batch that is smaller.
    pub last: LastBatch,
    /// With several inputs, how many rows of each task are in a batch.
    pub sampling: TaskSampling,
}

impl Default for Batches {
    fn default() -> Self {
        Self { size: 256, order: BatchOrder::Shuffled, last: LastBatch::Keep, sampling: TaskSampling::Equal }
    }
}

impl Batches {
    /// The batches of a part.
    fn of(self, part: &data::Part, seed: u64) -> Result<Batcher> {
        let Self { size, order, last, sampling } = self;
        Ok(Batcher::new(&part.streams(), size, seed, order, last)?.sampled(sampling))
    }
}

/// The splits of the data of a problem, on the device of its network.
pub type Parts = data::Splits<data::Part>;

/// Tasks on rows of data, with a shared trunk and one head for each.
///
/// All tasks are on the same rows (single-input), or each has rows of its own (multi-input): then a batch has as many rows
/// of each task, and all go through the trunk together.
#[derive(Debug)]
pub struct HardSharing {
    network: SharedTrunk,
    tasks: Vec<Task>,
    names: Vec<String>,
    parts: Parts,
    batches: Batches,
    steps_per_epoch: u64,
    batchers: Mutex<Vec<Kept>>,
    /// For each part and task, whether labels are missing or do not count: only then is a batch asked which tasks are in it.
    gaps: [Vec<bool>; 3],
    /// The heads that are one linear layer.
    linear_heads: Vec<Option<DenseLayer>>,
}

/// A batcher that was asked for before.
#[derive(Debug)]
struct Kept {
    of: (Part, u64, u32),
    batcher: Batcher,
}

impl HardSharing {
    /// Puts network, tasks and data together.
    ///
    /// # Errors
    /// When tasks, heads and labels are not as many, or a task's loss or metric does not fit its kind.
    pub fn new(network: SharedTrunk, tasks: Vec<Task>, parts: Parts, batches: Batches) -> Result<Self> {
        if network.tasks() != tasks.len() {
            return Err(Error::setting(
                format!("{} heads for {} tasks", network.tasks(), tasks.len()),
                "build one head for each task",
            ));
        }
        for part in [Some(&parts.train), parts.validation.as_ref(), parts.test.as_ref()].into_iter().flatten()
        {
            if part.tasks.len() != tasks.len() {
                return Err(Error::setting(
                    format!("labels of {} tasks for {} tasks", part.tasks.len(), tasks.len()),
                    "describe every task once",
                ));
            }
        }
        tasks.iter().try_for_each(Task::check)?;
        // Asked for here, so that impossible batches are refused before anything is trained.
        let batcher = batches.of(&parts.train, 0)?;
        let gaps = [Some(&parts.train), parts.validation.as_ref(), parts.test.as_ref()];
        let gaps = gaps.map(|part| part.map_or(Ok(Vec::new()), present::gaps_of));
        let [train, validation, test] = gaps;
        Ok(Self {
            linear_heads: (0..tasks.len()).map(|task| network.linear_head(task)).collect(),
            network,
            names: tasks.iter().map(|task| task.name.clone()).collect(),
            tasks,
            parts,
            batches,
            steps_per_epoch: batcher.batches_per_epoch(),
            batchers: Mutex::default(),
            gaps: [train?, validation?, test?],
        })
    }

    /// The network.
    pub fn network(&self) -> &SharedTrunk {
        &self.network
    }

    /// What is predicted, in the order of the heads.
    pub fn described_tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// For each task how often its rows are seen in an epoch, on average: more than once where a task with rows of its own
    /// has fewer than another and they start over, see [`TaskSampling`].
    ///
    /// # Errors
    /// When there are no training rows.
    pub fn repeats(&self) -> Result<Vec<f64>> {
        let repeats = self.batches.of(&self.parts.train, 0)?.repeats();
        Ok(repeats.iter().copied().cycle().take(self.tasks.len()).collect())
    }

    fn part(&self, part: Part) -> Result<&data::Part> {
        let (found, name) = match part {
            Part::Train => (Some(&self.parts.train), "training"),
            Part::Validation => (self.parts.validation.as_ref(), "validation"),
            Part::Test => (self.parts.test.as_ref(), "test"),
        };
        found.ok_or_else(|| {
            Error::setting(
                format!("the data have no {name} part"),
                "name one in the split, or leave out what asks for it",
            )
        })
    }

    fn batch(&self, draw: Draw) -> Result<Batch> {
        let part = self.part(draw.part)?;
        let batcher = self.batcher(part, draw)?;
        let each = batcher.batches_per_epoch();
        Ok(data::gather(part, &batcher, draw.step / each, draw.step % each)?)
    }

    /// The batcher of a part, a seed and a replica; clones share the order of the epoch at hand.
    fn batcher(&self, part: &data::Part, draw: Draw) -> Result<Batcher> {
        let mut known = self.batchers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (draw.part, draw.seed, draw.replica);
        if let Some(found) = known.iter().find(|kept| kept.of == of) {
            return Ok(found.batcher.clone());
        }
        let purpose = match draw.part {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        };
        let seed = if (draw.part, draw.replica) == (Part::Train, 0) {
            draw.seed
        } else {
            Key::new(draw.seed, purpose).within(u64::from(draw.replica)).number()
        };
        let batcher = self.batches.of(part, seed)?;
        known.push(Kept { of, batcher: batcher.clone() });
        Ok(batcher)
    }
}

/// The context of a pass over a batch: its randomness is a function of the draw.
fn context(draw: Draw) -> Cx {
    Cx::train(Key::new(draw.seed, "forward").step(draw.step).within(u64::from(draw.replica)))
}

impl Problem for HardSharing {
    fn layout(&self) -> &Arc<Layout> {
        self.network.layout()
    }

    fn shared(&self) -> &[Slot] {
        self.network.shared()
    }

    fn tasks(&self) -> &[String] {
        &self.names
    }

    fn identity(&self) -> Identity {
        Identity::Fixed
    }

    fn offers(&self) -> Offers {
        Offers {
            representation: self.parts.train.is_single_input(),
            validation: self.parts.validation.is_some(),
        }
    }

    fn steps_per_epoch(&self) -> Option<u64> {
        Some(self.steps_per_epoch)
    }

    fn forward<'a>(&'a self, params: &'a Params, draw: Draw) -> Result<Box<dyn Pass + 'a>> {
        let batch = self.batch(draw)?;
        let present = self.present(draw.part, &batch)?;
        if present.is_empty() {
            return Ok(Box::new(empty::EmptyPass::new(self, params)));
        }
        match dense::forward(self, params, &batch, &present, draw)? {
            Some(pass) => Ok(pass),
            None => Ok(Box::new(pass::SharedPass::forward(self, params, &batch, present, draw)?)),
        }
    }

    fn shares_out(&self, params: &Params) -> bool {
        self.network.written_chain(params).is_some()
    }

    fn losses(&self, params: &Params, draw: Draw) -> Result<TaskVec> {
        let _off = no_grad();
        let batch = self.batch(draw)?;
        let present = self.present(draw.part, &batch)?;
        if present.is_empty() {
            return Ok(TaskVec::default());
        }
        let (_, outputs) = self.outputs(params, &batch, &present, context(draw))?;
        Ok(present.into_iter().zip(pass::values(&outputs)?).collect())
    }

    fn form(&self) -> Evaluation {
        Evaluation::new(self.tasks.iter().map(Task::form).collect())
    }

    fn ready(&self, part: Part) -> Result<()> {
        if part == Part::Train { self.check_batches() } else { Ok(()) }
    }

    fn can_have_value(&self, part: Part, task: usize, figure: &str) -> Result<bool> {
        evaluate::can_have_value(self, self.part(part)?, task, figure)
    }

    fn evaluate(&self, params: &Params, part: Part) -> Result<Evaluation> {
        evaluate::evaluate(self, params, self.part(part)?)
    }
}

impl HardSharing {
    /// The losses of the present tasks, each one element, in one pass.
    fn outputs(
        &self,
        params: &Params,
        batch: &Batch,
        present: &[usize],
        mut cx: Cx,
    ) -> Result<(Cx, Vec<Tensor>)> {
        let shared = pass::represent(&self.network, params, batch, present, &mut cx)?;
        let losses = present
            .iter()
            .enumerate()
            .map(|(row, &task)| pass::loss(self, params, batch, task, &shared.of(row)?, &mut cx));
        let losses = losses.collect::<Result<_>>()?;
        Ok((cx, losses))
    }
}
