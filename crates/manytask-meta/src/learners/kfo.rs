use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Layout, Method, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::dimensions::Factors;
use crate::inner::{Adapts, InnerLoop};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// KFO, Kronecker-factored optimizers (Arnold et al. 2021, arXiv:1910.13603, section 4): `φₖ₊₁ = φₖ − α f(∇L_support(φₖ))` with a learned network f of
/// each tensor's gradient.
///
/// A layer of f is a linear map, a product of matrices along the tensor's dimensions, and an offset: `A G Bᵀ + C` of a matrix. Between `layers` of
/// them stands `tanh`, beside which the gradient itself goes on (`G + tanh(…)`), so that f can be the identity. Matrices start as it and offsets at 0: with one layer it begins
/// as MAML. Entries are `learner.update.LAYER.NAME.DIMENSION` and `…offset`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kfo {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// How many layers f has.
    pub layers: usize,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the layers is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for Kfo {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            layers: 1,
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// A layer of a tensor's network.
#[derive(Debug)]
struct Layer {
    factors: Factors,
    offset: Slot,
}

/// The networks of all tensors that adapt.
#[derive(Debug)]
struct Updates {
    networks: Vec<Vec<Layer>>,
    rate: f64,
}

impl Method for Kfo {
    const NAME: &'static str = "kfo";
    const SUMMARY: &'static str = "MAML whose gradients go through a learned network, factor by factor";
    const ABOUT: &'static str = "\
        Arnold et al. 2021, arXiv:1910.13603: φ = θ − α f(∇L), f of each tensor with `layers` of products along its dimensions and an offset; \
        with one layer it begins as MAML.";
}

impl LearnerSpec for Kfo {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        const MOST: usize = 16;
        positive("inner_learning_rate", self.inner_learning_rate)?;
        if !(1..=MOST).contains(&self.layers) {
            let what = format!("layers is {}", self.layers);
            return Err(Error::setting("layers", what, format!("take 1 to {MOST}")));
        }
        let settings = (self.inner_steps, &self.adapts, self.outer_gradient);
        InnerLoop::of_learned_rule(Self::NAME, settings, backbone, |slots| {
            let mut networks = Vec::new();
            for slot in slots {
                let layers = (0..self.layers).map(|layer| {
                    let mut b = b.scope("update");
                    Layer::new(&mut b.scope(layer.to_string()), &backbone.layout, *slot)
                });
                networks.push(layers.collect::<Result<_>>()?);
            }
            Ok(Box::new(Updates { networks, rate: self.inner_learning_rate }))
        })
    }
}

impl Layer {
    fn new(b: &mut Builder<'_>, layout: &Layout, slot: Slot) -> Result<Self> {
        let entry = layout.entry(slot)?;
        let factors = Factors::new(&mut b.scope(&entry.name), &entry.shape)?;
        let name = format!("{}.offset", entry.name);
        // An offset of a gradient, not decayed.
        let offset = b.parameter(&name, &entry.shape, Init::Zeros, Role::Scale)?;
        Ok(Self { factors, offset })
    }

    fn apply(&self, gradient: &Tensor, params: &Params) -> Result<Tensor> {
        let offset = params.get(self.offset)?;
        let mapped = self.factors.apply(gradient, params)?;
        Ok(mapped.f_add(offset)?)
    }
}

impl LearnedStep for Updates {
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        at.each()
            .zip(&self.networks)
            .map(|(each, layers)| {
                let (value, gradient) = each?;
                let mut update = gradient.shallow_clone();
                for (place, layer) in layers.iter().enumerate() {
                    let made = layer.apply(&update, at.params)?;
                    update = if place + 1 < layers.len() { update.f_add(&made.f_tanh()?)? } else { made };
                }
                Ok(value.f_sub(&update.f_mul_scalar(self.rate)?)?)
            })
            .collect()
    }
}
