use std::any::type_name;
use std::borrow::Cow;

use crate::Precision;

/// What keeps a network, a learner or a loss from its fused passes, so that the graph computes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotFused {
    reason: Cow<'static, str>,
}

impl NotFused {
    /// A reason: the name of what has no fused form, as in "the activation gelu".
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// The same as a constant.
    pub const fn because(reason: &'static str) -> Self {
        Self { reason: Cow::Borrowed(reason) }
    }

    /// A layer that has none, by the name of its type.
    pub fn opaque<M: ?Sized>() -> Self {
        let name = type_name::<M>();
        let name = name.split('<').next().unwrap_or(name);
        Self::new(format!("the layer {}", name.rsplit("::").next().unwrap_or(name)))
    }

    /// Refuses a layer that rounds its operands: fused passes compute in the element type of the parameters.
    ///
    /// # Errors
    /// In any precision but the full one.
    pub(crate) fn unless_full(precision: Precision) -> Result<(), Self> {
        match precision {
            Precision::Full | Precision::Tf32 => Ok(()),
            Precision::Bfloat16 => Err(Self::because("a layer in bfloat16")),
        }
    }
}

/// A size of a layer as the number of elements that it is.
pub(crate) fn count(size: i64) -> Result<usize, NotFused> {
    usize::try_from(size).map_err(|_| NotFused::because("a layer with a size below 0"))
}
