use manytask_nn::{Builder, Context, Mode, Module};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, BuiltBody, Rows, TaskFeatures,
    run_stage, stage_widths, with_heads,
};
use crate::{Error, Result};

/// The lowest temperature, below which a draw is a decision in any case.
const COLDEST: f64 = 0.05;

/// Learning to branch (Guo et al. 2020, ICML, arXiv:2006.01895, section 3): a tree of stages that is learned with its weights.
///
/// Each stage of the trunk is there N times. From the second stage on a node takes what one node of the stage before gives, and
/// each task's head what one of the last gives: node or head i draws j with the probability `softmax(αᵢ)ⱼ`, by Gumbel-softmax,
/// `d = one_hot(argmax(αᵢ + g))`, whose derivative is taken for that of `softmax((αᵢ + g) / τ)` (straight through). In evaluation
/// each takes its most probable one, and nodes that nobody takes are not computed. τ falls as `temperature / √(1 + epoch)`.
///
/// Parameters are named `nodes.N.…` (a trunk each), `branches.stageS.logits` (`[N, N]`, α of the nodes of stage S for those of S − 1),
/// `branches.heads.logits` (`[K, N]`) and `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LtbSettings {
    /// The nodes of each stage, N; absent: as many as tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<usize>,
    /// τ in the first epoch.
    pub temperature: f64,
}

impl Default for LtbSettings {
    fn default() -> Self {
        Self { nodes: None, temperature: 10.0 }
    }
}

impl Method for LtbSettings {
    const NAME: &'static str = "ltb";
    const SUMMARY: &'static str = "a tree of stages whose branches are learned with the weights";
    const ABOUT: &'static str = "\
        Guo et al. 2020 (learning to branch), arXiv:2006.01895: each stage of `trunk` is there `nodes` times \
        (1 to 4096; left out: as many as tasks), each node takes what one node of the stage before gives, \
        each head what one of the last gives. Choices are drawn by Gumbel-softmax, forward one node, backward \
        as the softmax of the temperature `temperature` / sqrt(1 + epoch) (above 0). Predictions take the most \
        probable nodes, and others are not computed: a network for all tasks, or one with branches.\n\
        A `trunk` must have stages: mlp and convolutional trunks have. All but heads are shared parameters. A \
        step costs as much as one of `nodes` trunks. Early on draws are nearly even, so that all nodes are \
        trained; take validation metrics for what was chosen, as they go by the most probable nodes.";
}

impl ArchitectureSettings for LtbSettings {
    fn name(&self) -> &'static str {
        LtbSettings::NAME
    }

    fn check(&self) -> Result<()> {
        if let Some(nodes) = self.nodes.filter(|nodes| !(1..=4096).contains(nodes)) {
            let remedy = "it must be from 1 to 4096; leave it out for as many as tasks";
            return Err(Error::setting("nodes", format!("`nodes` is {nodes}"), remedy));
        }
        if self.temperature.is_finite() && self.temperature > 0.0 {
            return Ok(());
        }
        let what = format!("`temperature` is {}", self.temperature);
        Err(Error::setting("temperature", what, "it must be above 0"))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl LtbSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Tree>> {
        let tasks = blueprint.tasks.len();
        let count = self.nodes.unwrap_or(tasks);
        let (mut nodes, mut features) = (Vec::with_capacity(count), 0);
        for node in 0..count {
            let mut scope = root.scope("nodes");
            let (trunk, size) = blueprint.part("trunk", &mut scope.scope(node.to_string()), shape)?;
            nodes.push(trunk);
            features = size;
        }
        let stages = match nodes.first() {
            Some(trunk) => stage_widths(LtbSettings::NAME, trunk.as_ref())?.len(),
            None => 0,
        };
        let mut choices = Vec::with_capacity(stages);
        for stage in 1..=stages {
            let (name, rows) =
                if stage == stages { ("heads".to_owned(), tasks) } else { (format!("stage{stage}"), count) };
            let mut scope = root.scope("branches");
            let mut scope = scope.scope(name);
            // As a scale: not decayed, which would make choices even.
            choices.push(scope.parameter(
                "logits",
                &[rows as i64, count as i64],
                Init::Zeros,
                Role::Scale,
            )?);
        }
        Ok((Tree { nodes, choices, temperature: self.temperature }, features))
    }
}

#[derive(Debug)]
struct Tree {
    /// A trunk each, of which a node is a stage.
    nodes: Vec<Box<dyn Module>>,
    /// α of the second stage for the first, and so on, of the heads for the last stage at the end.
    choices: Vec<Slot>,
    temperature: f64,
}

impl Tree {
    /// What a node makes of what it is given.
    fn run(
        &self,
        (stage, node): (usize, usize),
        params: &Params,
        x: &Tensor,
        cx: &mut Context,
    ) -> Result<Tensor> {
        let trunk = self.nodes.get(node).ok_or_else(|| no_node(node))?;
        run_stage(trunk.as_ref(), stage, params, x, cx)
    }

