//! The sums at indices, forward and back.
#![expect(
    clippy::inline_always,
    reason = "loops must be compiled for the instructions that their caller found"
)]

use super::{Indices, OneHotRows};
use crate::dense::Real;

/// Outputs that are computed at once: two vectors of AVX-512 in f32.
pub(super) const LANES: usize = 32;
/// Indices that are turned at once from weights row by row, or to them.
const BLOCK: usize = 16;

/// The rows with a one at each place, place by place.
pub(super) struct OfIndices {
    /// Where each place's rows end.
    ends: Vec<u32>,
    rows: Vec<u32>,
}

impl OfIndices {
    /// By counting.
    pub(super) fn new<P: Place>(indices: &[P], columns: usize, width: usize) -> Self {
        let mut ends = vec![0_u32; width];
        let mut count = 0;
        for place in indices {
            if let Some(end) = ends.get_mut(place.index()) {
                *end += 1;
                count += 1;
            }
        }
        let mut start = 0;
        for end in &mut ends {
            start += std::mem::replace(end, start);
        }
        // Now they are where each begins; each row that is put in its place moves it on.
        let mut rows = vec![0; count];
        for (row, indices) in (0..).zip(indices.chunks_exact(columns.max(1))) {
            for place in indices {
                if let Some(end) = ends.get_mut(place.index()) {
                    if let Some(free) = rows.get_mut(*end as usize) {
                        *free = row;
                    }
                    *end += 1;
                }
            }
        }
        Self { ends, rows }
    }
}

/// `out += X Wᵀ` of the categories, compiled for the instructions of the processor.
pub(super) struct Sums<'a, 'o, T> {
    pub(super) rows: OneHotRows<'a, T>,
    pub(super) weight: &'o [T],
    pub(super) outputs: usize,
    pub(super) out: &'o mut [T],
}

impl<T: Real> pulp::NullaryFnOnce for Sums<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.rows.indices {
            Indices::Short(indices) => self.of(indices),
            Indices::Long(indices) => self.of(indices),
        }
    }
}

impl<T: Real> Sums<'_, '_, T> {
    /// Some outputs at a time: their weights, place by place, stay in the cache.
    #[inline(always)]
    fn of<P: Place>(self, indices: &[P]) {
        let Self { rows: OneHotRows { each, width, columns, .. }, weight, outputs, out } = self;
        let mut tile = vec![[T::zero(); LANES]; width];
        for first in (0..outputs).step_by(LANES) {
            let lanes = LANES.min(outputs - first);
            for (number, block) in tile.chunks_mut(BLOCK).enumerate() {
                for lane in 0..lanes {
                    let start = (first + lane) * (each + width) + each + number * BLOCK;
                    let own = weight.get(start..start + block.len()).unwrap_or_default();
                    block.iter_mut().zip(own).for_each(|(column, weight)| column[lane] = *weight);
                }
            }
            for (indices, out) in indices.chunks_exact(columns.max(1)).zip(out.chunks_exact_mut(outputs)) {
                let mut sum = [T::zero(); LANES];
                for place in indices {
                    if let Some(column) = tile.get(place.index()) {
                        for lane in 0..LANES {
                            sum[lane] += column[lane];
                        }
                    }
                }
                let out = out.get_mut(first..first + lanes).unwrap_or_default();
                out.iter_mut().zip(sum).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

/// `out = δᵀ X` of the categories for outputs from `first` on, compiled for the instructions of the processor.
pub(super) struct Gradients<'a, 'o, T> {
    pub(super) rows: OneHotRows<'a, T>,
    pub(super) of_indices: &'o OfIndices,
    pub(super) delta: &'o [T],
    pub(super) outputs: usize,
    pub(super) first: usize,
    pub(super) out: &'o mut [T],
}

impl<T: Real> pulp::NullaryFnOnce for Gradients<'_, '_, T> {
    type Output = ();

    /// Some outputs at a time: δ of all rows stays in the cache, and a place's sum in registers.
    #[inline(always)]
    fn call(self) {
        let Self { rows: OneHotRows { each, width, .. }, of_indices, delta, outputs, first, out } = self;
        let inputs = each + width;
        let mut tile = vec![[T::zero(); LANES]; delta.len() / outputs];
        for (number, out) in out.chunks_mut(LANES * inputs).enumerate() {
            let (first, lanes) = (first + number * LANES, out.len() / inputs);
            for (tile, delta) in tile.iter_mut().zip(delta.chunks_exact(outputs)) {
                let delta = delta.get(first..first + lanes).unwrap_or_default();
                tile.iter_mut().zip(delta).for_each(|(tile, delta)| *tile = *delta);
            }
            let mut start = 0;
            for (number, ends) in of_indices.ends.chunks(BLOCK).enumerate() {
                let mut block = [[T::zero(); LANES]; BLOCK];
                for (sum, end) in block.iter_mut().zip(ends) {
                    let rows = of_indices.rows.get(start..*end as usize).unwrap_or_default();
                    start = *end as usize;
                    let mut total = [T::zero(); LANES];
                    for row in rows {
                        if let Some(delta) = tile.get(*row as usize) {
                            for lane in 0..LANES {
                                total[lane] += delta[lane];
                            }
                        }
                    }
                    *sum = total;
                }
                for (lane, out) in out.chunks_exact_mut(inputs).enumerate() {
                    let start = each + number * BLOCK;
                    let out = out.get_mut(start..start + ends.len()).unwrap_or_default();
                    out.iter_mut().zip(&block).for_each(|(out, sum)| *out = sum[lane]);
                }
            }
        }
    }
}

/// A place that may be none.
pub(super) trait Place: Copy {
    /// As an index, which is beyond any matrix where it is none.
    fn index(self) -> usize;
}

impl Place for i16 {
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

impl Place for i32 {
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}
