use std::sync::Arc;

use manytask_nn::layers::Linear;
use manytask_nn::metrics::Output;
use manytask_nn::{Builder, Context, Mode, Module};
use manytask_tensor::{Layout, Method, Owner, Params, Tensor, WHOLE, number_like};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Auxiliary, Blueprint, Bottom, InputEncoder, Outputs, PartUse,
    TaskInputs, of_task,
};
use crate::{Error, Result, Task};

/// The adaptive information transfer multi-task model (Xi et al. 2021, KDD, arXiv:2105.08489, equations 1 to 6) of events that
/// follow each other: impression, click, approval, activation.
///
/// Each task t has a tower, `qₜ = fₜ(x)`. What the task before it knows comes over as `pₜ₋₁ = gₜ₋₁(zₜ₋₁)`, one linear layer with relu,
/// and a self-attention over the two makes the task's features: `zₜ = Σ_{u ∈ {pₜ₋₁, qₜ}} w_u h₁(u)` with
/// `w = softmax(⟨h₂(u), h₃(u)⟩ / √F)`; `z₁ = q₁`.
///
/// An event cannot be more probable than the one before it: in training the calibrator adds `calibration` times the mean of
/// `max(ŷₜ − ŷₜ₋₁, 0)` to the loss of task t, an auxiliary loss by the name `order_violation`. It is part of the loss that is
/// differentiated, and moves both predictions.
///
/// All that is before the last task's tower takes part in later losses, so it is shared; the last task's tower, transfer and
/// head are its own. Parameters are named `bottom.…`, `towers.NAME.…`, `information.NAME.…` (g), `transfer.NAME.value`, `.key`,
/// `.query`, `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AitmSettings {
    /// The factor of the calibrator, α, at least 0.
    pub calibration: f64,
}

impl Default for AitmSettings {
    fn default() -> Self {
        Self { calibration: 0.6 }
    }
}

#[derive(Debug)]
struct Aitm {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    bottom: Bottom,
    towers: Vec<Box<dyn Module>>,
    /// Of every task but the first: what brings the features of the task before it over.
    transfers: Vec<Transfer>,
    heads: Vec<Box<dyn Module>>,
    calibration: f64,
}

#[derive(Debug)]
struct Transfer {
    information: Linear,
    value: Linear,
    key: Linear,
    query: Linear,
}

impl Method for AitmSettings {
    const NAME: &'static str = "aitm";
    const SUMMARY: &'static str =
        "events that follow each other, each told by attention what the one before it knows";
    const ABOUT: &'static str = "\
        Xi et al. 2021, arXiv:2105.08489: binary tasks in the order of the events (click, approval, \
        activation). Each has a tower of the form `trunk`; z_t = attention over g(z_(t-1)) and the task's \
        own tower. `head` are layers before the last one, `bottom` layers that all share before the \
        towers.\n\
        In training the calibrator adds `calibration` (at least 0) times the mean of max(p_t - p_(t-1), 0) \
        to the loss of each task but the first: a later event cannot be more probable. It is logged as \
        auxiliary loss order_violation/TASK. Everything before the last task's tower is shared. Tasks must \
        be on the same rows.";
}

impl ArchitectureSettings for AitmSettings {
    fn name(&self) -> &'static str {
        AitmSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        &[PartUse::Required("trunk"), PartUse::Optional("head"), PartUse::Optional("bottom")]
    }

    fn check(&self) -> Result<()> {
        if self.calibration.is_finite() && self.calibration >= 0.0 {
            return Ok(());
        }
        Err(Error::setting(
            "calibration",
            format!("`calibration` is {}", self.calibration),
            "it must be finite and at least 0",
        ))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let names = blueprint.names();
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let (bottom, shape) = Bottom::build(blueprint, &mut root, encoder.shape())?;
        let (mut towers, mut transfers, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for (task, name) in names.iter().enumerate() {
            let owner = if task + 1 == names.len() { Owner::Task(task) } else { Owner::Shared };
            let (tower, features) =
                blueprint.part("trunk", &mut owned(&mut root.scope("towers").scope(name), owner), &shape)?;
            towers.push(tower);
            if let Some(before) = task.checked_sub(1).and_then(|before| names.get(before)) {
                let information =
                    Linear::new(&mut root.scope("information").scope(before), features, features);
                let mut scope = root.scope("transfer");
                let mut scope = scope.scope(name);
                let mut scope = owned(&mut scope, owner);
                let mut layer = |name: &str| Linear::new(&mut scope.scope(name), features, features);
                let (value, key, query) = (layer("value")?, layer("key")?, layer("query")?);
                transfers.push(Transfer { information: information?, value, key, query });
            }
            let mut scope = root.scope("heads");
            heads.push(blueprint.head(&mut owned(&mut scope.scope(name), owner), task, features)?);
        }
        let (layout, calibration) = (layout.build(), self.calibration);
        Ok(Box::new(Aitm { layout, encoder, bottom, towers, transfers, heads, calibration }))
    }
}

