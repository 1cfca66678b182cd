//! Batches gathered ahead of their use.

use manytask_tensor::WHOLE;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::{Batch, Batcher, Error, Inputs, Result, SplitData};

/// Gathers batches in a thread of its own, in order and without end; see [`prefetch`].
#[derive(Debug)]
pub struct Prefetch {
    batches: Option<Receiver<Result<Prefetched>>>,
    worker: Option<JoinHandle<()>>,
}

/// A gathered batch and its place.
#[derive(Debug)]
pub struct Prefetched {
    /// The epoch it belongs to.
    pub epoch: u64,
    /// Its index in the epoch.
    pub index: u64,
    /// Its rows.
    pub batch: Batch,
}

/// The batches from (`epoch`, `index`) on, epoch after epoch, at most `depth` of them gathered ahead.
///
/// Order and content are those of [`Batcher::batch`] and [`SplitData::gather`]. The part stays where it is: its rows are
/// gathered on its device. Dropping the iterator ends the thread.
///
/// # Errors
/// When no thread can be started.
pub fn prefetch(
    split: &SplitData,
    batcher: &Batcher,
    epoch: u64,
    index: u64,
    depth: usize,
) -> Result<Prefetch> {
    let (sender, batches) = sync_channel(depth);
    let (split, batcher) = (split.shallow_clone(), batcher.clone());
    let work = move || {
        let (mut epoch, mut index) = (epoch, index);
        loop {
            if index >= batcher.batches_per_epoch() {
                (epoch, index) = (epoch + 1, 0);
            }
            let result =
                gather(&split, &batcher, epoch, index).map(|batch| Prefetched { epoch, index, batch });
            let failed = result.is_err();
            // Nobody waits for more, or nothing more can come.
            if sender.send(result).is_err() || failed {
                return;
            }
            index += 1;
        }
    };
    let worker = std::thread::Builder::new()
        .name("prefetch".to_owned())
        .spawn(work)
        .map_err(|error| Error::config(WHOLE, format!("no thread for prefetching: {error}")))?;
    Ok(Prefetch { batches: Some(batches), worker: Some(worker) })
}

/// The rows of one batch, gathered on the split's device.
pub fn gather(split: &SplitData, batcher: &Batcher, epoch: u64, index: u64) -> Result<Batch> {
    let rows = batcher.batch(epoch, index)?;
    let rows = match split.inputs.first().map(Inputs::device) {
        Some(device) => rows.iter().map(|rows| Ok(rows.f_to_device(device)?)).collect::<Result<_>>()?,
        None => rows,
    };
    split.gather(&rows)
}

impl Iterator for Prefetch {
    type Item = Result<Prefetched>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // The thread's next send fails once the receiver is gone.
        self.batches = None;
        if let Some(worker) = self.worker.take() {
            // A panic in the thread has already ended the iteration; there is nothing left to do with it here.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbered_split;
    use crate::{BatchOrder, LastBatch};

    #[test]
    fn order_and_content_are_those_without_a_thread() {
        let split = numbered_split(&[8, 4], 2);
        let batcher = Batcher::new(&split.streams(), 3, 5, BatchOrder::Shuffled, LastBatch::Keep).unwrap();
        let mut expected = [(2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0)].into_iter();
        for item in prefetch(&split, &batcher, 2, 1, 2).unwrap().take(6) {
            let item = item.unwrap();
            assert_eq!(Some((item.epoch, item.index)), expected.next());
            let direct = gather(&split, &batcher, item.epoch, item.index).unwrap();
            for (a, b) in item.batch.targets.iter().zip(&direct.targets) {
                assert_eq!(a, b);
            }
            let tensor = |batch: &Batch| batch.inputs[0].tensor(manytask_tensor::Kind::Float).unwrap();
            assert_eq!(tensor(&item.batch), tensor(&direct));
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn an_error_comes_through_and_ends_the_iteration() {
        let split = numbered_split(&[4], 1);
        let batcher = Batcher::new(&[9], 9, 0, BatchOrder::Sequential, LastBatch::Keep).unwrap();
        let mut batches = prefetch(&split, &batcher, 0, 0, 1).unwrap();
        assert!(matches!(batches.next(), Some(Err(Error::Tensor(_)))));
        assert!(batches.next().is_none());
    }
}
