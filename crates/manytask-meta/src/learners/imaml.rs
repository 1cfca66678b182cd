use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Graph, Method, Params, Slot, Tensor, gradients, no_grad, vjp};
use serde::{Deserialize, Serialize};

use crate::adaptation::leaves;
use crate::backbone::Backbone;
use crate::episode::{Episode, Support};
use crate::inner::check_steps;
use crate::learner::{Learner, LearnerSpec, Objective, Predictor, adapted};
use crate::logits::positive;
use crate::outer_gradient::GradientMode;
use crate::prediction::Prediction;
use crate::shape::EpisodeShape;

/// Implicit MAML (Rajeswaran et al. 2019, arXiv:1909.04630): a task's parameters are `φ* = argmin L_support(φ) + λ/2 ‖φ − θ‖²` (equation 4), and
/// the meta-gradient is `(I + H/λ)⁻¹ ∇L_query(φ*)` with the Hessian H of the support loss there (lemma 1), whatever led to `φ*`.
///
/// `φ*` is neared by `inner_steps` steps of gradient descent, the proximal term in each of them, and the system by `cg_steps` steps of
/// conjugate gradients on Hessian products, so that memory does not grow with the inner steps. A direction without positive curvature
/// ends a task's conjugate gradients: nothing is divided by 0. Evaluation adapts by the same steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imaml {
    /// Steps of gradient descent; 16 in the authors' configuration.
    pub inner_steps: u32,
    /// Their rate; 0.1 in the authors' configuration.
    pub inner_learning_rate: f64,
    /// λ, above 0: how much parameters are held where they start; 2 in the authors' configuration.
    pub lambda: f64,
    /// Steps of conjugate gradients; 5 in the authors' configuration.
    pub cg_steps: u32,
}

impl Default for Imaml {
    fn default() -> Self {
        Self { inner_steps: 16, inner_learning_rate: 0.1, lambda: 2.0, cg_steps: 5 }
    }
}

/// What [`Imaml`] builds.
#[derive(Debug)]
struct Proximal {
    settings: Imaml,
    /// All of the network's parameters.
    slots: Vec<Slot>,
}

/// Parameters on their way to the optimum, without a graph.
struct Nearing<'a> {
    learner: &'a Proximal,
    support: &'a Support<'a>,
    start: Params,
    params: Params,
    done: u64,
}

impl Method for Imaml {
    const NAME: &'static str = "imaml";
    const SUMMARY: &'static str = "MAML with the gradient of the inner problem's optimum";
    const ABOUT: &'static str = "\
        Rajeswaran et al. 2019, arXiv:1909.04630: inner steps on the support loss + λ/2 ‖φ − θ‖², then (I + \
        H/λ)⁻¹ of the query gradient by `cg_steps` steps of conjugate gradients; memory does not grow with \
        `inner_steps`.";
}

impl LearnerSpec for Imaml {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        _shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        const MOST: u32 = 1000;
        positive("inner_learning_rate", self.inner_learning_rate)?;
        positive("lambda", self.lambda)?;
        check_steps(self.inner_steps)?;
        if !(1..=MOST).contains(&self.cg_steps) {
            return Err(Error::setting(
                "cg_steps",
                format!("cg_steps is {}", self.cg_steps),
                format!("take 1 to {MOST}"),
            ));
        }
        if self.inner_learning_rate * self.lambda >= 2.0 {
            return Err(Error::setting(
                "lambda",
                format!(
                    "inner_learning_rate · lambda is {}: steps of gradient descent on the proximal term alone diverge",
                    self.inner_learning_rate * self.lambda
                ),
                "take a product below 2",
            ));
        }
        backbone.trained(self.name())?;
        Ok(Box::new(Proximal { settings: *self, slots: backbone.layout.trained() }))
    }
}

impl Learner for Proximal {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let start = params.detach()?;
        Ok(Box::new(Nearing { learner: self, support, params: start.share(), start, done: 0 }))
    }

    fn gradient(&self, episode: &Episode<'_>, params: &Params) -> Result<Option<(Objective, Params)>> {
        let support = &episode.support;
        let predictor = adapted(self, support, params, GradientMode::Off)?;
        let Some(end) = predictor.adapted().map(|end| leaves(end, &self.slots)).transpose()? else {
            return Ok(None);
        };
        let at_end = Nearing {
            learner: self,
            support,
            start: end.share(),
            params: end.share(),
            done: u64::from(self.settings.inner_steps),
        };
        let losses = self.query_losses(&at_end.predict(&episode.query_x)?, episode)?;
        let tasks = support.tasks.unwrap_or(1);
        let by_query = gradients(&total(&losses)?, &tensors(&end, &self.slots)?, Graph::Free)?;
        let by_query = joined(&by_query, tasks)?;
        // What the passes for Hessian products record is none of the task's.
        let recorded = support.take_recorded();
        let slope = at_end.slope(&end, Graph::Differentiable)?;
        let solution = {
            let product = |direction: &Tensor| -> Result<Tensor> {
                let parts = separate(direction, &slope)?;
                let (slope, parts): (Vec<&Tensor>, Vec<&Tensor>) =
                    (slope.iter().collect(), parts.iter().collect());
                let found = vjp(&slope, &parts, &tensors(&end, &self.slots)?, Graph::Keep)?;
                let curved = joined(&found, tasks)?.f_div_scalar(self.settings.lambda)?;
                Ok(direction.f_add(&curved.f_detach()?)?)
            };
            conjugate_gradients(product, &by_query.f_detach()?, self.settings.cg_steps)?
        };
        support.put_recorded(recorded);
        let mut gradient = params.detach()?.zeros_like()?;
        for (slot, part) in self.slots.iter().zip(separate(&solution, &slope)?) {
            gradient.put(*slot, part)?;
        }
        Ok(Some((Objective::new(losses.f_detach()?), gradient)))
    }

    fn steps(&self) -> Option<u32> {
        Some(self.settings.inner_steps)
    }
}

