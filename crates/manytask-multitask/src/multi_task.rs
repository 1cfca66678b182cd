//! Tasks on rows of data, with any architecture.

mod batches;
mod bottleneck;
mod cut;
mod dense;
mod empty;
mod evaluate;
mod gradient;
mod graph;
mod losses;
mod present;
mod stacked;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use manytask_data as data;
use manytask_data::{Batch, RowClasses};
use manytask_nn::dense::DenseChain;
use manytask_nn::fused::NotFused;
use manytask_nn::{Context, Progress};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Layout, Params, Slot, WHOLE, no_grad};
use serde::{Deserialize, Serialize};

pub use self::batches::Batches;
use self::batches::CachedBatcher;
use self::losses::Losses;
use crate::architecture::{Owned, Preferences, TaskInputs, fused_chain};
use crate::verified::VerifiedPass;
use crate::{
    Architecture, Draw, Error, Evaluation, Identity, Labelled, Offers, Pass, Problem, Result, Split, Task,
    TaskOutputs, TaskVec,
};

/// How the passes of a [`MultiTaskProblem`] are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Execution {
    /// Fused where network and device have such passes, else through the graph.
    #[default]
    Auto,
    /// Through the graph alone, cut at the bottleneck where there is one.
    Graph,
    /// Both ways: a step ends with an error where they differ. It costs as much as both.
    Verify,
}

/// The splits of the data of a problem, on the device of its network.
pub type TaskSplits = data::Splits<data::SplitData>;

/// Tasks on rows of data, with a network of any [`Architecture`].
///
/// All tasks are on the same rows (single-input), or each has rows of its own (multi-input): then a batch has as many rows
/// of each task, and all go through what is shared together.
#[derive(Debug)]
pub struct MultiTaskProblem {
    architecture: Box<dyn Architecture>,
    owned: Owned,
    tasks: Vec<Task>,
    names: Vec<String>,
    splits: TaskSplits,
    batches: Batches,
    steps_per_epoch: u64,
    batchers: Mutex<Vec<CachedBatcher>>,
    /// What training batches are balanced by, for each stream of rows.
    classes: Vec<RowClasses>,
    /// For each split and task, whether labels are missing or do not count: only then is a batch asked which tasks are in it.
    gaps: [Vec<bool>; 3],
    /// The form for GPUs, where the problem has one.
    stacked: Option<stacked::Stacked>,
    execution: Execution,
}

impl MultiTaskProblem {
    /// Puts network, tasks and data together.
    ///
    /// # Errors
    /// When tasks, heads and labels are not as many, the architecture is not for these tasks, or a task's loss or metric does
    /// not fit its kind.
    pub fn new(
        architecture: Box<dyn Architecture>,
        tasks: Vec<Task>,
        splits: TaskSplits,
        batches: Batches,
    ) -> Result<Self> {
        if architecture.tasks() != tasks.len() {
            return Err(Error::setting(
                WHOLE,
                format!("{} heads for {} tasks", architecture.tasks(), tasks.len()),
                "build one head for each task",
            ));
        }
        for split in
            [Some(&splits.train), splits.validation.as_ref(), splits.test.as_ref()].into_iter().flatten()
        {
            if split.tasks.len() != tasks.len() {
                return Err(Error::setting(
                    WHOLE,
                    format!("labels of {} tasks for {} tasks", split.tasks.len(), tasks.len()),
                    "describe every task once",
                ));
            }
        }
        tasks.iter().try_for_each(Task::check)?;
        check_labels(&tasks, &splits.train)?;
        architecture.check(&tasks, splits.train.is_single_input())?;
        // Asked for here, so that impossible batches are refused before anything is trained.
        let batcher = batches.of(&splits.train, 0)?;
        let gaps = [Some(&splits.train), splits.validation.as_ref(), splits.test.as_ref()];
        let gaps = gaps.map(|split| split.map_or(Ok(Vec::new()), present::gaps_of));
        let [train, validation, test] = gaps;
        let on_gpu = splits.train.inputs.first().is_some_and(|inputs| inputs.device() != Device::Cpu);
        Ok(Self {
            owned: Owned::of(architecture.layout(), tasks.len())?,
            stacked: if on_gpu && batches.augment.is_none() {
                stacked::Stacked::of(architecture.as_ref(), &tasks, &splits.train)?
            } else {
                None
            },
            architecture,
            names: tasks.iter().map(|task| task.name.clone()).collect(),
            tasks,
            splits,
            batches,
            steps_per_epoch: batcher.batches_per_epoch(),
            batchers: Mutex::default(),
            classes: Vec::new(),
            gaps: [train?, validation?, test?],
            execution: Execution::Auto,
        })
    }

