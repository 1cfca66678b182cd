//! Networks whose passes, and Hessian products, are fused: blocks of convolution as few-shot learning uses them, and
//! chains of linear layers ([`crate::dense`]).

mod batched;
mod block;
mod norm;
mod planes;
#[cfg(test)]
mod tests;

use manytask_tensor::dense::{Real, values};
use manytask_tensor::{Layout, Params, Slot, Tensor};

pub use self::batched::{BatchedLeaves, BatchedNet, BatchedRows, BatchedTrace};
use self::block::{Block, BlockTangents, BlockTrace};
use self::planes::Planes;
use crate::dense::{DenseChain, PlainLoss, Tangents, Target, Trace};
use crate::primitive::{Activation, ConvConfig, count};
pub use crate::primitive::{NotFused, Primitive};
use crate::{Module, Result};

/// Blocks of 3 × 3 convolution, batch-norm, relu and 2 × 2 pooling, then a chain of linear layers; either may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct FusedNet {
    blocks: Vec<Block>,
    dense: DenseChain,
}

/// Rows that go in: as many numbers each, and for blocks the sides of the picture that they are.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    /// Row by row, a picture channel by channel.
    pub values: &'a [T],
    /// Their number.
    pub count: usize,
    /// Height and width.
    pub sides: (usize, usize),
}

/// What a pass leaves behind; its memory is used again by the next.
#[derive(Debug, Default)]
pub struct NetTrace<T> {
    blocks: Vec<BlockTrace<T>>,
    /// What the blocks gave, row by row, and the loss by it.
    features: Vec<T>,
    feature_cotangent: Vec<T>,
    dense: Trace<T>,
}

/// How a pass changes along a direction.
#[derive(Debug, Default)]
pub struct NetTangents<T> {
    blocks: Vec<BlockTangents<T>>,
    dense: Tangents<T>,
    below: Vec<T>,
}

impl FusedNet {
    /// The fused form of a network.
    ///
    /// # Errors
    /// With what in the network has no fused form.
    pub fn compile(module: &dyn Module, layout: &Layout) -> Result<Self, NotFused> {
        let primitives = module.primitives()?;
        let (mut blocks, mut rest) = (Vec::new(), primitives.as_slice());
        while let [
            Primitive::Convolution { weight, bias: Some(bias), config },
            Primitive::BatchNorm { weight: scale, bias: shift, eps },
            Primitive::Activation(Activation::Relu),
            Primitive::MaxPool(2),
            after @ ..,
        ] = rest
        {
            if *config != ConvConfig::same(config.inputs, config.outputs, 3) {
                return Err(NotFused::new("a convolution that is not 3 × 3 with stride and padding 1"));
            }
            let (inputs, outputs) = (count(config.inputs)?, count(config.outputs)?);
            blocks.push(Block {
                kernel: *weight,
                bias: *bias,
                scale: *scale,
                shift: *shift,
                inputs,
                outputs,
                eps: *eps,
            });
            rest = after;
        }
        let dense = DenseChain::parse(rest, layout)?;
        if blocks.is_empty() && dense.layers().is_empty() {
            return Err(NotFused::new("a network without a layer"));
        }
        Ok(Self { blocks, dense })
    }

    /// The number of all parameters.
    pub fn size(&self) -> usize {
        self.blocks.iter().map(Block::size).sum::<usize>() + self.dense.size()
    }

