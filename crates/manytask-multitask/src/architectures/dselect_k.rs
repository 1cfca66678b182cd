use manytask_nn::{Builder, Context, Mode};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, number_like};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Auxiliary, Blueprint, Body, BodyOutput, Bottom, BuiltBody, Experts,
    PartUse, Rows, TaskFeatures, check_experts, of_task, with_heads,
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
        &[PartUse::Required("trunk"), PartUse::Optional("head"), PartUse::Optional("bottom")]
    }

    fn check(&self) -> Result<()> {
        check_experts("experts", self.experts, 2)?;
        let refuse = |key: &str, value: f64, range: &str| {
            Err(Error::setting(key, format!("`{key}` is {value}"), format!("it must be {range}")))
        };
        if !(1..=self.experts).contains(&self.nonzeros) {
            return refuse("nonzeros", self.nonzeros as f64, "from 1 to the number of experts");
        }
        if !(self.gamma.is_finite() && self.gamma > 0.0) {
            return refuse("gamma", self.gamma, "above 0");
        }
        if !(self.entropy.is_finite() && self.entropy >= 0.0) {
            return refuse("entropy", self.entropy, "finite and at least 0");
        }
        Ok(())
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
            let mut gate = root.scope("gates");
            let mut gate = gate.scope(name);
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
            let count = x.size().first().copied().unwrap_or_default();
            let weights = weights.f_unsqueeze(1)?.f_expand([count, 1, -1], false)?;
            features.push(weights.f_bmm(&experts)?.f_squeeze_dim(1)?);
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
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Graph, gradients};

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, own_rows_are_as_shared_ones, tasks};
    use super::*;
    use crate::architecture::TaskInputs;

    fn network(settings: &DselectKSettings) -> (Box<dyn Architecture>, Params) {
        let network = blueprinted(settings, &tasks(2), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        (network, params)
    }

    /// The same with selectors that have somewhat to say.
    fn wider(network: &dyn Architecture, params: &Params, factor: f64) -> Params {
        let slots = network.layout().select(|entry| entry.name.contains("selectors"));
        params.map_slots(&slots, |_, leaf| Ok(leaf * factor)).unwrap()
    }

    /// The weights of one row by the definition: numbers, bit by bit.
    fn by_hand(z: &[Vec<f64>], mixture: &[f64], experts: usize, gamma: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let step = |t: f64| {
            if t <= -gamma / 2.0 {
                0.0
            } else if t >= gamma / 2.0 {
                1.0
            } else {
                -2.0 * t.powi(3) / gamma.powi(3) + 3.0 * t / (2.0 * gamma) + 0.5
            }
        };
        let selectors: Vec<Vec<f64>> = z
            .iter()
            .map(|z| {
                let weight = |expert: usize| {
                    let bits = (0..z.len()).map(|j| (expert >> (z.len() - 1 - j)) & 1 == 1);
                    bits.zip(z).map(|(bit, z)| if bit { step(*z) } else { 1.0 - step(*z) }).product()
                };
                (0..experts).map(weight).collect()
            })
            .collect();
        let total: f64 = mixture.iter().map(|a| a.exp()).sum();
        let gate = |expert: usize| {
            selectors.iter().zip(mixture).map(|(r, a)| a.exp() / total * r[expert]).sum::<f64>()
        };
        let gate = (0..experts).map(gate).collect();
        (selectors, gate)
    }

    #[test]
    fn gates_and_regularisers_are_those_of_the_definition() {
        for (experts, nonzeros, routing) in
            [(4, 2, Routing::Example), (3, 1, Routing::Example), (5, 2, Routing::Task)]
        {
            let settings = DselectKSettings { experts, nonzeros, gamma: 0.7, entropy: 0.3, routing };
            let (network, params) = network(&settings);
            let params = wider(network.as_ref(), &params, 20.0);
            let x = inputs(6);
            let mut cx = Context::train(Key::new(1, "a"));
            let found = network.forward(&params, &TaskInputs::shared(&x), &[1], &mut cx).unwrap();
            let x = x.tensor(F64.0).unwrap();
            let logits = |part: &str| -> Tensor {
                let name = format!("gates.t1.{part}");
                match routing {
                    Routing::Example => linear(&params, &x, &name),
                    Routing::Task => {
                        params.named(&format!("{name}.bias")).unwrap().unsqueeze(0).expand([6, -1], false)
                    }
                }
            };
            let (z, mixture) = (logits("selectors"), logits("mixture"));
            let outputs: Vec<Tensor> =
                (0..experts).map(|e| linear(&params, &x, &format!("experts.{e}.layer0")).relu()).collect();
            let (mut entropy, mut reach) = (0.0, 0.0);
            for row in 0..6 {
                let numbers: Vec<f64> = Vec::try_from(z.get(row)).unwrap();
                let z: Vec<Vec<f64>> =
                    numbers.chunks(numbers.len() / nonzeros).map(<[f64]>::to_vec).collect();
                let mixture: Vec<f64> = Vec::try_from(mixture.get(row)).unwrap();
                let (selectors, gate) = by_hand(&z, &mixture, experts, 0.7);
                for r in &selectors {
                    entropy -= r.iter().map(|r| r * (r + EPSILON).ln()).sum::<f64>() * 0.3 / 6.0;
                    reach += 1.0 / r.iter().sum::<f64>() / 6.0;
                }
                let mixed = outputs.iter().zip(&gate).map(|(f, g)| f.get(row) * *g).reduce(|a, b| a + b);
                let expected = linear(&params, &mixed.unwrap().unsqueeze(0), "heads.t1");
                let difference = found.raw(0).unwrap().get(row) - expected.get(0);
                assert!(difference.abs().max().double_value(&[]) < 1e-12, "{settings:?}");
            }
            let of = |name: &str| {
                let own = found.auxiliary.iter().find(|of| of.name == name)?;
                assert_eq!(own.task, Some(1));
                Some(own.value.double_value(&[]))
            };
            assert!((of("selector_entropy").unwrap() - entropy).abs() < 1e-12);
            let missing = experts.is_power_of_two();
            assert_eq!(of("selector_reach").is_none(), missing);
            assert!(missing || (of("selector_reach").unwrap() - reach).abs() < 1e-12);
        }
    }

    /// `LibMTL` differentiates the regulariser within the forward pass, and what it gave is wiped before the step.
    #[test]
    fn the_regulariser_reaches_the_gates_and_makes_them_choose() {
        let settings = DselectKSettings { experts: 4, entropy: 1.0, ..DselectKSettings::default() };
        let (network, params) = network(&settings);
        let x = TaskInputs::shared(&inputs(6));
        let slots = network.layout().select(|entry| entry.name.starts_with("gates.t0.selectors"));
        let mut params = params;
        let mut entropies = Vec::new();
        for _ in 0..40 {
            let with_graph = params.require_grad().unwrap();
            let mut cx = Context::train(Key::new(1, "a"));
            let value = network.forward(&with_graph, &x, &[0], &mut cx).unwrap().auxiliary.remove(0).value;
            let leaves: Vec<&Tensor> = slots.iter().map(|slot| with_graph.get(*slot).unwrap()).collect();
            let found = gradients(&value, &leaves, Graph::Free).unwrap();
            entropies.push(value.double_value(&[]));
            for (slot, gradient) in slots.iter().zip(&found) {
                let moved = params.get(*slot).unwrap().detach() - gradient * 0.05;
                params.put(*slot, moved).unwrap();
            }
        }
        assert!(
            (entropies[0] - 2.0 * 4f64.ln()).abs() < 0.01,
            "two selectors over four experts are undecided"
        );
        assert!(entropies[39] < 1e-3, "{entropies:?}");
    }

    #[test]
    fn a_decided_gate_has_exact_zeros_and_nothing_is_added_in_evaluation() {
        let settings = DselectKSettings { experts: 8, nonzeros: 1, ..DselectKSettings::default() };
        let (network, params) = network(&settings);
        let params = wider(network.as_ref(), &params, 1e6);
        let moved = network.layout().select(|entry| entry.name.starts_with("experts."));
        let x = TaskInputs::shared(&inputs(1));
        let outputs = |params: &Params| network.forward(params, &x, &[0], &mut Context::eval()).unwrap();
        assert!(outputs(&params).auxiliary.is_empty());
        let reached = moved.iter().filter(|slot| {
            let other = params.map_slots(&[**slot], |_, leaf| Ok(leaf + 1.0)).unwrap();
            outputs(&other).raw(0).unwrap() != outputs(&params).raw(0).unwrap()
        });
        assert_eq!(reached.count(), 2, "weight and bias of one expert");
    }

    #[test]
    fn own_rows_are_mixed_as_shared_ones() {
        let (network, params) = network(&DselectKSettings::default());
        own_rows_are_as_shared_ones(network.as_ref(), &params);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = DselectKSettings::default();
        for (settings, says) in [
            (DselectKSettings { experts: 1, ..base.clone() }, "`experts` is 1; it must be from 2 to 4096"),
            (DselectKSettings { nonzeros: 9, ..base.clone() }, "`nonzeros` is 9"),
            (DselectKSettings { gamma: 0.0, ..base.clone() }, "`gamma` is 0"),
            (DselectKSettings { entropy: -1.0, ..base }, "`entropy` is -1"),
        ] {
            assert!(settings.check().unwrap_err().to_string().contains(says), "{says}");
        }
    }
}
