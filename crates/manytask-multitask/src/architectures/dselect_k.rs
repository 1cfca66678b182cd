use manytask_nn::{Builder, Context, Mode};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, number_like};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Auxiliary, Blueprint, Body, BodyOutput, Bottom, BuiltBody,
    EXPERT_PARTS, Experts, PartUse, Rows, TaskFeatures, check_experts, check_number, mixed, of_task,
    with_heads,
};
use crate::{Error, Result};

/// What is added to a probability under a logarithm.
const EPSILON: f64 = 1e-6;

/// DSelect-k (Hazimeh et al. 2021, `NeurIPS`, arXiv:2106.03760, equations 3 to 6): experts that all tasks share, of which each task
/// selects at most k by a gate that is continuously differentiable.
///
/// With m = ⌈log₂ E⌉ numbers z, a selector gives expert i, whose number is written in binary, the weight
/// `r(z)ᵢ = Π_{bits j of i that are 1} S(z_j) · Π_{bits that are 0} (1 − S(z_j))`, where S is the smooth step from 0 at −γ/2 to 1
/// at γ/2, `S(t) = −2t³/γ³ + 3t/(2γ) + ½`. The gate is `q = Σ_{l ≤ k} softmax(α)_l r(z⁽ˡ⁾)`.
///
/// In training a task's loss has `entropy` times the sum of its selectors' entropies, the mean over rows, which makes them choose;
/// where E is no power of two also the sum of `1 / Σᵢ r(z)ᵢ`, which keeps weight on experts that there are. They are auxiliary
/// losses by the names `selector_entropy` and `selector_reach`. Outside of ±γ/2 the step is flat and a choice is final, so z starts
/// near 0.
///
/// Parameters are named `bottom.…`, `experts.N.…`, `gates.NAME.selectors.…` (z), `gates.NAME.mixture.…` (α), `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DselectKSettings {
    /// The number of experts, E, at least 2.
    pub experts: usize,
    /// The most experts that a task mixes, k, from 1 to E.
    pub nonzeros: usize,
    /// γ, above 0.
    pub gamma: f64,
    /// The factor of the entropies, at least 0.
    pub entropy: f64,
    /// What a gate depends on.
    pub routing: Routing,
}

/// What a gate depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// The task alone: z and α are parameters.
    Task,
    /// The row too: z and α are linear in the inputs.
    #[default]
    Example,
}

impl Default for DselectKSettings {
    fn default() -> Self {
        Self { experts: 8, nonzeros: 2, gamma: 1.0, entropy: 1e-3, routing: Routing::Example }
    }
}

impl Method for DselectKSettings {
    const NAME: &'static str = "dselect_k";
    const SUMMARY: &'static str = "experts that all tasks share, of which each task selects at most k";
    const ABOUT: &'static str = "\
        Hazimeh et al. 2021, arXiv:2106.03760: a gate of `nonzeros` selectors, each of which gives one \
        expert the weight 1 once it has decided, by a smooth step of the width `gamma` (above 0) in each \
        binary digit of the expert's number; q = sum_l softmax(a)_l r(z_l). `routing` is \"example\" (z \
        and a are linear in the inputs, or in what `bottom` gives) or \"task\" (they are parameters). \
        `experts` is from 2 to 4096.\n\
        In training a task's loss has `entropy` (at least 0) times the entropies of its selectors, mean \
        over rows, which makes them decide; too large and they decide early, and a decision is final. With \
        `experts` not a power of two 1 / (what a selector gives to experts that there are) is added. They \
        are logged as auxiliary losses selector_entropy/TASK and selector_reach/TASK. All experts are \
        computed: a step costs as much as one of mmoe.";
}

impl ArchitectureSettings for DselectKSettings {
    fn name(&self) -> &'static str {
        DselectKSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        EXPERT_PARTS
    }

    fn check(&self) -> Result<()> {
        check_experts("experts", self.experts, 2)?;
        let are_experts = (1..=self.experts).contains(&self.nonzeros);
        check_number("nonzeros", self.nonzeros as f64, "from 1 to the number of experts", |_| are_experts)?;
        check_number("gamma", self.gamma, "above 0", |gamma| gamma.is_finite() && gamma > 0.0)?;
        check_number("entropy", self.entropy, "finite and at least 0", |factor| {
            factor.is_finite() && factor >= 0.0
        })
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl DselectKSettings {
    /// The bits that number the experts.
    fn bits(&self) -> usize {
        self.experts.next_power_of_two().trailing_zeros() as usize
    }

    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<DselectK>> {
        let (bottom, shape) = Bottom::build(blueprint, root, shape)?;
        let (experts, features) =
            Experts::build(blueprint, &mut root.scope("experts"), self.experts, &shape)?;
        let inputs = shape.iter().product();
        let mut gates = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut gate = root.scope(format!("gates.{name}"));
            let mut gate = gate.for_task(task);
            let (z, w) = (self.gamma / 100.0, 0.05);
            let numbers = self.nonzeros * self.bits();
            gates.push(Gate {
                selectors: self.logits(&mut gate.scope("selectors"), numbers, inputs, z)?,
                mixture: self.logits(&mut gate.scope("mixture"), self.nonzeros, inputs, w)?,
            });
        }
        Ok((DselectK { settings: self.clone(), bottom, experts, gates }, features))
    }

    /// Adds `bias` `[numbers]`, and `weight` `[numbers, inputs]` where gates depend on rows; they start from U(±bound).
    fn logits(&self, scope: &mut Builder<'_>, numbers: usize, inputs: i64, bound: f64) -> Result<Logits> {
        let init = Init::Uniform { low: -bound, high: bound };
        let numbers = numbers as i64;
        let weight = match self.routing {
            Routing::Task => None,
            Routing::Example => Some(scope.parameter("weight", &[numbers, inputs], init, Role::Weight)?),
        };
        Ok(Logits { weight, bias: scope.parameter("bias", &[numbers], init, Role::Bias)? })
    }
}