    /// The same, with passes that are computed in this way.
    #[must_use]
    pub fn executed(self, execution: Execution) -> Self {
        Self { execution, ..self }
    }

    /// The network.
    pub fn architecture(&self) -> &dyn Architecture {
        self.architecture.as_ref()
    }

    /// The trained parameters of one task alone.
    pub fn own(&self, task: usize) -> &[Slot] {
        self.owned.own.get(task).map_or(&[], Vec::as_slice)
    }

    /// What is predicted, in the order of the heads.
    pub fn described_tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// For each task how often its rows are seen in an epoch, on average: more than once where a task with rows of its own
    /// has fewer than another and they start over, see [`TaskSampling`](data::TaskSampling).
    ///
    /// # Errors
    /// When there are no training rows.
    pub fn repeats(&self) -> Result<Vec<f64>> {
        let repeats = self.batches.of(&self.splits.train, 0)?.repeats();
        Ok(repeats.iter().copied().cycle().take(self.tasks.len()).collect())
    }

    fn split(&self, split: Split) -> Result<&data::SplitData> {
        let (found, name) = match split {
            Split::Train => (Some(&self.splits.train), "training"),
            Split::Validation => (self.splits.validation.as_ref(), "validation"),
            Split::Test => (self.splits.test.as_ref(), "test"),
        };
        found.ok_or_else(|| {
            Error::setting(
                WHOLE,
                format!("the data have no {name} split"),
                "name one in the split, or leave out what asks for it",
            )
        })
    }
}

/// Refuses labels whose form is not that of their task's: of rows, or of the pixels of pictures that all tasks share.
fn check_labels(tasks: &[Task], train: &data::SplitData) -> Result<()> {
    for (task, labels) in tasks.iter().zip(&train.tasks) {
        let shape = labels.target.size();
        let refuse = |what: String, remedy: &str| {
            Err(Error::setting(WHOLE, format!("task `{}`: {what}", task.name), remedy))
        };
        match (task.labelled, train.inputs.first()) {
            (Labelled::Row, _) if shape.len() > 2 => {
                return refuse(
                    format!("labels {shape:?} of rows"),
                    "mark the task as Labelled::Pixel, or give [N] or [N, L]",
                );
            }
            (Labelled::Pixel, Some(data::Inputs::Images(images))) if train.is_single_input() => {
                let sides = images.pixels().size().split_off(2);
                if shape.get(1..3) != Some(sides.as_slice()) {
                    return refuse(
                        format!("labels {shape:?} of the pixels of pictures of {sides:?}"),
                        "give [N, H, W], or [N, H, W, L]",
                    );
                }
            }
            (Labelled::Pixel, _) => {
                return refuse(
                    "labels of pixels, where tasks share no pictures".into(),
                    "give all tasks the same pictures",
                );
            }
            (Labelled::Row, _) => {}
        }
    }
    Ok(())
}

/// The context of a pass over a batch: its randomness is a function of the draw.
fn context(problem: &MultiTaskProblem, draw: Draw) -> Context {
    let key = Key::new(draw.seed, "forward").step(draw.step).within(u64::from(draw.replica));
    let cx = Context::train(key)
        .with_progress(Progress { step: draw.step, epoch: draw.step / problem.steps_per_epoch.max(1) });
    match problem.hidden_mix(draw) {
        None => cx,
        Some(mix) => cx.with_mix(mix),
    }
}

