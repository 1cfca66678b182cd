//! What ends a command before its time, with the exit code that says why.

use std::fmt;

use manytask_data as data;
use manytask_multitask as multitask;
use manytask_nn as nn;
use manytask_tensor as tensor;

/// The result of this crate's functions.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 1: a mistake in the program.
    Bug,
    /// 2: wrong arguments.
    Usage,
    /// 3: a configuration that is wrong or impossible.
    Config,
    /// 4: data are missing or damaged, or a file cannot be read or written.
    Data,
    /// 5: a loss or a parameter became NaN or infinite.
    Diverged,
    /// 6: a checkpoint of another network, configuration or data set, or a damaged one.
    Checkpoint,
    /// 7: another process works in the run's folder.
    InUse,
    /// 130 or 143: interrupted by SIGINT or SIGTERM, with the state saved.
    Interrupted(u8),
}

impl Code {
    /// The number.
    pub fn number(self) -> u8 {
        match self {
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Data => 4,
            Self::Diverged => 5,
            Self::Checkpoint => 6,
            Self::InUse => 7,
            Self::Interrupted(number) => number,
        }
    }
}

/// Why a command ended, in words, with remedies.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened: the first line is a sentence, more lines show the place.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new() }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A file that cannot be read or written. `fs_err` names it in its message.
    pub fn io(error: &std::io::Error) -> Self {
        Self::new(Code::Data, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for Failure {}

impl From<tensor::Error> for Failure {
    fn from(error: tensor::Error) -> Self {
        let code = match &error {
            tensor::Error::Device { .. } | tensor::Error::Threads { .. } => Code::Config,
            tensor::Error::Io { .. } => Code::Data,
            tensor::Error::Corrupt { .. } | tensor::Error::Incompatible { .. } => Code::Checkpoint,
            _ => Code::Bug,
        };
        Self::new(code, error.to_string())
    }
}

impl From<tensor::TchError> for Failure {
    fn from(error: tensor::TchError) -> Self {
        tensor::Error::from(error).into()
    }
}

impl From<nn::Error> for Failure {
    fn from(error: nn::Error) -> Self {
        match error {
            nn::Error::Tensor(error) => error.into(),
            nn::Error::Setting { .. } => Self::new(Code::Config, error.to_string()),
            other => Self::new(Code::Bug, other.to_string()),
        }
    }
}

impl From<data::Error> for Failure {
    fn from(error: data::Error) -> Self {
        match error {
            data::Error::Tensor(error) => error.into(),
            data::Error::Config { .. } | data::Error::Column { .. } => {
                Self::new(Code::Config, error.to_string())
            }
            other => Self::new(Code::Data, other.to_string()),
        }
    }
}

impl From<multitask::Error> for Failure {
    fn from(error: multitask::Error) -> Self {
        match error {
            multitask::Error::Tensor(error) => error.into(),
            multitask::Error::Nn(error) => error.into(),
            multitask::Error::Data(error) => error.into(),
            multitask::Error::Setting { what, remedy } => Self::new(Code::Config, what).hint(remedy),
            multitask::Error::Diverged { .. } => Self::new(Code::Diverged, error.to_string()),
            multitask::Error::Incompatible { .. } => Self::new(Code::Checkpoint, error.to_string()),
            other => Self::new(Code::Bug, other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::io(&error)
    }
}
