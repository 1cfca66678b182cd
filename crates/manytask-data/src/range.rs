//! Ranges from low to high that settings give.

/// Which end of a range is wrong: one that is not usable, or a high one that is below the low one.
pub(crate) fn wrong_end([low, high]: [f64; 2], usable: impl Fn(f64) -> bool) -> Option<usize> {
    if !usable(low) {
        Some(0)
    } else if !usable(high) || low > high {
        Some(1)
    } else {
        None
    }
}
