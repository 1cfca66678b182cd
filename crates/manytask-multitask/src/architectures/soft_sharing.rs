use std::sync::Arc;

use manytask_nn::{Builder, Context, Mode, Module};
use manytask_tensor::{Kind, Layout, Method, Params, Slot, Tensor, WHOLE, number_like};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Auxiliary, Blueprint, Features, Heads, InputEncoder, Outputs,
    TaskInputs,
};
use crate::{Error, Result};

/// Soft parameter sharing (Duong et al. 2015, ACL, <https://doi.org/10.3115/v1/P15-2139>, equation 1): a trunk for each task, all
/// drawn towards each other by `λ ‖θₐ − θ_b‖²`.
///
/// With K tasks the distance is the mean over the other tasks, so that λ means the same for any number. A task's loss is
/// `Lₐ + λ/(K−1) Σ_b ‖θₐ − θ_b‖²` in which the others' trunks are constants: its gradient by θₐ is that of all distances
/// together, and trunks are their tasks' own, which rest while these are absent. Logged as `trunk_distance/TASK`.
///
/// With [`Distance::TraceNorm`] (Yang & Hospedales 2017, arXiv:1606.04038, equation 2 with the last axis flattened) it is `λ ‖Θ‖_*`, the sum of
/// the singular values of each parameter with a row for each task, which draws the trunks into a space of few dimensions.
///
/// Parameters are named `trunks.NAME.…`, `heads.NAME.…`. Without embedded columns tasks share none, so methods that combine
/// gradients of shared parameters are refused.
#[derive(Debug)]
pub struct SoftSharing {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunks: Vec<Box<dyn Module>>,
    /// The trained parameters of each task's trunk, in one order.
    slots: Vec<Vec<Slot>>,
    heads: Heads,
    settings: SoftSharingSettings,
}

/// The settings of [`SoftSharing`] beside its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftSharingSettings {
    /// λ, at least 0. The paper tunes it on held-out data.
    pub strength: f64,
    /// What draws trunks towards each other.
    pub distance: Distance,
}

/// What draws trunks towards each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// The mean squared distance to the other tasks' trunks.
    #[default]
    Squared,
    /// The sum of the singular values of the tasks' parameters.
    TraceNorm,
}

impl Default for SoftSharingSettings {
    fn default() -> Self {
        Self { strength: 1e-2, distance: Distance::Squared }
    }
}

impl Method for SoftSharingSettings {
    const NAME: &'static str = "soft_sharing";
    const SUMMARY: &'static str = "a trunk for each task, drawn towards those of the others";
    const ABOUT: &'static str = "\
        Duong et al. 2015, doi.org/10.3115/v1/P15-2139: each task's loss has `strength` (at least 0) times \
        the mean squared distance between its trunk's parameters and those of the other tasks. It is part \
        of the training loss, and logged as auxiliary loss trunk_distance/TASK. With distance = \
        \"trace_norm\" it is the sum of the singular values of the tasks' parameters instead (Yang & \
        Hospedales 2017, arXiv:1606.04038). `strength` is to be tuned on the validation split.\n\
        Trunks are each task's own, so without embedded columns nothing is shared, and methods that go by \
        gradients of shared parameters are refused. A step costs as much as one of a trunk for each task.";
}

impl ArchitectureSettings for SoftSharingSettings {
    fn name(&self) -> &'static str {
        SoftSharingSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if self.strength.is_finite() && self.strength >= 0.0 {
            return Ok(());
        }
        Err(Error::setting(
            "strength",
            format!("`strength` is {}", self.strength),
            "it must be finite and at least 0",
        ))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let names = blueprint.names();
        let mut trunks = Vec::with_capacity(names.len());
        let mut features = 0;
        for (task, name) in names.iter().enumerate() {
            let mut scope = root.scope("trunks");
            let mut scope = scope.scope(name);
            let (trunk, size) = blueprint.part("trunk", &mut scope.for_task(task), encoder.shape())?;
            trunks.push(trunk);
            features = size;
        }
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let slots = names.iter().map(|name| {
            let prefix = format!("trunks.{name}.");
            layout.select(|entry| entry.role.is_trained() && entry.name.starts_with(&prefix))
        });
        let (slots, heads) = (slots.collect(), heads.within(&layout));
        Ok(Box::new(SoftSharing { layout, encoder, trunks, slots, heads, settings: self.clone() }))
    }
}

