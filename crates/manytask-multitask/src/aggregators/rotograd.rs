use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, State, StepInfo};

/// The scaling of `RotoGrad` (Javaloy & Valera 2022, ICLR, arXiv:2103.02631, section 4.1, equations 4 and 5): all gradients have one length, nearer to
/// that of tasks whose gradients have shrunk least.
///
/// `C = Σ αᵢ ‖gᵢ‖` with `αᵢ = rᵢ / Σ rⱼ`, `rᵢ = ‖gᵢ‖ / ‖gᵢ⁰‖`, and the direction is `C Σ gᵢ / ‖gᵢ‖`. The lengths to compare with, `‖gᵢ⁰‖`, are those of
/// the task's first step, and of its first step from `burn_in` on after that. Rotations are the architecture of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotoGrad {
    /// Of which gradients.
    pub level: Level,
    /// The step at which lengths are measured anew: in the first ones they change fast.
    pub burn_in: u64,
}

impl Default for RotoGrad {
    fn default() -> Self {
        Self { level: Level::Parameters, burn_in: 20 }
    }
}

#[derive(Debug)]
struct Scaling {
    burn_in: u64,
    memory: Memory,
}

/// The length of each task's gradient that its later ones are compared with, and whether it is of a step from `burn_in` on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    initial: Vec<Option<(f64, bool)>>,
}

impl Method for RotoGrad {
    const NAME: &'static str = "rotograd";
    const SUMMARY: &'static str = "gradients of one length, that of the tasks that learn slowest";
    const ABOUT: &'static str = "\
        Javaloy & Valera 2022, arXiv:2103.02631, the scaling: C Σ g / |g|, C = Σ α |g|, α the shares of |g| / |g0|, with g0 \
        the gradient at first, and at step `burn_in`. The paper takes gradients of the representation, level = \"representation\", \
        which an architecture must have. The rotations that make gradients agree are an architecture: [network] kind = \
        \"rotograd\".";
}

impl AggregatorSettings for RotoGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        let memory = Memory { initial: vec![None; tasks.len()] };
        let weighting = Scaling { burn_in: self.burn_in, memory };
        Ok(Box::new(OnGramian::new(weighting, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous]
    }
}

impl GramianWeighting for Scaling {
    fn name(&self) -> &'static str {
        RotoGrad::NAME
    }

    fn keeps_tasks(&self) -> bool {
        true
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let lengths: Vec<f64> = gramian.squared_norms().into_iter().map(f64::sqrt).collect();
        let late = step.number >= self.burn_in;
        let mut ratio = |(task, length): (&usize, &f64)| {
            let Some(initial) = self.memory.initial.get_mut(*task) else { return 0.0 };
            let stays = initial.is_some_and(|(_, measured_late)| measured_late || !late);
            if *length > 0.0 && !stays {
                *initial = Some((*length, late));
            }
            initial.map_or(0.0, |(initial, _)| length / initial)
        };
        let ratios: Vec<f64> = step.losses.present().iter().zip(&lengths).map(&mut ratio).collect();
        let sum: f64 = ratios.iter().sum();
        let common: f64 = ratios.iter().zip(&lengths).map(|(ratio, length)| ratio / sum * length).sum();
        Ok(lengths.iter().map(|length| if *length > 0.0 { common / length } else { 0.0 }).collect())
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(RotoGrad::NAME, &mut self.memory)
    }
}
