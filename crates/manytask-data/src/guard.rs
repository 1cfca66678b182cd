//! Work of libraries that panic on damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What the work gives; `None` where it panicked. For work that changes nothing that outlives it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    GUARDED.set(before);
    done
}

/// Whether a panic of this thread becomes an error about a damaged file, of which a panic hook has nothing to tell.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_within_is_nothing_to_tell_of() {
        assert_eq!(guarded(is_guarded), Some(true));
        assert_eq!(guarded(|| guarded(|| ()).map(|()| is_guarded())), Some(Some(true)));
        assert_eq!(guarded(|| [1, 2].iter().copied().find(|x| *x > 2).expect("damaged")), None);
        assert!(!is_guarded());
    }
}