#[derive(Debug)]
struct DselectK {
    settings: DselectKSettings,
    bottom: Bottom,
    experts: Experts,
    gates: Vec<Gate>,
}

#[derive(Debug)]
struct Gate {
    selectors: Logits,
    mixture: Logits,
}

#[derive(Debug)]
struct Logits {
    weight: Option<Slot>,
    bias: Slot,
}

impl Logits {
    /// `[B, n]`, or `[1, n]` where they do not depend on rows.
    fn of(&self, params: &Params, x: &Tensor) -> Result<Tensor> {
        let bias = params.get(self.bias)?;
        Ok(match self.weight {
            Some(weight) => x.f_linear(params.get(weight)?, Some(bias))?,
            None => bias.f_unsqueeze(0)?,
        })
    }
}

/// `S(t)` for `t/γ`: exactly 0 and 1 outside of ±½.
fn smooth_step(t: &Tensor) -> Result<Tensor> {
    let t = t.f_clamp(-0.5, 0.5)?;
    let cube = t.f_mul(&t)?.f_mul(&t)?.f_mul_scalar(-2.0)?;
    Ok(cube.f_add(&t.f_mul_scalar(1.5)?)?.f_add_scalar(0.5)?)
}

impl DselectK {
    /// The selectors' weights `[B, k, E]`, `r(z⁽ˡ⁾)`, and the gate's `[B, E]`, with B = 1 where it does not depend on rows.
    fn gate(&self, params: &Params, gate: &Gate, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let DselectKSettings { experts, nonzeros, gamma, .. } = self.settings;
        let bits = self.settings.bits();
        let z = gate.selectors.of(params, x)?;
        let rows = z.size().first().copied().unwrap_or_default();
        let steps = smooth_step(&z.f_mul_scalar(1.0 / gamma)?)?;
        let steps = steps.f_reshape([rows, nonzeros as i64, bits as i64])?;
        let mut selectors: Option<Tensor> = None;
        for bit in 0..bits {
            // The first bit is the highest.
            let signs: Vec<f64> = (0..experts)
                .map(|expert| if (expert >> (bits - 1 - bit)) & 1 == 1 { 1.0 } else { -1.0 })
                .collect();
            let signs = Tensor::f_from_slice(&signs)?.f_to_kind(z.kind())?.f_to_device(z.device())?;
            let zeros = signs.f_mul_scalar(-0.5)?.f_add_scalar(0.5)?;
            // S where the bit is 1, and 1 − S where it is 0.
            let factor = steps.f_select(2, bit as i64)?.f_unsqueeze(2)?.f_mul(&signs)?.f_add(&zeros)?;
            selectors = Some(match selectors {
                None => factor,
                Some(before) => before.f_mul(&factor)?,
            });
        }
        let Some(selectors) = selectors else {
            return Err(Error::setting("experts", "`dselect_k` with one expert", "take at least 2"));
        };
        let mixture = gate.mixture.of(params, x)?;
        let mixture = mixture.f_softmax(-1, mixture.kind())?;
        let weights = mixture.f_unsqueeze(1)?.f_bmm(&selectors)?.f_squeeze_dim(1)?;
        Ok((selectors, weights))
    }

    /// What a task's loss has beside, the mean over rows.
    fn auxiliary(&self, task: usize, selectors: &Tensor) -> Result<Vec<Auxiliary>> {
        let rows = selectors.size().first().copied().unwrap_or_default().max(1) as f64;
        let mean = |sum: Tensor, factor: f64| -> Result<Tensor> {
            Ok(sum.f_mul(&number_like(factor / rows, &sum)?)?)
        };
        let mut auxiliary = Vec::new();
        if self.settings.entropy > 0.0 {
            let logs = selectors.f_add_scalar(EPSILON)?.f_log()?;
            let entropy = selectors.f_mul(&logs)?.f_sum(selectors.kind())?.f_neg()?;
            let value = mean(entropy, self.settings.entropy)?;
            auxiliary.push(Auxiliary { name: "selector_entropy", task: Some(task), value });
        }
        if !self.settings.experts.is_power_of_two() {
            let reached = selectors.f_sum_dim_intlist([-1].as_slice(), false, selectors.kind())?;
            let value = mean(reached.f_reciprocal()?.f_sum(selectors.kind())?, 1.0)?;
            auxiliary.push(Auxiliary { name: "selector_reach", task: Some(task), value });
        }
        Ok(auxiliary)
    }
}

impl Body for DselectK {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let x = self.bottom.forward(params, x, cx)?;
        // [B, E, F]
        let experts = Tensor::f_stack(&self.experts.each(params, &x, cx)?, 1)?;
        let x = if x.dim() > 2 { x.f_flatten(1, -1)? } else { x };
        let mut features = Vec::with_capacity(wanted.len());
        let mut auxiliary = Vec::new();
        for (position, task) in wanted.iter().enumerate() {
            let (x, experts) = (rows.of(position, &x)?, rows.of(position, &experts)?);
            let (selectors, weights) = self.gate(params, of_task(&self.gates, *task)?, &x)?;
            features.push(mixed(&weights, &experts)?);
            if cx.mode() == Mode::Train {
                auxiliary.extend(self.auxiliary(*task, &selectors)?);
            }
        }
        Ok(BodyOutput { features: TaskFeatures::Each(features), auxiliary })
    }

    fn smallest_batch(&self) -> usize {
        self.experts.smallest_batch().max(self.bottom.smallest_batch())
    }
}

#[cfg(test)]
mod tests;
