use std::sync::Arc;

use manytask_nn::metrics::Output;
use manytask_nn::{Builder, Context, Mode};
use manytask_tensor::{Layout, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Ensemble, InputEncoder, OutputGroup, Outputs, Sharing,
    TaskInputs, of_task,
};
use crate::{Error, Result};

/// `TabM` (Gorishniy et al. 2025, ICLR, arXiv:2410.24210, section 3.3): k networks in one for tables, which share the trunk's weights
/// but for factors of their own, each with its own heads.
///
/// Member m computes each linear layer as `s_m ⊙ W (r_m ⊙ x) + b_m` (the batch ensemble of Wen et al. 2020, arXiv:2002.06715), which is a
/// layer of the weight `W ⊙ s_m r_mᵀ`; all r and s start at 1 but the first layer's r, which is drawn from N(0, 1) and keeps members
/// apart. Biases, scales of normalisations and heads are each member's own.
///
/// A task's training loss is the mean of the members' losses, *not* the loss of their mean: members do not lean on each other. Its
/// prediction is the members' mean, of probabilities for classes and labels, of values for regressions.
///
/// The trunk is shared, heads are each task's own. Parameters are named `trunk.LAYER.weight`, `.input_scale` (r, `[k, in]`),
/// `.output_scale` (s, `[k, out]`), `.bias` (`[k, out]`), `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TabmSettings {
    /// k, at least 1.
    pub members: i64,
}

impl Default for TabmSettings {
    fn default() -> Self {
        Self { members: 32 }
    }
}

#[derive(Debug)]
struct Tabm {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    members: i64,
    trunk: Ensemble,
    heads: Vec<Ensemble>,
    outputs: Vec<Output>,
}

impl Method for TabmSettings {
    const NAME: &'static str = "tabm";
    const SUMMARY: &'static str = "k networks in one for tables, which share weights and are averaged";
    const ABOUT: &'static str = "\
        Gorishniy et al. 2025, arXiv:2410.24210: `members` (1 to 4096) networks of the form `trunk` with \
        the same weights but for a factor of each member's own for every input and output of a layer; \
        biases and heads are each member's own. The training loss is the mean of the members' losses, \
        predictions are the mean of their probabilities or values. The paper takes numbers with scale = \
        \"quantile\". Trunks with batch-norm are refused: take norm = \"layer\".\n\
        The trunk is shared, heads are each task's own. A step costs as much as one of `members` trunks.";
}

impl ArchitectureSettings for TabmSettings {
    fn name(&self) -> &'static str {
        TabmSettings::NAME
    }

    fn check(&self) -> Result<()> {
        if (1..=4096).contains(&self.members) {
            return Ok(());
        }
        Err(Error::setting("members", format!("`members` is {}", self.members), "it must be from 1 to 4096"))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let members = self.members;
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let (trunk, features) = Ensemble::build(&mut root.scope("trunk"), members, Sharing::Weights, |b| {
            blueprint.part("trunk", b, encoder.shape())
        })?;
        let mut heads = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut scope = root.scope("heads");
            let mut scope = scope.scope(name);
            let (head, _) = Ensemble::build(&mut scope.for_task(task), members, Sharing::Nothing, |b| {
                Ok((blueprint.head(b, task, features)?, 0))
            })?;
            heads.push(head);
        }
        let outputs = blueprint.tasks.iter().map(|task| task.output).collect();
        Ok(Box::new(Tabm { layout: layout.build(), encoder, members, trunk, heads, outputs }))
    }
}

/// The logarithm of the mean of `e^x` over the first dimension.
fn log_mean_exp(x: &Tensor) -> Result<Tensor> {
    let members = x.size().first().copied().unwrap_or(1).max(1);
    Ok(x.f_logsumexp([0].as_slice(), false)?.f_add_scalar(-(members as f64).ln())?)
}

/// The raw outputs `[B, o]` of the members' mean, for theirs `[k, B, o]`: of probabilities, where outputs are logits.
fn mean_of_members(output: Output, raw: &Tensor) -> Result<Tensor> {
    match output {
        Output::Regression => Ok(raw.f_mean_dim([0].as_slice(), false, raw.kind())?),
        Output::Multiclass => log_mean_exp(&raw.f_log_softmax(-1, raw.kind())?),
        // ln(p / (1 − p)), neither of which is rounded to 0.
        Output::Binary | Output::Multilabel => {
            let (yes, no) = (raw.f_log_sigmoid()?, raw.f_neg()?.f_log_sigmoid()?);
            Ok(log_mean_exp(&yes)?.f_sub(&log_mean_exp(&no)?)?)
        }
    }
}

