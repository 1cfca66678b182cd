use manytask_tensor::{Tensor, WHOLE};

use super::Rows;
use crate::{Error, Result};

/// What heads are given.
#[derive(Debug, Clone, Copy)]
pub enum Features<'f> {
    /// `[B, F]` of all rows, which are whose. Here and below also `[B, F, H, W]`, whose pixels are rows.
    All(&'f Tensor, &'f Rows),
    /// `[K, B, F]`, a slice for each wanted task.
    Stacked(&'f Tensor),
    /// `[B, F]` of each wanted task.
    Each(&'f [Tensor]),
}

impl Features<'_> {
    /// Those of the wanted task at `position`.
    pub(super) fn of(&self, position: usize) -> Result<Tensor> {
        match self {
            Self::All(all, rows) => rows.of(position, all),
            Self::Stacked(all) => Ok(all.f_select(0, position as i64)?),
            Self::Each(each) => match each.get(position) {
                Some(own) => Ok(own.shallow_clone()),
                None => Err(Error::setting(
                    WHOLE,
                    format!("no features for the wanted task {position}"),
                    "give some for each wanted task",
                )),
            },
        }
    }

    /// Whether all wanted tasks have as many rows.
    pub(super) fn has_equal_rows(&self) -> bool {
        fn equal<N: PartialEq>(mut all: impl Iterator<Item = N>) -> bool {
            let first = all.next();
            all.all(|n| Some(&n) == first.as_ref())
        }
        match self {
            Self::All(_, Rows::Own(spans)) => equal(spans.iter().map(|(_, length)| *length)),
            Self::All(..) | Self::Stacked(_) => true,
            Self::Each(each) => equal(each.iter().map(Tensor::size)),
        }
    }

    /// `[G, B, F]` of the wanted tasks at some positions.
    pub(super) fn stacked(&self, positions: &[usize]) -> Result<Tensor> {
        if let Self::Stacked(all) = self
            && positions.iter().copied().eq(0..all.size().first().copied().unwrap_or_default() as usize)
        {
            return Ok(all.shallow_clone());
        }
        let each = positions.iter().map(|position| self.of(*position)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_stack(&each, 0)?)
    }
}
