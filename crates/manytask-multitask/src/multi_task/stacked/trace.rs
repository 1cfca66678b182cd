//! The gradients of a pass, made of what it left behind.

use manytask_nn::dense::DenseChain;
use manytask_tensor::{Kind, Params, Tensor};

use super::{Stacked, trunk};
use crate::Result;
use crate::multi_task::broken;

/// What a pass forward left behind, from which gradients are made.
pub(super) struct Trace<'a> {
    pub(super) chain: &'a DenseChain,
    pub(super) params: &'a Params,
    pub(super) stacked: &'a Stacked,
    /// What went into each layer, `[B, i]`, and the representation.
    pub(super) inputs: &'a [Tensor],
    /// R of each group, `[T, B, o]`.
    pub(super) residuals: &'a [Tensor],
}

impl Trace<'_> {
    /// The gradient of all trained parameters in the order of the layout, `[P]`.
    pub(super) fn gradient(&self, shared: &Tensor, own: &Tensor) -> Result<Tensor> {
        let groups = &self.stacked.groups;
        let heads = groups.weights(&self.stacked.heads, self.params)?;
        let mut found: Vec<Option<Tensor>> = self.params.leaves().iter().map(|_| None).collect();
        let mut put = |slot: manytask_tensor::Slot, gradient: Tensor| {
            if let Some(place) = found.get_mut(slot.index()) {
                *place = Some(gradient);
            }
        };
        let cotangent = groups.weighted(self.residuals, shared)?.f_matmul(&heads)?;
        trunk::backward(self.chain, self.params, self.inputs, cotangent, |layer, delta, input| {
            put(layer.weight, delta.f_tr()?.f_matmul(input)?);
            put(layer.bias, delta.f_sum_dim_intlist([0].as_slice(), false, delta.kind())?);
            Ok(())
        })?;
        let residuals = groups.weighted(self.residuals, own)?;
        let representation = self.inputs.last().ok_or_else(|| broken("no representation"))?;
        let weights = residuals.f_tr()?.f_matmul(representation)?;
        let biases = residuals.f_sum_dim_intlist([0].as_slice(), false, residuals.kind())?;
        let mut start = 0;
        for head in groups.order().filter_map(|task| self.stacked.heads.get(task)) {
            let length = head.outputs as i64;
            put(head.weight, weights.f_narrow(0, start, length)?);
            put(head.bias, biases.f_narrow(0, start, length)?);
            start += length;
        }
        let trained = self.params.layout().trained();
        let splits = trained.iter().map(|slot| match found.get(slot.index()) {
            Some(Some(gradient)) => Ok(gradient.f_reshape([-1])?),
            _ => Ok(self.params.get(*slot)?.f_detach()?.f_zeros_like()?.f_reshape([-1])?),
        });
        Ok(Tensor::f_cat(&splits.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Each task's loss by the representation, in task order, `[T, B, F]`.
    pub(super) fn cotangents(&self) -> Result<Tensor> {
        self.stacked.groups.cotangents(self.residuals, &self.stacked.heads, self.params)
    }

    /// The inner products of all tasks' gradients of the trunk, `[T, T]`, each layer's in the cheaper form.
    pub(super) fn gramian(&self) -> Result<Tensor> {
        let tasks = self.stacked.heads.len() as i64;
        let mut sum = Tensor::f_zeros([tasks, tasks], (Kind::Double, self.params.device()))?;
        trunk::backward(self.chain, self.params, self.inputs, self.cotangents()?, |_, delta, input| {
            sum = sum.f_add(&trunk::gramian(delta, input)?)?;
            Ok(())
        })?;
        Ok(sum)
    }

    /// All tasks' gradients of the trunk, `[T, P]`, in the order of the shared parameters.
    pub(super) fn rows(&self) -> Result<Tensor> {
        let tasks = self.stacked.heads.len() as i64;
        let mut splits = Vec::new();
        trunk::backward(self.chain, self.params, self.inputs, self.cotangents()?, |_, delta, input| {
            splits.push(delta.f_sum_dim_intlist([1].as_slice(), false, delta.kind())?);
            splits.push(delta.f_transpose(1, 2)?.f_matmul(input)?.f_reshape([tasks, -1])?);
            Ok(())
        })?;
        splits.reverse();
        Ok(Tensor::f_cat(&splits, 1)?)
    }

    /// The gradient of the trunk for a direction of the representation, `[P]`.
    pub(super) fn through_trunk(&self, cotangent: Tensor) -> Result<Tensor> {
        let mut splits = Vec::new();
        trunk::backward(self.chain, self.params, self.inputs, cotangent, |_, delta, input| {
            splits.push(delta.f_sum_dim_intlist([0].as_slice(), false, delta.kind())?);
            splits.push(delta.f_tr()?.f_matmul(input)?.f_reshape([-1])?);
            Ok(())
        })?;
        splits.reverse();
        Ok(Tensor::f_cat(&splits, 0)?)
    }
}
