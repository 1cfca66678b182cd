//! Architectures, each a file.

mod adapter;
mod adatt;
mod aitm;
mod cosmos;
mod cross_stitch;
mod dselect_k;
mod esmm;
mod film;
mod hard_sharing;
mod lora;
mod ltb;
mod mmoe;
mod mtan;
mod nddr;
mod phn;
mod ple;
mod rotograd;
mod single_task;
mod soft_sharing;
mod tabm;
mod task_norm;
#[cfg(test)]
mod testing;

pub use adapter::AdapterSettings;
pub use adatt::AdattSettings;
pub use aitm::AitmSettings;
pub use cosmos::CosmosSettings;
pub use cross_stitch::{CrossStitch, CrossStitchSettings, Units};
pub use dselect_k::{DselectKSettings, Routing};
pub use esmm::{Esmm, EsmmSettings};
pub use film::FilmSettings;
pub use hard_sharing::{HardSharing, HardSharingSettings};
pub use lora::LoraSettings;
pub use ltb::LtbSettings;
pub use mmoe::MmoeSettings;
pub use mtan::MtanSettings;
pub use nddr::NddrSettings;
pub use phn::PhnSettings;
pub use ple::{CgcSettings, PleSettings};
pub use rotograd::RotogradSettings;
pub use single_task::SingleTaskSettings;
pub use soft_sharing::{Distance, SoftSharing, SoftSharingSettings};
pub use tabm::TabmSettings;
pub use task_norm::TaskNormSettings;
