use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::softmax;
use crate::{Aggregator, LossWeighting, OnLosses, Result, StepInfo};

/// Random loss weighting (Lin et al. 2022): weights are drawn anew at each step and add up to 1; in the paper they are the
/// softmax of normal numbers.
///
/// A task's draw is a function of the seed, the step and the task, so an absent task changes no other one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rlw {
    /// What is drawn for each task.
    pub distribution: WeightDistribution,
}

/// What random weights are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightDistribution {
    /// The softmax of standard normal numbers.
    #[default]
    Normal,
    /// The softmax of uniform numbers in [0, 1).
    Uniform,
    /// A point of the simplex, all of them alike: exponential numbers by their sum.
    Dirichlet,
    /// 0 or 1 with the same probability, by their sum; all 0 counts as all 1.
    Bernoulli,
    /// 1 for one task.
    OneHot,
}

impl Method for Rlw {
    const NAME: &'static str = "rlw";
    const SUMMARY: &'static str = "random weights at each step";
    const ABOUT: &'static str = "\
        Lin et al. 2022, arXiv:2111.10603: the softmax of normal numbers (distribution = normal), of \
        uniform ones (uniform), a random point of the simplex (dirichlet), 0 or 1 by their sum \
        (bernoulli), or one task at a time (one_hot). They add up to 1.\n\
        LibMTL's add up to 1 too, while its plain sum of losses has K.";
}

impl AggregatorSettings for Rlw {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnLosses::new(*self, tasks)))
    }
}

impl WeightDistribution {
    fn draw(self, key: Key) -> Result<f64> {
        let one = (&[1], Kind::Double, Device::Cpu);
        let drawn = match self {
            Self::Normal => key.normal(one.0, one.1, one.2)?,
            Self::Bernoulli => key.bernoulli(0.5, one.0, one.1, one.2)?,
            Self::Uniform | Self::Dirichlet | Self::OneHot => key.uniform(0.0, 1.0, one.0, one.1, one.2)?,
        };
        Ok(drawn.f_double_value(&[0])?)
    }
}

impl LossWeighting for Rlw {
    fn name(&self) -> &'static str {
        Rlw::NAME
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let of = |task: &usize| self.distribution.draw(step.key.task(*task as u64));
        let drawn = step.losses.present().iter().map(of).collect::<Result<Vec<_>>>()?;
        let shares = |parts: Vec<f64>| {
            let sum: f64 = parts.iter().sum();
            let equal = 1.0 / parts.len() as f64;
            parts.into_iter().map(|part| if sum > 0.0 { part / sum } else { equal }).collect()
        };
        Ok(match self.distribution {
            WeightDistribution::Normal | WeightDistribution::Uniform => softmax(&drawn),
            WeightDistribution::Bernoulli => shares(drawn),
            WeightDistribution::Dirichlet => shares(drawn.iter().map(|u| -(-u).ln_1p()).collect()),
            WeightDistribution::OneHot => {
                let largest = drawn.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                shares(drawn.iter().map(|u| f64::from(u8::from(*u == largest))).collect())
            }
        })
    }
}
