//! How many threads libtorch's kernels use.

use crate::{Error, Result};

/// Sets the number of threads that kernels called from this thread may use.
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
            Ok(())
        }
        _ => Err(Error::Threads { count: threads }),
    }
}

/// Runs `f` with kernels of one thread. libtorch's threads spin for a while after each operation that they share, and would stand
/// in the way of others that work between such operations.
///
/// # Errors
/// As `f`.
pub fn alone<R, E: From<Error>>(f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let before = get();
    if before == 1 {
        return f();
    }
    set(1)?;
    let done = f();
    set(before)?;
    done
}

/// The number of threads that kernels called from this thread may use.
pub fn get() -> usize {
    tch::get_num_threads().max(1) as usize
}