/// A pass was asked for what cannot be.
fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "multi-task problem".into(), message: message.into() }
}

/// A direction can be taken for all shared parameters or for the representation, but not for some layers.
fn direction_of_layers() -> Error {
    Error::setting(
        "level",
        "a direction of some layers only",
        "set level = \"parameters\" or \"representation\" for a method that gives a direction",
    )
}

/// A representation is asked for that tasks do not share.
fn rows_of_its_own() -> Error {
    Error::setting(
        "level",
        "gradients of the representation, but each task has rows of its own",
        "take the level `parameters`",
    )
}

impl Problem for MultiTaskProblem {
    fn layout(&self) -> &Arc<Layout> {
        self.architecture.layout()
    }

    fn shared(&self) -> &[Slot] {
        &self.owned.shared
    }

    fn tasks(&self) -> &[String] {
        &self.names
    }

    fn identity(&self) -> Identity {
        Identity::Fixed
    }

    fn offers(&self) -> Offers {
        Offers {
            shared: !self.owned.shared.is_empty(),
            representation: self.splits.train.is_single_input() && self.architecture.bottleneck().is_some(),
            validation: self.splits.validation.is_some(),
            preference: self.architecture.preferences().is_some(),
        }
    }

    fn steps_per_epoch(&self) -> Option<u64> {
        Some(self.steps_per_epoch)
    }

    fn forward<'a>(&'a self, params: &'a Params, draw: Draw) -> Result<Box<dyn Pass + 'a>> {
        if self.execution != Execution::Graph
            && let Some(pass) = stacked::forward(self, params, draw)?
        {
            return self.verified(pass, params, draw);
        }
        let batch = self.batch(draw)?;
        let present = self.present(draw.split, &batch)?;
        if present.is_empty() {
            return Ok(Box::new(empty::EmptyPass::new(self, params)));
        }
        let fused = match self.architecture.bottleneck() {
            Some(cut) => dense::forward(self, cut, params, &batch, &present, draw)?,
            None => None,
        };
        match fused {
            Some(pass) => self.verified(pass, params, draw),
            None => self.through_graph(params, &batch, present, draw),
        }
    }

    fn fused(&self, params: &Params) -> std::result::Result<(), NotFused> {
        if self.stacked.is_some() && self.execution != Execution::Graph && params.device() != Device::Cpu {
            return Ok(());
        }
        self.fused_chain(params).map(drop).map_err(Clone::clone)
    }

    fn manages_threads(&self, params: &Params, _step: u64) -> bool {
        self.fused_chain(params).is_ok()
    }

    fn uncaptured(&self) -> Option<String> {
        self.stacked.as_ref().and_then(stacked::Stacked::reason)
    }

    fn losses(&self, params: &Params, draw: Draw) -> Result<TaskVec> {
        let _off = no_grad();
        let batch = self.batch(draw)?;
        let present = self.present(draw.split, &batch)?;
        if present.is_empty() {
            return Ok(TaskVec::default());
        }
        let losses =
            self.losses_of(params, &batch, &present, (&mut context(self, draw), self.preference(draw)))?;
        Ok(present.into_iter().zip(losses.values).collect())
    }

    fn evaluation_schema(&self) -> Evaluation {
        Evaluation::new(self.tasks.iter().map(Task::evaluation_schema).collect())
    }

    fn ready(&self, split: Split) -> Result<()> {
        if split == Split::Train { self.check_batches() } else { Ok(()) }
    }

    fn can_have_value(&self, split: Split, task: usize, metric: &str) -> Result<bool> {
        evaluate::can_have_value(self, self.split(split)?, task, metric)
    }

