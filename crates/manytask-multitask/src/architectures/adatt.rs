use manytask_nn::{Builder, Context};
use manytask_tensor::{Init, Method, Owner, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, Bottom, BuiltBody, EXPERT_PARTS,
    Experts, PartUse, Rows, TaskFeatures, check_experts, check_levels, gate, gate_weights_of, levels, mixed,
    of_task, with_heads,
};
use crate::{Error, Result};

/// Adaptive task-to-task fusion (Li et al. 2023, KDD, arXiv:2304.04959, equations 1 to 6): levels at which a module for each task,
/// and one that is shared, have experts; each module's fusion unit mixes the experts of *all* modules by a gate and adds a linear
/// combination of its own: `fₜˡ = softmax(Wₜˡ fₜˡ⁻¹) Eˡ + vₜˡ Eₜˡ`, where the experts of module t are given `fₜˡ⁻¹`.
///
/// Where every module has one expert, v is 1. With `shared_experts = 0` it is the paper's AdaTT-sp. The shared module has a fusion
/// unit at every level but the last. Experts reach every task at each level, so they are shared; only the fusion units of the
/// last level are each task's own.
///
/// Parameters are named `bottom.…`, `levels.L.tasks.NAME.N.…`, `levels.L.shared.N.…`, `levels.L.gates.NAME.weight`,
/// `levels.L.shared_gate.weight`, `levels.L.native.NAME.weight`, `levels.L.shared_native.weight`, `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdattSettings {
    /// The levels, at least 1.
    pub levels: usize,
    /// The experts of each level in the shared module; none with 0.
    pub shared_experts: usize,
    /// The experts of each level in each task's module, at least 1.
    pub task_experts: usize,
}

impl Default for AdattSettings {
    fn default() -> Self {
        Self { levels: 2, shared_experts: 1, task_experts: 2 }
    }
}

impl Method for AdattSettings {
    const NAME: &'static str = "adatt";
    const SUMMARY: &'static str =
        "adaptive task-to-task fusion: every task mixes the experts of all, and adds its own";
    const ABOUT: &'static str = "\
        Li et al. 2023, arXiv:2304.04959: at each of `levels` (1 to 64) f_t = softmax(W_t f) E + v_t E_t, \
        with the experts E of all modules and those of the task's own, E_t, which are given what the \
        task's module gave at the level before. `shared_experts` (0 to 4096) are those of a module that is \
        no task's; 0 is AdaTT-sp. v is 1 where each module has one expert. `trunk` is the form of each \
        expert.\n\
        Experts reach every task, so they are shared; the last level's gates and v are each task's own. A \
        step costs as much as one of `levels` times (`shared_experts` + K times `task_experts`) trunks.";
}

impl ArchitectureSettings for AdattSettings {
    fn name(&self) -> &'static str {
        AdattSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        EXPERT_PARTS
    }

    fn check(&self) -> Result<()> {
        check_levels(self.levels)?;
        check_experts("shared_experts", self.shared_experts, 0)?;
        check_experts("task_experts", self.task_experts, 1)
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl AdattSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Adatt>> {
        let (bottom, levels, features) =
            levels(blueprint, root, shape, self.levels, |scope, above, shape| {
                self.level(blueprint, scope, above, shape)
            })?;
        Ok((Adatt { bottom, levels, tasks: blueprint.tasks.len() }, features))
    }

    fn level(
        &self,
        blueprint: &Blueprint<'_>,
        scope: &mut Builder<'_>,
        above: usize,
        shape: &[i64],
    ) -> Result<(Vec<Unit>, i64)> {
        let names = blueprint.names();
        let all = names.len() * self.task_experts + self.shared_experts;
        let is_one_each = self.task_experts == 1 && self.shared_experts <= 1;
        let mut units = Vec::with_capacity(names.len() + 1);
        let mut features = 0;
        for (task, name) in names.iter().enumerate() {
            let mut tasks = scope.scope("tasks");
            let (experts, size) =
                Experts::build(blueprint, &mut tasks.scope(name), self.task_experts, shape)?;
            features = size;
            let owner = if above == 0 { Owner::Task(task) } else { Owner::Shared };
            let mut own = scope.scope(format!("gates.{name}"));
            let gate = gate(&mut own.owned_by(owner), all, shape)?;
            let mut own = scope.scope(format!("native.{name}"));
            let own = &mut own.owned_by(owner);
            let native = if is_one_each { None } else { Some(native(own, self.task_experts)?) };
            units.push(Unit { experts, fusion: Some(Fusion { gate, native }) });
        }
        if self.shared_experts > 0 {
            let (experts, _) =
                Experts::build(blueprint, &mut scope.scope("shared"), self.shared_experts, shape)?;
            let fusion = if above == 0 {
                None
            } else {
                let gate = gate(&mut scope.scope("shared_gate"), all, shape)?;
                let scope = &mut scope.scope("shared_native");
                let native = if is_one_each { None } else { Some(native(scope, self.shared_experts)?) };
                Some(Fusion { gate, native })
            };
            units.push(Unit { experts, fusion });
        }
        Ok((units, features))
    }
}

