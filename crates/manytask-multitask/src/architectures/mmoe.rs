use std::sync::Arc;

use manytask_nn::{Builder, Context, Mode, Module};
use manytask_tensor::{Init, Layout, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Features, Heads, InputEncoder, Outputs, PartUse, Rows,
    TaskInputs,
};
use crate::{Error, Result};

/// Experts at most: more are a mistake, and would fill the memory before anything is checked.
const MOST: usize = 4096;

/// Multi-gate mixture-of-experts (Ma et al. 2018, KDD, <https://doi.org/10.1145/3219819.3220007>, equations 5 to 7):
/// `fᵏ(x) = Σᵢ gᵏ(x)ᵢ fᵢ(x)`, `gᵏ(x) = softmax(Wᵏ x)`, `yᵏ = hᵏ(fᵏ(x))`.
///
/// All tasks share the experts `fᵢ`; each has a gate, which looks at the inputs, and a tower `hᵏ`. With the part `bottom`
/// shared layers come before experts and gates, which then look at what these give: a gate on pixels would have a weight for
/// each pixel and expert.
///
/// Parameters are named `bottom.…`, `experts.N.…`, `gates.NAME.weight`, `heads.NAME.…`.
#[derive(Debug)]
pub struct Mmoe {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    bottom: Option<Box<dyn Module>>,
    experts: Vec<Box<dyn Module>>,
    /// `[E, D]` of each task.
    gates: Vec<Slot>,
    heads: Heads,
    temperature: f64,
    gate_dropout: f64,
}

/// The settings of [`Mmoe`] beside its parts.
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

impl ArchitectureSettings for MmoeSettings {
    fn name(&self) -> &'static str {
        "mmoe"
    }

    fn parts(&self) -> &'static [PartUse] {
        &[PartUse::Required("trunk"), PartUse::Optional("head"), PartUse::Optional("bottom")]
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: String, range: &str| Err(Error::setting(what, format!("it must be {range}")));
        if !(1..=MOST).contains(&self.experts) {
            return refuse(format!("`experts` is {}", self.experts), "from 1 to 4096");
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return refuse(format!("`temperature` is {}", self.temperature), "above 0");
        }
        if !(0.0..1.0).contains(&self.gate_dropout) {
            return refuse(format!("`gate_dropout` is {}", self.gate_dropout), "in [0, 1)");
        }
        Ok(())
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let mut shape = encoder.shape().to_vec();
        let mut bottom = None;
        if blueprint.has("bottom") {
            let (module, features) = blueprint.part("bottom", &mut root.scope("bottom"), &shape)?;
            shape = vec![features];
            bottom = Some(module);
        }
        let mut experts = Vec::with_capacity(self.experts);
        let mut features = 0;
        for expert in 0..self.experts {
            let mut scope = root.scope(format!("experts.{expert}"));
            let (module, size) = blueprint.part("trunk", &mut scope, &shape)?;
            features = size;
            experts.push(module);
        }
        let inputs: i64 = shape.iter().product();
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let init = Init::Uniform { low: -bound, high: bound };
        let mut gates = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut gate = root.scope("gates");
            let mut gate = gate.scope(name);
            let gate = &mut gate.for_task(task);
            gates.push(gate.parameter("weight", &[self.experts as i64, inputs], init, Role::Weight)?);
        }
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let heads = heads.within(&layout);
        let Self { temperature, gate_dropout, .. } = *self;
        Ok(Box::new(Mmoe { layout, encoder, bottom, experts, gates, heads, temperature, gate_dropout }))
    }
}

impl Mmoe {
    /// What experts and gates are given.
    fn inputs(&self, params: &Params, inputs: &TaskInputs, cx: &mut Context) -> Result<Tensor> {
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        match &self.bottom {
            None => Ok(x),
            Some(bottom) => Ok(bottom.forward(params, &x, cx)?),
        }
    }

    /// The weights that some tasks give the experts, `[B, K, E]`, each row of which sums to 1.
    fn gates(&self, params: &Params, x: &Tensor, tasks: &[usize], cx: &mut Context) -> Result<Tensor> {
        let weights = tasks.iter().map(|task| match self.gates.get(*task) {
            Some(slot) => Ok(params.get(*slot)?),
            None => Err(Error::setting(format!("task {task} of {}", self.gates.len()), "count tasks from 0")),
        });
        // Gates are few numbers, which decide much: they are computed in the kind of the parameters.
        let weight = Tensor::f_cat(&weights.collect::<Result<Vec<_>>>()?, 0)?;
        let rows = x.size().first().copied().unwrap_or_default();
        let x = if x.dim() > 2 { x.f_flatten(1, -1)? } else { x.shallow_clone() };
        let logits = x.f_linear(&weight, None::<&Tensor>)?;
        let logits = logits.f_reshape([rows, tasks.len() as i64, self.experts.len() as i64])?;
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

    /// The weights `[B, K, E]` that all tasks give the experts for rows of inputs, in evaluation: gates that have collapsed show
    /// here.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    pub fn expert_use(&self, params: &Params, inputs: &TaskInputs) -> Result<Tensor> {
        let mut cx = Context::eval();
        let x = self.inputs(params, inputs, &mut cx)?;
        let all: Vec<usize> = (0..self.gates.len()).collect();
        self.gates(params, &x, &all, &mut cx)
    }
}

impl Architecture for Mmoe {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn tasks(&self) -> usize {
        self.heads.len()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        let x = self.inputs(params, inputs, cx)?;
        let experts = self.experts.iter().map(|expert| Ok(expert.forward(params, &x, cx)?));
        // [B, E, F]
        let experts = Tensor::f_stack(&experts.collect::<Result<Vec<_>>>()?, 1)?;
        if inputs.rows == Rows::Shared {
            let mixed = self.gates(params, &x, wanted, cx)?.f_bmm(&experts)?;
            return self.heads.forward(params, Features::Stacked(&mixed.f_transpose(0, 1)?), wanted, cx);
        }
        let mut mixed = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let (x, experts) = (inputs.rows.of(position, &x)?, inputs.rows.of(position, &experts)?);
            mixed.push(self.gates(params, &x, &[*task], cx)?.f_bmm(&experts)?.f_squeeze_dim(1)?);
        }
        self.heads.forward(params, Features::Each(&mixed), wanted, cx)
    }

    fn smallest_batch(&self) -> usize {
        let parts = self.bottom.iter().chain(&self.experts);
        parts.map(Module::smallest_batch).fold(1, usize::max)
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.smallest_batch_of(task)
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::nets::MlpConfig;
    use manytask_tensor::Kind;

    use super::super::testing::{F64, blueprinted, inputs, mlp, tasks};
    use super::*;

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
        let (a, b) = (inputs(6), inputs(9));
        let both = TaskInputs {
            all: manytask_data::Inputs::cat(&[&a, &b]).unwrap(),
            rows: Rows::Own(vec![(0, 6), (6, 9)]),
        };
        let mut cx = Context::eval();
        let own = network.forward(&params, &both, &[0, 1], &mut cx).unwrap();
        for (position, x) in [a, b].iter().enumerate() {
            let alone = network.forward(&params, &TaskInputs::shared(x), &[position], &mut cx).unwrap();
            let difference = own.raw(position).unwrap() - alone.raw(0).unwrap();
            assert!(difference.abs().max().double_value(&[]) < 1e-12);
        }
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
