use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Graph, Method, Params, Slot, Tensor, gradients};
use serde::{Deserialize, Serialize};

use crate::adaptation::leaves;
use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, embed, one_hot, with_dimension, without_dimension};
use crate::episode::Support;
use crate::inner::check_steps;
use crate::learner::{Learner, LearnerSpec, Predictor};
use crate::logits::positive;
use crate::outer_gradient::{GradientMode, OuterGradient};
use crate::prediction::Prediction;
use crate::shape::{EpisodeShape, NetworkShape};

/// Proto-MAML (Triantafillou et al. 2020, arXiv:1903.03096, section 3): MAML whose last layer starts in each task as that of a prototypical
/// network, `W = 2 c` and `b = −‖c‖²` with the mean embedding c of each class.
///
/// The network is an embedding; in a task it and the layer adapt by `inner_steps` steps of gradient descent on the mean support loss. The
/// meta-gradient goes through c to the network, before and beside the inner steps: c is no constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtoMaml {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// How the outer gradient sees the inner gradients; c has its gradient in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for ProtoMaml {
    fn default() -> Self {
        Self { inner_steps: 5, inner_learning_rate: 0.01, outer_gradient: OuterGradient::SecondOrder }
    }
}

/// What [`ProtoMaml`] builds.
#[derive(Debug)]
struct FromPrototypes {
    settings: ProtoMaml,
    classes: i64,
    slots: Vec<Slot>,
}

/// A network and a layer on their way through a support set.
struct Adapting<'a> {
    learner: &'a FromPrototypes,
    support: &'a Support<'a>,
    mode: GradientMode,
    params: Params,
    /// `[T, C, D]`.
    weight: Tensor,
    /// `[T, 1, C]`.
    bias: Tensor,
    done: u64,
}

impl Method for ProtoMaml {
    const NAME: &'static str = "proto_maml";
    const SUMMARY: &'static str = "MAML whose last layer starts as that of a prototypical network";
    const ABOUT: &'static str = "\
        Triantafillou et al. 2020, arXiv:1903.03096: W = 2c and b = −‖c‖² with the classes' mean embeddings \
        c, then `inner_steps` steps of network and layer; the meta-gradient goes through c. [network] needs \
        an `output` or hidden layers.";
}

impl LearnerSpec for ProtoMaml {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("inner_learning_rate", self.inner_learning_rate)?;
        check_steps(self.inner_steps)?;
        if self.outer_gradient == OuterGradient::Difference {
            return Err(Error::setting(
                "outer_gradient",
                "outer_gradient = \"difference\" with `proto_maml`: a difference of parameters says nothing of prototypes",
                "take \"second_order\" or \"first_order\"",
            ));
        }
        backbone.trained(self.name())?;
        let classes = classes(self.name(), shape)?;
        Ok(Box::new(FromPrototypes { settings: *self, classes, slots: backbone.layout.trained() }))
    }
}

impl Learner for FromPrototypes {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let params = if mode == GradientMode::Off { params.detach()? } else { params.share() };
        let embeddings = embed(support, &params, &support.x, 0)?;
        let members = one_hot(ProtoMaml::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let centroids = centroids(&embeddings, &members)?;
        let lengths =
            centroids.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), false, centroids.kind())?;
        let (weight, bias) = (centroids.f_mul_scalar(2.0)?, lengths.f_neg()?.f_unsqueeze(1)?);
        // Parameters of their own from here on, so that inner gradients hold the layer fixed: it is made of the others.
        let params = params.map_slots(&self.slots, |_, leaf| Ok(leaf.f_view_as(leaf)?))?;
        Ok(Box::new(Adapting { learner: self, support, mode, params, weight, bias, done: 0 }))
    }

    fn steps(&self) -> Option<u32> {
        Some(self.settings.inner_steps)
    }

    fn outer_gradient(&self) -> OuterGradient {
        self.settings.outer_gradient
    }
}

impl Adapting<'_> {
    fn logits(
        &self,
        params: &Params,
        (weight, bias): (&Tensor, &Tensor),
        x: &Tensor,
        pass: u64,
    ) -> Result<Tensor> {
        let embeddings = embed(self.support, params, x, pass)?;
        let logits = embeddings.f_matmul(&weight.f_transpose(1, 2)?)?.f_add(bias)?;
        without_dimension(&logits, self.support.tasks)
    }
}

impl Predictor for Adapting<'_> {
    fn advance(&mut self) -> Result<()> {
        let (support, slots) = (self.support, &self.learner.slots);
        let off = self.mode == GradientMode::Off;
        let leaf = |x: &Tensor| x.f_detach()?.f_set_requires_grad(true);
        let (params, weight, bias) = if off {
            (leaves(&self.params, slots)?, leaf(&self.weight)?, leaf(&self.bias)?)
        } else {
            (self.params.share(), self.weight.shallow_clone(), self.bias.shallow_clone())
        };
        // The first pass was that of the prototypes.
        let logits = self.logits(&params, (&weight, &bias), &support.x, 2 * self.done + 2)?;
        let loss =
            with_dimension(&support.loss.mean(&logits, &support.y, None, support.tasks)?, support.tasks)?;
        let mut inputs = slots.iter().map(|slot| Ok(params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        inputs.extend([&weight, &bias]);
        let differentiable = self.mode == GradientMode::Differentiable;
        // With constants for inner gradients the graph of the network's parameters to the prototypes is wanted on.
        let graph = match self.mode {
            GradientMode::Differentiable => Graph::Differentiable,
            GradientMode::FirstOrder => Graph::Keep,
            GradientMode::Off => Graph::Free,
        };
        let found = gradients(&loss.f_sum(loss.kind())?, &inputs, graph)?;
        let moved = |from: &Tensor, gradient: &Tensor| -> Result<Tensor> {
            let gradient = if differentiable { gradient.shallow_clone() } else { gradient.f_detach()? };
            let to = from.f_sub(&gradient.f_mul_scalar(self.learner.settings.inner_learning_rate)?)?;
            Ok(if off { to.f_detach()? } else { to })
        };
        let mut next = params.share();
        for (slot, gradient) in slots.iter().zip(&found) {
            next.put(*slot, moved(params.get(*slot)?, gradient)?)?;
        }
        if let [.., of_weight, of_bias] = found.as_slice() {
            (self.weight, self.bias) = (moved(&weight, of_weight)?, moved(&bias, of_bias)?);
        }
        self.params = next;
        self.done += 1;
        Ok(())
    }

    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let number = 2 * self.done + 1;
        Ok(Prediction::values(self.logits(&self.params, (&self.weight, &self.bias), x, number)?))
    }
}
