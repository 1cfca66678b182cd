//! Memory that passes use again.

use std::any::Any;
use std::sync::{Mutex, PoisonError};

use manytask_nn::fused::{NetTangents, NetTrace};
use manytask_tensor::dense::Real;

/// Memory of passes that are over, for the next ones: taking it anew would cost as much as a small pass.
#[derive(Debug, Default)]
pub(super) struct Spaces(Mutex<Vec<Box<dyn Any + Send>>>);

impl Spaces {
    pub(super) fn take<T: Real>(&self, size: usize) -> Workspace<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let known = known.and_then(|space| space.downcast::<Workspace<T>>().ok());
        known.map_or_else(|| Workspace::new(size), |space| *space)
    }

    pub(super) fn put<T: Real>(&self, space: Workspace<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(space));
    }
}

/// Memory that a thread uses again for each of its tasks.
pub(super) struct Workspace<T> {
    /// The parameters on their way.
    pub(super) now: Vec<T>,
    /// The parameters at the start of each segment.
    pub(super) kept: Vec<T>,
    /// The steps of a segment.
    pub(super) segment: Vec<Traced<T>>,
    pub(super) query: NetTrace<T>,
    /// A gradient, or a Hessian product.
    pub(super) change: Vec<T>,
    /// Zero wherever nothing moves.
    pub(super) direction: Vec<T>,
    pub(super) along: NetTangents<T>,
}

impl<T: Real> Workspace<T> {
    pub(super) fn new(size: usize) -> Self {
        Self {
            now: vec![T::zero(); size],
            kept: Vec::new(),
            segment: Vec::new(),
            query: NetTrace::default(),
            change: vec![T::zero(); size],
            direction: vec![T::zero(); size],
            along: NetTangents::default(),
        }
    }
}

/// A step of the descent.
pub(super) struct Traced<T> {
    /// The parameters before it.
    pub(super) before: Vec<T>,
    /// The pass there.
    pub(super) trace: NetTrace<T>,
    /// Its gradient, where the rates need it.
    pub(super) gradient: Vec<T>,
}

impl<T> Default for Traced<T>
where
    NetTrace<T>: Default,
{
    fn default() -> Self {
        Self { before: Vec::new(), trace: NetTrace::default(), gradient: Vec::new() }
    }
}
