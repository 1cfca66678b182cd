use manytask_multitask::{Error, Result};
use manytask_nn::optim::Optimizer;
use manytask_tensor::{Graph, Layout, Params, Slot, Tensor, gradients};
use serde::{Deserialize, Serialize};

use crate::analytic::Descent;
use crate::learner::{Learner, Scene};

/// Model-agnostic meta-learning (Finn et al. 2017): `φ₀ = θ`, `φₖ₊₁ = φₖ − α ∇L_support(φₖ)`, and the meta-gradient is that of
/// `L_query(φ_K(θ))` by θ.
///
/// What adapts, the inner rule and the outer gradient are apart: with `outer_gradient = "first_order"` it is FOMAML, with
/// `adapts = "head"` ANIL (Raghu et al. 2020), with `adapts = "body"` BOIL (Oh et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maml {
    /// K, the inner steps in training.
    pub inner_steps: u32,
    /// α.
    pub inner_learning_rate: f64,
    /// How an inner gradient becomes an inner step.
    pub inner_rule: InnerRule,
    /// Which parameters adapt.
    pub adapts: Adapts,
    /// How the outer gradient sees the inner steps.
    pub outer_gradient: OuterGradient,
    /// After how many inner steps the parameters are kept for the way back; what lies between is computed again then, so that
    /// memory grows with these steps and no more with all of them. Absent: everything is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u32>,
}

/// The most steps of adaptation, in training or evaluation.
pub(crate) const MOST_STEPS: u32 = 10_000;

/// How an inner gradient becomes an inner step: any optimizer of [`manytask_nn::optim`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InnerRule(pub Optimizer);

/// Which parameters adapt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adapts {
    /// All of them.
    #[default]
    All,
    /// Those named `head.…`.
    Head,
    /// All but those named `head.…`.
    Body,
    /// Those whose names begin with one of these.
    Named(Vec<String>),
}

/// How the outer gradient sees the inner steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OuterGradient {
    /// As functions of θ: the exact gradient.
    #[default]
    SecondOrder,
    /// As constants: the gradient at the adapted parameters.
    FirstOrder,
}

impl Default for InnerRule {
    fn default() -> Self {
        Self(Optimizer::sgd(0.0))
    }
}

impl InnerRule {
    /// Whether a step is `−α g` and nothing else.
    pub fn is_plain(&self) -> bool {
        matches!(&self.0, Optimizer::Sgd(sgd) if sgd.momentum == 0.0 && sgd.weight_decay == 0.0)
    }
}

impl Default for Maml {
    fn default() -> Self {
        Self {
            inner_steps: 1,
            inner_learning_rate: 0.01,
            inner_rule: InnerRule::default(),
            adapts: Adapts::All,
            outer_gradient: OuterGradient::SecondOrder,
            checkpoint_every: None,
        }
    }
}

impl Adapts {
    /// The slots of a layout that adapt.
    pub fn slots(&self, layout: &Layout) -> Vec<Slot> {
        layout.select(|entry| {
            let head = entry.name.starts_with("head.");
            entry.role.is_trained()
                && match self {
                    Self::All => true,
                    Self::Head => head,
                    Self::Body => !head,
                    Self::Named(prefixes) => {
                        prefixes.iter().any(|prefix| entry.name.starts_with(prefix.as_str()))
                    }
                }
        })
    }
}

/// How far an adaptation is differentiated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Inner gradients have a graph.
    All,
    /// The adapted parameters have a graph to θ, inner gradients are constants.
    Start,
    /// Nothing: for evaluation.
    Nothing,
}

/// Parameters on their way through a support set.
pub(crate) struct Adaptation<'a> {
    settings: &'a Maml,
    scene: &'a Scene<'a>,
    slots: Vec<Slot>,
    kept: Kept,
    /// −α.
    rate: Tensor,
    state: Option<manytask_nn::optim::OptimizerState>,
}

impl<'a> Adaptation<'a> {
    pub(crate) fn new(settings: &'a Maml, scene: &'a Scene<'a>, params: &Params, kept: Kept) -> Result<Self> {
        let rate = settings.inner_learning_rate;
        let rate = Tensor::from(rate).f_to_kind(params.kind())?.f_to_device(params.device())?;
        let rule = &settings.inner_rule;
        let state = if rule.is_plain() { None } else { Some(rule.0.init(params)?) };
        Ok(Self { settings, scene, slots: settings.adapts.slots(params.layout()), kept, rate, state })
    }