    fn evaluate(&self, params: &Params, split: Split) -> Result<Evaluation> {
        let split = self.split(split)?;
        evaluate::evaluate(self, &self.architecture.outputs(params, &split.inputs)?, split)
    }

    fn preferences(&self) -> &[Vec<f64>] {
        self.architecture.preferences().map_or(&[], Preferences::points)
    }

    fn evaluate_at(&self, params: &Params, split: Split, preference: &[f64]) -> Result<Evaluation> {
        let split = self.split(split)?;
        evaluate::evaluate(self, &self.architecture.outputs_at(params, &split.inputs, preference)?, split)
    }

    fn protocol(&self) -> Vec<(&'static str, String)> {
        let shares = self.architecture.preferences().map(|preferences| {
            let of = |(task, share): (&String, &f64)| format!("{task} {}", (share * 1e4).round() / 1e4);
            self.names.iter().zip(preferences.usual()).map(of).collect::<Vec<_>>().join(", ")
        });
        shares.map(|shares| ("preference", shares)).into_iter().collect()
    }

    fn outputs(&self, params: &Params, split: Split) -> Result<Vec<TaskOutputs>> {
        evaluate::outputs(self, params, self.split(split)?)
    }
}

impl MultiTaskProblem {
    /// The preference of a step, the same for all of its batches.
    fn preference(&self, draw: Draw) -> Option<Vec<f64>> {
        let key = Key::new(draw.seed, "preference").step(draw.step);
        self.architecture.preferences().map(|preferences| preferences.draw(key))
    }

    /// The losses of the present tasks in one pass, with a graph to all parameters.
    fn losses_of(
        &self,
        params: &Params,
        batch: &Batch,
        present: &[usize],
        (cx, preference): (&mut Context, Option<Vec<f64>>),
    ) -> Result<Losses> {
        let inputs = TaskInputs::join(batch, present)?.at(preference);
        let outputs = self.architecture.forward(params, &inputs, present, cx)?;
        Losses::new(self, batch, present, &outputs)
    }

    /// The pass through the graph, cut at the bottleneck where there is one.
    fn through_graph<'a>(
        &'a self,
        params: &'a Params,
        batch: &Batch,
        present: Vec<usize>,
        draw: Draw,
    ) -> Result<Box<dyn Pass + 'a>> {
        Ok(match self.architecture.bottleneck() {
            Some(cut) => {
                Box::new(bottleneck::BottleneckPass::forward(self, cut, params, batch, present, draw)?)
            }
            None => Box::new(graph::GraphPass::forward(self, params, batch, present, draw)?),
        })
    }

    /// A fused pass, beside that through the graph where this is asked for.
    fn verified<'a>(
        &'a self,
        fused: Box<dyn Pass + 'a>,
        params: &'a Params,
        draw: Draw,
    ) -> Result<Box<dyn Pass + 'a>> {
        if self.execution != Execution::Verify {
            return Ok(fused);
        }
        let batch = self.batch(draw)?;
        let present = self.present(draw.split, &batch)?;
        let graph = self.through_graph(params, &batch, present, draw)?;
        Ok(Box::new(VerifiedPass::new(fused, graph, params.kind())?))
    }

    /// The trunk as a chain, where passes with these parameters are fused.
    fn fused_chain(&self, params: &Params) -> std::result::Result<&DenseChain, &NotFused> {
        static NO_BOTTLENECK: NotFused = NotFused::because("an architecture without a bottleneck");
        static ASKED: NotFused = NotFused::because("`execution = \"graph\"`");
        static MIXED: NotFused = NotFused::because("activations that are mixed in training");
        match (self.execution, self.architecture.bottleneck()) {
            (Execution::Graph, _) => Err(&ASKED),
            _ if self.batches.augment.manifold_mixup.is_some() => Err(&MIXED),
            (_, Some(cut)) => fused_chain(cut, params),
            (_, None) => Err(&NO_BOTTLENECK),
        }
    }
}
