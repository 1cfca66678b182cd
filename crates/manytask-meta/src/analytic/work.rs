//! A meta-batch, its tasks shared out among threads.

use std::sync::{Mutex, PoisonError};

use manytask_multitask::Result;
use manytask_tensor::dense::Real;
use manytask_tensor::threads;

use super::batch::{Labels, Pictures};
use super::steps::{Steps, Support};
use super::workspace::{Spaces, Workspace};
use crate::outer_gradient::OuterGradient;

/// A meta-batch in memory: inputs, and labels.
pub(super) struct Work<'a, T> {
    pub(super) steps: &'a Steps,
    pub(super) spaces: &'a Spaces,
    pub(super) start: &'a [T],
    /// Of each number that moves; none where all have one.
    pub(super) rates: &'a [T],
    pub(super) support: Pictures<'a, T>,
    pub(super) query: Pictures<'a, T>,
    pub(super) labels: (&'a Labels<T>, &'a Labels<T>),
    pub(super) tasks: usize,
}

impl<T: Real> Work<'_, T> {
    /// Whether shapes and labels are what the fused passes take.
    pub(super) fn fits(&self) -> bool {
        let loss = self.steps.loss;
        let all = |x: &Pictures<'_, T>, labels: &Labels<T>| {
            (0..self.tasks).all(|task| loss.fits(labels.task(task, self.tasks), x.count, x.outputs))
        };
        all(&self.support, self.labels.0) && all(&self.query, self.labels.1)
    }

    /// Each thread takes an equal run of tasks.
    pub(super) fn all(&self, losses: &mut [f64], rows: &mut [T]) -> Result<()> {
        let size = self.start.len();
        let width = rows.len() / self.tasks.max(1);
        let each = self.tasks.div_ceil(threads::get()).max(1);
        // Where there are fewer tasks than threads, the rest help with the query set.
        let spare = (threads::get() / self.tasks.max(1)).max(1);
        let run = |(number, (losses, rows)): (usize, (&mut [f64], &mut [T]))| -> Result<()> {
            let mut space = self.spaces.take(size);
            for (within, (loss, row)) in losses.iter_mut().zip(rows.chunks_exact_mut(width)).enumerate() {
                *loss = self.task(number * each + within, row, &mut space, spare)?;
            }
            self.spaces.put(space);
            Ok(())
        };
        if each >= self.tasks {
            return run((0, (losses, rows)));
        }
        let mut runs = losses.chunks_mut(each).zip(rows.chunks_mut(each * width)).enumerate();
        let Some(first) = runs.next() else { return Ok(()) };
        // This thread takes a run itself: a small meta-batch is done in the time in which a pool's thread wakes up.
        let failed = Mutex::new(None);
        let keep = |done: Result<()>| {
            if let Err(error) = done {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        rayon::in_place_scope(|scope| {
            for other in runs {
                scope.spawn(|_| keep(run(other)));
            }
            keep(run(first));
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// One task: its query loss, and its meta-gradient written over `row`.
    fn task(&self, task: usize, row: &mut [T], space: &mut Workspace<T>, threads: usize) -> Result<f64> {
        let Steps { net, descent, loss, .. } = self.steps;
        let support = Support {
            x: self.support.task(task, self.tasks),
            y: self.labels.0.task(task, self.tasks),
            outputs: self.support.outputs,
            rates: self.rates,
        };
        let segment = self.steps.segment();
        space.now.copy_from_slice(self.start);
        space.kept.clear();
        // At once: growing by doubling would leave what it outgrew behind.
        space.kept.reserve((descent.steps as usize).div_ceil(segment) * self.start.len());
        let mut left = descent.steps as usize;
        while left > 0 {
            space.kept.extend_from_slice(&space.now);
            self.steps.descend(support, left.min(segment), space)?;
            left -= left.min(segment);
        }
        let query = self.query.task(task, self.tasks);
        net.forward(&space.now, query, &mut space.query, threads)?;
        let labels = self.labels.1.task(task, self.tasks);
        let value = net.loss(*loss, labels, self.query.outputs, &mut space.query);
        let (row, of_rates) = row.split_at_mut(self.start.len());
        if descent.outer_gradient == OuterGradient::Difference {
            row.iter_mut()
                .zip(self.start)
                .zip(&space.now)
                .for_each(|((row, start), now)| *row = *start - *now);
            return Ok(value);
        }
        net.backward(&space.now, query, &mut space.query, row, threads)?;
        if descent.outer_gradient == OuterGradient::SecondOrder || !self.rates.is_empty() {
            of_rates.fill(T::zero());
            self.steps.return_through(support, row, of_rates, space)?;
        }
        Ok(value)
    }
}
