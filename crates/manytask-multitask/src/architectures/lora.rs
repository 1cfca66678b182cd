use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Layout, Method, Params, Role, Slot, Tensor, number_like};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, BuiltBody, Rows, TaskFeatures, of_task,
    with_heads,
};
use crate::{Error, Result};

/// Low-rank adaptation by task (Hu et al. 2022, ICLR, arXiv:2106.09685, section 4.1): one trunk for all, of which task i computes with
/// `W + α/r · Bᵢ Aᵢ` for every weight W, with matrices of the task's own of rank r.
///
/// A starts as a linear layer's weight and B at 0, so it starts as hard sharing; the trunk is trained with them. A kernel of a
/// convolution is the matrix `[out, in · height · width]`.
///
/// Parameters are named `trunk.…`, `lora.NAME.LAYER.a` (`[r, in]`) and `.b` (`[out, r]`), `heads.NAME.…`. A trunk with running
/// statistics is refused: each task's pass through it would leave others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSettings {
    /// r, at least 1.
    pub rank: i64,
    /// α.
    pub alpha: f64,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self { rank: 8, alpha: 8.0 }
    }
}

impl Method for LoraSettings {
    const NAME: &'static str = "lora";
    const SUMMARY: &'static str = "one trunk, each of whose weights a task changes by a matrix of low rank";
    const ABOUT: &'static str = "\
        Hu et al. 2022, arXiv:2106.09685: task i computes with W + alpha / r B_i A_i for every weight W of \
        the trunk, matrices of the task's own of the rank r = `rank` (1 to 65536); `alpha` is finite. B \
        starts at 0: it starts as hard_sharing. The trunk is trained too. A kernel of a convolution is \
        taken as a matrix of a row for each channel that comes out. Trunks with batch-norm are refused: \
        its statistics would be those of one task.\n\
        The trunk is shared, A and B are each task's own. A step costs as much as one of a trunk for each \
        task.";
}

impl ArchitectureSettings for LoraSettings {
    fn name(&self) -> &'static str {
        LoraSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.rank) {
            return Err(Error::setting(
                "rank",
                format!("`rank` is {}", self.rank),
                "it must be from 1 to 65536",
            ));
        }
        if self.alpha.is_finite() && self.alpha != 0.0 {
            return Ok(());
        }
        Err(Error::setting("alpha", format!("`alpha` is {}", self.alpha), "it must be finite and not 0"))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

/// The scope of the trunk.
const TRUNK: &str = "trunk";

impl LoraSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Lora>> {
        let (trunk, features) = blueprint.part("trunk", &mut root.scope(TRUNK), shape)?;
        let weights = weights(blueprint, shape)?;
        let mut tasks = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut scope = root.scope(LoraSettings::NAME);
            let mut scope = scope.scope(name);
            let mut scope = scope.for_task(task);
            let mut changes = Vec::with_capacity(weights.len());
            for (layer, outputs, inputs) in &weights {
                let bound = 1.0 / (*inputs as f64).sqrt();
                let init = Init::Uniform { low: -bound, high: bound };
                let mut scope = scope.scope(layer);
                changes.push(Change {
                    a: scope.parameter("a", &[self.rank, *inputs], init, Role::Weight)?,
                    b: scope.parameter("b", &[*outputs, self.rank], Init::Zeros, Role::Weight)?,
                });
            }
            tasks.push(changes);
        }
        let factor = self.alpha / self.rank as f64;
        Ok((Lora { trunk, weights: Vec::new(), tasks, factor }, features))
    }
}

/// The weights of the trunk as matrices: name, outputs and inputs of each, in layout order.
fn weights(blueprint: &Blueprint<'_>, shape: &[i64]) -> Result<Vec<(String, i64, i64)>> {
    let mut layout = Layout::builder();
    blueprint.part("trunk", &mut Builder::new(&mut layout), shape)?;
    let layout = layout.build();
    if layout.entries().iter().any(|entry| entry.role == Role::Buffer) {
        return Err(Error::setting(
            ["trunk", "norm"],
            "`lora` with a trunk that keeps running statistics",
            "take norm = \"layer\" or \"none\", or the architecture `adapter`",
        ));
    }
    let weights = layout.entries().iter().filter(|entry| is_weight(entry.role, &entry.shape));
    let weights: Vec<_> = weights
        .map(|entry| {
            let outputs = entry.shape.first().copied().unwrap_or(1);
            let name = entry.name.strip_suffix(".weight").unwrap_or(&entry.name);
            (name.to_owned(), outputs, entry.shape.iter().skip(1).product())
        })
        .collect();
    if weights.is_empty() {
        return Err(Error::setting(
            "trunk",
            "`lora` with a trunk without weights",
            "take one with layers, such as mlp with `hidden`",
        ));
    }
    Ok(weights)
}