    /// One step from `params`.
    pub(crate) fn step(&mut self, params: &Params, number: u64) -> Result<Params> {
        let scene = self.scene;
        let params = if self.kept == Kept::Nothing { self.leaves(params)? } else { params.share() };
        let prediction = scene.network.forward(&params, scene.support_x, &mut scene.context(2 * number))?;
        let loss = scene.loss.mean(&prediction, scene.support_y, None, scene.tasks)?;
        // Tasks' losses depend on their own parameters alone, so the gradient of the sum is each task's own.
        let total = if scene.tasks.is_some() { loss.f_sum(loss.kind())? } else { loss };
        let inputs = self.slots.iter().map(|slot| Ok(params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        let graph = if self.kept == Kept::All { Graph::Differentiable } else { Graph::Free };
        let found = gradients(&total, &inputs, graph)?;
        if self.state.is_some() {
            return self.by_optimizer(&params, found);
        }
        let mut next = params.share();
        let down = self.rate.f_neg()?;
        for (slot, gradient) in self.slots.iter().zip(found) {
            let gradient = if self.kept == Kept::All { gradient } else { gradient.f_detach()? };
            next.put(*slot, params.get(*slot)?.f_addcmul(&gradient, &down)?)?;
        }
        Ok(next)
    }

    fn by_optimizer(&mut self, params: &Params, found: Vec<Tensor>) -> Result<Params> {
        let mut gradient = params.detach()?.zeros_like()?;
        for (slot, found) in self.slots.iter().zip(found) {
            gradient.put(*slot, if self.kept == Kept::All { found } else { found.f_detach()? })?;
        }
        let Some(state) = self.state.take() else { return Ok(params.share()) };
        let (moved, state) =
            self.settings.inner_rule.0.step_differentiable(params, &gradient, &state, &self.rate)?;
        self.state = Some(state);
        // What does not adapt rests, also under a rule that would decay it.
        let mut next = params.share();
        for slot in &self.slots {
            next.put(*slot, moved.get(*slot)?.shallow_clone())?;
        }
        Ok(next)
    }

    /// Parameters of which those that adapt are leaves of a new graph.
    fn leaves(&self, params: &Params) -> Result<Params> {
        let mut leaves = params.detach()?;
        for slot in &self.slots {
            let leaf = leaves.get(*slot)?.f_detach()?.f_set_requires_grad(true)?;
            leaves.put(*slot, leaf)?;
        }
        Ok(leaves)
    }
}

impl Learner for Maml {
    fn name(&self) -> &'static str {
        "maml"
    }

    fn has_head(&self) -> bool {
        true
    }

    fn inner_steps(&self) -> Option<u32> {
        Some(self.inner_steps)
    }

    fn descent(&self, layout: &Layout) -> Option<Descent> {
        self.inner_rule.is_plain().then(|| Descent {
            steps: self.inner_steps,
            rate: self.inner_learning_rate,
            slots: self.adapts.slots(layout),
            second_order: self.outer_gradient == OuterGradient::SecondOrder,
            checkpoint_every: self.checkpoint_every,
        })
    }

    fn check(&self, layout: &Layout) -> Result<()> {
        let rate = self.inner_learning_rate;
        // As it is used: 1e39 is infinite there, and 1e-46 is 0.
        if !((rate as f32).is_finite() && rate as f32 > 0.0) {
            return Err(Error::setting(
                format!("inner_learning_rate is {rate}"),
                "it must be above 0 and finite in single precision",
            ));
        }
        if self.inner_steps == 0 || self.inner_steps > MOST_STEPS {
            return Err(Error::setting(
                format!("inner_steps is {}", self.inner_steps),
                format!("take 1 to {MOST_STEPS}"),
            ));
        }
        if self.checkpoint_every == Some(0) {
            return Err(Error::setting("checkpoint_every is 0", "take 1 at least, or leave it out"));
        }
        if self.checkpoint_every.is_some() && !self.inner_rule.is_plain() {
            return Err(Error::setting(
                "checkpoint_every with an inner rule that has a state or a decay",
                "take plain sgd, or leave checkpoint_every out",
            ));
        }
        self.inner_rule.0.check()?;
        if self.adapts.slots(layout).is_empty() {
            let names: Vec<&str> = layout.entries().iter().map(|entry| entry.name.as_str()).collect();
            return Err(Error::setting(
                match &self.adapts {
                    Adapts::Named(wanted) => {
                        format!("adapts = [{}] names none of the network's parameters", wanted.join(", "))
                    }
                    _ => "adapts names none of the network's parameters".to_owned(),
                },
                format!("they are {}", names.join(", ")),
            ));
        }
        Ok(())
    }

    fn predict(&self, scene: &Scene<'_>, params: &Params) -> Result<Tensor> {
        let kept = if self.outer_gradient == OuterGradient::SecondOrder { Kept::All } else { Kept::Start };
        let mut adaptation = Adaptation::new(self, scene, params, kept)?;
        let mut adapted = params.share();
        for number in 0..self.inner_steps {
            adapted = adaptation.step(&adapted, u64::from(number))?;
        }
        let mut cx = scene.context(2 * u64::from(self.inner_steps) + 1);
        Ok(scene.network.forward(&adapted, scene.query_x, &mut cx)?)
    }

    fn query_gradient(
        &self,
        scene: &Scene<'_>,
        params: &Params,
        query_y: &Tensor,
    ) -> Result<Option<(Tensor, Params)>> {
        let Some(every) = self.checkpoint_every else { return Ok(None) };
        crate::checkpointing::query_gradient(self, every, scene, params, query_y).map(Some)
    }

    fn trajectory(&self, scene: &Scene<'_>, params: &Params, steps: Option<u32>) -> Result<Vec<Tensor>> {
        let steps = steps.unwrap_or(self.inner_steps);
        let mut adaptation = Adaptation::new(self, scene, params, Kept::Nothing)?;
        let mut adapted = params.detach()?;
        let mut predictions = Vec::with_capacity(steps as usize + 1);
        for number in 0..=steps {
            if number > 0 {
                adapted = adaptation.step(&adapted, u64::from(number - 1))?.detach()?;
            }
            let _off = manytask_tensor::no_grad();
            let mut cx = scene.context(2 * u64::from(number) + 1);
            predictions.push(scene.network.forward(&adapted, scene.query_x, &mut cx)?);
        }
        Ok(predictions)
    }
}
