//! A learner in one file, with parameters and a state of its own.

use manytask::meta::{
    Backbone, Episode, EpisodeShape, GradientMode, Learner, LearnerSpec, Objective, Prediction, Predictor,
    Support,
};
use manytask::multitask::Result;
use manytask::nn::loss::present;
use manytask::nn::{Builder, metrics::Output};
use manytask::tensor::{Init, Kind, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

/// Predictions are shifted by a learned share of the mean error on the support set. Of what it saw it keeps the number of errors and
/// their running mean, as a state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offsets {}

impl Method for Offsets {
    const NAME: &'static str = "own";
    const SUMMARY: &'static str = "one of the tests' own";
    const ABOUT: &'static str =
        "Predictions are shifted by a learned share of the mean error on the support set.";
}

#[derive(Debug)]
struct Shifting {
    share: Slot,
    seen: Slot,
}

struct Shifted<'a> {
    support: &'a Support<'a>,
    params: Params,
    shift: Tensor,
}

impl LearnerSpec for Offsets {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(&self, b: &mut Builder<'_>, _: &Backbone<'_>, shape: &EpisodeShape) -> Result<Box<dyn Learner>> {
        if shape.output != Output::Regression {
            return Err(manytask::multitask::Error::setting(WHOLE, "`own` on classes", "take regressions"));
        }
        Ok(Box::new(Shifting {
            share: b.parameter("share", &[1], Init::Constant(0.5), Role::Scale)?,
            seen: b.parameter("seen", &[1], Init::Zeros, Role::Buffer)?,
        }))
    }
}

impl Learner for Shifting {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let there = present(&support.y)?;
        let predicted = support.forward(support.network, params, &support.x, 0)?;
        let errors = support.y.where_self(&there, &predicted) - &predicted;
        let rows = [support.tasks.unwrap_or(1), -1];
        let sum = |x: &Tensor| x.reshape(rows).sum_dim_intlist([1].as_slice(), true, Kind::Double);
        let shift = sum(&errors) / sum(&there) * params.get(self.share)?.reshape([-1, 1]);
        let old = params.get(self.seen)?;
        support.record(self.seen, &(old * 0.9 + shift.reshape(old.size()) * 0.1))?;
        Ok(Box::new(Shifted { support, params: params.share(), shift }))
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, mode: GradientMode) -> Result<Objective> {
        let predictor = self.adapt(&episode.support, params, mode)?;
        let prediction = predictor.predict(&episode.query_x)?;
        let losses = self.query_losses(&prediction, episode)?;
        let penalty = params.get(self.share)?.square().reshape(losses.size()) * 0.1;
        Ok(Objective { losses: losses + &penalty, terms: vec![("penalty", penalty)] })
    }
}

impl Predictor for Shifted<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let predicted = self.support.forward(self.support.network, &self.params, x, 1)?;
        let shift =
            if self.support.tasks.is_some() { self.shift.unsqueeze(2) } else { self.shift.shallow_clone() };
        Ok(Prediction::values(predicted + shift))
    }
}
