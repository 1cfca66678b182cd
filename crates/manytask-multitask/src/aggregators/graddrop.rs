use manytask_tensor::{Kind, Method};
use serde::{Deserialize, Serialize};

use super::accumulator::finite_rows;
use super::support::{direction_level, unit};
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Combination, Gives, Level, Needs, Result, Step, StepInfo};

/// Gradient sign dropout (Chen et al. 2020): for each number of the gradients one sign is drawn, the positive one with the
/// probability `P = ½ (1 + Σ g / Σ |g|)`, and the gradients of the other sign are dropped; what is left is added up. Of what is
/// dropped the share `leak` passes.
///
/// At the level of the representation it drops signs of activations' gradients, row by row of the batch. The draw is a function
/// of the seed and the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GradDrop {
    /// Of which gradients.
    pub level: Level,
    /// What passes of the gradients of the other sign, from 0 to 1.
    pub leak: f64,
}

impl Default for GradDrop {
    fn default() -> Self {
        Self { level: Level::Parameters, leak: 0.0 }
    }
}

#[derive(Debug)]
struct SignDropout {
    settings: GradDrop,
    tasks: Vec<String>,
}

impl Method for GradDrop {
    const NAME: &'static str = "graddrop";
    const SUMMARY: &'static str = "gradients of one sign, drawn for each number";
    const ABOUT: &'static str = "\
        Chen et al. 2020, arXiv:2010.06808: the positive sign is drawn with probability (1 + Σ g / Σ |g|) \
        / 2, and gradients of the other are dropped but for `leak`. With level = \"representation\" signs \
        are those of activations' gradients.";
}

impl AggregatorSettings for GradDrop {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        unit(GradDrop::NAME, "leak", self.leak)?;
        direction_level(GradDrop::NAME, &self.level)?;
        Ok(Box::new(SignDropout { settings: self.clone(), tasks: tasks.to_vec() }))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous]
    }
}

impl Aggregator for SignDropout {
    fn name(&self) -> &'static str {
        GradDrop::NAME
    }

    fn needs(&self) -> Needs {
        Needs::jacobian(self.settings.level.clone())
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        let rows = finite_rows(step.jacobian(&self.settings.level)?, &info)?;
        let (sum, sizes) = (sum_of(&rows)?, sum_of(&rows.f_abs()?)?);
        // Where all gradients are 0 nothing is there to be dropped.
        let share = sum.f_div(&sizes.f_clamp_min(1e-38)?)?;
        let positive = share.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
        let drawn = info.key.uniform(0.0, 1.0, &sum.size(), sum.kind(), sum.device())?;
        let kept = positive.f_gt_tensor(&drawn)?.f_to_kind(sum.kind())?;
        // +1 where the positive sign was drawn, −1 elsewhere: gradients of that sign are left by a ramp.
        let sign = kept.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        let left = sum_of(&rows.f_mul(&sign)?.f_relu()?)?.f_mul(&sign)?;
        let leak = self.settings.leak;
        let vector = left.f_mul_scalar(1.0 - leak)?.f_add(&sum.f_mul_scalar(leak)?)?;
        Ok(Combination::direction(vector, self.settings.level.clone(), losses.len()))
    }
}

fn sum_of(rows: &manytask_tensor::Tensor) -> Result<manytask_tensor::Tensor> {
    Ok(rows.f_sum_dim_intlist([0_i64].as_slice(), false, None::<Kind>)?)
}