fn is_weight(role: Role, shape: &[i64]) -> bool {
    role == Role::Weight && shape.len() >= 2
}

#[derive(Debug)]
struct Lora {
    trunk: Box<dyn Module>,
    /// W of every layer, in layout order.
    weights: Vec<Slot>,
    /// What each task changes of each.
    tasks: Vec<Vec<Change>>,
    factor: f64,
}

#[derive(Debug)]
struct Change {
    a: Slot,
    b: Slot,
}

impl Lora {
    /// The parameters that a task computes with.
    fn changed(&self, params: &Params, task: usize) -> Result<Params> {
        let mut own = params.share();
        for (slot, change) in self.weights.iter().zip(of_task(&self.tasks, task)?) {
            let weight = params.get(*slot)?;
            let product = params.get(change.b)?.f_matmul(params.get(change.a)?)?;
            let product = product.f_reshape(weight.size())?.f_mul(&number_like(self.factor, weight)?)?;
            own.put(*slot, weight.f_add(&product)?)?;
        }
        Ok(own)
    }
}

impl Body for Lora {
    fn within(self, layout: &Layout) -> Result<Self> {
        let prefix = format!("{TRUNK}.");
        let weights =
            layout.select(|entry| entry.name.starts_with(&prefix) && is_weight(entry.role, &entry.shape));
        Ok(Self { weights, ..self })
    }

    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let own = self.changed(params, *task)?;
            features.push(self.trunk.forward(&own, &rows.of(position, x)?, cx)?);
        }
        Ok(TaskFeatures::Each(features).into())
    }

    fn smallest_batch_of(&self, _task: usize) -> usize {
        self.trunk.smallest_batch()
    }
}

#[cfg(test)]
mod tests {
    use manytask_nn::nets::{MlpConfig, Norm};
    use manytask_tensor::Owner;

    use super::super::testing::{
        F64, blueprinted, blueprinted_for, inputs, linear, mlp, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::{InputSizes, TaskInputs, TrunkSettings};

    #[test]
    fn every_weight_of_the_trunk_is_changed_by_a_product_of_low_rank() {
        let settings = LoraSettings { rank: 2, alpha: 3.0 };
        let network = blueprinted(&settings, &tasks(2), &[("trunk", mlp(&[5, 4]))]);
        let start = network.layout().init(1, F64.0, F64.1).unwrap();
        let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
        let moved = start.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
        let x = inputs(6);
        for (params, factor) in [(start, 0.0), (moved, 1.5)] {
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
            let named = |name: String| params.named(&name).unwrap();
            for task in 0..2 {
                let mut features = x.tensor(F64.0).unwrap();
                for stage in 0..2 {
                    let of = |part: &str| named(format!("lora.t{task}.layer{stage}.{part}"));
                    let weight =
                        named(format!("trunk.layer{stage}.weight")) + of("b").matmul(of("a")) * factor;
                    features = features.matmul(&weight.tr()) + named(format!("trunk.layer{stage}.bias"));
                    features = features.relu();
                }
                let expected = linear(&params, &features, &format!("heads.t{task}"));
                assert!((found.raw(task).unwrap() - expected).abs().max().double_value(&[]) < 1e-12);
            }
            own_rows_are_as_shared_ones(network.as_ref(), &params);
        }
        let owner = |name: &str| network.layout().entries().iter().find(|e| e.name == name).unwrap().owner;
        assert_eq!(owner("lora.t1.layer0.a"), Owner::Task(1));
        assert_eq!(owner("trunk.layer0.weight"), Owner::Shared);
    }

    #[test]
    fn trunks_with_running_statistics_and_without_weights_are_refused() {
        for (trunk, says) in [
            (MlpConfig { norm: Norm::Batch, ..mlp(&[5]) }, "running statistics"),
            (mlp(&[]), "without weights"),
        ] {
            let parts = [("trunk", Box::new(trunk) as Box<dyn TrunkSettings>)];
            let settings = LoraSettings::default();
            let built = blueprinted_for(&settings, &tasks(2), parts.into(), &InputSizes::numbers(4));
            assert!(built.unwrap_err().to_string().contains(says), "{says}");
        }
        assert!(LoraSettings { rank: 0, alpha: 1.0 }.check().is_err());
        assert!(LoraSettings { rank: 1, alpha: f64::NAN }.check().is_err());
    }
}
