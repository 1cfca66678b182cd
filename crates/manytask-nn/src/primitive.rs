//! What networks are made of, for passes without a graph.

mod activation;
mod convolution;
mod not_fused;

use manytask_tensor::Slot;

pub use self::activation::Activation;
pub use self::convolution::ConvConfig;
pub use self::not_fused::NotFused;
pub(crate) use self::not_fused::count;

/// What a network is made of, for those who know its passes: what [`Module::primitives`](crate::Module::primitives) answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Primitive {
    /// Rows of any shape become rows of numbers.
    Flatten,
    /// `x Wᵀ + b`.
    Linear {
        /// W, `[out, in]`.
        weight: Slot,
        /// b, `[out]`.
        bias: Slot,
    },
    /// A function of each number.
    Activation(Activation),
    /// A convolution of pictures.
    Convolution {
        /// The kernel, `[out, in, k, k]`.
        weight: Slot,
        /// A number for each output channel.
        bias: Option<Slot>,
        /// Its form.
        config: ConvConfig,
    },
    /// Batch-norm, by the statistics of its batch; a use of running ones is the caller's to see.
    BatchNorm {
        /// γ.
        weight: Slot,
        /// β.
        bias: Slot,
        /// What is added to the variance.
        eps: f64,
    },
    /// The largest of squares of this side.
    MaxPool(i64),
}
