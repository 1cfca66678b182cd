use manytask_nn::{Builder, Context};
use manytask_tensor::{Method, Owner, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, Bottom, BuiltBody, EXPERT_PARTS,
    Experts, PartUse, Rows, TaskFeatures, check_experts, check_levels, gate, gate_weights_of, levels, mixed,
    of_task, with_heads,
};
use crate::{Error, Result};

/// Customized gate control (Tang et al. 2020, `RecSys`, <https://doi.org/10.1145/3383313.3412236>, equations 1 to 4): each task has
/// experts of its own and a gate over these and the shared ones, `gᵏ(x) = softmax(Wᵏ x) [Eₖ(x); Eₛ(x)]`, `yᵏ = tᵏ(gᵏ(x))`.
///
/// It is [`PleSettings`] with one level, with the same names of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgcSettings {
    /// The experts that all tasks share, at least 1.
    pub shared_experts: usize,
    /// The experts that each task has for itself, at least 1.
    pub task_experts: usize,
}

/// Progressive layered extraction (Tang et al. 2020, `RecSys`, <https://doi.org/10.1145/3383313.3412236>, equations 5 to 7): levels
/// of customized gate control one upon the other. At level j each task's experts and gate are given what the task's gate gave at
/// level j − 1, the shared experts what the *shared* gate gave there, which mixes the experts of all tasks:
///
/// `gᵏʲ = softmax(Wᵏʲ gᵏʲ⁻¹) [Eₖʲ(gᵏʲ⁻¹); Eₛʲ(gˢʲ⁻¹)]`, `gˢʲ = softmax(Wˢʲ gˢʲ⁻¹) [E₁ʲ(g¹ʲ⁻¹); …; E_Kʲ(gᴷʲ⁻¹); Eₛʲ(gˢʲ⁻¹)]`.
///
/// Every level but the last has K + 1 gates, the last has K. An expert of a task is the task's own at the last level; below, where
/// the shared gate mixes it for all, it is shared. Gates of a task are its own at the last two levels.
///
/// Parameters are named `bottom.…`, `levels.L.shared.N.…`, `levels.L.tasks.NAME.N.…`, `levels.L.gates.NAME.weight`,
/// `levels.L.shared_gate.weight`, `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PleSettings {
    /// The levels, at least 1.
    pub levels: usize,
    /// The experts of each level that all tasks share, at least 1.
    pub shared_experts: usize,
    /// The experts of each level that each task has for itself, at least 1.
    pub task_experts: usize,
}

impl Default for CgcSettings {
    fn default() -> Self {
        Self { shared_experts: 2, task_experts: 2 }
    }
}

impl Default for PleSettings {
    fn default() -> Self {
        Self { levels: 2, shared_experts: 2, task_experts: 2 }
    }
}

impl Method for CgcSettings {
    const NAME: &'static str = "cgc";
    const SUMMARY: &'static str =
        "experts that all tasks share and experts of each task, mixed by a gate for each task";
    const ABOUT: &'static str = "\
        Tang et al. 2020, doi.org/10.1145/3383313.3412236, customized gate control: g_k(x) = softmax(W_k \
        x) [E_k(x); E_s(x)]. `trunk` is the form of each of `shared_experts` and of each task's \
        `task_experts` (each 1 to 4096), `head` that of each tower, `bottom` are layers that all share \
        before experts and gates. A task's experts, gate and tower are its own.\n\
        A step costs as much as one of `shared_experts` + K times `task_experts` trunks.";
}

impl ArchitectureSettings for CgcSettings {
    fn name(&self) -> &'static str {
        CgcSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        EXPERT_PARTS
    }

    fn check(&self) -> Result<()> {
        self.as_ple().check()
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.as_ple().build(blueprint)
    }
}

impl CgcSettings {
    fn as_ple(&self) -> PleSettings {
        PleSettings { levels: 1, shared_experts: self.shared_experts, task_experts: self.task_experts }
    }
}

impl Method for PleSettings {
    const NAME: &'static str = "ple";
    const SUMMARY: &'static str =
        "progressive layered extraction: levels of cgc, with a shared gate between them";
    const ABOUT: &'static str = "\
        Tang et al. 2020, doi.org/10.1145/3383313.3412236: `levels` (1 to 64) of customized gate control. \
        At every level but the last a shared gate mixes the experts of all tasks; the next level's shared \
        experts are given what it gives, each task's experts and gate what the task's own gate gave. With \
        one level it is cgc. `trunk` is the form of every expert.\n\
        What the shared gate mixes is shared by all tasks; the last level's task experts and the last two \
        levels' task gates are each task's own. A step costs as much as one of `levels` times \
        (`shared_experts` + K times `task_experts`) trunks.";
}

