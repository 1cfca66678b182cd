//! A meta-batch in memory.

use manytask_multitask::Result;
use manytask_nn::dense::Target;
use manytask_nn::fused::{FusedNet, Rows, sides};
use manytask_tensor::dense::{Real, values};
use manytask_tensor::{Kind, Tensor};

/// The labels of all tasks.
pub(super) enum Labels<T> {
    Values(Vec<T>),
    Classes(Vec<i64>),
}

impl<T: Real> Labels<T> {
    pub(super) fn of(tensor: &Tensor) -> Result<Option<Self>> {
        let flat = tensor.f_contiguous()?.f_reshape([-1])?;
        Ok(match flat.kind() {
            Kind::Int64 => Some(Self::Classes(Vec::try_from(&flat)?)),
            kind if kind == T::KIND => Some(Self::Values(values::<T>(&flat)?.to_vec())),
            _ => None,
        })
    }

    /// The labels of one of so many tasks.
    pub(super) fn task(&self, task: usize, tasks: usize) -> Target<'_, T> {
        fn part<N>(all: &[N], task: usize, tasks: usize) -> &[N] {
            let each = all.len() / tasks;
            all.get(task * each..(task + 1) * each).unwrap_or_default()
        }
        match self {
            Self::Values(all) => Target::Values(part(all, task, tasks)),
            Self::Classes(all) => Target::Classes(part(all, task, tasks)),
        }
    }
}

/// The inputs of all tasks.
pub(super) struct Pictures<'a, T> {
    values: &'a [T],
    /// Rows of one task.
    pub(super) count: usize,
    sides: (usize, usize),
    /// The numbers that the network gives for a row.
    pub(super) outputs: usize,
}

impl<'a, T: Real> Pictures<'a, T> {
    /// `[T, N, …]`; `None` where the network takes no such rows.
    pub(super) fn of(tensor: &'a Tensor, tasks: usize, net: &FusedNet) -> Result<Option<Self>> {
        let (values, shape) = (values::<T>(tensor)?, tensor.size());
        let count = shape.get(1).copied().unwrap_or_default().max(0) as usize;
        let sides = sides(shape.get(2..).unwrap_or_default());
        let outputs = net.outputs(values.len() / (tasks * count).max(1), sides);
        Ok(outputs.filter(|_| count > 0).map(|outputs| Self { values, count, sides, outputs }))
    }

    pub(super) fn task(&self, task: usize, tasks: usize) -> Rows<'a, T> {
        let each = self.values.len() / tasks.max(1);
        let values = self.values.get(task * each..(task + 1) * each).unwrap_or_default();
        Rows { values, count: self.count, sides: self.sides }
    }
}
