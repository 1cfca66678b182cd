use std::fmt;
use std::path::{Path, PathBuf};

use tch::{TchError, Tensor};

use crate::{Classified, ErrorKind, ShownPath as _};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong below the networks: operations, gradients, devices, files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libtorch refused an operation; the C++ trace is cut.
    #[error("{op} on {}: {message}", Shapes(shapes))]
    Op {
        /// The operation, or the layer that asked for it.
        op: String,
        /// The shapes of its inputs, in order.
        shapes: Vec<Vec<i64>>,
        /// libtorch's first line.
        message: String,
    },
    /// libtorch failed outside a named operation.
    #[error("libtorch: {message}")]
    Torch {
        /// libtorch's first line.
        message: String,
    },
    /// A gradient was asked of a value that no parameter reaches.
    #[error(
        "{what} has no gradient: nothing that requires one leads to it; call `Params::require_grad` before the forward pass, and do not run it under `no_grad`"
    )]
    NoGraph {
        /// The value that was to be differentiated.
        what: &'static str,
    },
    /// A gradient was asked of a value with more than one element.
    #[error(
        "a gradient needs a loss of one element, this one has shape {shape:?}; reduce it, or use `vjp` or `jacobian`"
    )]
    NotScalar {
        /// The shape of the value.
        shape: Vec<i64>,
    },
    /// A backward pass over a graph that an earlier one freed.
    #[error(
        "the graph of {what} was freed by an earlier backward pass; ask for that one with `Graph::Keep` or `Graph::Differentiable`"
    )]
    GraphFreed {
        /// The value that was to be differentiated.
        what: &'static str,
    },
    /// A Jacobian was asked of something else than a vector.
    #[error(
        "a Jacobian needs a vector of at least one value, this one has shape {shape:?}; stack or flatten the values"
    )]
    NotVector {
        /// The shape of the values.
        shape: Vec<i64>,
    },
    /// A cotangent has a graph that leads to an input.
    #[error(
        "a cotangent depends on an input of `vjp`, so its own derivative would be mixed into the product; detach it"
    )]
    DependentCotangent,
    /// Shapes that must agree do not.
    #[error("{what}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// What has the shape.
        what: String,
        /// The shape that fits.
        expected: Vec<i64>,
        /// The shape that came.
        found: Vec<i64>,
    },
    /// The numbers of a tensor cannot be lent as they lie in memory.
    #[error(
        "the memory of contiguous {expected:?} numbers on the processor is needed, this is {found:?} on {device:?}"
    )]
    Memory {
        /// The element type that is needed.
        expected: tch::Kind,
        /// The tensor's.
        found: tch::Kind,
        /// Where it is.
        device: tch::Device,
    },
    /// Two sets of parameters are of different networks, or a slot is of another layout.
    #[error("{message}")]
    Layout {
        /// What differs, with names.
        message: String,
    },
    /// A number of threads that cannot be had.
    #[error("{count} threads: write a number from 1 to {}", i32::MAX)]
    Threads {
        /// The number asked for.
        count: usize,
    },
    /// A device that cannot be had.
    #[error("device `{requested}` cannot be used: {reason}; {remedy}")]
    Device {
        /// As the user wrote it.
        requested: String,
        /// Why not.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Work cannot be recorded to be launched as a whole.
    #[error("not recorded: {reason}")]
    Capture {
        /// Why not.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.shown())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file of tensors that is damaged.
    #[error("{}: {message}", path.shown())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A file of tensors that belongs to another network.
    #[error("{}: {message}", path.shown())]
    Incompatible {
        /// The file.
        path: PathBuf,
        /// Which tensors differ.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl Classified for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Device { .. } | Self::Threads { .. } => ErrorKind::Setting,
            Self::Io { .. } => ErrorKind::Data,
            Self::Corrupt { .. } | Self::Incompatible { .. } => ErrorKind::Checkpoint,
            Self::Op { message, .. } | Self::Torch { message } | Self::Layout { message }
                if is_of_memory(message) =>
            {
                ErrorKind::Memory
            }
            _ => ErrorKind::Bug,
        }
    }
}

/// Whether memory has run out, by the words of libtorch on the systems that it runs on, of C++ and of this workspace.
fn is_of_memory(message: &str) -> bool {
    let words = [
        "enough memory",
        "out of memory",
        "fit in memory",
        "t allocate memory",
        "DefaultCPUAllocator",
        "std::bad_alloc",
        "Storage size calculation overflowed",
        "CUBLAS_STATUS_ALLOC_FAILED",
    ];
    words.iter().any(|words| message.contains(words))
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch { message: first_line(&error) }
    }
}

/// Names the operation in an error, and the shapes it was given.
///
/// ```
/// use manytask_tensor::{Kind, Device, OpContext, Tensor};
/// let (a, b) = (Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)), Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
/// let error = a.f_matmul(&b).op("matmul", &[&a, &b]).unwrap_err().to_string();
/// assert!(error.starts_with("matmul on [2, 3] and [2, 3]: "), "{error}");
/// ```
pub trait OpContext<T> {
    /// Adds the operation's name and the shapes of its inputs.
    fn op(self, name: &str, inputs: &[&Tensor]) -> Result<T>;
}

impl<T> OpContext<T> for std::result::Result<T, TchError> {
    fn op(self, name: &str, inputs: &[&Tensor]) -> Result<T> {
        self.map_err(|error| Error::Op {
            op: name.to_owned(),
            shapes: inputs.iter().map(|x| if x.defined() { x.size() } else { Vec::new() }).collect(),
            message: first_line(&error),
        })
    }
}

/// libtorch appends a C++ backtrace to its messages; only the first line says something.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    first_line_of(&text)
}

pub(crate) fn first_line_of(text: &str) -> String {
    let text = text.split("\nException raised from").next().unwrap_or_default();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message").to_owned()
}

struct Shapes<'a>(&'a [Vec<i64>]);

impl fmt::Display for Shapes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, shape) in self.0.iter().enumerate() {
            let separator = match i {
                0 => "",
                _ if i + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{shape:?}")?;
        }
        Ok(())
    }
}
