//! How messages name columns, values and numbers.

use crate::error::shown;

/// Names that stand for many.
const EXAMPLES: usize = 4;

/// The first of several names, quoted.
pub(crate) fn examples<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut first: Vec<String> = names.by_ref().take(EXAMPLES).map(quoted).collect();
    let left = names.count();
    if left > 0 {
        first.push(format!("and {left} more"));
    }
    first.join(", ")
}

/// A value as it is shown in a message.
pub(crate) fn quoted(value: &str) -> String {
    format!("`{}`", shown(value))
}

/// About six digits.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{value:.5e}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The sizes of a tensor as people write them: `1 x 28 x 28`.
pub(crate) fn shape(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(" x ")
}
