use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use crate::{Aggregator, Combination, Needs, Result, Step};

/// The mean of the present tasks' losses, `Σ lᵢ / K`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EqualWeights {}

#[derive(Debug)]
struct Mean(Vec<f64>);

impl AggregatorSettings for EqualWeights {
    fn build(&self, _tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(Mean(Vec::new())))
    }
}

impl Aggregator for Mean {
    fn name(&self) -> &'static str {
        "equal_weights"
    }

    fn needs(&self) -> Needs {
        Needs::LOSSES
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let count = step.losses().len();
        self.0 = vec![1.0 / count as f64; count];
        Ok(Combination::weighted_losses(self.0.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.0)
    }
}
