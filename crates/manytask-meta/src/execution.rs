use std::sync::{Mutex, PoisonError};

use manytask_multitask::{Error, Result};
use manytask_tensor::{Device, Layout, threads};
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
    /// With every derivative in closed form, a task at a time in each thread: on a processor, for perceptrons and for blocks of
    /// convolution, batch-norm, relu and pooling that adapt by plain gradient descent.
    Analytic,
    /// On a processor analytic where that can be, threads, as many as may be used, for convolutions (a loop for a single task); else batched.
    #[default]
    Auto,
    /// As `auto`, and besides through the graph (in a loop where `auto` is batched): a step ends with an error where they differ.
    /// It costs as much as both.
    Verify,
}

impl Execution {
    /// The way that `auto` means.
    pub(crate) fn resolve(self, layout: &Layout, device: Device, analytic: bool, tasks: usize) -> Self {
        let convolutions = || layout.entries().iter().any(|entry| entry.shape.len() == 4);
        match self {
            Self::Verify => Self::Auto.resolve(layout, device, analytic, tasks),
            Self::Auto if device == Device::Cpu && analytic => Self::Analytic,
            // A single task has all threads to itself.
            Self::Auto if device == Device::Cpu && convolutions() && tasks == 1 => Self::Loop,
            Self::Auto if device == Device::Cpu && convolutions() => Self::Threads(threads::get()),
            Self::Auto => Self::Batched,
            other => other,
        }
    }

    /// Refuses no thread at all, and more than any machine has a use for.
    ///
    /// # Errors
    /// With the range.
    pub(crate) fn check(self) -> Result<()> {
        const MOST: usize = 1024;
        match self {
            Self::Threads(threads) if !(1..=MOST).contains(&threads) => Err(Error::setting(
                ["training", "execution"],
                format!("`execution` in {threads} threads"),
                format!("take 1 to {MOST}, or `batched`"),
            )),
            _ => Ok(()),
        }
    }
}

/// Does each piece of work in a thread of its own whose kernels have one thread; what they give, in the order of the pieces.
///
/// Where the system gives no more threads, this one does what is left.
pub(crate) fn in_threads<L: Send, R: Send>(
    loads: Vec<L>,
    work: impl Fn(L) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let loads: Vec<Mutex<Option<L>>> = loads.into_iter().map(|load| Mutex::new(Some(load))).collect();
    let run = |place: &Mutex<Option<L>>| {
        let load = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        load.map(&work).transpose()
    };
    std::thread::scope(|scope| {
        let start = |place| {
            std::thread::Builder::new().spawn_scoped(scope, move || {
                threads::set(1)?;
                run(place)
            })
        };
        let started: Vec<_> = loads.iter().map(start).collect();
        let all = loads.iter().zip(started).map(|(place, started)| match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => threads::with_single_threaded_torch(|| run(place)),
        });
        all.filter_map(Result::transpose).collect()
    })
}
