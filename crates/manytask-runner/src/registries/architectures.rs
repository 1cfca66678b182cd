//! What `[network]` of tasks on rows can name.

use manytask_multitask::ArchitectureSettings;
use manytask_multitask::architectures::HardSharingSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::Registry;

/// Settings of any architecture.
type Any = Box<dyn ArchitectureSettings>;

/// Keys that every architecture has.
const COMMON: &str = "trunk = { kind = \"mlp\", hidden = [128] }\nembedding = 8\n";

pub(super) fn architectures() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("architecture", "network").with_common(COMMON);
    architecture::<HardSharingSettings>(
        &mut registry,
        "hard_sharing",
        "one trunk for all tasks, and a head for each",
        "Caruana 1993: h = f(x), y_i = f_i(h). The default. `head` are layers before each task's last one. It has one place where shared \
         parameters end and those of tasks begin, so gradients can be taken with respect to the representation there (level = \"representation\"), and \
         its passes are the fastest: on a processor linear trunks go without a graph.",
    );
    registry
}

/// Adds an architecture whose defaults are shown.
fn architecture<S>(registry: &mut Registry<Any>, name: &str, summary: &str, about: &str)
where
    S: ArchitectureSettings + Serialize + DeserializeOwned + Default + 'static,
{
    registry.add(name, summary, about, &S::default(), |settings: S| Box::new(settings) as Any);
}
