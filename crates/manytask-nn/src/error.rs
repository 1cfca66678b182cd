/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in networks, losses, metrics and optimizers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation, a gradient or a file below the networks.
    #[error(transparent)]
    Tensor(#[from] manytask_tensor::Error),
    /// An input whose shape the layer cannot take.
    #[error("{layer}: expected input of shape {expected}, found {found:?}")]
    Input {
        /// The layer or function.
        layer: String,
        /// The shapes it takes, in words.
        expected: String,
        /// The shape that came.
        found: Vec<i64>,
    },
    /// A number that is NaN or infinite.
    #[error("{what} is not finite; lower the learning rate, or look for extreme inputs")]
    NotFinite {
        /// What it is in.
        what: String,
    },
    /// A setting outside of its range.
    #[error("{what} is {found}: {expected}")]
    Setting {
        /// The setting.
        what: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl From<manytask_tensor::TchError> for Error {
    fn from(error: manytask_tensor::TchError) -> Self {
        Self::Tensor(error.into())
    }
}

impl Error {
    /// A setting outside of its range.
    pub fn setting(
        what: impl Into<String>,
        found: &(impl ToString + ?Sized),
        expected: impl Into<String>,
    ) -> Self {
        Self::Setting { what: what.into(), expected: expected.into(), found: found.to_string() }
    }
}
