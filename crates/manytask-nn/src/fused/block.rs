use manytask_tensor::Slot;
use manytask_tensor::dense::{Accumulate, Real};
use rayon::prelude::*;

use super::norm::{Affine, Statistics, Sums, Tangent, normalised_back, normalised_back_jvp, pool, pool_jvp};
use super::planes::Planes;
use crate::Result;

/// A convolution of 3 × 3 with zeros around, batch-norm by the statistics of its batch, relu, and the largest of 2 × 2.
///
/// The convolution's bias changes nothing, since batch-norm subtracts each channel's mean: its gradient is 0, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Block {
    pub(super) kernel: Slot,
    pub(super) bias: Slot,
    pub(super) scale: Slot,
    pub(super) shift: Slot,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) eps: f64,
}

/// A block's parameters, or a direction of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockWeights<'a, T> {
    kernel: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
}

/// What a pass through a block leaves behind. Memory is used again.
#[derive(Debug, Default)]
pub(super) struct BlockTrace<T> {
    pub(super) planes: Planes,
    /// What came in, laid out in planes.
    pub(super) input: Vec<T>,
    /// What the convolution gave, in planes.
    y: Vec<T>,
    statistics: Vec<Statistics<T>>,
    /// The pooled squares, `[O, B, H/2, W/2]`, and which pixel of each.
    pub(super) pooled: Vec<T>,
    chosen: Vec<u8>,
    /// The loss by the pooled squares.
    pub(super) cotangent: Vec<T>,
    /// The loss by what the convolution gave, in planes.
    dy: Vec<T>,
}

/// How a pass changes along a direction.
#[derive(Debug, Default)]
pub(super) struct BlockTangents<T> {
    /// Of what came in, in planes; unused in the first block.
    pub(super) input: Vec<T>,
    y: Vec<T>,
    means: Vec<(T, T)>,
    pub(super) pooled: Vec<T>,
    pub(super) cotangent: Vec<T>,
    dy: Vec<T>,
}

impl Block {
    /// The number of its parameters.
    pub(super) fn size(&self) -> usize {
        self.outputs * (self.inputs * 9 + 3)
    }