impl SoftSharing {
    /// λ times the distance of each wanted task a, with a graph to θₐ alone.
    fn distances(&self, params: &Params, wanted: &[usize]) -> Result<Vec<Auxiliary>> {
        let tasks = self.trunks.len();
        let factor = match self.settings.distance {
            Distance::Squared => self.settings.strength / (tasks - 1).max(1) as f64,
            Distance::TraceNorm => self.settings.strength,
        };
        let mut sums: Option<Tensor> = None;
        for place in 0..self.slots.first().map_or(0, Vec::len) {
            let of = |task: usize| -> Result<&Tensor> {
                let slot = self.slots.get(task).and_then(|slots| slots.get(place));
                match slot {
                    Some(slot) => Ok(params.get(*slot)?),
                    None => {
                        Err(Error::setting(WHOLE, format!("task {task} of {tasks}"), "count tasks from 0"))
                    }
                }
            };
            let all = (0..tasks).map(of).collect::<Result<Vec<_>>>()?;
            let all = Tensor::f_stack(&all, 0)?.f_detach()?.f_flatten(1, -1)?;
            let own = wanted.iter().map(|task| of(*task)).collect::<Result<Vec<_>>>()?;
            let own = Tensor::f_stack(&own, 0)?.f_flatten(1, -1)?;
            let sum = match self.settings.distance {
                Distance::Squared => squared(&all, &own)?,
                Distance::TraceNorm => trace_norm(&all, &own, wanted)?,
            };
            sums = Some(match sums {
                None => sum,
                Some(before) => before.f_add(&sum)?,
            });
        }
        let Some(sums) = sums else { return Ok(Vec::new()) };
        let factor = Tensor::from(factor).f_to_kind(sums.kind())?.f_to_device(sums.device())?;
        let values = sums.f_mul(&factor)?.f_unbind(0)?;
        let auxiliary = wanted.iter().zip(values);
        Ok(auxiliary
            .map(|(task, value)| Auxiliary { name: "trunk_distance", task: Some(*task), value })
            .collect())
    }
}

/// `Σ_b ‖θₐ − θ_b‖²` for rows `θₐ` of `own`, over the rows `θ_b` of `all`, which are constants.
fn squared(all: &Tensor, own: &Tensor) -> Result<Tensor> {
    let mean = all.f_mean_dim([0].as_slice(), true, all.kind())?;
    // Σ_b ‖θₐ − θ_b‖² = K ‖θₐ − m‖² + Σ_b ‖θ_b − m‖², with the mean m.
    let spread = all.f_sub(&mean)?.f_square()?.f_sum(all.kind())?;
    let own = own.f_sub(&mean)?.f_square()?;
    let own = own.f_sum_dim_intlist([1].as_slice(), false, own.kind())?;
    let count = all.size().first().copied().unwrap_or_default() as f64;
    Ok(own.f_mul(&number_like(count, &own)?)?.f_add(&spread)?)
}

/// `‖Θ‖_*` with the rows of `all`, once for each wanted task; its slope by the task's own row is that of `(Θ Θᵀ)^(−½) Θ`, and the others
/// are constants. Of a singular value of 0 it is 0, a subgradient.
fn trace_norm(all: &Tensor, own: &Tensor, wanted: &[usize]) -> Result<Tensor> {
    let (squares, vectors) = all.f_matmul(&all.f_tr()?)?.f_linalg_eigh("L")?;
    let values = squares.f_clamp_min(0.0)?.f_sqrt()?;
    // As many digits as squares of numbers leave.
    let largest = values.f_max()?.f_double_value(&[])?;
    let least = largest * if all.kind() == Kind::Double { 1e-7 } else { 1e-3 };
    let kept = values.f_gt(least)?.f_to_kind(all.kind())?;
    let inverse = values.f_clamp_min(f64::MIN_POSITIVE.max(least))?.f_reciprocal()?.f_mul(&kept)?;
    let root = vectors.f_mul(&inverse.f_unsqueeze(0)?)?.f_matmul(&vectors.f_tr()?)?;
    let slopes = root.f_matmul(all)?;
    let rows: Vec<i64> = wanted.iter().map(|task| *task as i64).collect();
    let slopes = slopes.f_index_select(0, &Tensor::f_from_slice(&rows)?.f_to_device(all.device())?)?;
    // The value of the norm with the slope of ⟨slope, θₐ⟩.
    let linear = own.f_mul(&slopes)?.f_sum_dim_intlist([1].as_slice(), false, own.kind())?;
    Ok(linear.f_sub(&linear.f_detach()?)?.f_add(&values.f_sum(all.kind())?)?)
}

