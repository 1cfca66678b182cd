use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, BuiltBody, Rows, TaskFeatures, of_task,
    with_heads,
};

/// One trunk whose normalisations are each task's own (Bilen & Vedaldi 2017, arXiv:1701.07275, section 3.2; Chang et al. 2019,
/// domain-specific batch normalisation, arXiv:1906.03950): scale, shift and running statistics of every batch-norm, scale and
/// shift of every layer-norm. Weights and biases of layers are shared.
///
/// With batches of several inputs the statistics of a task are those of its own rows, where a shared batch-norm mixes all tasks'.
/// A step costs as much as one of a trunk for each task. With a trunk that has no normalisation it is hard sharing.
///
/// Parameters are named `trunk.…`, those of normalisations `trunk.….NAME.weight` and so on, `heads.NAME.…`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskNormSettings {}

impl Method for TaskNormSettings {
    const NAME: &'static str = "task_norm";
    const SUMMARY: &'static str = "one trunk for all tasks, whose normalisations are each task's own";
    const ABOUT: &'static str = "\
        Bilen & Vedaldi 2017, arXiv:1701.07275, and Chang et al. 2019, arXiv:1906.03950 (domain-specific \
        batch normalisation): scale, shift and running statistics of each batch-norm in `trunk` are the \
        task's own, of a layer-norm scale and shift; all else is shared. For a trunk with norm = \"batch\" \
        or \"layer\", residual_mlp or conv4; without a normalisation it is hard_sharing.\n\
        With tasks on rows of their own a shared batch-norm normalises with the statistics of all tasks' \
        rows together; here each task's rows have their own. A step costs as much as one of a trunk for \
        each task.";
}

impl ArchitectureSettings for TaskNormSettings {
    fn name(&self) -> &'static str {
        TaskNormSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        with_heads(blueprint, |root, shape| body(blueprint, root, shape))
    }
}

fn body(blueprint: &Blueprint<'_>, root: &mut Builder<'_>, shape: &[i64]) -> Result<BuiltBody<OwnNorms>> {
    let (mut trunks, mut features) = (Vec::with_capacity(blueprint.tasks.len()), 0);
    for (task, name) in blueprint.names().iter().enumerate() {
        let mut scope = root.scope("trunk");
        let (trunk, size) = blueprint.part("trunk", &mut scope.with_norms_of(task, name), shape)?;
        trunks.push(trunk);
        features = size;
    }
    Ok((OwnNorms(trunks), features))
}

/// The trunk as each task has it.
#[derive(Debug)]
struct OwnNorms(Vec<Box<dyn Module>>);

impl Body for OwnNorms {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let of = |(position, task): (usize, &usize)| {
            Ok(of_task(&self.0, *task)?.forward(params, &rows.of(position, x)?, cx)?)
        };
        Ok(TaskFeatures::Each(wanted.iter().enumerate().map(of).collect::<Result<_>>()?).into())
    }

    fn smallest_batch(&self) -> usize {
        self.0.iter().map(Module::smallest_batch).fold(1, usize::max)
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.0.get(task).map_or(1, Module::smallest_batch)
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::Inputs;
    use manytask_nn::nets::{MlpConfig, Norm};
    use manytask_tensor::random::Key;
    use manytask_tensor::{Kind, Owner};

    use super::super::testing::{
        F64, blueprinted, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    fn network() -> (Box<dyn Architecture>, Params) {
        let trunk = MlpConfig { norm: Norm::Batch, ..mlp(&[5]) };
        let network = blueprinted(&TaskNormSettings {}, &tasks(2), &[("trunk", trunk)]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        (network, params)
    }

    #[test]
    fn normalisations_alone_are_the_tasks_own() {
        let (network, _) = network();
        let owners = |name: &str| {
            let of = network.layout().select(|entry| entry.name.contains(name));
            of.iter().map(|slot| network.layout().entry(*slot).unwrap().owner).collect::<Vec<_>>()
        };
        assert_eq!(owners("trunk.layer0.weight"), [Owner::Shared]);
        for task in 0..2 {
            // Scale, shift, mean and variance.
            assert_eq!(owners(&format!("norm.t{task}.")), [Owner::Task(task); 4].as_slice());
        }
        let of_pictures = of_blocks(&TaskNormSettings {}, &tasks(3));
        let count = |part: &str| of_pictures.layout().select(|entry| entry.name.contains(part)).len();
        assert_eq!((count("t2.running_var"), count("running_var")), (2, 6));
    }

    /// The definition: each task's rows are normalised by their own mean and variance.
    #[test]
    fn each_task_is_normalised_by_the_statistics_of_its_own_rows() {
        let (network, params) = network();
        let (a, b) = (inputs(6), Inputs::numbers(inputs(9).tensor(Kind::Double).unwrap() * 3.0 + 1.0));
        let rows = Rows::Own(vec![(0, 6), (6, 9)]);
        let both = TaskInputs { all: Inputs::cat(&[&a, &b]).unwrap(), rows, preference: None };
        let mut cx = Context::train(Key::new(1, "x"));
        let found = network.forward(&params, &both, &[0, 1], &mut cx).unwrap();
        for (task, x) in [&a, &b].into_iter().enumerate() {
            let hidden = linear(&params, &x.tensor(Kind::Double).unwrap(), "trunk.layer0");
            let mean = hidden.mean_dim([0].as_slice(), true, F64.0);
            let variance = hidden.var_dim([0].as_slice(), false, true);
            let hidden = ((hidden - mean) / (variance + 1e-5).sqrt()).relu();
            let expected = linear(&params, &hidden, &format!("heads.t{task}"));
            let difference = (found.raw(task).unwrap() - expected).abs().max().double_value(&[]);
            assert!(difference < 1e-12, "{task}: {difference}");
        }
        let mut after = params.share();
        Context::apply_buffers(&mut after, cx.take_buffers()).unwrap();
        let name = |task: usize| {
            let of = network.layout().select(|e| e.name.ends_with(&format!("t{task}.running_mean")));
            network.layout().entry(of[0]).unwrap().name.clone()
        };
        let [one, other] = [0, 1].map(|task| after.named(&name(task)).unwrap().copy());
        assert!((one - other).abs().max().double_value(&[]) > 1e-3, "statistics are of each task");
    }

    #[test]
    fn own_rows_are_as_shared_ones_in_evaluation() {
        let (network, params) = network();
        own_rows_are_as_shared_ones(network.as_ref(), &params);
    }
}