impl Nearing<'_> {
    /// The gradients of the mean support loss by parameters that are leaves.
    fn slope(&self, params: &Params, graph: Graph) -> Result<Vec<Tensor>> {
        let support = self.support;
        let prediction = support.forward(support.network, params, &support.x, 2 * self.done)?;
        let loss = support.loss.mean(&prediction, &support.y, None, support.tasks)?;
        Ok(gradients(&total(&loss)?, &tensors(params, &self.learner.slots)?, graph)?)
    }
}

impl Predictor for Nearing<'_> {
    fn advance(&mut self) -> Result<()> {
        let Imaml { inner_learning_rate, lambda, .. } = self.learner.settings;
        let slots = &self.learner.slots;
        let found = self.slope(&leaves(&self.params, slots)?, Graph::Free)?;
        let _off = no_grad();
        let mut next = self.params.share();
        for (slot, found) in slots.iter().zip(found) {
            let now = self.params.get(*slot)?;
            let away = now.f_sub(self.start.get(*slot)?)?.f_mul_scalar(lambda)?;
            next.put(*slot, now.f_sub(&found.f_add(&away)?.f_mul_scalar(inner_learning_rate)?)?)?;
        }
        self.params = next;
        self.done += 1;
        Ok(())
    }

    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let number = 2 * self.done + 1;
        Ok(Prediction::values(self.support.forward(self.support.network, &self.params, x, number)?))
    }

    fn adapted(&self) -> Option<&Params> {
        Some(&self.params)
    }
}

/// The sum of the losses of tasks: each depends on its own parameters alone.
fn total(losses: &Tensor) -> Result<Tensor> {
    Ok(losses.f_sum(losses.kind())?)
}

fn tensors<'p>(params: &'p Params, slots: &[Slot]) -> Result<Vec<&'p Tensor>> {
    slots.iter().map(|slot| Ok(params.get(*slot)?)).collect()
}

/// One row for each task, `[T, P]`.
fn joined(parts: &[Tensor], tasks: i64) -> Result<Tensor> {
    let rows = parts.iter().map(|part| Ok(part.f_reshape([tasks, -1])?)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_cat(&rows, 1)?)
}

/// Rows `[T, P]` as tensors of the shapes of others.
fn separate(rows: &Tensor, like: &[Tensor]) -> Result<Vec<Tensor>> {
    let tasks = rows.size().first().copied().unwrap_or(1).max(1);
    let mut start = 0;
    let parts = like.iter().map(|like| {
        let width = like.numel() as i64 / tasks;
        let part = rows.f_narrow(1, start, width)?.f_reshape(like.size())?;
        start += width;
        Ok(part)
    });
    parts.collect()
}

/// The solution of `A x = b` for rows `[T, P]` with `product` for A, each row its own system, after so many steps from 0.
fn conjugate_gradients(
    product: impl Fn(&Tensor) -> Result<Tensor>,
    right: &Tensor,
    steps: u32,
) -> Result<Tensor> {
    /// The curvature along a direction, relative to that of the identity, below which there is none.
    const FLAT: f64 = 1e-6;
    let dot = |a: &Tensor, b: &Tensor| a.f_mul(b)?.f_sum_dim_intlist([1_i64].as_slice(), true, a.kind());
    let mut x = right.f_zeros_like()?;
    let (mut residual, mut direction) = (right.shallow_clone(), right.shallow_clone());
    let mut length = dot(&residual, &residual)?;
    let mut goes_on = length.f_gt(0.0)?;
    for _ in 0..steps {
        let along = product(&direction)?;
        let curvature = dot(&direction, &along)?;
        let flat = dot(&direction, &direction)?.f_mul_scalar(FLAT)?;
        goes_on = goes_on.f_logical_and(&curvature.f_gt_tensor(&flat)?)?.f_logical_and(&length.f_gt(0.0)?)?;
        let none = length.f_zeros_like()?;
        let rate = length.f_div(&curvature)?.f_where_self(&goes_on, &none)?;
        x = x.f_addcmul(&direction, &rate)?;
        residual = residual.f_addcmul(&along, &rate.f_neg()?)?;
        let next = dot(&residual, &residual)?;
        let share = next.f_div(&length)?.f_where_self(&goes_on, &none)?;
        direction = residual.f_addcmul(&direction, &share)?;
        length = next;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn conjugate_gradients_solve_and_stop_where_there_is_no_curvature() {
        let on = (Kind::Double, Device::Cpu);
        let root = Key::new(1, "a").normal(&[2, 4, 4], on.0, on.1).unwrap();
        let system = root.matmul(&root.transpose(1, 2)) + Tensor::eye(4, on);
        let right = Key::new(1, "b").normal(&[2, 4], on.0, on.1).unwrap();
        let times = |x: &Tensor| Ok(system.matmul(&x.unsqueeze(-1)).squeeze_dim(-1));
        // More steps than numbers change nothing.
        for steps in [4, 9] {
            let x = conjugate_gradients(times, &right, steps).unwrap();
            assert!((times(&x).unwrap() - &right).abs().max().double_value(&[]) < 1e-8, "{steps}");
        }
        for factor in [0.0, -1.0] {
            let x = conjugate_gradients(|x| Ok(x * factor), &right, 3).unwrap();
            assert_eq!(x.abs().max().double_value(&[]), 0.0);
        }
        let none = conjugate_gradients(times, &right.zeros_like(), 3).unwrap();
        assert_eq!(none.abs().max().double_value(&[]), 0.0);
    }
}
