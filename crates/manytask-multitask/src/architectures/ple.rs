use manytask_nn::{Builder, Context};
use manytask_tensor::{Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, Bottom, BuiltBody, Experts, PartUse,
    Rows, TaskFeatures, check_experts, gate, gate_weights, of_task, with_heads,
};
use crate::{Error, Result};

/// Levels at most.
const MOST_LEVELS: usize = 64;

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

const PARTS: &[PartUse] =
    &[PartUse::Required("trunk"), PartUse::Optional("head"), PartUse::Optional("bottom")];

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
        PARTS
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
        PARTS
    }

    fn check(&self) -> Result<()> {
        if !(1..=MOST_LEVELS).contains(&self.levels) {
            return Err(Error::setting(
                "levels",
                format!("`levels` is {}", self.levels),
                format!("it must be from 1 to {MOST_LEVELS}"),
            ));
        }
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
        let (bottom, mut shape) = Bottom::build(blueprint, root, shape)?;
        let mut levels = Vec::with_capacity(self.levels);
        let mut features = 0;
        for level in 0..self.levels {
            let mut scope = root.scope("levels");
            let mut scope = scope.scope(level.to_string());
            let (built, size) = self.level(blueprint, &mut scope, level, &shape)?;
            levels.push(built);
            features = size;
            shape = vec![size];
        }
        Ok((Ple { bottom, levels }, features))
    }

    /// A level for rows of a shape, counted from 0.
    fn level(
        &self,
        blueprint: &Blueprint<'_>,
        scope: &mut Builder<'_>,
        level: usize,
        shape: &[i64],
    ) -> Result<(Level, i64)> {
        let names = blueprint.names();
        let above = self.levels - 1 - level.min(self.levels - 1);
        let (shared, features) =
            Experts::build(blueprint, &mut scope.scope("shared"), self.shared_experts, shape)?;
        let mut tasks = Vec::with_capacity(names.len());
        let mut gates = Vec::with_capacity(names.len());
        for (task, name) in names.iter().enumerate() {
            let mut experts = scope.scope("tasks");
            let mut experts = experts.scope(name);
            let experts = &mut if above == 0 { experts.for_task(task) } else { experts };
            tasks.push(Experts::build(blueprint, experts, self.task_experts, shape)?.0);
            let mut own = scope.scope("gates");
            let mut own = own.scope(name);
            let own = &mut if above < 2 { own.for_task(task) } else { own };
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
fn mixed(params: &Params, gate: Slot, x: &Tensor, experts: &[Tensor]) -> Result<Tensor> {
    let experts = Tensor::f_stack(experts, 1)?;
    Ok(gate_weights(params, &[gate], x)?.f_bmm(&experts)?.f_squeeze_dim(1)?)
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
        mixed(params, *of_task(&self.gates, task)?, x, &experts)
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
            Some(gate) => mixed(params, gate, &given.shared, &all)?,
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
mod tests {
    use manytask_tensor::{Kind, Owner};

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, tasks};
    use super::*;
    use crate::architecture::TaskInputs;

    fn gated(params: &Params, gate: &str, x: &Tensor, experts: &[Tensor]) -> Tensor {
        let weights = x.matmul(&params.named(gate).unwrap().tr()).softmax(-1, Kind::Double);
        let terms = experts.iter().zip(0..).map(|(expert, i)| weights.narrow(1, i, 1) * expert);
        terms.reduce(|a, b| a + b).unwrap()
    }

    /// The definition, level by level, for two tasks.
    fn expected(params: &Params, levels: usize, counts: (usize, usize), x: &Tensor) -> [Tensor; 2] {
        let (mut own, mut shared) = ([x.shallow_clone(), x.shallow_clone()], x.shallow_clone());
        for level in 0..levels {
            let of = |x: &Tensor, name: &str, count: usize| -> Vec<Tensor> {
                (0..count)
                    .map(|e| linear(params, x, &format!("levels.{level}.{name}.{e}.layer0")).relu())
                    .collect()
            };
            let e_shared = of(&shared, "shared", counts.0);
            let e_own = [of(&own[0], "tasks.t0", counts.1), of(&own[1], "tasks.t1", counts.1)];
            let join = |parts: &[&[Tensor]]| -> Vec<Tensor> {
                parts.iter().flat_map(|part| part.iter()).map(Tensor::shallow_clone).collect()
            };
            let next: Vec<Tensor> = (0..2)
                .map(|t| {
                    let gate = format!("levels.{level}.gates.t{t}.weight");
                    gated(params, &gate, &own[t], &join(&[&e_own[t], &e_shared]))
                })
                .collect();
            if level + 1 < levels {
                let gate = format!("levels.{level}.shared_gate.weight");
                shared = gated(params, &gate, &shared, &join(&[&e_own[0], &e_own[1], &e_shared]));
            }
            own = next.try_into().unwrap();
        }
        own
    }

    #[test]
    fn features_are_those_of_the_definition_with_one_level_and_several() {
        for (levels, shared, task) in [(1, 3, 2), (2, 1, 1), (3, 2, 1)] {
            let settings: Box<dyn ArchitectureSettings> = match levels {
                1 => Box::new(CgcSettings { shared_experts: shared, task_experts: task }),
                levels => Box::new(PleSettings { levels, shared_experts: shared, task_experts: task }),
            };
            let network = blueprinted(settings.as_ref(), &tasks(2), &[("trunk", mlp(&[5]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            let x = inputs(6);
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
            let features = expected(&params, levels, (shared, task), &x.tensor(Kind::Double).unwrap());
            for (task, features) in features.iter().enumerate() {
                let expected = linear(&params, features, &format!("heads.t{task}"));
                let difference = (found.raw(task).unwrap() - expected).abs().max().double_value(&[]);
                assert!(difference < 1e-12, "{levels} levels, task {task}");
            }
        }
    }

    /// `LibMTL` has no shared gate, and gives the shared experts each task's own representation.
    #[test]
    fn every_level_but_the_last_has_a_shared_gate_over_all_experts() {
        let settings = PleSettings { levels: 3, shared_experts: 2, task_experts: 3 };
        let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5]))]);
        let layout = network.layout();
        let gates = |level: usize| {
            let prefix = format!("levels.{level}.");
            let of = |name: &str| name.starts_with(&prefix) && name.contains("gate");
            layout.entries().iter().filter(|entry| of(&entry.name)).count()
        };
        assert_eq!([gates(0), gates(1), gates(2)], [3, 3, 2]);
        let shape =
            |name: &str| layout.entries().iter().find(|entry| entry.name == name).unwrap().shape.clone();
        assert_eq!(shape("levels.0.shared_gate.weight"), [8, 4]);
        assert_eq!(shape("levels.1.shared_gate.weight"), [8, 5]);
        assert_eq!(shape("levels.2.gates.t1.weight"), [5, 5]);
    }

    #[test]
    fn what_the_shared_gate_mixes_is_shared() {
        let settings = PleSettings { levels: 3, shared_experts: 1, task_experts: 1 };
        let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5]))]);
        let owner = |name: &str| {
            let entries = network.layout().entries();
            entries.iter().find(|entry| entry.name.starts_with(name)).unwrap().owner
        };
        for (name, expected) in [
            ("levels.0.tasks.t1.", Owner::Shared),
            ("levels.0.gates.t1.", Owner::Shared),
            ("levels.1.tasks.t1.", Owner::Shared),
            ("levels.1.gates.t1.", Owner::Task(1)),
            ("levels.2.tasks.t1.", Owner::Task(1)),
            ("levels.2.gates.t1.", Owner::Task(1)),
            ("levels.2.shared.", Owner::Shared),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn own_rows_are_mixed_as_shared_ones() {
        let network =
            blueprinted(&PleSettings::default(), &tasks(2), &[("trunk", mlp(&[5])), ("bottom", mlp(&[3]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        super::super::testing::own_rows_are_as_shared_ones(network.as_ref(), &params);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = PleSettings::default();
        for (settings, says) in [
            (PleSettings { levels: 0, ..base.clone() }, "`levels` is 0; it must be from 1 to 64"),
            (PleSettings { shared_experts: 0, ..base.clone() }, "`shared_experts` is 0"),
            (PleSettings { task_experts: 5000, ..base }, "`task_experts` is 5000"),
        ] {
            assert!(settings.check().unwrap_err().to_string().contains(says), "{says}");
        }
    }
}
