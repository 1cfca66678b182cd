//! How many threads libtorch's kernels use.

use crate::{Error, Result};

/// Sets the number of threads that kernels called from this thread may use.
///
/// The number belongs to the calling thread: one thread for each task, each with kernels of one thread, is the better use
/// of a processor for small convolutions.
///
/// # Errors
/// When `threads` is 0.
pub fn set(threads: usize) -> Result<()> {
    match i32::try_from(threads) {
        Ok(threads @ 1..) => {
            tch::set_num_threads(threads);
            Ok(())
        }
        _ => Err(Error::Layout { message: format!("{threads} threads: at least 1 is needed") }),
    }
}

/// The number of threads that kernels called from this thread may use.
pub fn get() -> usize {
    tch::get_num_threads().max(1) as usize
}