    /// What children are given in training, of what all parents give: one parent's each, drawn anew.
    fn drawn(
        &self,
        params: &Params,
        slot: Slot,
        parents: &[Tensor],
        cx: &mut Context,
    ) -> Result<Vec<Tensor>> {
        let logits = params.get(slot)?;
        let kind = logits.kind();
        let uniform = cx.next_key().uniform(f64::MIN_POSITIVE, 1.0, &logits.size(), kind, logits.device())?;
        let gumbel = uniform.f_clamp(1e-30, 1.0 - 1e-7)?.f_log()?.f_neg()?.f_log()?.f_neg()?;
        let noisy = logits.f_add(&gumbel)?;
        let epoch = cx.progress().map_or(0, |progress| progress.epoch);
        let temperature = (self.temperature / (1.0 + epoch as f64).sqrt()).max(COLDEST);
        let soft = noisy.f_mul_scalar(1.0 / temperature)?.f_softmax(-1, kind)?;
        let chosen = noisy.f_detach()?.f_argmax(-1, true)?;
        let hard = soft.f_detach()?.f_zeros_like()?.f_scatter_value(-1, &chosen, 1.0)?;
        let weights = hard.f_add(&soft)?.f_sub(&soft.f_detach()?)?;
        let all = Tensor::f_stack(parents, 0)?;
        let mut shape = all.size();
        let mixed = weights.f_to_kind(all.kind())?.f_matmul(&all.f_reshape([parents.len() as i64, -1])?)?;
        if let (Some(children), Some(count)) = (shape.first_mut(), logits.size().first()) {
            *children = *count;
        }
        Ok(mixed.f_reshape(shape)?.f_unbind(0)?)
    }

    /// The features of all tasks in training: every node is computed.
    fn trained(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Vec<Tensor>> {
        let mut inputs: Vec<Tensor> = self.nodes.iter().map(|_| x.shallow_clone()).collect();
        for (stage, slot) in self.choices.iter().enumerate() {
            let outputs = inputs.iter().enumerate().map(|(node, x)| self.run((stage, node), params, x, cx));
            inputs = self.drawn(params, *slot, &outputs.collect::<Result<Vec<_>>>()?, cx)?;
        }
        Ok(inputs)
    }

    /// The features of some tasks in evaluation: the nodes on their way alone, each once.
    fn chosen(&self, params: &Params, x: &Tensor, wanted: &[usize], cx: &mut Context) -> Result<Vec<Tensor>> {
        let mut ways: Vec<Vec<usize>> = Vec::with_capacity(self.choices.len());
        let mut children = wanted.to_vec();
        for slot in self.choices.iter().rev() {
            let most = Vec::<i64>::try_from(params.get(*slot)?.f_argmax(-1, false)?)?;
            let parent = |child: &usize| most.get(*child).map(|parent| *parent as usize);
            children = children
                .iter()
                .map(|child| parent(child).ok_or_else(|| no_node(*child)))
                .collect::<Result<_>>()?;
            ways.push(children.clone());
        }
        let mut features: Vec<Tensor> = wanted.iter().map(|_| x.shallow_clone()).collect();
        // Tasks whose ways were the same so far have the same features.
        let mut before: Vec<usize> = vec![0; wanted.len()];
        for (stage, nodes) in ways.iter().rev().enumerate() {
            let mut done: Vec<((usize, usize), Tensor)> = Vec::new();
            let mut next = Vec::with_capacity(before.len());
            for ((x, node), way) in features.iter_mut().zip(nodes).zip(&before) {
                let known = done.iter().position(|(of, _)| *of == (*way, *node));
                let place = known.unwrap_or(done.len());
                if known.is_none() {
                    done.push(((*way, *node), self.run((stage, *node), params, x, cx)?));
                }
                if let Some((_, found)) = done.get(place) {
                    *x = found.shallow_clone();
                }
                next.push(place);
            }
            before = next;
        }
        Ok(features)
    }
}

fn no_node(node: usize) -> Error {
    Error::setting(WHOLE, format!("there is no node or task {node}"), "count them from 0")
}

impl Body for Tree {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let of_wanted = if cx.mode() == Mode::Train {
            let all = self.trained(params, x, cx)?;
            let of = |task: &usize| all.get(*task).map(Tensor::shallow_clone).ok_or_else(|| no_node(*task));
            wanted.iter().map(of).collect::<Result<Vec<_>>>()?
        } else {
            self.chosen(params, x, wanted, cx)?
        };
        let own = of_wanted.iter().enumerate().map(|(position, x)| rows.of(position, x));
        Ok(TaskFeatures::Each(own.collect::<Result<_>>()?).into())
    }

    fn surrogates(&self) -> Vec<Slot> {
        self.choices.clone()
    }