impl ArchitectureSettings for PleSettings {
    fn name(&self) -> &'static str {
        PleSettings::NAME
    }

    fn parts(&self) -> &'static [PartUse] {
        EXPERT_PARTS
    }

    fn check(&self) -> Result<()> {
        check_levels(self.levels)?;
        check_experts("shared_experts", self.shared_experts, 1)?;
        check_experts("task_experts", self.task_experts, 1)
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl PleSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Ple>> {
        let (bottom, levels, features) =
            levels(blueprint, root, shape, self.levels, |scope, above, shape| {
                self.level(blueprint, scope, above, shape)
            })?;
        Ok((Ple { bottom, levels }, features))
    }

    /// A level for rows of a shape, with so many above it.
    fn level(
        &self,
        blueprint: &Blueprint<'_>,
        scope: &mut Builder<'_>,
        above: usize,
        shape: &[i64],
    ) -> Result<(Level, i64)> {
        let names = blueprint.names();
        let (shared, features) =
            Experts::build(blueprint, &mut scope.scope("shared"), self.shared_experts, shape)?;
        let mut tasks = Vec::with_capacity(names.len());
        let mut gates = Vec::with_capacity(names.len());
        for (task, name) in names.iter().enumerate() {
            let of = |is_own: bool| if is_own { Owner::Task(task) } else { Owner::Shared };
            let mut own = scope.scope(format!("tasks.{name}"));
            let own = &mut own.owned_by(of(above == 0));
            tasks.push(Experts::build(blueprint, own, self.task_experts, shape)?.0);
            let mut own = scope.scope(format!("gates.{name}"));
            let own = &mut own.owned_by(of(above < 2));
            gates.push(gate(own, self.task_experts + self.shared_experts, shape)?);
        }
        let all = names.len() * self.task_experts + self.shared_experts;
        let shared_gate = match above {
            0 => None,
            _ => Some(gate(&mut scope.scope("shared_gate"), all, shape)?),
        };
        Ok((Level { tasks, shared, gates, shared_gate }, features))
    }
}

#[derive(Debug)]
struct Ple {
    bottom: Bottom,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// The experts of each task.
    tasks: Vec<Experts>,
    shared: Experts,
    /// `[task experts + shared experts, D]` of each task.
    gates: Vec<Slot>,
    /// Over the experts of all tasks, then the shared ones, at every level but the last.
    shared_gate: Option<Slot>,
}

/// What a gate makes of experts `[B, F]` for its inputs: `[B, F]`.
fn gated(params: &Params, gate: Slot, x: &Tensor, experts: &[Tensor]) -> Result<Tensor> {
    mixed(&gate_weights_of(params, gate, x)?, &Tensor::f_stack(experts, 1)?)
}

impl Level {
    /// What one task's gate makes of the task's experts and the shared ones.
    fn of_task(
        &self,
        params: &Params,
        task: usize,
        x: &Tensor,
        own: &[Tensor],
        shared: &[Tensor],
    ) -> Result<Tensor> {
        let experts: Vec<Tensor> = own.iter().chain(shared).map(Tensor::shallow_clone).collect();
        gated(params, *of_task(&self.gates, task)?, x, &experts)
    }

    /// What all tasks' gates and the shared one give, for what those of the level before gave.
    fn below(&self, params: &Params, given: &Given, cx: &mut Context) -> Result<Given> {
        let shared = self.shared.each(params, &given.shared, cx)?;
        let mut tasks = Vec::with_capacity(self.tasks.len());
        let mut all = Vec::new();
        for (task, experts) in self.tasks.iter().enumerate() {
            let x = of_task(&given.tasks, task)?;
            let own = experts.each(params, x, cx)?;
            tasks.push(self.of_task(params, task, x, &own, &shared)?);
            all.extend(own);
        }
        all.extend(shared);
        let shared = match self.shared_gate {
            Some(gate) => gated(params, gate, &given.shared, &all)?,
            None => given.shared.shallow_clone(),
        };
        Ok(Given { tasks, shared })
    }
}

/// What the gates of a level gave, or the inputs.
#[derive(Debug)]
struct Given {
    tasks: Vec<Tensor>,
    shared: Tensor,
}

impl Body for Ple {
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
            return Err(Error::setting("levels", "`ple` without a level", "take at least 1"));
        };
        let tasks = last.tasks.iter().map(|_| x.shallow_clone()).collect();
        let mut given = Given { tasks, shared: x };
        for level in below {
            given = level.below(params, &given, cx)?;
        }
        let shared = last.shared.each(params, &given.shared, cx)?;
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let x = rows.of(position, of_task(&given.tasks, *task)?)?;
            let own = of_task(&last.tasks, *task)?.each(params, &x, cx)?;
            let shared = shared.iter().map(|all| rows.of(position, all)).collect::<Result<Vec<_>>>()?;
            features.push(last.of_task(params, *task, &x, &own, &shared)?);
        }
        Ok(TaskFeatures::Each(features).into())
    }

    fn smallest_batch(&self) -> usize {
        let below = self.levels.split_last().map_or(&[][..], |(_, below)| below);
        let shared = self.levels.iter().map(|level| &level.shared);
        let experts = shared.chain(below.iter().flat_map(|level| &level.tasks));
        let experts = experts.map(Experts::smallest_batch).fold(1, usize::max);
        experts.max(self.bottom.smallest_batch())
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        let last = self.levels.last().and_then(|level| level.tasks.get(task));
        last.map_or(1, Experts::smallest_batch)
    }
}

#[cfg(test)]
mod tests;
