//! New values of buffers that the passes of a step record.

use std::collections::BTreeMap;

use manytask_multitask::Result;
use manytask_nn::Context;
use manytask_tensor::{Slot, Tensor};

/// For each buffer the sum of its new values and their number.
#[derive(Debug, Default)]
pub(crate) struct Recorded(BTreeMap<Slot, (Tensor, f64)>);

impl Recorded {
    /// Adds a value, or one of each task along a leading dimension.
    pub(crate) fn add(&mut self, slot: Slot, value: &Tensor, tasks: Option<i64>) -> Result<()> {
        let (value, count) = match tasks {
            Some(tasks) => {
                (value.f_sum_dim_intlist([0_i64].as_slice(), false, value.kind())?, tasks.max(1) as f64)
            }
            None => (value.shallow_clone(), 1.0),
        };
        self.put(slot, value, count)
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        other.0.into_iter().try_for_each(|(slot, (sum, count))| self.put(slot, sum, count))
    }

    /// The sums, and the slots and numbers that they are of.
    pub(crate) fn into_parts(self) -> (Vec<Tensor>, Vec<(Slot, f64)>) {
        self.0.into_iter().map(|(slot, (sum, count))| (sum, (slot, count))).unzip()
    }

    /// What [`Recorded::into_parts`] took apart.
    pub(crate) fn of_parts(sums: &[Tensor], of: &[(Slot, f64)]) -> Self {
        let sums = sums.iter().map(Tensor::shallow_clone);
        Self(of.iter().zip(sums).map(|((slot, count), sum)| (*slot, (sum, *count))).collect())
    }

    /// A context that holds the means.
    pub(crate) fn into_context(self) -> Result<Context> {
        let mut cx = Context::eval();
        for (slot, (sum, count)) in self.0 {
            cx.record(slot, sum.f_div_scalar(count)?);
        }
        Ok(cx)
    }

    fn put(&mut self, slot: Slot, value: Tensor, count: f64) -> Result<()> {
        let next = match self.0.remove(&slot) {
            None => (value, count),
            Some((sum, before)) => (sum.f_add(&value)?, before + count),
        };
        self.0.insert(slot, next);
        Ok(())
    }
}
