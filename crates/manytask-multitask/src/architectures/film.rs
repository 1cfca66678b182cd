use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureSettings, Blueprint, Conditioned, with_heads};
use crate::{Error, Result};

/// Feature-wise linear modulation (Perez et al. 2018, AAAI, arXiv:1709.07871, equation 2) by the task: one trunk for all, after each
/// stage of which a task's features are `γᵢ ⊙ x + βᵢ`, channel by channel.
///
/// Without `task_embedding` γ, which starts at 1, and β, which starts at 0, are each task's own. With it each task has a vector e of
/// so many numbers, and all share what makes `γ = 1 + W_γ e` and `β = W_β e` of it: for many tasks that is far less, and tasks with
/// like vectors are treated alike.
///
/// Parameters are named `trunk.…`, `modulation.NAME.stageN.scale` and `.shift`, or `task_embedding.NAME` and
/// `modulation.stageN.scale` and `.shift` (`[C, E]`), and `heads.NAME.…`. Statistics of a batch-norm in the trunk are, after the
/// first stage, those of all tasks' features together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilmSettings {
    /// The size of the vectors of tasks, at least 1; absent: factors and shifts are each task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_embedding: Option<i64>,
}

impl Method for FilmSettings {
    const NAME: &'static str = "film";
    const SUMMARY: &'static str = "one trunk, whose features each task scales and shifts after each stage";
    const ABOUT: &'static str = "\
        Perez et al. 2018, arXiv:1709.07871: scale_i x + shift_i, channel by channel, which are each \
        task's own; with `task_embedding` = E each task has a vector of E numbers, and scales and shifts \
        are linear in it: fewer parameters where tasks are many. A `trunk` must have stages: mlp and \
        convolutional trunks have.\n\
        The trunk and what is linear in the vectors are shared. From the second stage on a step costs as \
        much as one of a trunk for each task.";
}

impl ArchitectureSettings for FilmSettings {
    fn name(&self) -> &'static str {
        FilmSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        match self.task_embedding {
            Some(size) if !(1..=65_536).contains(&size) => Err(Error::setting(
                "task_embedding",
                format!("`task_embedding` is {size}"),
                "it must be from 1 to 65536; leave it out for factors of each task's own",
            )),
            _ => Ok(()),
        }
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let names = blueprint.names();
        with_heads(blueprint, |root, shape| {
            Conditioned::build(FilmSettings::NAME, blueprint, root, shape, |root, widths| {
                match self.task_embedding {
                    None => own(root, &names, widths),
                    Some(size) => embedded(root, &names, widths, size),
                }
            })
        })
    }
}

/// What changes features, by task, then by stage.
type Modules = Vec<Vec<Box<dyn Module>>>;

fn own(root: &mut Builder<'_>, names: &[String], widths: &[i64]) -> Result<Modules> {
    let mut tasks = Vec::with_capacity(names.len());
    for (task, name) in names.iter().enumerate() {
        let mut scope = root.scope("modulation");
        let mut scope = scope.scope(name);
        let mut scope = scope.for_task(task);
        let mut stages: Vec<Box<dyn Module>> = Vec::with_capacity(widths.len());
        for (stage, width) in widths.iter().enumerate() {
            let mut scope = scope.scope(format!("stage{stage}"));
            stages.push(Box::new(Modulation {
                scale: scope.parameter("scale", &[*width], Init::Ones, Role::Scale)?,
                shift: scope.parameter("shift", &[*width], Init::Zeros, Role::Bias)?,
                code: None,
            }));
        }
        tasks.push(stages);
    }
    Ok(tasks)
}

fn embedded(root: &mut Builder<'_>, names: &[String], widths: &[i64], size: i64) -> Result<Modules> {
    let bound = 1.0 / (size as f64).sqrt();
    let init = Init::Uniform { low: -bound, high: bound };
    let mut makers = Vec::with_capacity(widths.len());
    for (stage, width) in widths.iter().enumerate() {
        let mut scope = root.scope("modulation");
        let mut scope = scope.scope(format!("stage{stage}"));
        let scale = scope.parameter("scale", &[*width, size], init, Role::Weight)?;
        makers.push((scale, scope.parameter("shift", &[*width, size], init, Role::Weight)?));
    }
    let mut tasks = Vec::with_capacity(names.len());
    for (task, name) in names.iter().enumerate() {
        let mut scope = root.scope("task_embedding");
        let init = Init::Normal { mean: 0.0, std: 1.0 };
        let code = Some(scope.for_task(task).parameter(name, &[size], init, Role::Embedding)?);
        let stages = makers.iter().map(|&(scale, shift)| {
            let module: Box<dyn Module> = Box::new(Modulation { scale, shift, code });
            module
        });
        tasks.push(stages.collect());
    }
    Ok(tasks)
}

