use manytask_nn::{Builder, Context, Mode};
use manytask_tensor::{Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, Bottom, BuiltBody, EXPERT_PARTS,
    Experts, PartUse, Rows, TaskFeatures, check_experts, check_number, gate, gate_logits, of_task,
    with_heads,
};

/// Multi-gate mixture-of-experts (Ma et al. 2018, KDD, <https://doi.org/10.1145/3219819.3220007>, equations 5 to 7):
/// `fᵏ(x) = Σᵢ gᵏ(x)ᵢ fᵢ(x)`, `gᵏ(x) = softmax(Wᵏ x)`, `yᵏ = hᵏ(fᵏ(x))`.
///
/// All tasks share the experts `fᵢ`; each has a gate, which looks at the inputs, and a tower `hᵏ`. With the part `bottom`
/// shared layers come before experts and gates, which then look at what these give: a gate on pixels would have a weight for
/// each pixel and expert.
///
/// Parameters are named `bottom.…`, `experts.N.…`, `gates.NAME.weight`, `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmoeSettings {
    /// The number of experts, E.
    pub experts: usize,
    /// What the gates' numbers are divided by before the softmax: above 1 gates are more even.
    pub temperature: f64,
    /// The share of a gate's weights that is dropped in training, the rest made to sum to 1 again, so that gates do not settle
    /// on a single expert (Zhao et al. 2019, <https://doi.org/10.1145/3298689.3346997>, section 4.2, with 0.1).
    pub gate_dropout: f64,
}

impl Default for MmoeSettings {
    fn default() -> Self {
        Self { experts: 8, temperature: 1.0, gate_dropout: 0.0 }
    }
}

impl Method for MmoeSettings {
    const NAME: &'static str = "mmoe";
    const SUMMARY: &'static str = "experts that all tasks share, mixed by a gate for each task";
    const ABOUT: &'static str = "\
        Ma et al. 2018, doi.org/10.1145/3219819.3220007: f_k(x) = sum_i g_k(x)_i f_i(x), g_k = softmax(W_k \
        x), y_k = h_k(f_k). `trunk` is the form of each of `experts` (1 to 4096), `head` that of each \
        tower. Gates look at the inputs; with the part `bottom`, layers that all share, they look at what \
        these give: write one for images, where a gate would have a weight for each pixel. `temperature` \
        (above 0) makes gates even, `gate_dropout` (in [0, 1)) drops experts in training (Zhao et al. 2019 \
        take 0.1).\n\
        Experts are shared parameters, gates and towers each task's own. A step costs as much as one of \
        `experts` trunks.";
}

impl ArchitectureSettings for MmoeSettings {
    fn name(&self) -> &'static str {
        MmoeSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        EXPERT_PARTS
    }

    fn check(&self) -> Result<()> {
        check_experts("experts", self.experts, 1)?;
        check_number("temperature", self.temperature, "above 0", |t| t.is_finite() && t > 0.0)?;
        check_number("gate_dropout", self.gate_dropout, "in [0, 1)", |p| (0.0..1.0).contains(&p))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl MmoeSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Mmoe>> {
        let (bottom, shape) = Bottom::build(blueprint, root, shape)?;
        let (experts, features) =
            Experts::build(blueprint, &mut root.scope("experts"), self.experts, &shape)?;
        let mut gates = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut scope = root.scope(format!("gates.{name}"));
            gates.push(gate(&mut scope.for_task(task), self.experts, &shape)?);
        }
        let Self { temperature, gate_dropout, .. } = *self;
        Ok((Mmoe { bottom, experts, gates, temperature, gate_dropout }, features))
    }
}

#[derive(Debug)]
struct Mmoe {
    bottom: Bottom,
    experts: Experts,
    /// `[E, D]` of each task.
    gates: Vec<Slot>,
    temperature: f64,
    gate_dropout: f64,
}

impl Mmoe {
    /// The weights that some tasks give the experts, `[B, K, E]`, each row of which sums to 1.
    fn gates(&self, params: &Params, x: &Tensor, tasks: &[usize], cx: &mut Context) -> Result<Tensor> {
        let gates = tasks.iter().map(|task| Ok(*of_task(&self.gates, *task)?));
        let logits = gate_logits(params, &gates.collect::<Result<Vec<_>>>()?, x)?;
        let logits = if self.temperature == 1.0 {
            logits
        } else {
            let temperature = Tensor::from(self.temperature).f_to_kind(logits.kind())?;
            logits.f_div(&temperature.f_to_device(logits.device())?)?
        };
        let gates = logits.f_softmax(-1, logits.kind())?;
        if cx.mode() == Mode::Eval || self.gate_dropout == 0.0 {
            return Ok(gates);
        }
        let kept =
            cx.bernoulli(1.0 - self.gate_dropout, &gates.size(), None, gates.kind(), gates.device())?;
        let kept = gates.f_mul(&kept)?;
        let sum = kept.f_sum_dim_intlist([-1].as_slice(), true, kept.kind())?;
        // Where all were dropped, none is: the whole gate sums to 1.
        let none = sum.f_eq(0.0)?.f_to_kind(kept.kind())?;
        Ok(kept.f_add(&gates.f_mul(&none)?)?.f_div(&sum.f_add(&none)?)?)
    }
}

