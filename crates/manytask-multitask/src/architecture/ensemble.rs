//! Several networks of one form at once, which may share weights.

use std::sync::Arc;

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Entry, Init, Layout, Params, Role, Slot, Tensor, WHOLE};

use super::Built;
use crate::{Error, Result};

/// What the members of an ensemble share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All parameters are each member's own.
    Nothing,
    /// Weights, but for a factor for each input and each output of a member's own; all else is each member's own.
    Weights,
}

/// Members of one module, run at once: the module's parameters with a leading dimension of members.
#[derive(Debug)]
pub(crate) struct Ensemble {
    module: Box<dyn Module>,
    members: i64,
    /// The module's own layout, of one member.
    layout: Arc<Layout>,
    /// What makes each of its parameters, in its order.
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
enum Leaf {
    /// `[M, …]` as it is.
    Own(Slot),
    /// `W ⊙ s rᵀ` of a weight `[out, in, …]`, r `[M, in]` and s `[M, out]`.
    Scaled { weight: Slot, inputs: Slot, outputs: Slot },
}

impl Ensemble {
    /// Adds the parameters of so many members of what `make` builds; answers also with the size that it tells.
    ///
    /// # Errors
    /// When the module keeps running statistics; those of `make`.
    pub(crate) fn build(
        scope: &mut Builder<'_>,
        members: i64,
        sharing: Sharing,
        make: impl FnOnce(&mut Builder<'_>) -> Result<Built>,
    ) -> Result<(Self, i64)> {
        let mut layout = Layout::builder();
        let (module, features) = make(&mut Builder::new(&mut layout))?;
        let layout = layout.build();
        let mut leaves = Vec::with_capacity(layout.entries().len());
        // What keeps members apart from the start.
        let mut apart = Init::Normal { mean: 0.0, std: 1.0 };
        for entry in layout.entries() {
            if entry.role == Role::Buffer {
                return Err(Error::setting(
                    ["trunk", "norm"],
                    "members of a trunk that keeps running statistics",
                    "take norm = \"layer\" or \"none\"",
                ));
            }
            let is_shared = sharing == Sharing::Weights && entry.role == Role::Weight;
            leaves.push(match entry.shape.as_slice() {
                &[outputs, inputs, ..] if is_shared => {
                    let name = entry.name.strip_suffix("weight").unwrap_or(&entry.name);
                    let init = std::mem::replace(&mut apart, Init::Ones);
                    let weight = scope.parameter(&entry.name, &entry.shape, entry.init, entry.role)?;
                    let (r, s) = (format!("{name}input_scale"), format!("{name}output_scale"));
                    let inputs = scope.parameter(&r, &[members, inputs], init, Role::Scale)?;
                    let outputs = scope.parameter(&s, &[members, outputs], Init::Ones, Role::Scale)?;
                    Leaf::Scaled { weight, inputs, outputs }
                }
                _ => Leaf::Own(own(scope, members, entry)?),
            });
        }
        if sharing == Sharing::Weights && !leaves.iter().any(|leaf| matches!(leaf, Leaf::Scaled { .. })) {
            return Err(Error::setting(
                WHOLE,
                "members of a trunk without weights",
                "take one with layers, such as mlp with `hidden`",
            ));
        }
        Ok((Self { module, members, layout, leaves }, features))
    }

    /// What the members make of their inputs `[M, B, …]`.
    ///
    /// # Errors
    /// When the inputs do not fit.
    pub(crate) fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let leaves = self.leaves.iter().map(|leaf| leaf.of(params)).collect::<Result<Vec<_>>>()?;
        let params = Params::with_tasks(self.layout.clone(), leaves, self.members)?;
        Ok(self.module.forward(&params, x, cx)?)
    }

    /// The fewest rows that a member takes in training.
    pub(crate) fn smallest_batch(&self) -> usize {
        self.module.smallest_batch()
    }
}

/// Adds a parameter of each member's own.
fn own(scope: &mut Builder<'_>, members: i64, entry: &Entry) -> Result<Slot> {
    let shape: Vec<i64> = std::iter::once(members).chain(entry.shape.iter().copied()).collect();
    Ok(scope.parameter(&entry.name, &shape, entry.init, entry.role)?)
}

impl Leaf {
    fn of(&self, params: &Params) -> Result<Tensor> {
        match self {
            Self::Own(slot) => Ok(params.get(*slot)?.shallow_clone()),
            Self::Scaled { weight, inputs, outputs } => {
                let weight = params.get(*weight)?;
                let (inputs, outputs) = (params.get(*inputs)?, params.get(*outputs)?);
                let mut scale = outputs.f_unsqueeze(2)?.f_mul(&inputs.f_unsqueeze(1)?)?;
                for _ in 2..weight.dim() {
                    scale = scale.f_unsqueeze(-1)?;
                }
                Ok(weight.f_unsqueeze(0)?.f_mul(&scale)?)
            }
        }
    }
}