/// Adds `weight`, `[experts]`, the linear combination of a module's own experts; it starts from U(±√(1/experts)).
fn native(scope: &mut Builder<'_>, experts: usize) -> Result<Slot> {
    let bound = (1.0 / experts.max(1) as f64).sqrt();
    let init = Init::Uniform { low: -bound, high: bound };
    Ok(scope.parameter("weight", &[experts as i64], init, Role::Weight)?)
}

#[derive(Debug)]
struct Adatt {
    bottom: Bottom,
    /// The modules of each level: those of the tasks, then the shared one.
    levels: Vec<Vec<Unit>>,
    tasks: usize,
}

/// The module of a task, or the shared one, at a level.
#[derive(Debug)]
struct Unit {
    experts: Experts,
    fusion: Option<Fusion>,
}

#[derive(Debug)]
struct Fusion {
    /// `[experts of all modules, D]`.
    gate: Slot,
    /// `[experts]`; absent where each module has one expert.
    native: Option<Slot>,
}

impl Fusion {
    /// `softmax(W x) E + v E_own`, for the experts of all modules `[B, E, F]`, of which the own ones are a range.
    fn fuse(&self, params: &Params, x: &Tensor, all: &Tensor, own: (i64, i64)) -> Result<Tensor> {
        let fused = mixed(&gate_weights_of(params, self.gate, x)?, all)?;
        let native = all.f_narrow(1, own.0, own.1)?;
        let native = match self.native {
            None => native.f_squeeze_dim(1)?,
            Some(slot) => {
                let weighted = native.f_mul(&params.get(slot)?.f_reshape([1, -1, 1])?)?;
                weighted.f_sum_dim_intlist([1].as_slice(), false, weighted.kind())?
            }
        };
        Ok(fused.f_add(&native)?)
    }
}

/// The experts of all modules of a level, `[B, E, F]`, and which are whose.
fn experts(
    params: &Params,
    units: &[Unit],
    given: &[Tensor],
    cx: &mut Context,
) -> Result<(Tensor, Vec<(i64, i64)>)> {
    let mut all = Vec::new();
    let mut ranges = Vec::with_capacity(units.len());
    for (number, unit) in units.iter().enumerate() {
        ranges.push((all.len() as i64, unit.experts.len() as i64));
        all.extend(unit.experts.each(params, of_task(given, number)?, cx)?);
    }
    Ok((Tensor::f_stack(&all, 1)?, ranges))
}

