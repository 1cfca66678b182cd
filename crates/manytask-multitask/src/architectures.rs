//! Architectures, each a file.

mod hard_sharing;

pub use hard_sharing::{HardSharing, HardSharingSettings};
