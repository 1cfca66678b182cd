//! The passes of a [`FusedNet`] for many tasks at once, each with parameters of its own, in few operations of libtorch: what a GPU is
//! given. Any device computes them.

mod block;
mod dense;
mod leaves;
mod matrices;
mod sides;
#[cfg(test)]
mod tests;

use manytask_tensor::{Kind, Layout, Slot, Tensor};

use self::block::{BatchedBlock, Below, BlockLeaves, BlockTangent, BlockTrace};
use self::dense::{DensePass, DenseTrace};
pub use self::leaves::BatchedLeaves;
use self::sides::{Sides, channels_of, patches};
use super::{FusedNet, NotFused};
use crate::dense::{DenseChain, DenseLayer};
use crate::{Error, Module, Result};

/// A [`FusedNet`] of many tasks, and which of its parameters move in a task.
#[derive(Debug)]
pub struct BatchedNet {
    blocks: Vec<BatchedBlock>,
    /// Whether kernel, γ and β of each block move.
    moving_blocks: Vec<[bool; 3]>,
    dense: DenseChain,
    moving_dense: Vec<[bool; 2]>,
}

/// Examples of all tasks as the first layer takes them.
#[derive(Debug)]
pub struct BatchedRows {
    /// `[T, N, i]`, or of pictures their patches.
    first: Tensor,
    sides: Sides,
    /// `[T, 1, N]`.
    ones: Tensor,
}

/// What a pass leaves behind.
#[derive(Debug)]
pub struct BatchedTrace {
    blocks: Vec<BlockTrace>,
    dense: DenseTrace,
}

fn nothing() -> Error {
    Error::Input {
        layer: "batched passes".into(),
        expected: "[T, N, C, H, W] with sides that can be halved once for each block, or [T, N, i]".into(),
        found: Vec::new(),
    }
}

impl BatchedTrace {
    /// The network's outputs `[T, N, o]`.
    ///
    /// # Errors
    /// Never where the trace is one of a pass.
    pub fn predictions(&self) -> Result<&Tensor> {
        self.dense.activations.last().ok_or_else(nothing)
    }
}

impl BatchedNet {
    /// The passes of a network in whose tasks the parameters move that `moves` names.
    ///
    /// # Errors
    /// With what in the network has no fused form.
    pub fn compile(
        module: &dyn Module,
        layout: &Layout,
        moves: impl Fn(Slot) -> bool,
    ) -> Result<Self, NotFused> {
        let FusedNet { blocks, dense } = FusedNet::compile(module, layout)?;
        let blocks: Vec<BatchedBlock> = blocks
            .iter()
            .map(|block| BatchedBlock {
                kernel: block.kernel,
                bias: block.bias,
                scale: block.scale,
                shift: block.shift,
                inputs: block.inputs as i64,
                outputs: block.outputs as i64,
                eps: block.eps,
            })
            .collect();
        let moving_blocks = blocks.iter().map(|b| [b.kernel, b.scale, b.shift].map(&moves)).collect();
        let moving_dense =
            dense.layers().iter().map(|layer| [layer.weight, layer.bias].map(&moves)).collect();
        Ok(Self { blocks, moving_blocks, dense, moving_dense })
    }

    /// The layers and which of W and b move in a task, where it has no blocks.
    pub fn layers(&self) -> Option<impl Iterator<Item = (&DenseLayer, [bool; 2])>> {
        let layers = self.dense.layers().iter().zip(self.moving_dense.iter().copied());
        self.blocks.is_empty().then_some(layers)
    }

    /// Whether [`BatchedNet::descended_back`] is all of the derivative: activations without a second one.
    pub fn is_piecewise_linear(&self) -> bool {
        self.dense.is_piecewise_linear()
    }

    /// Whether it has layers after its blocks.
    pub fn has_layers(&self) -> bool {
        !self.dense.layers().is_empty()
    }

    /// The numbers of a row that comes out of its layers.
    pub fn outputs(&self) -> i64 {
        self.dense.outputs() as i64
    }

