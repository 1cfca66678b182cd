//! What `[network]` of tasks on rows can name.

use manytask_multitask::{ArchitectureSettings, architectures};

use crate::registry::Registry;

/// Keys that every architecture has.
const COMMON: &str = "trunk = { kind = \"mlp\", hidden = [128] }\nembedding = 8\n";

pub(super) fn all() -> Registry<Box<dyn ArchitectureSettings>> {
    let mut registry = Registry::new("architecture", "network").with_common(COMMON);
    registry.method::<architectures::HardSharingSettings>();
    registry.method::<architectures::MmoeSettings>();
    registry.method::<architectures::CrossStitchSettings>();
    registry.method::<architectures::SoftSharingSettings>();
    registry.method::<architectures::EsmmSettings>();
    // Tasks mix experts.
    registry.method::<architectures::CgcSettings>();
    registry.method::<architectures::PleSettings>();
    registry.method::<architectures::AdattSettings>();
    registry.method::<architectures::DselectKSettings>();
    registry.method::<architectures::AitmSettings>();
    // Tasks share, change or exchange the features of trunks.
    registry.method::<architectures::SingleTaskSettings>();
    registry.method::<architectures::NddrSettings>();
    registry.method::<architectures::MtanSettings>();
    registry.method::<architectures::FilmSettings>();
    registry.method::<architectures::AdapterSettings>();
    registry.method::<architectures::LoraSettings>();
    registry.method::<architectures::TaskNormSettings>();
    registry.method::<architectures::RotogradSettings>();
    registry.method::<architectures::LtbSettings>();
    registry.method::<architectures::TabmSettings>();
    // One network for the whole Pareto front.
    registry.method::<architectures::CosmosSettings>();
    registry.method::<architectures::PhnSettings>();
    registry
}
