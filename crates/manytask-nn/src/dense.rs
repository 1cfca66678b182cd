//! Chains of linear layers and activations whose passes are fused, on memory and without a graph.
//!
//! A graph knows nothing of what it holds. Of a chain `aₗ = f(aₗ₋₁ Wₗᵀ + bₗ)` everything is known: the gradient of one layer is
//! `δₗᵀ aₗ₋₁`, so that many tasks' gradients share their inputs, and the product of the Hessian with a vector is one pass
//! forward and one back (Pearlmutter 1994). [`DenseChain::of`] finds the chain in a network; the passes of shared trunks and of
//! inner loops are made of it, and give what a graph gives, within rounding.

mod activation;
mod chain;
mod input;
mod loss;
mod tangent;
#[cfg(test)]
mod tests;

use manytask_tensor::Layout;

pub use self::activation::DenseActivation;
pub use self::chain::{DenseChain, DenseLayer, LayerWeights, Trace};
pub use self::input::Input;
pub use self::loss::{PlainLoss, Target};
pub use self::tangent::Tangents;
use crate::Module;
use crate::fused::Primitive;

impl DenseChain {
    /// The chain that a network is; `None` where it is something else, or has an activation without a [`DenseActivation`].
    pub fn of(module: &dyn Module, layout: &Layout) -> Option<Self> {
        Self::parse(&module.primitives()?, layout).filter(|chain| !chain.layers.is_empty())
    }

    /// A chain, which may be empty, of exactly these primitives.
    pub(crate) fn parse(primitives: &[Primitive], layout: &Layout) -> Option<Self> {
        let mut layers: Vec<DenseLayer> = Vec::new();
        for primitive in primitives {
            match *primitive {
                Primitive::Flatten if layers.is_empty() => {}
                Primitive::Flatten => return None,
                Primitive::Linear { weight, bias } => {
                    let [outputs, inputs] = layout.entry(weight).ok()?.shape[..] else { return None };
                    let (inputs, outputs) = (usize::try_from(inputs).ok()?, usize::try_from(outputs).ok()?);
                    layers.push(DenseLayer {
                        weight,
                        bias,
                        inputs,
                        outputs,
                        activation: DenseActivation::Identity,
                    });
                }
                Primitive::Activation(activation) => {
                    let last =
                        layers.last_mut().filter(|last| last.activation == DenseActivation::Identity)?;
                    last.activation = DenseActivation::of(activation)?;
                }
                Primitive::Convolution { .. } | Primitive::BatchNorm { .. } | Primitive::MaxPool(_) => {
                    return None;
                }
            }
        }
        Some(Self { layers })
    }
}
