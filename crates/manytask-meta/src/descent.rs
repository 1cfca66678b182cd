//! Plain gradient descent in a task as a description, of which fused forms are made.

use manytask_tensor::Slot;

use crate::outer_gradient::OuterGradient;

/// Plain gradient descent on the mean support loss: what a learner answers that does nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// K.
    pub steps: u32,
    /// α.
    pub rates: Rates,
    /// What moves; the rest stays as it is.
    pub slots: Vec<Slot>,
    /// How the outer gradient sees the inner gradients.
    pub outer_gradient: OuterGradient,
    /// After how many steps the parameters are kept for the way back, where what lies between is computed again; absent:
    /// everything is kept.
    pub checkpoint_every: Option<u32>,
}

/// The rates of a descent.
#[derive(Debug, Clone, PartialEq)]
pub enum Rates {
    /// One for all, and no parameter.
    One(f64),
    /// Parameters: for each slot that moves one of the same shape, in the same order.
    Each(Vec<Slot>),
    /// Parameters of one number: for each step one of each slot that moves, in the same order; steps beyond have the last one's.
    EachStep(Vec<Vec<Slot>>),
}
