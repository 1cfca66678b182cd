//! What all benchmarks share.

use std::time::Duration;

use criterion::Criterion;

/// What is said where work of the benchmark's own making is refused.
pub(crate) const GOOD: &str = "the work is well-formed";

/// A second for each benchmark, threads as the command has them.
pub(crate) fn short() -> Criterion {
    manytask_tensor::threads::enter_pool(std::thread::available_parallelism().map_or(1, usize::from));
    let second = Duration::from_secs(1);
    Criterion::default().sample_size(20).warm_up_time(second / 2).measurement_time(second)
}
