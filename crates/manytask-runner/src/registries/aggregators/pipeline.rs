//! Methods one after the other.

use manytask_multitask::aggregators::{Pipeline, Post};
use manytask_tensor::Method;

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
    registry.add_composed(Pipeline::NAME, Pipeline::SUMMARY, Pipeline::ABOUT, EXAMPLE, make);
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
