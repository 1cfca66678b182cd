//! Tables, images, episodes, splits and batches for manytask.

/// What can go wrong when data is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] manytask_tensor::Error),
}
