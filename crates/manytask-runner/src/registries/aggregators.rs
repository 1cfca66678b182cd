//! What `[aggregator]` can name.

mod combinations;
mod pipeline;
mod weightings;

use manytask_multitask::AggregatorSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::Registry;

/// Settings of any method.
type Any = Box<dyn AggregatorSettings>;

pub(super) fn aggregators() -> Registry<Any> {
    let mut registry = Registry::<Any>::new("aggregator", "aggregator");
    weightings::add(&mut registry);
    combinations::add(&mut registry);
    pipeline::add(&mut registry);
    registry
}

/// Adds a method whose defaults are shown.
fn method<S>(registry: &mut Registry<Any>, name: &str, summary: &str, about: &str)
where
    S: AggregatorSettings + Serialize + DeserializeOwned + Default + 'static,
{
    registry.add(name, summary, about, &S::default(), |settings: S| Box::new(settings) as Any);
}
