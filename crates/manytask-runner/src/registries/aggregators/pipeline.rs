//! Methods one after the other.

use manytask_multitask::aggregators::{Pipeline, Post};

use super::Any;
use crate::config::Section;
use crate::failure::Result;
use crate::registry::Registry;

const EXAMPLE: &str = "\
transform = \"log\"
weighting = { kind = \"uncertainty_weighting\" }
combination = { kind = \"cagrad\", c = 0.4 }
smoothing = 0.9
scale = \"native\"
max_norm = 10.0
update_every = 4
";

pub(super) fn add(registry: &mut Registry<Any>) {
    registry.add_composed(
        "pipeline",
        "methods one after the other: a transform of losses, a weighting, a combination of gradients",
        "Every key may be left out. `transform` makes of each loss l its logarithm (log), l by what it was at its first step (initial) or\n\
         l by its moving average ({ average = { decay = 0.99 } }). `weighting` is any method that weighs losses, `combination` any that\n\
         combines gradients, which then sees the gradients of the weighted losses. Of the weights of the last method: `smoothing` is α\n\
         of CR-MOGM (Zhou et al. 2022), λ ← α λ + (1 − α) λ̂; `scale` what they add up to (native, sum, mean or { factor = 2.0 });\n\
         `max_norm` the longest direction; and they are found every `update_every` steps, which costs no more than a sum of losses\n\
         between. Impossible stages are refused by `check`.",
        EXAMPLE,
        make,
    );
}

fn make(mut section: Section<'_>, registry: &Registry<Any>) -> Result<Any> {
    let transform = section.take("transform")?;
    let mut stage = |key| section.table(key)?.map(|stage| registry.make(stage)).transpose();
    let (weighting, combination) = (stage("weighting")?, stage("combination")?);
    let usual = Post::default();
    let post = Post {
        smoothing: section.take_or("smoothing", usual.smoothing)?,
        scale: section.take_or("scale", usual.scale)?,
        max_norm: section.take_or("max_norm", usual.max_norm)?,
        update_every: section.take_or("update_every", usual.update_every)?,
    };
    section.finish()?;
    Ok(Box::new(Pipeline { transform, weighting, combination, post }))
}