    /// The slots in the order of [`BatchedNet::flat`].
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let blocks = self.blocks.iter().flat_map(|b| [b.kernel, b.bias, b.scale, b.shift]);
        blocks.chain(self.dense.slots())
    }

    /// Whether it takes examples of a shape `[T, N, …]`.
    pub fn takes(&self, shape: &[i64]) -> bool {
        let Some(first) = self.blocks.first() else {
            return matches!(shape, [_, _, row @ ..] if row.iter().product::<i64>() == self.dense.inputs() as i64);
        };
        let &[_, _, channels, height, width] = shape else { return false };
        let halved = |side: i64| side >> self.blocks.len().min(62);
        let pixels = halved(height) * halved(width);
        let features = self.last_outputs() * pixels;
        channels == first.inputs
            && pixels > 0
            && (!self.has_layers() || features == self.dense.inputs() as i64)
    }

    /// Examples `[T, N, …]` as passes take them.
    ///
    /// # Errors
    /// When they are not of the network's form.
    pub fn rows(&self, x: &Tensor, kind: Kind) -> Result<BatchedRows> {
        let &[tasks, rows, _, ..] = x.size().as_slice() else { return Err(nothing()) };
        let ones = Tensor::f_ones([tasks, 1, rows], (kind, x.device()))?;
        if self.blocks.is_empty() {
            let first = x.f_flatten(2, -1)?.f_to_kind(kind)?;
            return Ok(BatchedRows { first, sides: Sides::of(tasks, rows, [1, 1]), ones });
        }
        let (channels, sides) = channels_of(x, kind)?;
        Ok(BatchedRows { first: patches(&channels, sides)?, sides, ones })
    }

    /// The pass forward.
    ///
    /// # Errors
    /// When examples are not of the network's form, or memory runs out.
    pub fn forward(&self, leaves: &BatchedLeaves, rows: &BatchedRows) -> Result<BatchedTrace> {
        let mut traces = Vec::<BlockTrace>::with_capacity(self.blocks.len());
        let mut sides = rows.sides;
        for (block, leaves) in self.blocks.iter().zip(&leaves.blocks) {
            if sides.height < 2 || sides.width < 2 {
                return Err(nothing());
            }
            let input = match traces.last() {
                None => rows.first.shallow_clone(),
                Some(before) => patches(&before.output, sides)?,
            };
            traces.push(block.forward(leaves, input, sides)?);
            sides = sides.halved();
        }
        let x = match traces.last() {
            None => rows.first.shallow_clone(),
            Some(last) => sides.by_rows(&last.output)?,
        };
        Ok(BatchedTrace { blocks: traces, dense: self.dense_pass(leaves, rows).forward(x)? })
    }

    /// The gradient by the parameters, for a cotangent of the predictions.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn backward(
        &self,
        leaves: &BatchedLeaves,
        rows: &BatchedRows,
        trace: &mut BatchedTrace,
        cotangent: Tensor,
    ) -> Result<BatchedLeaves> {
        let pass = self.dense_pass(leaves, rows);
        let below = pass.back_to_deltas(&mut trace.dense, cotangent, !self.blocks.is_empty())?;
        let dense = pass.gradient(&trace.dense)?;
        Ok(BatchedLeaves { blocks: self.back_through_blocks(0, rows, &mut trace.blocks, &below)?, dense })
    }

    /// A step of gradient descent, `φ − α ∇L(φ)`, of what moves.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn descended(
        &self,
        leaves: &BatchedLeaves,
        rows: &BatchedRows,
        trace: &mut BatchedTrace,
        cotangent: Tensor,
        rate: f64,
    ) -> Result<BatchedLeaves> {
        let pass = self.dense_pass(leaves, rows);
        let first = self.first_moving();
        let below = pass.back_to_deltas(&mut trace.dense, cotangent, first < self.blocks.len())?;
        let dense = pass.descended(&trace.dense, rate)?;
        let gradients = self.back_through_blocks(first, rows, &mut trace.blocks, &below)?;
        let (still, moved) = leaves.blocks.split_at(first.min(leaves.blocks.len()));
        let mut blocks =
            still.iter().map(|own| own.less(own, rate, [false; 3])).collect::<Result<Vec<_>>>()?;
        let moving = self.moving_blocks.iter().skip(first);
        for ((own, gradient), moves) in moved.iter().zip(&gradients).zip(moving) {
            blocks.push(own.less(gradient, rate, *moves)?);
        }
        Ok(BatchedLeaves { blocks, dense })
    }

    /// The cotangent λ of the parameters after [`BatchedNet::descended`] as one of those before it, `λ − α H λ`, where only what moves enters
    /// the product; `curvature` makes a change of the predictions one of their cotangent.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn descended_back(
        &self,
        leaves: &BatchedLeaves,
        rows: &BatchedRows,
        trace: &mut BatchedTrace,
        along: BatchedLeaves,
        curvature: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
        rate: f64,
    ) -> Result<BatchedLeaves> {
        let pass = self.dense_pass(leaves, rows);
        let first = self.first_moving();
        let changes = self.blocks_jvp(first, &trace.blocks, &along)?;
        let input = changes.last().map(|last| self.last_sides(rows).by_rows(&last.output)).transpose()?;
        let tangents = pass.tangents(&trace.dense, &along.dense, input)?;
        let Some(Some(last)) = tangents.last() else { return Ok(along) };
        let change = curvature(trace.predictions()?, last)?;
        let below = !self.blocks.is_empty();
        let (dense, under) =
            pass.descended_back(&trace.dense, &along.dense, &tangents, change, (rate, below))?;
        if !below {
            return Ok(BatchedLeaves { blocks: Vec::new(), dense });
        }
        let mut cotangent = self.last_sides(rows).by_channels(&under, self.last_outputs())?;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let all = self.blocks.iter().zip(&mut trace.blocks).zip(&along.blocks).enumerate().rev();
        for (number, ((block, trace), own)) in all {
            let below = if number > 0 { Below::Block } else { Below::Nothing };
            let (moved, under) = match number.checked_sub(first).and_then(|number| changes.get(number)) {
                Some(tangent) => block.backward_jvp(trace, tangent, &cotangent, below)?,
                None => block.backward(trace, &cotangent, below)?,
            };
            blocks.push(own.less(&moved, rate, [true; 3])?);
            cotangent = under.unwrap_or(cotangent);
        }
        blocks.reverse();
        Ok(BatchedLeaves { blocks, dense })
    }

    fn dense_pass<'a>(&'a self, leaves: &'a BatchedLeaves, rows: &'a BatchedRows) -> DensePass<'a> {
        DensePass { chain: &self.dense, leaves: &leaves.dense, moving: &self.moving_dense, ones: &rows.ones }
    }

    /// The first block in which something moves; their number where there is none.
    fn first_moving(&self) -> usize {
        let moves = |moving: &[bool; 3]| moving.iter().any(|moves| *moves);
        self.moving_blocks.iter().position(moves).unwrap_or(self.blocks.len())
    }

    /// The sides of what the last block gives.
    fn last_sides(&self, rows: &BatchedRows) -> Sides {
        self.blocks.iter().fold(rows.sides, |sides, _| sides.halved())
    }

    fn last_outputs(&self) -> i64 {
        self.blocks.last().map_or(0, |block| block.outputs)
    }

    /// The gradients of the blocks from `first` on, for a cotangent `[T, N, F]` of the features.
    fn back_through_blocks(
        &self,
        first: usize,
        rows: &BatchedRows,
        traces: &mut [BlockTrace],
        cotangent: &Tensor,
    ) -> Result<Vec<BlockLeaves>> {
        let mut found = Vec::with_capacity(self.blocks.len());
        if first >= self.blocks.len() {
            return Ok(found);
        }
        let mut cotangent = self.last_sides(rows).by_channels(cotangent, self.last_outputs())?;
        for (number, (block, trace)) in self.blocks.iter().zip(traces).enumerate().skip(first).rev() {
            let below = if number > 0 { Below::Block } else { Below::Nothing };
            let (gradient, under) = block.backward(trace, &cotangent, below)?;
            found.push(gradient);
            cotangent = under.unwrap_or(cotangent);
        }
        found.reverse();
        Ok(found)
    }

    /// How what blocks give changes along a direction of the parameters, from `first` on, below which nothing moves.
    fn blocks_jvp(
        &self,
        first: usize,
        traces: &[BlockTrace],
        along: &BatchedLeaves,
    ) -> Result<Vec<BlockTangent>> {
        let mut changes = Vec::<BlockTangent>::new();
        let all = self.blocks.iter().zip(traces).zip(&along.blocks).zip(&self.moving_blocks);
        for (((block, trace), along), moves) in all.skip(first) {
            let input = changes.last().map(|before| &before.output);
            let change = block.forward_jvp(&along.masked(*moves)?, trace, input)?;
            changes.push(change);
        }
        Ok(changes)
    }
}
