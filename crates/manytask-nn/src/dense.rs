//! Chains of linear layers and activations whose passes are fused, on memory and without a graph.
//!
//! A graph knows nothing of what it holds. Of a chain `aₗ = f(aₗ₋₁ Wₗᵀ + bₗ)` everything is known: the gradient of one layer is
//! `δₗᵀ aₗ₋₁`, so that many tasks' gradients share their inputs, and the product of the Hessian with a vector is one pass
//! forward and one back (Pearlmutter 1994). [`DenseChain::compile`] finds the chain in a network; the passes of shared trunks and of
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
use crate::primitive::{NotFused, Primitive, count};

impl DenseChain {
    /// The chain that a network is.
    ///
    /// # Errors
    /// With what in the network is none, or an activation without a [`DenseActivation`].
    pub fn compile(module: &dyn Module, layout: &Layout) -> Result<Self, NotFused> {
        let chain = Self::parse(&module.primitives()?, layout)?;
        if chain.layers.is_empty() {
            return Err(NotFused::new("a network without a layer"));
        }
        Ok(chain)
    }

    /// A chain, which may be empty, of exactly these primitives.
    pub(crate) fn parse(primitives: &[Primitive], layout: &Layout) -> Result<Self, NotFused> {
        let mut layers: Vec<DenseLayer> = Vec::new();
        for primitive in primitives {
            match *primitive {
                Primitive::Flatten if layers.is_empty() => {}
                Primitive::Flatten => return Err(NotFused::new("flattening behind a linear layer")),
                Primitive::Linear { weight, bias } => {
                    let shape = layout.entry(weight).map_or(&[][..], |entry| &entry.shape);
                    let &[outputs, inputs] = shape else {
                        return Err(NotFused::new("a linear layer whose weight is no matrix"));
                    };
                    let (inputs, outputs) = (count(inputs)?, count(outputs)?);
                    let activation = DenseActivation::Identity;
                    layers.push(DenseLayer { weight, bias, inputs, outputs, activation });
                }
                Primitive::Activation(activation) => {
                    let fused = DenseActivation::of(activation).ok_or_else(|| {
                        NotFused::new(format!("the activation {activation:?}").to_lowercase())
                    })?;
                    match layers.last_mut() {
                        Some(last) if last.activation == DenseActivation::Identity => last.activation = fused,
                        _ => return Err(NotFused::new("an activation that follows no linear layer")),
                    }
                }
                Primitive::Convolution { .. } | Primitive::BatchNorm { .. } | Primitive::MaxPool(_) => {
                    return Err(NotFused::new(
                        "convolution, batch-norm or pooling outside of blocks of convolution, batch-norm, relu and \
                         pooling by 2",
                    ));
                }
            }
        }
        Ok(Self { layers })
    }
}
