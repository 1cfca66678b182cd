//! The inner loop as a learner.

use manytask_multitask::Result;
use manytask_tensor::{Layout, Params};

use crate::adaptation::Adaptation;
use crate::checkpointing;
use crate::descent::{Descent, Rates};
use crate::episode::{Episode, Support};
use crate::inner::InnerLoop;
use crate::learner::{Learner, Objective, Predictor};
use crate::outer_gradient::{GradientMode, OuterGradient};

impl Learner for InnerLoop {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        Ok(Box::new(Adaptation::new(self, support, params, mode)?))
    }

    fn gradient(&self, episode: &Episode<'_>, params: &Params) -> Result<Option<(Objective, Params)>> {
        let Some(every) = self.checkpoint_every else { return Ok(None) };
        checkpointing::gradient(self, every, episode, params).map(Some)
    }

    fn steps(&self) -> Option<u32> {
        Some(self.steps)
    }

    fn outer_gradient(&self) -> OuterGradient {
        self.outer_gradient
    }

    fn descent(&self, _layout: &Layout) -> Option<Descent> {
        let plain = self.rule.is_plain() && self.learned.is_none();
        (plain && !matches!(self.rates, Rates::EachStep(_))).then(|| Descent {
            steps: self.steps,
            rates: self.rates.clone(),
            slots: self.slots.clone(),
            outer_gradient: self.outer_gradient,
            checkpoint_every: self.checkpoint_every,
        })
    }
}