/// A builder of parameters of this owner.
fn owned<'b>(b: &'b mut Builder<'_>, owner: Owner) -> Builder<'b> {
    match owner {
        Owner::Task(task) => b.for_task(task),
        Owner::Shared => b.with_precision(b.precision()),
    }
}

impl Transfer {
    /// z of the task, for z of the task before it and the task's own tower: `[B, F]` each.
    fn forward(&self, params: &Params, before: &Tensor, own: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let information = self.information.forward(params, before, cx)?.f_relu()?;
        // [2 B, F]: rows of p, then those of q.
        let both = Tensor::f_cat(&[&information, own], 0)?;
        let [value, key, query] = [&self.value, &self.key, &self.query];
        let (key, query) = (key.forward(params, &both, cx)?, query.forward(params, &both, cx)?);
        let features = both.size().get(1).copied().unwrap_or(1).max(1) as f64;
        let logits = key.f_mul(&query)?.f_sum_dim_intlist([1].as_slice(), false, key.kind())?;
        let logits = logits.f_mul(&number_like(features.sqrt().recip(), &logits)?)?.f_reshape([2, -1])?;
        let weights = logits.f_softmax(0, logits.kind())?.f_unsqueeze(2)?;
        let features = both.size().get(1).copied().unwrap_or_default();
        let values = value.forward(params, &both, cx)?.f_reshape([2, -1, features])?;
        Ok(values.f_mul(&weights)?.f_sum_dim_intlist([0].as_slice(), false, values.kind())?)
    }
}

fn not_a_sequence(what: String) -> Error {
    Error::setting(
        WHOLE,
        what,
        "it is for at least two binary tasks on the same rows, each an event that can only follow the one before it",
    )
}