    fn smallest_batch(&self) -> usize {
        self.nodes.iter().map(Module::smallest_batch).fold(1, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::Progress;
    use manytask_tensor::random::Key;
    use manytask_tensor::{Graph, gradients};

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, own_rows_are_as_shared_ones, tasks};
    use super::*;
    use crate::architecture::TaskInputs;

    fn network() -> (Box<dyn Architecture>, Params) {
        let settings = LtbSettings { nodes: Some(3), ..LtbSettings::default() };
        let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5, 6]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        (network, params)
    }

    /// Choices that are certain: node i of the second stage takes `stage[i]`, task k `heads[k]`.
    fn decided(network: &dyn Architecture, params: &Params, stage: [i64; 3], heads: [i64; 2]) -> Params {
        let mut params = params.share();
        for (name, choice) in [("branches.stage1.logits", &stage[..]), ("branches.heads.logits", &heads)] {
            let rows = choice.iter().flat_map(|of| (0..3).map(|node| if node == *of { 200.0 } else { 0.0 }));
            let logits = Tensor::from_slice(&rows.collect::<Vec<f64>>()).reshape([choice.len() as i64, 3]);
            params.put(network.layout().find(name).unwrap(), logits).unwrap();
        }
        params
    }

    #[test]
    fn a_task_has_the_features_on_its_way_through_the_tree_in_training_and_evaluation() {
        let (network, params) = network();
        let params = decided(network.as_ref(), &params, [2, 0, 2], [1, 2]);
        let x = inputs(6);
        let shared = TaskInputs::shared(&x);
        let x = x.tensor(F64.0).unwrap();
        for mut cx in [Context::eval(), Context::train(Key::new(1, "gumbel"))] {
            let found = network.forward(&params, &shared, &[0, 1], &mut cx).unwrap();
            for (task, (first, second)) in [(0, 1), (2, 2)].into_iter().enumerate() {
                let hidden = linear(&params, &x, &format!("nodes.{first}.layer0")).relu();
                let hidden = linear(&params, &hidden, &format!("nodes.{second}.layer1")).relu();
                let expected = linear(&params, &hidden, &format!("heads.t{task}"));
                let difference = (found.raw(task).unwrap() - expected).abs().max().double_value(&[]);
                assert!(difference < 1e-12, "{task}: {difference}");
            }
        }
    }

    #[test]
    fn even_choices_are_drawn_evenly_and_anew() {
        let (network, params) = network();
        let shared = TaskInputs::shared(&inputs(1));
        let draw = |number: u64| {
            let key = Key::new(1, "gumbel").step(number);
            let found = network.forward(&params, &shared, &[0], &mut Context::train(key)).unwrap();
            found.raw(0).unwrap().double_value(&[0, 0])
        };
        let drawn: Vec<f64> = (0..900).map(draw).collect();
        let mut values = drawn.clone();
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| (*a - *b).abs() < 1e-12);
        // Three nodes for the head, each of three before: each way as often.
        assert_eq!(values.len(), 9);
        for value in values {
            let count = drawn.iter().filter(|other| (*other - value).abs() < 1e-12).count();
            assert!((60..140).contains(&count), "{count} of 100");
        }
    }

    /// The derivative of a choice is that of the softmax at its temperature: half the temperature, twice the slope of nearly even ones.
    #[test]
    fn choices_have_the_gradient_of_their_softmax_which_grows_as_it_cools() {
        let (network, params) = network();
        let params = params.require_grad().unwrap();
        let slope = |epoch: u64| {
            let mut cx = Context::train(Key::new(3, "g")).with_progress(Progress { step: 0, epoch });
            let found = network.forward(&params, &TaskInputs::shared(&inputs(4)), &[0, 1], &mut cx).unwrap();
            let sum = found.raw(0).unwrap().sum(F64.0) + found.raw(1).unwrap().sum(F64.0);
            let logits = params.named("branches.heads.logits").unwrap();
            gradients(&sum, &[logits], Graph::Free).unwrap().remove(0)
        };
        let (hot, colder) = (slope(0), slope(3));
        assert!(hot.abs().max().double_value(&[]) > 1e-4);
        let ratio = colder.abs().sum(F64.0).double_value(&[]) / hot.abs().sum(F64.0).double_value(&[]);
        assert!((ratio - 2.0).abs() < 0.3, "{ratio}");
        // A softmax's gradient has no part along the ones.
        assert!(hot.sum_dim_intlist([1].as_slice(), false, F64.0).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn own_rows_are_as_shared_ones_and_wrong_settings_are_refused() {
        let (network, params) = network();
        own_rows_are_as_shared_ones(network.as_ref(), &params);
        for settings in [
            LtbSettings { nodes: Some(0), ..LtbSettings::default() },
            LtbSettings { temperature: 0.0, ..LtbSettings::default() },
        ] {
            assert!(settings.check().unwrap_err().to_string().contains("is 0"));
        }
    }
}
