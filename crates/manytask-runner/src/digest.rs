//! Digests of files and configurations.

use sha2::{Digest as _, Sha256};

/// A digest of bytes, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
