//! Parameters of a network that go down the loss of a support set, step by step.

use manytask_multitask::Result;
use manytask_nn::optim::OptimizerState;
use manytask_tensor::{Graph, Params, Slot, Tensor, gradients, number_like};

use crate::descent::Rates;
use crate::episode::Support;
use crate::inner::InnerLoop;
use crate::learned_step::{LearnedStep, StepAt};
use crate::learner::Predictor;
use crate::outer_gradient::GradientMode;
use crate::prediction::Prediction;

/// Parameters on their way through a support set.
pub(crate) struct Adaptation<'a> {
    inner: &'a InnerLoop,
    support: &'a Support<'a>,
    mode: GradientMode,
    params: Params,
    done: u64,
    /// α, where all have one.
    rate: Option<Tensor>,
    state: Option<OptimizerState>,
}

impl<'a> Adaptation<'a> {
    pub(crate) fn new(
        inner: &'a InnerLoop,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Self> {
        let rate = match &inner.rates {
            Rates::One(rate) => params.leaves().first().map(|like| number_like(*rate, like)).transpose()?,
            Rates::Each(_) | Rates::EachStep(_) => None,
        };
        let state = if inner.rule.is_plain() { None } else { Some(inner.rule.0.init(params)?) };
        let params = if mode == GradientMode::Off { params.detach()? } else { params.share() };
        Ok(Self { inner, support, mode, params, done: 0, rate, state })
    }

    /// Goes on as if so many steps were done.
    pub(crate) fn after(self, done: u64) -> Self {
        Self { done, ..self }
    }

    pub(crate) fn into_params(self) -> Params {
        self.params
    }

    /// An inner gradient as far as it is differentiated.
    fn seen(&self, gradient: Tensor) -> Result<Tensor> {
        Ok(if self.mode == GradientMode::Differentiable { gradient } else { gradient.f_detach()? })
    }

    /// The gradients of the support loss by what adapts, at these parameters.
    fn gradients(&self, params: &Params) -> Result<Vec<Tensor>> {
        let support = self.support;
        let prediction = support.forward(support.network, params, &support.x, 2 * self.done)?;
        let loss = support.loss.mean(&prediction, &support.y, None, support.tasks)?;
        // Tasks' losses depend on their own parameters alone, so the gradient of the sum is each task's own.
        let total = if support.tasks.is_some() { loss.f_sum(loss.kind())? } else { loss };
        let inputs =
            self.inner.slots.iter().map(|slot| Ok(params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        let graph =
            if self.mode == GradientMode::Differentiable { Graph::Differentiable } else { Graph::Free };
        Ok(gradients(&total, &inputs, graph)?)
    }

    /// Parameters that gradients can be taken by.
    fn live(&self, params: &Params) -> Result<Params> {
        if self.mode == GradientMode::Off { leaves(params, &self.inner.slots) } else { Ok(params.share()) }
    }

    /// A step of a rule that is learned.
    fn learned_step(&self, learned: &dyn LearnedStep) -> Result<Params> {
        let (support, slots, done) = (self.support, &self.inner.slots, self.done);
        let seen = |params: &Params| -> Result<Vec<Tensor>> {
            self.gradients(params)?.into_iter().map(|gradient| self.seen(gradient)).collect()
        };
        let with = |params: &Params, values: Vec<Tensor>| -> Result<Params> {
            let mut next = params.share();
            for (slot, value) in slots.iter().zip(values) {
                next.put(*slot, value)?;
            }
            Ok(next)
        };
        let mut params = self.live(&self.params)?;
        let mut gradients = seen(&params)?;
        if done == 0 {
            let at = StepAt { support, params: &params, slots, gradients: &gradients, done };
            if let Some(start) = learned.start(at)? {
                params = self.live(&with(&params, start)?)?;
                gradients = seen(&params)?;
            }
        }
        let at = StepAt { support, params: &params, slots, gradients: &gradients, done };
        with(&params, learned.next(at)?)
    }

    fn step(&mut self) -> Result<Params> {
        if let Some(learned) = &self.inner.learned {
            return self.learned_step(learned.as_ref());
        }
        let slots = &self.inner.slots;
        let params = self.live(&self.params)?;
        let found = self.gradients(&params)?;
        if let Some(rate) = self.rate.as_ref().filter(|_| self.state.is_some()) {
            let rate = rate.shallow_clone();
            return self.by_optimizer(&params, found, &rate);
        }
        let mut next = params.share();
        for (place, (slot, gradient)) in slots.iter().zip(found).enumerate() {
            let gradient = self.seen(gradient)?;
            let down = match (&self.rate, &self.inner.rates) {
                (None, Rates::Each(rates)) => {
                    let of = rates.get(place).copied().unwrap_or(*slot);
                    params.get(of)?.f_neg()?
                }
                (None, Rates::EachStep(steps)) => self.rate_of_step(steps, place, &params, &gradient)?,
                (rate, _) => rate.as_ref().map_or_else(|| Ok(Tensor::from(0.0)), Tensor::f_neg)?,
            };
            next.put(*slot, params.get(*slot)?.f_addcmul(&gradient, &down)?)?;
        }
        Ok(next)
    }

    /// `−α` of a slot in this step, of a shape that goes with its gradient.
    fn rate_of_step(
        &self,
        steps: &[Vec<Slot>],
        place: usize,
        params: &Params,
        gradient: &Tensor,
    ) -> Result<Tensor> {
        let step = steps.get(self.done as usize).or(steps.last());
        let Some(slot) = step.and_then(|slots| slots.get(place)) else { return Ok(Tensor::from(0.0)) };
        let mut shape = vec![1; gradient.dim()];
        if let (Some(first), Some(tasks)) = (shape.first_mut(), self.support.tasks) {
            *first = tasks;
        }
        Ok(params.get(*slot)?.f_neg()?.f_reshape(shape)?)
    }

    fn by_optimizer(&mut self, params: &Params, found: Vec<Tensor>, rate: &Tensor) -> Result<Params> {
        let mut gradient = params.detach()?.zeros_like()?;
        for (slot, found) in self.inner.slots.iter().zip(found) {
            gradient.put(*slot, self.seen(found)?)?;
        }
        let Some(state) = self.state.take() else { return Ok(params.share()) };
        let (moved, state) = self.inner.rule.0.step_differentiable(params, &gradient, &state, rate)?;
        self.state = Some(state);
        // What does not adapt rests, also under a rule that would decay it.
        let mut next = params.share();
        for slot in &self.inner.slots {
            next.put(*slot, moved.get(*slot)?.shallow_clone())?;
        }
        Ok(next)
    }
}

impl Predictor for Adaptation<'_> {
    fn advance(&mut self) -> Result<()> {
        let next = self.step()?;
        self.params = if self.mode == GradientMode::Off { next.detach()? } else { next };
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

/// Parameters of which those of `slots` are leaves of a new graph.
pub(crate) fn leaves(params: &Params, slots: &[Slot]) -> Result<Params> {
    Ok(params.detach()?.map_slots(slots, |_, leaf| Ok(leaf.f_detach()?.f_set_requires_grad(true)?))?)
}
