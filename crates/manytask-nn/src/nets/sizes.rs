//! Sizes of layers.

use manytask_tensor::KeyPath;

use crate::{Error, Result};

/// Refuses a size below 1.
pub(super) fn positive(key: impl Into<KeyPath>, size: i64) -> Result<()> {
    if size < 1 { Err(Error::setting(key, &size, "each size must be at least 1")) } else { Ok(()) }
}
