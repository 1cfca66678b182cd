use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Layout, Method, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::with_dimension;
use crate::inner::{Adapts, InnerLoop};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// MT-nets (Lee & Choi 2018, arXiv:1801.05558): inner steps stay in a learned subspace of each layer's outputs, with a learned metric in it.
///
/// In the paper a layer is `T W x` with a T that inner steps leave alone, and these change the rows of W that a mask m has:
/// `W ← W − α diag(m) ∇_W L`. Of the product A = T W, which is what this network's layers hold, that is `A ← A − α T diag(m) Tᵀ ∇_A L`, so a layer stays one
/// matrix. Offsets, which the paper has none of, go the same way. Masks are drawn for each task (equation 8): `m = sigmoid((ζ + g₁ − g₂) / temperature)` with
/// Gumbel noise g, a relaxed Bernoulli variable of probability `sigmoid(ζ)`; in an evaluation, where nothing is drawn, without noise. Without a temperature there
/// are no masks: T-nets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MtNet {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// Of the masks, above 0. Left out: no masks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of T and the masks is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for MtNet {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            temperature: Some(1.0),
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// T less the identity `[O, O]`, and ζ `[O]`, of a layer's outputs.
#[derive(Debug)]
struct Outputs {
    transform: Slot,
    mask: Option<Slot>,
}

#[derive(Debug)]
struct Subspaces {
    outputs: Vec<Outputs>,
    rate: f64,
    temperature: f64,
}

impl Method for MtNet {
    const NAME: &'static str = "mt_net";
    const SUMMARY: &'static str = "MAML whose steps stay in a learned subspace with a learned metric";
    const ABOUT: &'static str = "\
        Lee & Choi 2018, arXiv:1801.05558: A ← A − α T diag(m) Tᵀ ∇L for a layer A = T W, with learned T and masks m of outputs, drawn for \
        each task. Without `temperature` no masks: T-net.";
}

impl LearnerSpec for MtNet {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("inner_learning_rate", self.inner_learning_rate)?;
        if let Some(temperature) = self.temperature {
            positive("temperature", temperature)?;
        }
        let settings = (self.inner_steps, &self.adapts, self.outer_gradient);
        InnerLoop::of_learned_rule(Self::NAME, settings, backbone, |slots| {
            let outputs = slots.iter().map(|slot| Outputs::new(b, &backbone.layout, *slot, self.temperature));
            Ok(Box::new(Subspaces {
                outputs: outputs.collect::<Result<_>>()?,
                rate: self.inner_learning_rate,
                temperature: self.temperature.unwrap_or(1.0),
            }))
        })
    }
}

impl Subspaces {
    /// Masks `[T, O]` of the tensor at a place.
    fn mask(&self, at: &StepAt<'_>, slot: Slot, place: usize) -> Result<Tensor> {
        let mut logits = with_dimension(at.params.get(slot)?, at.support.tasks)?;
        if let Some((key, ids)) = at.support.random() {
            let size = logits.size2()?.1;
            let noise = ids.iter().map(|id| {
                // The difference of two Gumbel variables is a logistic one, the same in all steps of a task.
                let key = key.within((1 << 34) + place as u64).task(*id);
                let u = key.uniform(1e-6, 1.0 - 1e-6, &[size], logits.kind(), logits.device())?;
                Ok::<_, manytask_multitask::Error>(u.f_logit(None)?)
            });
            logits = logits.f_add(&Tensor::f_stack(&noise.collect::<Result<Vec<_>>>()?, 0)?)?;
        }
        Ok(logits.f_div_scalar(self.temperature)?.f_sigmoid()?)
    }
}

impl LearnedStep for Subspaces {
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        let tasks = at.support.tasks;
        at.each()
            .zip(&self.outputs)
            .enumerate()
            .map(|(place, (each, outputs))| {
                let (value, gradient) = each?;
                let added = with_dimension(at.params.get(outputs.transform)?, tasks)?;
                let (count, size, _) = added.size3()?;
                let rows = gradient.f_reshape([count, size, -1])?;
                // Tᵀ G, then the mask, then T.
                let mut moved = rows.f_add(&added.f_transpose(1, 2)?.f_matmul(&rows)?)?;
                if let Some(mask) = outputs.mask {
                    moved = moved.f_mul(&self.mask(&at, mask, place)?.f_unsqueeze(-1)?)?;
                }
                let update = moved.f_add(&added.f_matmul(&moved)?)?.f_reshape(value.size())?;
                Ok(value.f_sub(&update.f_mul_scalar(self.rate)?)?)
            })
            .collect()
    }
}

impl Outputs {
    /// Adds `transform.NAME` and, where masks have a temperature, `mask.NAME`.
    fn new(b: &mut Builder<'_>, layout: &Layout, slot: Slot, temperature: Option<f64>) -> Result<Self> {
        let entry = layout.entry(slot)?;
        let size = entry.shape.first().copied().unwrap_or(1);
        let transform =
            b.scope("transform").parameter(&entry.name, &[size, size], Init::Zeros, Role::Scale)?;
        let mask = if temperature.is_some() {
            Some(b.scope("mask").parameter(&entry.name, &[size], Init::Zeros, Role::Scale)?)
        } else {
            None
        };
        Ok(Self { transform, mask })
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::Episodes;
    use manytask_nn::layers::Sequential;
    use manytask_nn::loss::Loss;
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;
    use crate::episode::{BatchNormStatistics, Episode};

    #[test]
    fn a_step_is_the_one_of_the_papers_two_matrices() {
        let on = (Kind::Double, Device::Cpu);
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap();
        let mut layout = Layout::builder();
        layout.add("w", &[3, 4], Init::Zeros, Role::Weight).unwrap();
        let backbone = layout.snapshot();
        let slot = backbone.find("w").unwrap();
        let outputs = Outputs::new(&mut Builder::new(&mut layout), &backbone, slot, Some(1.0)).unwrap();
        let mut params = layout.build().init(1, on.0, on.1).unwrap();
        let (w, t, logits, x) = (of("w", &[3, 4]), of("t", &[3, 3]), of("z", &[3]), of("x", &[4, 5]));
        let product = t.matmul(&w);
        params.put(slot, product.shallow_clone()).unwrap();
        params.put(outputs.transform, &t - Tensor::eye(3, on)).unwrap();
        params.put(outputs.mask.unwrap(), logits.shallow_clone()).unwrap();
        // The gradient of ½ ‖T W x‖² by T W, and by W.
        let by_output = product.matmul(&x);
        let (by_product, by_w) = (by_output.matmul(&x.tr()), t.tr().matmul(&by_output).matmul(&x.tr()));
        let moved = &w - logits.sigmoid().unsqueeze(1) * by_w * 0.1;
        let (network, loss) = (Sequential(Vec::new()), Loss::Mse);
        let own = Tensor::shallow_clone;
        let episodes =
            Episodes { support_x: own(&x), support_y: own(&x), query_x: own(&x), query_y: own(&x) };
        let episode = Episode::new((&network, &loss), &episodes, None, None, BatchNormStatistics::Batch);
        let rule = Subspaces { outputs: vec![outputs], rate: 0.1, temperature: 1.0 };
        let (slots, gradients) = ([slot], [by_product]);
        let at = StepAt {
            support: &episode.support,
            params: &params,
            slots: &slots,
            gradients: &gradients,
            done: 0,
        };
        let found = rule.next(at).unwrap().remove(0);
        assert!((found - t.matmul(&moved)).abs().max().double_value(&[]) < 1e-12);
    }
}
