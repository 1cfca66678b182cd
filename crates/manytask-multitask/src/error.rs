use std::path::PathBuf;

use manytask_tensor::{Classified, ErrorKind, KeyPath, SettingError, ShownPath as _};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in problems, aggregators and the training loop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation, a gradient or a file of tensors.
    #[error(transparent)]
    Tensor(#[from] manytask_tensor::Error),
    /// A network, a loss, a metric or an optimizer.
    #[error(transparent)]
    Nn(#[from] manytask_nn::Error),
    /// Reading or encoding data.
    #[error(transparent)]
    Data(#[from] manytask_data::Error),
    /// Settings that are impossible, alone or together.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A loss or a gradient became NaN or infinite.
    #[error(
        "diverged at step {step}: {what}; lower the learning rate, clip the gradient, or look for extreme inputs"
    )]
    Diverged {
        /// The step, counted from 0.
        step: u64,
        /// What is not finite, with the task's name.
        what: String,
    },
    /// A saved state that does not belong to this run.
    #[error("{}: {message}", path.shown())]
    Incompatible {
        /// The file.
        path: PathBuf,
        /// What differs.
        message: String,
    },
    /// An aggregator's saved state is of another aggregator or of other tasks.
    #[error("aggregator `{aggregator}`: {message}")]
    State {
        /// The aggregator.
        aggregator: String,
        /// What differs.
        message: String,
    },
    /// A fused pass and the graph do not agree: a mistake in the program.
    #[error(
        "the fused pass and the graph differ in {what}: by {difference:.1e} of its length, where {tolerance:.0e} is rounding; train with \
         execution = \"graph\", and report it with the configuration"
    )]
    NotVerified {
        /// What differs, with the task's number.
        what: String,
        /// The length of the difference as a share of that of the graph's.
        difference: f64,
        /// The largest that would be rounding.
        tolerance: f64,
    },
    /// An aggregator took what it had not declared, or a problem does not keep its word: a mistake in the program.
    #[error("aggregator `{aggregator}`: {message}")]
    Contract {
        /// The aggregator.
        aggregator: String,
        /// What was broken.
        message: String,
    },
}

impl Error {
    /// A setting that is impossible, alone or together with others, and the remedy;
    /// [`WHOLE`](manytask_tensor::WHOLE) where it is no single one.
    pub fn setting(key: impl Into<KeyPath>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        SettingError::new(key, what).remedy(remedy).into()
    }
}

impl Classified for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tensor(error) => error.kind(),
            Self::Nn(error) => error.kind(),
            Self::Data(error) => error.kind(),
            Self::Setting(_) => ErrorKind::Setting,
            Self::Diverged { .. } => ErrorKind::Diverged,
            Self::Incompatible { .. } => ErrorKind::Checkpoint,
            Self::State { .. } | Self::NotVerified { .. } | Self::Contract { .. } => ErrorKind::Bug,
        }
    }

    fn setting_error(&self) -> Option<&SettingError> {
        match self {
            Self::Nn(error) => error.setting_error(),
            Self::Data(error) => error.setting_error(),
            Self::Setting(error) => Some(error),
            _ => None,
        }
    }

    fn setting_mut(&mut self) -> Option<&mut SettingError> {
        match self {
            Self::Nn(error) => error.setting_mut(),
            Self::Data(error) => error.setting_mut(),
            Self::Setting(error) => Some(error),
            _ => None,
        }
    }
}

impl From<manytask_tensor::TchError> for Error {
    fn from(error: manytask_tensor::TchError) -> Self {
        Self::Tensor(error.into())
    }
}
