//! How many threads compute.

#[cfg(all(feature = "program", target_os = "linux", target_env = "gnu"))]
mod asleep;

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result};

thread_local! {
    /// What was set, while libtorch keeps to one thread.
    static OURS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Sets the number of threads that kernels and products called from this thread may use.
///
/// The number belongs to the calling thread, and no other thread that has called this changes it: one thread for each task,
/// each with kernels of one thread, is the better use of a processor for small convolutions. A thread that has neither
/// called this nor run a kernel starts with the number last set anywhere in the process; so each thread that computes
/// sets its own.
///
/// ```
/// use manytask_tensor::threads;
/// threads::set(2)?;
/// std::thread::spawn(|| threads::set(1)).join().unwrap()?;
/// assert_eq!(threads::get(), 2);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When `threads` is 0 or more than libtorch can count.
pub fn set(threads: usize) -> Result<()> {
    match i32::try_from(threads) {
        Ok(threads @ 1..) => {
            // Asking first: a thread that did not ask would at its first kernel take what another has set meanwhile.
            let _ = tch::get_num_threads();
            tch::set_num_threads(threads);
            OURS.set(None);
            Ok(())
        }
        _ => Err(Error::Threads { count: threads }),
    }
}

/// Runs `f` with libtorch's kernels in one thread, while what is written here has as many as before.
///
/// libtorch's threads spin for a while after each operation that they share, and take the processors from whatever else works
/// between such operations: a meta-batch of wide perceptrons took as long in two threads as in one.
///
/// # Errors
/// As `f`.
pub fn with_single_threaded_torch<R, E: From<Error>>(f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    /// Goes back to what was, also where `f` panics.
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            OURS.set(None);
            let _ = set(self.0);
        }
    }
    if tch::get_num_threads() == 1 {
        return f();
    }
    let before = Before(get());
    set(1)?;
    OURS.set(Some(before.0));
    f()
}

/// The number of threads that what is called from this thread may use.
pub fn get() -> usize {
    OURS.get().unwrap_or_else(|| tch::get_num_threads().max(1) as usize)
}

/// Makes the calling thread one of those that share out the work that is written here and not in libtorch, such as the products
/// of [`dense`](crate::dense). For the thread of a program that trains, before it computes: otherwise there is a thread more
/// than processors, and each product wakes another one than before. A step of a multi-task network took a quarter longer.
///
/// There are as many as `threads`, with this one, or fewer where the system does not give them and as many again for libtorch.
/// Changes nothing where that work has been shared out before.
pub fn enter_pool(threads: usize) {
    let others = threads.saturating_sub(1);
    // As many again for libtorch.
    let threads = if others == 0 { 1 } else { 1 + others.min(beside_others(2 * others) / 2) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
    // An error says that the threads are there.
    let _ = pool.build_global();
}

/// Threads that a program has beside those that compute: it waits for signals, prepares batches and the like.
const SPARE: usize = 6;

/// How many of so many threads can be had at once, with the calling one: all of them, unless the system limits processes or
/// memory; a few more are left for other purposes then. libtorch ends the process where it cannot have a thread that it was told
/// to use.
pub fn obtainable(threads: usize) -> usize {
    let others = threads.saturating_sub(1);
    if others == 0 { 1 } else { 1 + others.min(beside_others(others)) }
}

/// How many of so many threads can be started at once with those that are spared.
fn beside_others(threads: usize) -> usize {
    startable(threads.saturating_add(SPARE)).saturating_sub(SPARE)
}

/// How many of so many threads can be started at once.
fn startable(threads: usize) -> usize {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let start = |_| {
        let gate = Arc::clone(&gate);
        let wait = move || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        std::thread::Builder::new().spawn(wait).ok()
    };
    let started: Vec<_> = (0..threads).map_while(start).collect();
    drop(closed);
    let count = started.len();
    for thread in started {
        // It does nothing that could fail.
        let _ = thread.join();
    }
    count
}
