//! Architectures, each a file.

mod cross_stitch;
mod esmm;
mod hard_sharing;
mod mmoe;
mod soft_sharing;
#[cfg(test)]
mod testing;

pub use cross_stitch::{CrossStitch, CrossStitchSettings, Units};
pub use esmm::{Esmm, EsmmSettings};
pub use hard_sharing::{HardSharing, HardSharingSettings};
pub use mmoe::{Mmoe, MmoeSettings};
pub use soft_sharing::{SoftSharing, SoftSharingSettings};
