//! Work that is shared out among threads.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// What `work` makes of each item, in their order: of the first in this thread, of each other in one of its own, or in this one
/// where the system gives no more threads.
pub(crate) fn in_threads<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let Some((own, others)) = items.split_first() else { return Vec::new() };
    let work = &work;
    scope(|scope| {
        let start = |item| (item, Builder::new().spawn_scoped(scope, move || work(item)).ok());
        let started: Vec<_> = others.iter().map(start).collect();
        let mut results = vec![work(own)];
        results.extend(started.into_iter().map(|(item, thread)| match thread {
            // A thread that panicked has told of it; there is nothing to go on with.
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            None => work(item),
        }));
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        assert_eq!(in_threads(&[3, 1, 2], |item| item * 2), [6, 2, 4]);
        assert!(in_threads(&[], |item: &u8| *item).is_empty());
        let panicked = std::panic::catch_unwind(|| in_threads(&[1, 2], |item| assert_eq!(*item, 1)));
        assert!(panicked.is_err());
    }
}