    /// The slots in the order of the vectors that passes take and give.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let blocks =
            self.blocks.iter().flat_map(|block| [block.kernel, block.bias, block.scale, block.shift]);
        blocks.chain(self.dense.slots())
    }

    /// The numbers of a row that comes out, for rows of pictures with these sides; `None` where such rows do not fit.
    pub fn outputs(&self, numbers: usize, sides: (usize, usize)) -> Option<usize> {
        let Some(first) = self.blocks.first() else {
            return (numbers == self.dense.inputs()).then(|| self.dense.outputs());
        };
        let halvings = self.blocks.len() as u32;
        let side = |side: usize| side.checked_shr(halvings).filter(|side| *side > 0);
        let (height, width) = (side(sides.0)?, side(sides.1)?);
        let features = self.blocks.last()?.outputs * height * width;
        if numbers != first.inputs * sides.0 * sides.1 {
            return None;
        }
        if self.dense.layers().is_empty() {
            return Some(features);
        }
        (features == self.dense.inputs()).then(|| self.dense.outputs())
    }

    /// The trained parameters in one vector, in the order of [`FusedNet::slots`]; `None` where these are not all.
    pub fn flat(&self, params: &Params) -> Result<Option<Tensor>> {
        if !self.slots().eq(params.layout().trained()) {
            return Ok(None);
        }
        Ok(Some(params.detach()?.flatten()?.f_contiguous()?))
    }

    fn split<'a, T>(&self, flat: &'a [T]) -> (Vec<block::BlockWeights<'a, T>>, &'a [T]) {
        let mut rest = flat;
        let blocks = self.blocks.iter().map(|block| {
            let (own, after) = rest.split_at(block.size().min(rest.len()));
            rest = after;
            block.split(own)
        });
        let blocks = blocks.collect();
        (blocks, rest)
    }

    /// The pass forward.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn forward<T: Real>(
        &self,
        flat: &[T],
        x: Rows<'_, T>,
        trace: &mut NetTrace<T>,
        threads: usize,
    ) -> Result<()> {
        let (weights, dense) = self.split(flat);
        trace.blocks.resize_with(self.blocks.len(), BlockTrace::default);
        let mut planes = Planes { pictures: x.count, height: x.sides.0, width: x.sides.1 };
        for (number, (block, weights)) in self.blocks.iter().zip(weights).enumerate() {
            let (before, rest) = trace.blocks.split_at_mut(number);
            let Some(own) = rest.first_mut() else { break };
            own.planes = planes;
            let size = planes.height * planes.width;
            match before.last() {
                None => planes.spread(x.values, block.inputs, (size, block.inputs * size), &mut own.input),
                Some(before) => {
                    planes.spread(&before.pooled, block.inputs, (planes.pixels(), size), &mut own.input);
                }
            }
            block.forward(weights, own, threads)?;
            planes = planes.halved();
        }
        let NetTrace { blocks, features, dense: own, .. } = trace;
        if let Some(last) = blocks.last() {
            by_rows(&last.pooled, planes, features);
        }
        let input = if self.blocks.is_empty() { x.values } else { features };
        self.dense.forward(&self.dense.split(dense), input, own, threads)
    }

    /// What the last pass forward gave, row by row.
    pub fn predictions<'t, T: Real>(&self, trace: &'t NetTrace<T>) -> &'t [T] {
        trace.dense.activations.last().unwrap_or(&trace.features)
    }

    /// The loss of what the pass forward gave, and the start of the pass back.
    pub fn loss<T: Real>(
        &self,
        loss: PlainLoss,
        target: Target<'_, T>,
        outputs: usize,
        trace: &mut NetTrace<T>,
    ) -> f64 {
        let mut cotangent = std::mem::take(self.last_cotangent(trace));
        let predictions = self.predictions(trace);
        cotangent.resize(predictions.len(), T::zero());
        let value = loss.value(predictions, target, outputs, &mut cotangent);
        *self.last_cotangent(trace) = cotangent;
        value
    }

    /// Starts the pass back from a gradient by what the pass forward gave.
    pub fn begin_back<T: Real>(&self, cotangent: &[T], trace: &mut NetTrace<T>) {
        let place = self.last_cotangent(trace);
        place.clear();
        place.extend_from_slice(cotangent);
    }

    fn last_cotangent<'t, T: Real>(&self, trace: &'t mut NetTrace<T>) -> &'t mut Vec<T> {
        let NetTrace { dense, feature_cotangent, .. } = trace;
        dense.cotangents.resize_with(self.dense.layers().len(), Vec::new);
        dense.cotangents.last_mut().unwrap_or(feature_cotangent)
    }

    /// The pass back: the gradient of all parameters.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn backward<T: Real>(
        &self,
        flat: &[T],
        x: Rows<'_, T>,
        trace: &mut NetTrace<T>,
        gradient: &mut [T],
        threads: usize,
    ) -> Result<()> {
        let (weights, dense) = self.split(flat);
        let (own, of_dense) = gradient.split_at_mut(gradient.len().saturating_sub(self.dense.size()));
        let NetTrace { blocks, features, feature_cotangent, dense: dense_trace } = trace;
        let input = if blocks.is_empty() { x.values } else { features };
        let below = (!blocks.is_empty()).then_some(feature_cotangent);
        if !self.dense.layers().is_empty() {
            let below = below.map(|below| &mut *below);
            self.dense.backward(&self.dense.split(dense), input, dense_trace, of_dense, below, threads)?;
        }
        let mut end = own.len();
        let mut planes_below: Vec<T> = Vec::new();
        if let Some(last) = blocks.last_mut() {
            by_channels(&trace.feature_cotangent, last.planes.halved(), &mut last.cotangent);
        }
        for (number, (block, weights)) in self.blocks.iter().zip(weights).enumerate().rev() {
            let (before, rest) = trace.blocks.split_at_mut(number);
            let Some(at) = rest.first_mut() else { break };
            let start = end.saturating_sub(block.size());
            let part = own.get_mut(start..end).unwrap_or_default();
            end = start;
            let below = (number > 0).then_some(&mut planes_below);
            block.backward(weights, at, part, below, threads)?;
            if let Some(before) = before.last_mut() {
                at.planes.gather(&planes_below, &mut before.cotangent);
            }
        }
        Ok(())
    }

    /// `out = H v`, as [`DenseChain::hessian_product`].
    ///
    /// # Errors
    /// When a shape does not fit.
    #[expect(clippy::too_many_arguments, reason = "a pass, a direction, and where it goes")]
    pub fn hessian_product<T: Real>(
        &self,
        flat: &[T],
        x: Rows<'_, T>,
        (loss, target, outputs): (PlainLoss, Target<'_, T>, usize),
        trace: &NetTrace<T>,
        direction: &[T],
        along: &mut NetTangents<T>,
        out: &mut [T],
    ) -> Result<()> {
        let ((weights, dense), (directions, dense_direction)) = (self.split(flat), self.split(direction));
        let pairs: Vec<_> = weights.into_iter().zip(directions).collect();
        along.blocks.resize_with(self.blocks.len(), BlockTangents::default);
        for (number, ((block, pair), trace)) in self.blocks.iter().zip(&pairs).zip(&trace.blocks).enumerate()
        {
            let (before, rest) = along.blocks.split_at_mut(number);
            let Some(own) = rest.first_mut() else { break };
            if let Some(before) = before.last() {
                let (planes, size) = (trace.planes, trace.planes.height * trace.planes.width);
                planes.spread(&before.pooled, block.inputs, (planes.pixels(), size), &mut own.input);
            }
            block.forward_jvp(*pair, trace, own, number > 0)?;
        }
        let NetTangents { blocks, dense: dense_along, below } = along;
        dense_along.input.clear();
        if let (Some(last), Some(trace)) = (blocks.last(), trace.blocks.last()) {
            by_rows(&last.pooled, trace.planes.halved(), &mut dense_along.input);
        }
        let (own, of_dense) = out.split_at_mut(out.len().saturating_sub(self.dense.size()));
        let input = if self.blocks.is_empty() { x.values } else { &trace.features };
        self.dense.hessian_product_from(
            (&self.dense.split(dense), &self.dense.split(dense_direction)),
            input,
            (loss, target, outputs),
            &trace.dense,
            dense_along,
            of_dense,
        )?;
        if let (Some(last), Some(trace)) = (blocks.last_mut(), trace.blocks.last()) {
            by_channels(&dense_along.below, trace.planes.halved(), &mut last.cotangent);
        }
        let mut end = own.len();
        let layers = self.blocks.iter().zip(&pairs).zip(&trace.blocks).enumerate().rev();
        for (number, ((block, pair), trace)) in layers {
            let (before, rest) = blocks.split_at_mut(number);
            let Some(at) = rest.first_mut() else { break };
            let start = end.saturating_sub(block.size());
            let part = own.get_mut(start..end).unwrap_or_default();
            end = start;
            let place = (number > 0).then_some(&mut *below);
            block.backward_jvp(*pair, trace, at, part, (number > 0, place))?;
            if let Some(before) = before.last_mut() {
                trace.planes.gather(below, &mut before.cotangent);
            }
        }
        Ok(())
    }
}

