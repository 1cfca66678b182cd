use manytask_multitask::{Error, Result};
use manytask_tensor::{Device, Layout};
use serde::{Deserialize, Serialize};

/// How the tasks of a meta-batch are computed. All ways give the same numbers, within rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// One after the other.
    Loop,
    /// One after the other in each of so many threads, whose kernels have one thread each.
    Threads(usize),
    /// All at once, along a leading dimension of every parameter.
    Batched,
    /// With every derivative written out, a task at a time in each thread: on a processor, for perceptrons and for blocks of
    /// convolution, batch-norm, relu and pooling that adapt by plain gradient descent.
    Analytic,
    /// On a processor analytic where that can be, threads, one for each core, for convolutions (a loop for a single task); else batched.
    #[default]
    Auto,
}

impl Execution {
    /// The way that `auto` means.
    pub(crate) fn resolve(self, layout: &Layout, device: Device, analytic: bool, tasks: usize) -> Self {
        let convolutions = || layout.entries().iter().any(|entry| entry.shape.len() == 4);
        match self {
            Self::Auto if device == Device::Cpu && analytic => Self::Analytic,
            // A single task has all threads to itself.
            Self::Auto if device == Device::Cpu && convolutions() && tasks == 1 => Self::Loop,
            Self::Auto if device == Device::Cpu && convolutions() => {
                Self::Threads(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
            }
            Self::Auto => Self::Batched,
            other => other,
        }
    }

    /// Refuses no thread at all.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn check(self) -> Result<()> {
        if self == Self::Threads(0) {
            return Err(Error::setting("execution in 0 threads", "take 1 at least, or `batched`"));
        }
        Ok(())
    }
}