impl Body for Mmoe {
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
        if *rows == Rows::Shared {
            let mixed = self.gates(params, &x, wanted, cx)?.f_bmm(&experts)?;
            return Ok(TaskFeatures::Stacked(mixed.f_transpose(0, 1)?).into());
        }
        let mut mixed = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let (x, experts) = (rows.of(position, &x)?, rows.of(position, &experts)?);
            mixed.push(self.gates(params, &x, &[*task], cx)?.f_bmm(&experts)?.f_squeeze_dim(1)?);
        }
        Ok(TaskFeatures::Each(mixed).into())
    }

    fn smallest_batch(&self) -> usize {
        self.experts.smallest_batch().max(self.bottom.smallest_batch())
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::nets::MlpConfig;
    use manytask_tensor::Kind;

    use super::super::testing::{F64, blueprinted, inputs, mlp, own_rows_are_as_shared_ones, tasks};
    use super::*;
    use crate::architecture::TaskInputs;

    fn network(settings: &MmoeSettings, parts: &[(&str, MlpConfig)]) -> (Box<dyn Architecture>, Params) {
        let network = blueprinted(settings, &tasks(2), parts);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        (network, params)
    }

    #[test]
    fn each_task_mixes_the_experts_by_its_own_gate_on_the_inputs() {
        let (network, params) =
            network(&MmoeSettings { experts: 3, ..MmoeSettings::default() }, &[("trunk", mlp(&[5]))]);
        let x = inputs(6);
        let mut cx = Context::eval();
        let found = network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut cx).unwrap();
        let x = x.tensor(Kind::Double).unwrap();
        let named = |name: &str| params.named(name).unwrap();
        let linear = |x: &Tensor, name: &str| {
            x.matmul(&named(&format!("{name}.weight")).tr()) + named(&format!("{name}.bias"))
        };
        let experts: Vec<Tensor> =
            (0..3).map(|e| linear(&x, &format!("experts.{e}.layer0")).relu()).collect();
        for (position, task) in ["t0", "t1"].iter().enumerate() {
            let gate = x.matmul(&named(&format!("gates.{task}.weight")).tr()).softmax(-1, Kind::Double);
            let mixed =
                (0..3).map(|e| gate.narrow(1, e, 1) * &experts[e as usize]).reduce(|a, b| a + b).unwrap();
            let expected = linear(&mixed, &format!("heads.{task}"));
            assert!((found.raw(position).unwrap() - expected).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn own_rows_are_mixed_as_shared_ones() {
        let (network, params) = network(&MmoeSettings::default(), &[("trunk", mlp(&[5]))]);
        own_rows_are_as_shared_ones(network.as_ref(), &params);
    }

    #[test]
    fn a_gate_looks_at_the_bottom_where_there_is_one() {
        let (network, params) =
            network(&MmoeSettings::default(), &[("trunk", mlp(&[5])), ("bottom", mlp(&[3]))]);
        assert_eq!(params.named("gates.t0.weight").unwrap().size(), [8, 3]);
        assert_eq!(params.named("experts.7.layer0.weight").unwrap().size(), [5, 3]);
        let x = TaskInputs::shared(&inputs(6));
        assert_eq!(
            network.forward(&params, &x, &[1], &mut Context::eval()).unwrap().raw(0).unwrap().size(),
            [6, 1]
        );
    }

    #[test]
    fn gates_sum_to_one_whatever_is_dropped_and_are_more_even_when_hot() {
        let built = |settings: MmoeSettings| {
            let blueprint = tasks(2);
            let network = blueprinted(&settings, &blueprint, &[("trunk", mlp(&[5]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            (network, params)
        };
        let dropping = MmoeSettings { experts: 2, gate_dropout: 0.6, ..MmoeSettings::default() };
        let (network, mut params) = built(dropping);
        // Experts that give ones and heads that add them up: the outputs are the sums of the gates.
        for (slot, (entry, leaf)) in network.layout().slots().zip(params.share().iter()) {
            let value = match entry.name.as_str() {
                name if name.ends_with("layer0.bias") => 1.0,
                name if name.starts_with("heads") && name.ends_with("weight") => 0.2,
                name if name.starts_with("gates") => continue,
                _ => 0.0,
            };
            params.put(slot, leaf.full_like(value)).unwrap();
        }
        let x = TaskInputs::shared(&inputs(200));
        let key = manytask_tensor::random::Key::new(1, "drop");
        let sums = network.forward(&params, &x, &[0], &mut Context::train(key)).unwrap().raw(0).unwrap();
        assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-12);
        let spread = |temperature: f64| {
            let settings = MmoeSettings { temperature, ..MmoeSettings::default() };
            let (network, params) = built(settings);
            let outputs = network.forward(&params, &x, &[0], &mut Context::eval()).unwrap();
            outputs.raw(0).unwrap().std(true).double_value(&[])
        };
        assert!(spread(1e-3) > spread(1e3), "cold gates choose, hot ones average");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = MmoeSettings::default();
        for (settings, says) in [
            (MmoeSettings { experts: 0, ..base.clone() }, "`experts` is 0"),
            (MmoeSettings { experts: 1 << 40, ..base.clone() }, "from 1 to 4096"),
            (MmoeSettings { temperature: 0.0, ..base.clone() }, "`temperature` is 0"),
            (MmoeSettings { gate_dropout: 1.0, ..base }, "`gate_dropout` is 1"),
        ] {
            assert!(settings.check().unwrap_err().to_string().contains(says), "{says}");
        }
    }
}
