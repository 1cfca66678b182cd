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
        let found = network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
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
    let shape = |name: &str| layout.entries().iter().find(|entry| entry.name == name).unwrap().shape.clone();
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