impl<'a, T: Real> Rows<'a, T> {
    /// The rows of a contiguous tensor `[B, …]`.
    ///
    /// # Errors
    /// When its numbers cannot be lent.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let shape = tensor.size();
        let count = shape.first().copied().unwrap_or_default().max(0) as usize;
        Ok(Self { values: values(tensor)?, count, sides: sides(shape.get(1..).unwrap_or_default()) })
    }
}

/// The sides of pictures `[C, H, W]`; (1, 1) for rows of numbers.
pub fn sides(shape: &[i64]) -> (usize, usize) {
    match shape {
        &[_, height, width] => (height.max(0) as usize, width.max(0) as usize),
        _ => (1, 1),
    }
}

/// From `[C, B, …]` to `[B, C, …]`.
fn by_rows<T: Real>(from: &[T], planes: Planes, to: &mut Vec<T>) {
    let size = planes.height * planes.width;
    let channels = from.len() / planes.pixels().max(1);
    to.clear();
    for picture in 0..planes.pictures {
        for channel in 0..channels {
            let start = channel * planes.pixels() + picture * size;
            to.extend_from_slice(from.get(start..start + size).unwrap_or_default());
        }
    }
}

/// From `[B, C, …]` to `[C, B, …]`.
fn by_channels<T: Real>(from: &[T], planes: Planes, to: &mut Vec<T>) {
    let size = planes.height * planes.width;
    let channels = from.len() / planes.pixels().max(1);
    to.clear();
    for channel in 0..channels {
        for picture in 0..planes.pictures {
            let start = (picture * channels + channel) * size;
            to.extend_from_slice(from.get(start..start + size).unwrap_or_default());
        }
    }
}