    /// Its parameters in a vector of kernel, bias, γ and β.
    pub(super) fn split<'a, T>(&self, flat: &'a [T]) -> BlockWeights<'a, T> {
        let kernel = self.outputs * self.inputs * 9;
        let part = |start: usize, length: usize| flat.get(start..start + length).unwrap_or_default();
        BlockWeights {
            kernel: part(0, kernel),
            scale: part(kernel + self.outputs, self.outputs),
            shift: part(kernel + 2 * self.outputs, self.outputs),
        }
    }

    /// The pass forward from `trace.input` to `trace.pooled`.
    pub(super) fn forward<T: Real>(
        &self,
        weights: BlockWeights<'_, T>,
        trace: &mut BlockTrace<T>,
        threads: usize,
    ) -> Result<()> {
        let BlockTrace { planes, input, y, statistics, pooled, chosen, .. } = trace;
        let squares = planes.halved().pixels();
        y.resize(self.outputs * planes.channel(), T::zero());
        statistics.resize(self.outputs, Statistics::default());
        pooled.resize(self.outputs * squares, T::zero());
        chosen.resize(self.outputs * squares, 0);
        planes.convolve(weights.kernel, input, Accumulate::No, y, threads)?;
        let channels = y.par_chunks_exact(planes.channel()).zip(statistics.par_iter_mut());
        let channels = channels.zip(pooled.par_chunks_exact_mut(squares));
        let channels = channels.zip(chosen.par_chunks_exact_mut(squares)).enumerate();
        let one = |(number, (((y, statistics), pooled), chosen)): Channel<'_, T>| {
            *statistics = Statistics::of(*planes, y, self.eps);
            pool(*planes, y, (*statistics, weights.affine(number)), pooled, chosen);
        };
        if threads > 1 {
            channels.for_each(one);
        } else {
            let channels = y.chunks_exact(planes.channel()).zip(statistics.iter_mut());
            let channels = channels.zip(pooled.chunks_exact_mut(squares));
            channels.zip(chosen.chunks_exact_mut(squares)).enumerate().for_each(one);
        }
        Ok(())
    }

    /// The pass back from `trace.cotangent`: the gradient of all parameters, and what it is by the input where `below` is asked
    /// for, in planes.
    pub(super) fn backward<T: Real>(
        &self,
        weights: BlockWeights<'_, T>,
        trace: &mut BlockTrace<T>,
        gradient: &mut [T],
        below: Option<&mut Vec<T>>,
        threads: usize,
    ) -> Result<()> {
        let BlockTrace { planes, input, y, statistics, chosen, cotangent, dy, .. } = trace;
        let squares = planes.halved().pixels();
        dy.resize(y.len(), T::zero());
        let mut sums = vec![Sums::default(); self.outputs];
        let one = |(number, ((dy, sums), y)): Returning<'_, T>| {
            let part = number * squares..(number + 1) * squares;
            let back =
                (chosen.get(part.clone()).unwrap_or_default(), cotangent.get(part).unwrap_or_default());
            let statistics = statistics.get(number).copied().unwrap_or_default();
            *sums = normalised_back(*planes, y, (statistics, weights.affine(number)), back, dy);
        };
        let each = planes.channel();
        if threads > 1 {
            let channels = dy.par_chunks_exact_mut(each).zip(sums.par_iter_mut());
            channels.zip(y.par_chunks_exact(each)).enumerate().for_each(one);
        } else {
            let channels = dy.chunks_exact_mut(each).zip(sums.iter_mut());
            channels.zip(y.chunks_exact(each)).enumerate().for_each(one);
        }
        let kernel = self.write(&sums, gradient);
        planes.kernel_gradient(dy, input, Accumulate::No, kernel, threads)?;
        if let Some(below) = below {
            below.resize(input.len(), T::zero());
            planes.vjp(weights.kernel, dy, Accumulate::No, below, threads)?;
        }
        Ok(())
    }

    /// How the pass forward changes along a direction, from `along.input` where there is one to `along.pooled`.
    pub(super) fn forward_jvp<T: Real>(
        &self,
        (weights, direction): (BlockWeights<'_, T>, BlockWeights<'_, T>),
        trace: &BlockTrace<T>,
        along: &mut BlockTangents<T>,
        moves: bool,
    ) -> Result<()> {
        let BlockTrace { planes, input, y, statistics, chosen, .. } = trace;
        let squares = planes.halved().pixels();
        along.y.resize(y.len(), T::zero());
        along.pooled.resize(self.outputs * squares, T::zero());
        planes.convolve(direction.kernel, input, Accumulate::No, &mut along.y, 1)?;
        if moves {
            planes.convolve(weights.kernel, &along.input, Accumulate::Yes, &mut along.y, 1)?;
        }
        along.means.clear();
        let channels = y.chunks_exact(planes.channel()).zip(along.y.chunks_exact(planes.channel()));
        let channels = channels.zip(along.pooled.chunks_exact_mut(squares)).zip(chosen.chunks_exact(squares));
        for (number, ((((y, moved), out), chosen), statistics)) in channels.zip(statistics).enumerate() {
            let known = (*statistics, weights.affine(number));
            let moved = Tangent { y: moved, affine: direction.affine(number) };
            along.means.push(pool_jvp(*planes, y, known, chosen, &moved, out));
        }
        Ok(())
    }

    /// How the pass back changes, from `along.cotangent`: of the gradient, and of what came back to the input.
    pub(super) fn backward_jvp<T: Real>(
        &self,
        (weights, direction): (BlockWeights<'_, T>, BlockWeights<'_, T>),
        trace: &BlockTrace<T>,
        along: &mut BlockTangents<T>,
        out: &mut [T],
        (moves, below): (bool, Option<&mut Vec<T>>),
    ) -> Result<()> {
        let BlockTrace { planes, input, y, statistics, chosen, cotangent, dy, .. } = trace;
        let (squares, each) = (planes.halved().pixels(), planes.channel());
        along.dy.resize(y.len(), T::zero());
        let mut sums = Vec::with_capacity(self.outputs);
        let channels = y.chunks_exact(each).zip(along.y.chunks_exact(each));
        let channels = channels.zip(along.dy.chunks_exact_mut(each)).zip(statistics).zip(&along.means);
        for (number, ((((y, moved), dy), statistics), means)) in channels.enumerate() {
            let part = number * squares..(number + 1) * squares;
            let back = (
                chosen.get(part.clone()).unwrap_or_default(),
                cotangent.get(part.clone()).unwrap_or_default(),
                along.cotangent.get(part).unwrap_or_default(),
            );
            let known = (*statistics, weights.affine(number));
            let moved = Tangent { y: moved, affine: direction.affine(number) };
            sums.push(normalised_back_jvp(*planes, y, known, back, (&moved, *means), dy));
        }
        let kernel = self.write(&sums, out);
        planes.kernel_gradient(&along.dy, input, Accumulate::No, kernel, 1)?;
        if moves {
            planes.kernel_gradient(dy, &along.input, Accumulate::Yes, kernel, 1)?;
        }
        if let Some(below) = below {
            below.resize(input.len(), T::zero());
            planes.vjp(weights.kernel, &along.dy, Accumulate::No, below, 1)?;
            planes.vjp(direction.kernel, dy, Accumulate::Yes, below, 1)?;
        }
        Ok(())
    }

    /// Writes the gradients of bias, γ and β; gives the kernel's place.
    fn write<'g, T: Real>(&self, sums: &[Sums<T>], gradient: &'g mut [T]) -> &'g mut [T] {
        let (kernel, rest) = gradient.split_at_mut((self.outputs * self.inputs * 9).min(gradient.len()));
        let mut parts = rest.chunks_exact_mut(self.outputs.max(1));
        if let Some(bias) = parts.next() {
            bias.fill(T::zero());
        }
        for (part, of) in parts.zip([|s: &Sums<T>| s.scale, |s: &Sums<T>| s.shift]) {
            part.iter_mut().zip(sums).for_each(|(place, sums)| *place = of(sums));
        }
        kernel
    }
}

/// A channel's place, and what belongs to it on the way back: `dy`, sums, `y`.
type Returning<'a, T> = (usize, ((&'a mut [T], &'a mut Sums<T>), &'a [T]));

/// A channel's place, and what belongs to it: `y`, statistics, pooled squares, and which pixels.
type Channel<'a, T> = (usize, (((&'a [T], &'a mut Statistics<T>), &'a mut [T]), &'a mut [u8]));

impl<T: Real> BlockWeights<'_, T> {
    fn affine(&self, channel: usize) -> Affine<T> {
        let at = |values: &[T]| values.get(channel).copied().unwrap_or_default();
        Affine { scale: at(self.scale), shift: at(self.shift) }
    }
}
