use std::sync::Arc;

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Layout, Method, Params};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Features, Heads, InputEncoder, Outputs, TaskInputs,
    of_task,
};

/// A network for each task that shares nothing with the others, embedded columns included: what multi-task networks are compared
/// with, trained in one run.
///
/// Parameters are named `inputs.NAME.…`, `trunks.NAME.…`, `heads.NAME.…`, all of their task alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleTaskSettings {}

#[derive(Debug)]
struct SingleTask {
    layout: Arc<Layout>,
    encoders: Vec<InputEncoder>,
    trunks: Vec<Box<dyn Module>>,
    heads: Heads,
}

impl Method for SingleTaskSettings {
    const NAME: &'static str = "single_task";
    const SUMMARY: &'static str = "a network for each task, which share nothing";
    const ABOUT: &'static str = "\
        What networks of many tasks are compared with, in one run: a `trunk`, a `head` and tables of \
        embedded columns for each task. Its results are those of a run for each task, with one schedule \
        and one choice of the best checkpoint for all; for a run of its own each, see training.only_tasks.\n\
        Nothing is shared, so methods that go by gradients of shared parameters are refused. A step costs \
        as much as one of a trunk for each task.";
}

impl ArchitectureSettings for SingleTaskSettings {
    fn name(&self) -> &'static str {
        SingleTaskSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let mut encoders = Vec::with_capacity(blueprint.tasks.len());
        let mut trunks = Vec::with_capacity(blueprint.tasks.len());
        let mut features = 0;
        for (task, name) in blueprint.names().iter().enumerate() {
            let encoder = blueprint.encoder(&mut root.scope("inputs").scope(name).for_task(task))?;
            let mut scope = root.scope("trunks");
            let mut scope = scope.scope(name);
            let (trunk, size) = blueprint.part("trunk", &mut scope.for_task(task), encoder.shape())?;
            encoders.push(encoder);
            trunks.push(trunk);
            features = size;
        }
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let heads = heads.within(&layout);
        Ok(Box::new(SingleTask { layout, encoders, trunks, heads }))
    }
}

impl Architecture for SingleTask {
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
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let encoder = of_task(&self.encoders, *task)?;
            let x = encoder.forward(params, &inputs.of(position)?, cx)?;
            features.push(of_task(&self.trunks, *task)?.forward(params, &x, cx)?);
        }
        self.heads.forward(params, Features::Each(&features), wanted, cx)
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        let trunk = self.trunks.get(task).map_or(1, Module::smallest_batch);
        trunk.max(self.heads.smallest_batch_of(task))
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Owner;

    use super::super::testing::{F64, blueprinted, inputs, mlp, tasks};
    use super::*;

    #[test]
    fn a_network_of_several_tasks_is_one_for_each() {
        let network =
            blueprinted(&SingleTaskSettings {}, &tasks(2), &[("trunk", mlp(&[5])), ("head", mlp(&[3]))]);
        assert!(network.layout().entries().iter().all(|entry| matches!(entry.owner, Owner::Task(_))));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let x = TaskInputs::shared(&inputs(6));
        let outputs = |params: &Params| network.forward(params, &x, &[0, 1], &mut Context::eval()).unwrap();
        let before = outputs(&params);
        let second = network.layout().select(|entry| entry.owner == Owner::Task(1));
        let after = outputs(&params.map_slots(&second, |_, leaf| Ok(leaf + 0.1)).unwrap());
        assert_eq!(before.raw(0).unwrap(), after.raw(0).unwrap());
        assert_ne!(before.raw(1).unwrap(), after.raw(1).unwrap());
    }
}
