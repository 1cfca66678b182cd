//! What all methods on a Gramian ask of it.

use crate::{Error, Gramian, Result, Step};

/// The step's Gramian.
///
/// # Errors
/// When a gradient is NaN or infinite, with its task's name: no weights can be found then, and none are made up.
pub(super) fn finite_gramian<'s>(step: &'s mut dyn Step, tasks: &[String]) -> Result<&'s Gramian> {
    let number = step.number();
    let present = step.present().to_vec();
    let gramian = step.gramian()?;
    // The whole row: inner products can overflow where squared lengths do not, and the other way round.
    let wrong = (0..gramian.size()).find(|i| !gramian.row(*i).iter().all(|product| product.is_finite()));
    // With one gradient infinite a product with any other is: it is the one with a diagonal element of that kind.
    let wrong = (0..gramian.size()).find(|i| !gramian.at(*i, *i).is_finite()).or(wrong);
    match wrong {
        None => Ok(gramian),
        Some(row) => {
            let name = present.get(row).and_then(|task| tasks.get(*task)).map_or("", String::as_str);
            Err(Error::Diverged {
                step: number,
                what: format!("the gradient of task `{name}` is not finite, or too large for its square"),
            })
        }
    }
}
