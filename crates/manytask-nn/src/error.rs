use manytask_tensor::{Classified, ErrorKind, KeyPath, SettingError};

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
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl From<manytask_tensor::TchError> for Error {
    fn from(error: manytask_tensor::TchError) -> Self {
        Self::Tensor(error.into())
    }
}

impl Error {
    /// A setting outside of its range, which is called by its key: `hidden is 0: each size must be at least 1`.
    pub fn setting(
        key: impl Into<KeyPath>,
        found: &(impl ToString + ?Sized),
        expected: impl Into<String>,
    ) -> Self {
        SettingError::found(key, found.to_string(), expected.into()).into()
    }

    /// The same, where other words than the key say what it is.
    pub fn named_setting(
        key: impl Into<KeyPath>,
        what: &str,
        found: &(impl ToString + ?Sized),
        expected: impl Into<String>,
    ) -> Self {
        SettingError::new(key, format!("{what} is {}: {}", found.to_string(), expected.into())).into()
    }
}

impl Classified for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tensor(error) => error.kind(),
            Self::Setting(_) => ErrorKind::Setting,
            Self::Input { .. } | Self::NotFinite { .. } => ErrorKind::Bug,
        }
    }

    fn setting_error(&self) -> Option<&SettingError> {
        if let Self::Setting(error) = self { Some(error) } else { None }
    }

    fn setting_mut(&mut self) -> Option<&mut SettingError> {
        if let Self::Setting(error) = self { Some(error) } else { None }
    }
}
