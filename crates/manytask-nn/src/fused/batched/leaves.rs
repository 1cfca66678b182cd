//! The parameters of many tasks, and how those of wide layers are kept.

use manytask_tensor::{Params, Slot, Tensor};

use super::BatchedNet;
use super::block::BlockLeaves;
use super::dense::{DenseLeaf, DenseLeaves};
use super::matrices::Matrices;
use crate::Result;
use crate::dense::DenseLayer;

/// The parameters of each task, or a gradient or a direction of them.
#[derive(Debug)]
pub struct BatchedLeaves {
    pub(super) blocks: Vec<BlockLeaves>,
    pub(super) dense: DenseLeaves,
}

/// Bytes beyond which weights of all tasks are read from a GPU's memory each time: the cache of an H100 or H200 is 50 MB, that of an A100 40.
const CACHE: i64 = 32 << 20;
/// So many times wider than what steps add is a layer whose weights are kept as factors.
const FEW: i64 = 4;

/// How the weights of a layer are kept.
pub(super) enum Form {
    /// Of each task its own.
    Own,
    /// What all share, and factors.
    Factored,
}

impl BatchedNet {
    /// The parameters of each task: its own where they have a task dimension, else the same for all. Views.
    ///
    /// # Errors
    /// When parameters are not of the network's layout.
    pub fn leaves(&self, params: &Params, tasks: i64) -> Result<BatchedLeaves> {
        self.leaves_in(params, tasks, |_| Form::Own)
    }

    /// The same for inner loops and their meta-gradients, which add at most `rank` rows to a weight: those of wide layers are kept as what all
    /// tasks share and the factors of what was added, where each task's own would not stay in a GPU's cache.
    ///
    /// # Errors
    /// When parameters are not of the network's layout.
    pub fn leaves_of_steps(&self, params: &Params, tasks: i64, rank: i64) -> Result<BatchedLeaves> {
        let size = params.kind().elt_size_in_bytes() as i64;
        self.leaves_in(params, tasks, |layer| {
            let [outputs, inputs] = [layer.outputs as i64, layer.inputs as i64];
            let memory = tasks.saturating_mul(outputs).saturating_mul(inputs).saturating_mul(size);
            let few = rank.saturating_mul(FEW) <= outputs.min(inputs);
            if few && memory > CACHE && params.tasks().is_none() { Form::Factored } else { Form::Own }
        })
    }

    pub(super) fn leaves_in(
        &self,
        params: &Params,
        tasks: i64,
        form: impl Fn(&DenseLayer) -> Form,
    ) -> Result<BatchedLeaves> {
        let of = |slot: Slot, shape: [i64; 3]| -> Result<Tensor> {
            let leaf = params.get(slot)?.f_detach()?;
            if params.tasks().is_some() {
                return Ok(leaf.f_reshape(shape)?);
            }
            Ok(leaf.f_reshape([1, shape[1], shape[2]])?.f_expand(shape, false)?)
        };
        let blocks = self.blocks.iter().map(|block| {
            let outputs = block.outputs;
            Ok(BlockLeaves {
                kernel: of(block.kernel, [tasks, outputs, 9 * block.inputs])?,
                scale: of(block.scale, [tasks, outputs, 1])?,
                shift: of(block.shift, [tasks, outputs, 1])?,
            })
        });
        let dense = self.dense.layers().iter().map(|layer| {
            let [outputs, inputs] = [layer.outputs as i64, layer.inputs as i64];
            let weight = match form(layer) {
                Form::Own => Matrices::Own(of(layer.weight, [tasks, outputs, inputs])?),
                Form::Factored => Matrices::shared(params.get(layer.weight)?.f_detach()?),
            };
            Ok(DenseLeaf { weight, bias: of(layer.bias, [tasks, 1, outputs])? })
        });
        Ok(BatchedLeaves { blocks: blocks.collect::<Result<_>>()?, dense: dense.collect::<Result<_>>()? })
    }

    /// All leaves of each task in one row, `[T, P]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn flat(&self, leaves: &BatchedLeaves) -> Result<Tensor> {
        let mut parts = Vec::new();
        for BlockLeaves { kernel, scale, shift } in &leaves.blocks {
            let [kernel, scale, shift] = [kernel, scale, shift].map(|leaf| leaf.f_flatten(1, 2));
            // Batch-norm subtracts the convolution's bias: nothing learns it.
            let (scale, shift) = (scale?, shift?);
            parts.extend([kernel?, scale.f_zeros_like()?, scale, shift]);
        }
        for DenseLeaf { weight, bias } in &leaves.dense {
            parts.extend([weight.full()?.f_flatten(1, 2)?, bias.f_flatten(1, 2)?]);
        }
        Ok(Tensor::f_cat(&parts, 1)?)
    }

    /// The leaves by their slots, `[T, …]`; without the biases of convolutions, which are 0 in a gradient.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn by_slot(&self, leaves: &BatchedLeaves) -> Result<Vec<(Slot, Tensor)>> {
        let mut found = Vec::new();
        for (block, leaves) in self.blocks.iter().zip(&leaves.blocks) {
            let own =
                [(block.kernel, &leaves.kernel), (block.scale, &leaves.scale), (block.shift, &leaves.shift)];
            found.extend(own.map(|(slot, leaf)| (slot, leaf.shallow_clone())));
        }
        for (layer, DenseLeaf { weight, bias }) in self.dense.layers().iter().zip(&leaves.dense) {
            found.extend([(layer.weight, weight.full()?), (layer.bias, bias.shallow_clone())]);
        }
        Ok(found)
    }
}
