//! How the rows of a split become batches.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use manytask_data as data;
use manytask_data::{Augmentation, Batch, BatchOrder, Batcher, LastBatch, RowClasses, TaskSampling};
use manytask_nn::HiddenMix;
use manytask_nn::metrics::Output;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, WHOLE};
use serde::{Deserialize, Serialize};

use super::{MultiTaskProblem, broken};
use crate::{Draw, Error, Labelled, Result, Split};

/// How rows become batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    /// How the rows of training batches are changed.
    pub augment: Augmentation,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            size: 256,
            order: BatchOrder::Shuffled,
            last: LastBatch::Keep,
            sampling: TaskSampling::Equal,
            augment: Augmentation::default(),
        }
    }
}

impl Batches {
    /// The batches of a split.
    pub(super) fn of(self, split: &data::SplitData, seed: u64) -> Result<Batcher> {
        let Self { size, order, last, sampling, .. } = self;
        Ok(Batcher::new(&split.streams(), size, seed, order, last)?.sampled(sampling))
    }
}

/// A batcher that was asked for before.
#[derive(Debug)]
pub(super) struct CachedBatcher {
    of: (Split, u64, u32),
    batcher: Batcher,
}

impl MultiTaskProblem {
    /// The same with training batches that have as many rows of each class of a task's labels, see [`Batcher::balanced`]. Where tasks have rows of their own
    /// it is for those of this task.
    ///
    /// # Errors
    /// When there is no such task, its labels are no classes, or there are not two of them.
    pub fn balanced_by(self, task: &str) -> Result<Self> {
        let refuse = |what: String, remedy: String| Err(Error::setting(WHOLE, what, remedy));
        let Some(place) = self.names.iter().position(|name| name == task) else {
            let remedy = format!("the tasks are {}", self.names.join(", "));
            return refuse(format!("batches balanced by `{task}`, which is no task that is trained"), remedy);
        };
        let (Some(described), Some(data)) = (self.tasks.get(place), self.splits.train.tasks.get(place))
        else {
            return Err(broken("a task without labels"));
        };
        if !matches!(described.output, Output::Binary | Output::Multiclass) {
            let what = format!("batches balanced by `{task}`, a {} task", described.output.name());
            return refuse(what, "take a binary or multiclass task".to_owned());
        }
        if described.labelled == Labelled::Pixel {
            let what = format!("batches balanced by `{task}`, which has a label for each pixel");
            return refuse(what, "take a task with one label for each row".to_owned());
        }
        let labels = Vec::<f64>::try_from(
            data.target.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?.f_flatten(0, -1)?,
        )?;
        let mut classes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (row, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0.0) {
            classes.entry(*label as i64).or_default().push(row as i64);
        }
        if classes.len() < 2 {
            let what =
                format!("batches balanced by `{task}`, whose training labels are of {} class", classes.len());
            return refuse(what, "leave out balance".to_owned());
        }
        let mut streams = vec![RowClasses::new(); self.splits.train.streams().len()];
        let stream = if self.splits.train.is_single_input() { 0 } else { place };
        if let Some(own) = streams.get_mut(stream) {
            *own = classes.into_values().collect();
        }
        Ok(Self { classes: streams, ..self })
    }

    /// Of the classes that batches are balanced by, how many rows each has, and how often one of them is seen in an epoch.
    pub fn balance(&self) -> Vec<(usize, f64)> {
        let rows = self.splits.train.streams();
        let of_stream = self.classes.iter().zip(rows).flat_map(|(classes, rows)| {
            let each = rows as f64 / classes.len().max(1) as f64;
            classes.iter().map(move |class| (class.len(), each / class.len() as f64))
        });
        of_stream.collect()
    }

    pub(super) fn batch(&self, draw: Draw) -> Result<Batch> {
        let split = self.split(draw.split)?;
        let batcher = self.batcher(split, draw)?;
        let each = batcher.batches_per_epoch();
        let batch = data::gather(split, &batcher, draw.step / each, draw.step % each)?;
        if draw.split != Split::Train || self.batches.augment.is_none() {
            return Ok(batch);
        }
        Ok(self.batches.augment.apply(batch, augmentation_key(draw))?)
    }

    /// How the rows of a batch are mixed in the network, where they are.
    pub(super) fn hidden_mix(&self, draw: Draw) -> Option<HiddenMix> {
        let mixed = self.batches.augment.hidden_mix(augmentation_key(draw));
        mixed.filter(|_| draw.split == Split::Train).map(|(share, key)| HiddenMix { share, key })
    }

    /// The batcher of a split, a seed and a replica; clones share the order of the epoch at hand.
    pub(super) fn batcher(&self, split: &data::SplitData, draw: Draw) -> Result<Batcher> {
        let mut known = self.batchers.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (draw.split, draw.seed, draw.replica);
        if let Some(found) = known.iter().find(|kept| kept.of == of) {
            return Ok(found.batcher.clone());
        }
        let purpose = match draw.split {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        };
        let seed = if (draw.split, draw.replica) == (Split::Train, 0) {
            draw.seed
        } else {
            Key::new(draw.seed, purpose).within(u64::from(draw.replica)).number()
        };
        let batcher = self.batches.of(split, seed)?;
        let batcher =
            if draw.split == Split::Train { batcher.balanced(self.classes.clone()) } else { batcher };
        known.push(CachedBatcher { of, batcher: batcher.clone() });
        Ok(batcher)
    }
}

/// What the changes of a batch are keyed by.
fn augmentation_key(draw: Draw) -> Key {
    Key::new(draw.seed, "augment").step(draw.step).within(u64::from(draw.replica))
}
