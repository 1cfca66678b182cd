use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Layout, Method, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::descent::Rates;
use crate::embedding::with_dimension;
use crate::inner::{Adapts, InnerLoop, InnerRule, check_steps};
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::outer_gradient::OuterGradient;
use crate::shape::EpisodeShape;

/// Meta-Curvature (Park & Oliva 2019, arXiv:1902.03356): `φₖ₊₁ = φₖ − α M(∇L_support(φₖ))` with a learned linear map M of each tensor's
/// gradient, a product along its dimensions (equation 7): `M_o G M_iᵀ` of a matrix, and of kernels `[O, I, h, w]` also along the positions
/// h·w.
///
/// Each factor is `I + A` with A an entry `learner.curvature.NAME.DIMENSION`, which starts at 0: it begins as MAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaCurvature {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner gradients; that of the factors is there in either way.
    pub outer_gradient: OuterGradient,
}

impl Default for MetaCurvature {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
        }
    }
}

/// The factors of each tensor that adapts, along its dimensions.
#[derive(Debug)]
struct Curvature {
    factors: Vec<Vec<Slot>>,
    rate: f64,
}

impl Method for MetaCurvature {
    const NAME: &'static str = "meta_curvature";
    const SUMMARY: &'static str = "MAML with learned linear maps of the gradients";
    const ABOUT: &'static str = "\
        Park & Oliva 2019, arXiv:1902.03356: φ = θ − α M_o G M_i with a learned matrix along each dimension of a tensor, \
        which starts as that of MAML; entries `learner.curvature.NAME.DIMENSION` of the checkpoint.";
}

impl LearnerSpec for MetaCurvature {
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
        self.outer_gradient.of_learned_rules(Self::NAME)?;
        check_steps(self.inner_steps)?;
        let slots = self.adapts.some(&backbone.layout)?;
        let mut factors = Vec::new();
        for slot in &slots {
            factors.push(added(&mut b.scope("curvature"), &backbone.layout, *slot)?);
        }
        Ok(Box::new(InnerLoop {
            steps: self.inner_steps,
            rates: Rates::One(self.inner_learning_rate),
            rule: InnerRule::default(),
            slots,
            outer_gradient: self.outer_gradient,
            checkpoint_every: None,
            learned: Some(Box::new(Curvature { factors, rate: self.inner_learning_rate })),
        }))
    }
}

/// The sizes of a tensor's dimensions, positions of kernels as one.
fn dimensions(shape: &[i64]) -> Vec<i64> {
    match shape {
        [outputs, inputs, positions @ ..] if !positions.is_empty() => {
            vec![*outputs, *inputs, positions.iter().product()]
        }
        shape => shape.to_vec(),
    }
}

/// Adds the factors of a tensor.
fn added(b: &mut Builder<'_>, layout: &Layout, slot: Slot) -> Result<Vec<Slot>> {
    let entry = layout.entry(slot)?;
    let sizes = dimensions(&entry.shape).into_iter().enumerate();
    sizes
        .map(|(dimension, size)| {
            let name = format!("{}.{dimension}", entry.name);
            // Around the identity: a scale, not decayed.
            Ok(b.parameter(&name, &[size, size], Init::Zeros, Role::Scale)?)
        })
        .collect()
}

/// `G + G ×_d A` for each factor A `[T?, n, n]` along its dimension d of G `[T?, n₀, n₁, …]`.
fn mapped(gradient: &Tensor, factors: &[Slot], params: &Params) -> Result<Tensor> {
    let tasks = params.tasks();
    let rows = tasks.unwrap_or(1);
    let size = gradient.size();
    let shape = dimensions(size.get(usize::from(tasks.is_some())..).unwrap_or_default());
    let mut result = gradient.f_reshape([&[rows], shape.as_slice()].concat())?;
    for (dimension, slot) in factors.iter().enumerate() {
        let factor = with_dimension(params.get(*slot)?, tasks)?;
        // That dimension in the middle, what comes behind it last.
        let moved = result.f_reshape([&[rows], sides(&shape, dimension).as_slice()].concat())?;
        let along = factor.f_unsqueeze(1)?.f_matmul(&moved)?;
        result = moved.f_add(&along)?.f_reshape([&[rows], shape.as_slice()].concat())?;
    }
    Ok(result.f_reshape(size)?)
}

/// The sizes before a dimension, of it, and behind it.
fn sides(shape: &[i64], dimension: usize) -> [i64; 3] {
    let product = |sizes: Option<&[i64]>| sizes.unwrap_or_default().iter().product::<i64>();
    let own = shape.get(dimension).copied().unwrap_or(1);
    [product(shape.get(..dimension)), own, product(shape.get(dimension + 1..))]
}

impl LearnedStep for Curvature {
    fn next(&self, at: StepAt<'_>) -> Result<Vec<Tensor>> {
        at.each()
            .zip(&self.factors)
            .map(|(each, factors)| {
                let (value, gradient) = each?;
                Ok(value.f_sub(&mapped(gradient, factors, at.params)?.f_mul_scalar(self.rate)?)?)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn kernels_are_mapped_along_outputs_inputs_and_positions() {
        let mut layout = Layout::builder();
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        layout.add("k", &[4, 3, 2, 2], normal, Role::Weight).unwrap();
        let backbone = layout.snapshot();
        let slot = backbone.find("k").unwrap();
        let factors = added(&mut Builder::new(&mut layout), &backbone, slot).unwrap();
        let layout = layout.build();
        let mut params = layout.init(1, Kind::Double, Device::Cpu).unwrap();
        let of = |name: &str, size: i64| {
            Key::new(1, name).normal(&[size, size], Kind::Double, Device::Cpu).unwrap()
        };
        let drawn = [of("o", 4), of("i", 3), of("p", 4)];
        for (slot, value) in factors.iter().zip(&drawn) {
            params.put(*slot, value.shallow_clone()).unwrap();
        }
        let gradient = params.get(slot).unwrap().copy();
        let [o, i, p] = drawn.map(|x| &x + Tensor::eye(x.size()[0], (Kind::Double, Device::Cpu)));
        let flat = gradient.reshape([4, 3, 4]);
        let by_outputs = o.matmul(&flat.reshape([4, 12])).reshape([4, 3, 4]);
        let expected = i.matmul(&by_outputs).matmul(&p.transpose(0, 1)).reshape([4, 3, 2, 2]);
        let found = mapped(&gradient, &factors, &params).unwrap();
        assert!((&found - &expected).abs().max().double_value(&[]) < 1e-12);
        let tasks = params.expand_tasks(2).unwrap();
        let both = mapped(&Tensor::stack(&[&gradient, &(&gradient * 2.0)], 0), &factors, &tasks).unwrap();
        assert!((both.get(1) - expected * 2.0).abs().max().double_value(&[]) < 1e-12);
    }
}
