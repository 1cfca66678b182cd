//! What a recorded meta-batch gives.

use manytask_tensor::Slot;

/// What the outputs of a recorded meta-batch are, after losses and gradients: terms by name, and sums of buffers' new values. It is the
/// same for every meta-batch of a problem.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    pub(crate) terms: Vec<&'static str>,
    pub(crate) buffers: Vec<(Slot, f64)>,
}