impl Body for Adatt {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let x = self.bottom.forward(params, x, cx)?;
        let Some((last, below)) = self.levels.split_last() else {
            return Err(Error::setting("levels", "`adatt` without a level", "take at least 1"));
        };
        let mut given: Vec<Tensor> = last.iter().map(|_| x.shallow_clone()).collect();
        for units in below {
            let (all, ranges) = experts(params, units, &given, cx)?;
            let mut next = Vec::with_capacity(units.len());
            for ((unit, x), own) in units.iter().zip(&given).zip(ranges) {
                next.push(match &unit.fusion {
                    Some(fusion) => fusion.fuse(params, x, &all, own)?,
                    None => x.shallow_clone(),
                });
            }
            given = next;
        }
        let (all, ranges) = experts(params, last, &given, cx)?;
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let tasks = last.get(..self.tasks).unwrap_or_default();
            let Some(fusion) = &of_task(tasks, *task)?.fusion else { continue };
            let x = rows.of(position, of_task(&given, *task)?)?;
            let own = *of_task(&ranges, *task)?;
            features.push(fusion.fuse(params, &x, &rows.of(position, &all)?, own)?);
        }
        Ok(TaskFeatures::Each(features).into())
    }

    fn smallest_batch(&self) -> usize {
        let experts = self.levels.iter().flatten().map(|unit| unit.experts.smallest_batch());
        let bottom = self.bottom.smallest_batch();
        experts.fold(bottom, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Kind;

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, own_rows_are_as_shared_ones, tasks};
    use super::*;
    use crate::architecture::TaskInputs;

    /// The definition for two tasks; module 2 is the shared one.
    fn expected(params: &Params, settings: &AdattSettings, x: &Tensor) -> [Tensor; 2] {
        let modules = if settings.shared_experts > 0 { 3 } else { 2 };
        let mut f: Vec<Tensor> = (0..modules).map(|_| x.shallow_clone()).collect();
        for level in 0..settings.levels {
            let name = |module: usize, shared: &str, task: &str| match module {
                2 => format!("levels.{level}.{shared}"),
                task_of => format!("levels.{level}.{task}.t{task_of}"),
            };
            let count =
                |module: usize| if module == 2 { settings.shared_experts } else { settings.task_experts };
            let experts: Vec<Vec<Tensor>> = (0..modules)
                .map(|m| {
                    let scope = name(m, "shared", "tasks");
                    (0..count(m))
                        .map(|e| linear(params, &f[m], &format!("{scope}.{e}.layer0")).relu())
                        .collect()
                })
                .collect();
            let all: Vec<&Tensor> = experts.iter().flatten().collect();
            let fused = |m: usize| {
                let gate = params.named(&format!("{}.weight", name(m, "shared_gate", "gates"))).unwrap();
                let gate = f[m].matmul(&gate.tr()).softmax(-1, Kind::Double);
                let mut sum = gate.narrow(1, 0, 1) * all[0];
                for (i, expert) in all.iter().enumerate().skip(1) {
                    sum += gate.narrow(1, i as i64, 1) * *expert;
                }
                let native = params.named(&format!("{}.weight", name(m, "shared_native", "native")));
                for (i, expert) in experts[m].iter().enumerate() {
                    sum += expert * native.map_or(1.0, |v| v.double_value(&[i as i64]));
                }
                sum
            };
            let fusing = if level + 1 == settings.levels { 2 } else { modules };
            f = (0..fusing).map(fused).collect();
        }
        f.try_into().unwrap()
    }

    #[test]
    fn features_are_those_of_the_definition_with_and_without_a_shared_module() {
        for (levels, shared, task) in [(1, 0, 1), (2, 0, 2), (2, 1, 1), (3, 2, 1), (2, 1, 2)] {
            let settings = AdattSettings { levels, shared_experts: shared, task_experts: task };
            let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            let x = inputs(6);
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
            let features = expected(&params, &settings, &x.tensor(Kind::Double).unwrap());
            for (task, features) in features.iter().enumerate() {
                let expected = linear(&params, features, &format!("heads.t{task}"));
                let difference = (found.raw(task).unwrap() - expected).abs().max().double_value(&[]);
                assert!(difference < 1e-12, "{settings:?}, task {task}");
            }
            own_rows_are_as_shared_ones(network.as_ref(), &params);
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = AdattSettings::default();
        assert!(AdattSettings { task_experts: 0, ..base.clone() }.check().is_err());
        assert!(AdattSettings { levels: 0, ..base.clone() }.check().is_err());
        assert!(AdattSettings { shared_experts: 0, ..base }.check().is_ok());
    }
}