impl Architecture for SoftSharing {
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
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let trunk = self.trunks.get(*task).ok_or_else(|| {
                Error::setting(WHOLE, format!("task {task} of {}", self.trunks.len()), "count tasks from 0")
            })?;
            features.push(trunk.forward(params, &inputs.rows.of(position, &x)?, cx)?);
        }
        let outputs = self.heads.forward(params, Features::Each(&features), wanted, cx)?;
        if cx.mode() == Mode::Eval || self.trunks.len() < 2 {
            return Ok(outputs);
        }
        Ok(outputs.with_auxiliary(self.distances(params, wanted)?))
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        let trunk = self.trunks.get(task).map_or(1, Module::smallest_batch);
        trunk.max(self.heads.smallest_batch_of(task))
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Graph, Owner, gradients};

    use super::super::testing::{F64, blueprinted, inputs, mlp, tasks};
    use super::*;

    #[test]
    fn each_task_has_the_mean_squared_distance_to_the_others_with_the_gradient_of_all_distances() {
        let settings = SoftSharingSettings { strength: 0.3, ..SoftSharingSettings::default() };
        let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5]))]);
        let layout = network.layout();
        let params = layout.init(1, F64.0, F64.1).unwrap().require_grad().unwrap();
        let mut cx = Context::train(Key::new(1, "a"));
        let x = TaskInputs::shared(&inputs(6));
        let outputs = network.forward(&params, &x, &[0, 2], &mut cx).unwrap();
        let weight = |task: usize| params.named(&format!("trunks.t{task}.layer0.weight")).unwrap();
        let bias = |task: usize| params.named(&format!("trunks.t{task}.layer0.bias")).unwrap();
        let squared = |a: usize, b: usize| {
            (weight(a) - weight(b)).square().sum(F64.0) + (bias(a) - bias(b)).square().sum(F64.0)
        };
        // All distances, each pair once, times λ/(K − 1).
        let all = (squared(0, 1) + squared(0, 2) + squared(1, 2)) * (0.3 / 2.0);
        for (auxiliary, task) in outputs.auxiliary.iter().zip([0, 2]) {
            assert_eq!((auxiliary.name, auxiliary.task), ("trunk_distance", Some(task)));
            let others = (0..3).filter(|other| *other != task).map(|other| squared(task, other));
            let expected = others.reduce(|a, b| a + b).unwrap() * (0.3 / 2.0);
            assert!((&auxiliary.value - expected).abs().double_value(&[]) < 1e-12);
            let by_own = gradients(&auxiliary.value, &[weight(task), weight(1)], Graph::Keep).unwrap();
            let of_all = gradients(&all, &[weight(task)], Graph::Keep).unwrap();
            assert!((&by_own[0] - &of_all[0]).abs().max().double_value(&[]) < 1e-12);
            assert_eq!(by_own[1].abs().max().double_value(&[]), 0.0, "an absent task's trunk rests");
        }
        assert_eq!(outputs.auxiliary.len(), 2);
        let judged = network.forward(&params, &x, &[0], &mut Context::eval()).unwrap();
        assert!(judged.auxiliary.is_empty());
    }

    #[test]
    fn the_trace_norm_is_the_sum_of_singular_values_with_its_gradient() {
        let settings = SoftSharingSettings { strength: 0.3, distance: Distance::TraceNorm };
        let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap().require_grad().unwrap();
        let mut cx = Context::train(Key::new(1, "a"));
        let x = TaskInputs::shared(&inputs(6));
        let outputs = network.forward(&params, &x, &[0, 2], &mut cx).unwrap();
        let leaf = |task: usize, part: &str| params.named(&format!("trunks.t{task}.layer0.{part}")).unwrap();
        let norm = |part: &str| {
            let rows: Vec<Tensor> = (0..3).map(|task| leaf(task, part).reshape([-1])).collect();
            Tensor::stack(&rows, 0).svd(true, true).1.sum(F64.0)
        };
        let expected = (norm("weight") + norm("bias")) * 0.3;
        for (auxiliary, task) in outputs.auxiliary.iter().zip([0, 2]) {
            assert!((&auxiliary.value - &expected).abs().double_value(&[]) < 1e-10);
            for part in ["weight", "bias"] {
                let own =
                    gradients(&auxiliary.value, &[leaf(task, part), leaf(1, part)], Graph::Keep).unwrap();
                let of_norm = gradients(&expected, &[leaf(task, part)], Graph::Keep).unwrap();
                assert!((&own[0] - &of_norm[0]).abs().max().double_value(&[]) < 1e-10, "{part}");
                assert_eq!(own[1].abs().max().double_value(&[]), 0.0, "an absent task's trunk rests");
            }
        }
    }

    #[test]
    fn trunks_are_their_tasks_own_and_start_apart() {
        let network = blueprinted(&SoftSharingSettings::default(), &tasks(2), &[("trunk", mlp(&[5]))]);
        assert!(network.layout().entries().iter().all(|entry| matches!(entry.owner, Owner::Task(_))));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let weight = |task: usize| params.named(&format!("trunks.t{task}.layer0.weight")).unwrap();
        assert_ne!(weight(0), weight(1));
        assert!(SoftSharingSettings { strength: -1.0, ..SoftSharingSettings::default() }.check().is_err());
    }
}