impl Architecture for Aitm {
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
        let x = self.encoder.forward(params, &inputs.all, cx)?;
        let x = self.bottom.forward(params, &x, cx)?;
        let last = wanted.iter().copied().max().unwrap_or_default();
        let is_training = cx.mode() == Mode::Train && self.calibration > 0.0;
        let mut raw: Vec<Option<Tensor>> = Vec::with_capacity(last + 1);
        let mut before: Option<Tensor> = None;
        for task in 0..=last {
            let own = of_task(&self.towers, task)?.forward(params, &x, cx)?;
            let z = match (&before, task.checked_sub(1)) {
                (Some(before), Some(number)) => {
                    of_task(&self.transfers, number)?.forward(params, before, &own, cx)?
                }
                _ => own,
            };
            // The calibrator of the next task looks at this one's output, also where nothing else does.
            let is_looked_at = wanted.contains(&task) || (is_training && wanted.contains(&(task + 1)));
            raw.push(if is_looked_at {
                Some(of_task(&self.heads, task)?.forward(params, &z, cx)?.f_to_kind(params.kind())?)
            } else {
                None
            });
            before = Some(z);
        }
        let of = |task: usize| raw.get(task).and_then(Option::as_ref);
        let mut outputs = Vec::with_capacity(wanted.len());
        let mut auxiliary = Vec::new();
        for (position, task) in wanted.iter().enumerate() {
            let own = of(*task)
                .ok_or_else(|| Error::setting(WHOLE, format!("task {task}"), "count tasks from 0"))?;
            outputs.push(inputs.rows.of(position, own)?);
            if let (true, Some(first)) = (is_training, task.checked_sub(1).and_then(of)) {
                let excess = own.f_sigmoid()?.f_sub(&first.f_sigmoid()?)?.f_relu()?;
                let mean = excess.f_mean(excess.kind())?;
                let value = mean.f_mul(&number_like(self.calibration, &mean)?)?;
                auxiliary.push(Auxiliary { name: "order_violation", task: Some(*task), value });
            }
        }
        Ok(Outputs::each(&outputs)?.with_auxiliary(auxiliary))
    }

    fn check(&self, tasks: &[Task], single_input: bool) -> Result<()> {
        if tasks.len() < 2 || !single_input {
            let of = if single_input { "" } else { ", each with its own rows" };
            return Err(not_a_sequence(format!("`aitm` for {} tasks{of}", tasks.len())));
        }
        match tasks.iter().find(|task| task.output != Output::Binary) {
            None => Ok(()),
            Some(task) => {
                Err(not_a_sequence(format!("`aitm` with the {} task `{}`", task.output.name(), task.name)))
            }
        }
    }

    fn smallest_batch(&self) -> usize {
        let modules = self.towers.iter().chain(&self.heads);
        modules.map(Module::smallest_batch).fold(self.bottom.smallest_batch(), usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Graph, gradients};

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, tasks};
    use super::*;

    fn network(calibration: f64) -> (Box<dyn Architecture>, Params) {
        let network = blueprinted(&AitmSettings { calibration }, &tasks(3), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        (network, params)
    }

    /// z of each task by the definition, row by row of the attention.
    fn expected(params: &Params, x: &Tensor) -> Vec<Tensor> {
        let tower = |task: usize| linear(params, x, &format!("towers.t{task}.layer0")).relu();
        let mut all = vec![tower(0)];
        for task in 1..3 {
            let p = linear(params, all.last().unwrap(), &format!("information.t{}", task - 1)).relu();
            let parts = [p, tower(task)];
            let h = |part: &Tensor, name: &str| linear(params, part, &format!("transfer.t{task}.{name}"));
            let score = |part: &Tensor| {
                let product = h(part, "key") * h(part, "query");
                (product.sum_dim_intlist([1].as_slice(), true, F64.0) / 5f64.sqrt()).exp()
            };
            let total = score(&parts[0]) + score(&parts[1]);
            let z = parts.iter().map(|part| score(part) / &total * h(part, "value"));
            all.push(z.reduce(|a, b| a + b).unwrap());
        }
        all
    }

    #[test]
    fn features_come_from_the_tower_and_from_the_task_before_by_attention() {
        let (network, params) = network(0.6);
        let x = inputs(6);
        let all = expected(&params, &x.tensor(F64.0).unwrap());
        for wanted in [vec![0, 1, 2], vec![2], vec![0, 2]] {
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &wanted, &mut Context::eval()).unwrap();
            assert!(found.auxiliary.is_empty());
            for (position, task) in wanted.iter().enumerate() {
                let expected = linear(&params, &all[*task], &format!("heads.t{task}"));
                let difference = found.raw(position).unwrap() - expected;
                assert!(difference.abs().max().double_value(&[]) < 1e-12, "{wanted:?}");
            }
        }
    }

    #[test]
    fn the_calibrator_counts_only_where_the_later_event_is_more_probable_and_moves_both() {
        let (network, params) = network(0.6);
        let params = params.require_grad().unwrap();
        let x = inputs(40);
        let mut cx = Context::train(Key::new(1, "a"));
        let outputs = network.forward(&params, &TaskInputs::shared(&x), &[1, 2], &mut cx).unwrap();
        let all = expected(&params, &x.tensor(F64.0).unwrap());
        let p: Vec<Tensor> =
            (0..3).map(|task| linear(&params, &all[task], &format!("heads.t{task}")).sigmoid()).collect();
        for (auxiliary, task) in outputs.auxiliary.iter().zip([1, 2]) {
            assert_eq!((auxiliary.name, auxiliary.task), ("order_violation", Some(task)));
            let excess = (&p[task] - &p[task - 1]).clamp_min(0.0);
            let expected = excess.mean(F64.0) * 0.6;
            assert!((&auxiliary.value - expected).abs().double_value(&[]) < 1e-12);
            let heads = [task - 1, task].map(|task| params.named(&format!("heads.t{task}.bias")).unwrap());
            let found = gradients(&auxiliary.value, &heads, Graph::Keep).unwrap();
            let counts = excess.max().double_value(&[]) > 0.0;
            let [before, own] = [0, 1].map(|side| found[side].double_value(&[0]));
            assert!(if counts { before < 0.0 && own > 0.0 } else { before == 0.0 && own == 0.0 });
        }
        let violations = outputs.auxiliary.iter().map(|of| of.value.double_value(&[])).sum::<f64>();
        assert!(violations > 0.0, "no row of the test violates the order");
    }

    #[test]
    fn it_is_for_binary_tasks_on_the_same_rows() {
        let (network, _) = network(0.6);
        assert!(network.check(&tasks(3), true).is_ok());
        assert!(network.check(&tasks(3), false).unwrap_err().to_string().contains("own rows"));
        assert!(network.check(&tasks(1), true).is_err());
        let other = vec![Task::new("a", Output::Binary, 1), Task::new("r", Output::Regression, 1)];
        assert!(network.check(&other, true).unwrap_err().to_string().contains("regression task `r`"));
        assert!(AitmSettings { calibration: -0.1 }.check().is_err());
    }
}