/// `γ ⊙ x + β` by channel, for features `[B, C, …]`.
#[derive(Debug)]
struct Modulation {
    scale: Slot,
    shift: Slot,
    /// The task's vector, where γ − 1 and β are linear in one.
    code: Option<Slot>,
}

impl Module for Modulation {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> manytask_nn::Result<Tensor> {
        let (scale, shift) = (params.get(self.scale)?, params.get(self.shift)?);
        let mut shape = vec![1; x.dim()];
        if let Some(channels) = shape.get_mut(1) {
            *channels = -1;
        }
        let (scale, shift) = match self.code {
            None => (scale.shallow_clone(), shift.shallow_clone()),
            Some(code) => {
                let code = params.get(code)?;
                (scale.f_mv(code)?.f_add_scalar(1.0)?, shift.f_mv(code)?)
            }
        };
        Ok(x.f_mul(&scale.f_reshape(&shape)?)?.f_add(&shift.f_reshape(&shape)?)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Owner;

    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;
    use crate::architectures::HardSharingSettings;

    #[test]
    fn every_stage_is_modulated_by_the_task() {
        for size in [None, Some(3)] {
            let settings = FilmSettings { task_embedding: size };
            let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5, 4]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
            let params = params.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
            let x = inputs(6);
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 2], &mut Context::eval()).unwrap();
            let named = |name: String| params.named(&name).unwrap();
            for (position, task) in [0, 2].into_iter().enumerate() {
                let mut features = x.tensor(F64.0).unwrap();
                for stage in 0..2 {
                    let of = |what: &str| match size {
                        None => named(format!("modulation.t{task}.stage{stage}.{what}")).shallow_clone(),
                        Some(_) => named(format!("modulation.stage{stage}.{what}"))
                            .mv(named(format!("task_embedding.t{task}"))),
                    };
                    let one = f64::from(size.is_some());
                    features = linear(&params, &features, &format!("trunk.layer{stage}")).relu();
                    features = (of("scale") + one) * features + of("shift");
                }
                let expected = linear(&params, &features, &format!("heads.t{task}"));
                let difference = found.raw(position).unwrap() - expected;
                assert!(difference.abs().max().double_value(&[]) < 1e-12, "{size:?}");
            }
            own_rows_are_as_shared_ones(network.as_ref(), &params);
        }
    }

    #[test]
    fn it_starts_as_hard_sharing_and_modulates_channels_of_pictures() {
        let network = of_blocks(&FilmSettings::default(), &tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let shared = of_blocks(&HardSharingSettings {}, &tasks(2));
        let theirs = shared.layout().init(1, F64.0, F64.1).unwrap();
        let theirs = theirs
            .map_slots(&shared.layout().slots().collect::<Vec<_>>(), |slot, _| {
                let name = &shared.layout().entry(slot)?.name;
                Ok(params.named(name).unwrap().shallow_clone())
            })
            .unwrap();
        let x = TaskInputs::shared(&images(6));
        let found = network.forward(&params, &x, &[0, 1], &mut Context::eval()).unwrap();
        let expected = shared.forward(&theirs, &x, &[0, 1], &mut Context::eval()).unwrap();
        for task in 0..2 {
            let difference = found.raw(task).unwrap() - expected.raw(task).unwrap();
            assert!(difference.abs().max().double_value(&[]) < 1e-12);
        }
        let moved = network.layout().select(|entry| entry.name == "modulation.t1.stage0.shift");
        assert_eq!(network.layout().entry(moved[0]).unwrap().owner, Owner::Task(1));
        let params = params.map_slots(&moved, |_, leaf| Ok(leaf + 1.0)).unwrap();
        let after = network.forward(&params, &x, &[0, 1], &mut Context::eval()).unwrap();
        assert_eq!(after.raw(0).unwrap(), found.raw(0).unwrap());
        assert_ne!(after.raw(1).unwrap(), found.raw(1).unwrap());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(FilmSettings { task_embedding: Some(0) }.check().is_err());
    }
}
