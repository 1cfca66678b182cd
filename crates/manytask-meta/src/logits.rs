//! Learned scales of logits, and the checks of such settings.

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, KeyPath, Params, Role, Slot, Tensor};

use crate::ridge::number;

/// `scale · x + offset` with both learned, entries `learner.scale` and `learner.offset`.
#[derive(Debug)]
pub(crate) struct Adjusted {
    scale: Slot,
    offset: Slot,
}

/// `scale · x` with the scale learned, the entry `learner.scale`.
#[derive(Debug)]
pub(crate) struct Scaled {
    scale: Slot,
}

impl Adjusted {
    /// Adds both, with these values to begin with.
    ///
    /// # Errors
    /// When one is not finite in single precision.
    pub(crate) fn new(b: &mut Builder<'_>, scale: f64, offset: f64) -> Result<Self> {
        finite("scale", scale)?;
        finite("offset", offset)?;
        let mut number = |name: &str, value: f64| b.parameter(name, &[1], Init::Constant(value), Role::Scale);
        Ok(Self { scale: number("scale", scale)?, offset: number("offset", offset)? })
    }

    /// Of logits `[T, M, C]`.
    pub(crate) fn apply(&self, logits: &Tensor, params: &Params) -> Result<Tensor> {
        Ok(logits.f_mul(&number(params, self.scale)?)?.f_add(&number(params, self.offset)?)?)
    }
}

impl Scaled {
    /// Adds the scale, with this value to begin with.
    ///
    /// # Errors
    /// When it is not above 0 and finite in single precision.
    pub(crate) fn new(b: &mut Builder<'_>, scale: f64) -> Result<Self> {
        positive("scale", scale)?;
        Ok(Self { scale: b.parameter("scale", &[1], Init::Constant(scale), Role::Scale)? })
    }

    /// Of logits `[T, M, C]`.
    pub(crate) fn apply(&self, logits: &Tensor, params: &Params) -> Result<Tensor> {
        Ok(logits.f_mul(&number(params, self.scale)?)?)
    }
}

/// Refuses what is not above 0 and finite in single precision.
pub(crate) fn positive(key: &str, value: f64) -> Result<()> {
    named_positive(key, key, value)
}

/// The same of a setting that messages call otherwise than by its key.
pub(crate) fn named_positive(key: impl Into<KeyPath>, name: &str, value: f64) -> Result<()> {
    if value as f32 > 0.0 && (value as f32).is_finite() {
        return Ok(());
    }
    Err(Error::setting(
        key,
        format!("{name} is {value}"),
        "it must be above 0 and finite in single precision",
    ))
}

/// Refuses what is not finite in single precision, or below 0.
pub(crate) fn not_negative(key: &str, value: f64) -> Result<()> {
    named_not_negative(key, key, value)
}

/// The same of a setting that messages call otherwise than by its key.
pub(crate) fn named_not_negative(key: impl Into<KeyPath>, name: &str, value: f64) -> Result<()> {
    if value >= 0.0 && (value as f32).is_finite() {
        return Ok(());
    }
    Err(Error::setting(key, format!("{name} is {value}"), "take 0 or more, finite in single precision"))
}

fn finite(name: &str, value: f64) -> Result<()> {
    if (value as f32).is_finite() {
        return Ok(());
    }
    Err(Error::setting(name, format!("{name} is {value}"), "take a finite number"))
}