impl Architecture for Tabm {
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
        let mut shape = x.size();
        shape.insert(0, self.members);
        // [k, B, F]
        let features = self.trunk.forward(params, &x.f_unsqueeze(0)?.f_expand(&shape, false)?, cx)?;
        let by_row = features.f_transpose(0, 1)?;
        let mut groups = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let own = inputs.rows.of(position, &by_row)?.f_transpose(0, 1)?;
            let raw = of_task(&self.heads, *task)?.forward(params, &own, cx)?.f_to_kind(params.kind())?;
            let raw = match cx.mode() {
                Mode::Train => raw.f_flatten(0, 1)?,
                Mode::Eval => mean_of_members(*of_task(&self.outputs, *task)?, &raw)?,
            };
            groups.push(OutputGroup { positions: vec![position], raw: raw.f_unsqueeze(0)? });
        }
        let members = if cx.mode() == Mode::Train { self.members } else { 1 };
        Ok(Outputs { groups, members, auxiliary: Vec::new() })
    }

    fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.get(task).map_or(1, Ensemble::smallest_batch)
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::nets::{MlpConfig, Norm};
    use manytask_tensor::Owner;
    use manytask_tensor::random::Key;

    use super::super::testing::{
        F64, blueprinted, blueprinted_for, inputs, mlp, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::Task;
    use crate::architecture::{InputSizes, TrunkSettings};

    const MEMBERS: i64 = 3;

    fn network(tasks: &[Task]) -> (Box<dyn Architecture>, Params) {
        let settings = TabmSettings { members: MEMBERS };
        let network = blueprinted(&settings, tasks, &[("trunk", mlp(&[5, 4]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
        let params = params.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
        (network, params)
    }

    /// Member by member, `s ⊙ W (r ⊙ x) + b`.
    fn member(params: &Params, x: &Tensor, member: i64, task: usize) -> Tensor {
        let named = |name: String| params.named(&name).unwrap();
        let mut features = x.shallow_clone();
        for layer in 0..2 {
            let of = |part: &str| named(format!("trunk.layer{layer}.{part}"));
            let scaled = features * of("input_scale").get(member);
            let product = scaled.matmul(&of("weight").tr()) * of("output_scale").get(member);
            features = (product + of("bias").get(member)).relu();
        }
        let head = |part: &str| named(format!("heads.t{task}.{part}")).get(member);
        features.matmul(&head("weight").tr()) + head("bias")
    }

    #[test]
    fn members_share_weights_but_for_factors_and_their_predictions_are_averaged() {
        let mut all = tasks(3);
        all[1] = Task::new("t1", Output::Regression, 2);
        all[2] = Task::new("t2", Output::Multiclass, 3);
        let (network, params) = network(&all);
        let x = inputs(6);
        let shared = TaskInputs::shared(&x);
        let trained =
            network.forward(&params, &shared, &[0, 1, 2], &mut Context::train(Key::new(1, "a"))).unwrap();
        let judged = network.forward(&params, &shared, &[0, 1, 2], &mut Context::eval()).unwrap();
        assert_eq!((trained.members, judged.members), (MEMBERS, 1));
        let x = x.tensor(F64.0).unwrap();
        for task in 0..3 {
            let each: Vec<Tensor> = (0..MEMBERS).map(|m| member(&params, &x, m, task)).collect();
            let difference = trained.raw(task).unwrap() - Tensor::cat(&each, 0);
            assert!(difference.abs().max().double_value(&[]) < 1e-12, "members one after the other");
            let mean =
                |f: fn(&Tensor) -> Tensor| each.iter().map(f).reduce(|a, b| a + b).unwrap() / MEMBERS as f64;
            let raw = judged.raw(task).unwrap();
            let (found, expected) = match task {
                0 => (raw.sigmoid(), mean(Tensor::sigmoid)),
                1 => (raw, mean(Tensor::shallow_clone)),
                _ => (raw.softmax(-1, F64.0), mean(|raw| raw.softmax(-1, F64.0))),
            };
            assert!((found - expected).abs().max().double_value(&[]) < 1e-12, "task {task}");
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let raw = Tensor::from_slice(&[-900.0, 900.0, -900.0, -900.0]).reshape([2, 2, 1]);
        let found = mean_of_members(Output::Binary, &raw).unwrap();
        assert!((found.double_value(&[0, 0]) + 900.0).abs() < 1e-9);
        assert!(found.double_value(&[1, 0]).abs() < 1e-9, "a half");
    }

    #[test]
    fn only_the_first_layers_factors_keep_members_apart_at_the_start() {
        let (network, _) = network(&tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        for (name, apart) in [
            ("trunk.layer0.input_scale", true),
            ("trunk.layer0.output_scale", false),
            ("trunk.layer1.input_scale", false),
        ] {
            let spread = params.named(name).unwrap().std(true).double_value(&[]);
            assert_eq!(spread > 0.1, apart, "{name}");
        }
        let entries = network.layout().entries();
        let owner = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().owner;
        assert_eq!(owner("heads.t1.weight"), Owner::Task(1));
        assert_eq!(owner("trunk.layer0.bias"), Owner::Shared);
    }

    #[test]
    fn own_rows_are_as_shared_ones_and_running_statistics_are_refused() {
        let (network, params) = network(&tasks(2));
        own_rows_are_as_shared_ones(network.as_ref(), &params);
        let trunk = MlpConfig { norm: Norm::Batch, ..mlp(&[5]) };
        let parts = [("trunk", Box::new(trunk) as Box<dyn TrunkSettings>)];
        let built =
            blueprinted_for(&TabmSettings::default(), &tasks(2), parts.into(), &InputSizes::numbers(4));
        assert!(built.unwrap_err().to_string().contains("running statistics"));
        assert!(TabmSettings { members: 0 }.check().is_err());
    }
}
