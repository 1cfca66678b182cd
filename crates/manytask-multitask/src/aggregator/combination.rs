use manytask_tensor::Tensor;

use super::Level;

/// What becomes of the gradients.
#[derive(Debug)]
pub struct Combination {
    /// For the shared parameters.
    pub shared: Shared,
    /// The factor of each present task's gradient for its own parameters.
    pub heads: Vec<f64>,
}

/// A direction for the shared parameters; the optimizer goes against it, as against a gradient.
#[derive(Debug)]
pub enum Shared {
    /// `Jᵀ w`.
    Weights(Vec<f64>),
    /// A vector itself, as long as the rows of the Jacobian of its level.
    Direction {
        /// The numbers, `[P]`.
        vector: Tensor,
        /// What they are gradients of: the shared parameters or the representation.
        level: Level,
    },
}

/// The form of an aggregator's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// A weight for each loss, for shared parameters and heads alike: the objective is `Σ wᵢ lᵢ`.
    LossWeights,
    /// A weight for each gradient of the shared parameters.
    GradientWeights,
    /// A vector that is no combination of gradients.
    Direction,
}

impl Combination {
    /// The gradient of the weighted sum of losses `Σ wᵢ lᵢ`: heads are weighted as well.
    pub fn weighted_losses(weights: Vec<f64>) -> Self {
        Self { heads: weights.clone(), shared: Shared::Weights(weights) }
    }

    /// `Jᵀ w` for the shared parameters; each head follows its own loss.
    pub fn weights(weights: Vec<f64>) -> Self {
        Self { heads: vec![1.0; weights.len()], shared: Shared::Weights(weights) }
    }

    /// A vector of a level for the shared parameters; each of the `present` heads follows its own loss.
    pub fn direction(vector: Tensor, level: Level, present: usize) -> Self {
        Self { heads: vec![1.0; present], shared: Shared::Direction { vector, level } }
    }
}
