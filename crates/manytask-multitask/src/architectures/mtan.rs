use manytask_nn::layers::{BatchNorm, Linear};
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, BuiltBody, Rows, TaskFeatures, of_task,
    per_channel, pooled_like, run_stage, stage_widths, with_heads,
};
use crate::{Error, Result};

/// The multi-task attention network (Liu et al. 2019, CVPR, arXiv:1803.10704, equations 1 and 2) over the stages of any trunk: one
/// trunk for all, and for each task an attention module after each stage, `âᵢʲ = aᵢʲ ⊙ pʲ`, whose mask looks at the stage's
/// features and at what the task's module before it let through:
///
/// `aᵢʲ = σ(BN(h [relu(BN(g [pʲ ; f(âᵢʲ⁻¹)]))]))`, `f = relu(BN(linear))` after average pooling to the stage's size.
///
/// g, h and f are 1 × 1 convolutions, linear layers of rows. Departures from the paper, whose blocks are those of a segmentation network: as
/// stages are not cut further, g looks at pʲ where the paper takes the block's first features; f is 1 × 1, the paper's 3 × 3.
///
/// The trunk is shared, attention is each task's own. Parameters are named `trunk.…`, `attention.NAME.stageN.before.…` (f),
/// `.inner.…` (g), `.mask.…` (h), each with `.norm.…`, and `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MtanSettings {
    /// By what the width of a stage is divided for the inner features of its modules, at least 1.
    pub reduction: i64,
}

impl Default for MtanSettings {
    fn default() -> Self {
        Self { reduction: 1 }
    }
}

impl Method for MtanSettings {
    const NAME: &'static str = "mtan";
    const SUMMARY: &'static str =
        "one trunk, on whose features each task lays a mask of attention after each stage";
    const ABOUT: &'static str = "\
        Liu et al. 2019, arXiv:1803.10704: a_j = sigmoid(h(relu(g([p_j; f(a_(j-1) p_(j-1))])))), a task's \
        features are a_j times the stage's p_j. g and h are 1 x 1 convolutions with batch-norm, linear \
        layers of rows; `reduction` (at least 1) makes what is between them narrower. Unlike in the paper \
        g looks at the whole stage's features, and f is 1 x 1. A `trunk` must have stages: mlp and \
        convolutional trunks have.\n\
        The trunk is shared, attention is each task's own.";
}

impl ArchitectureSettings for MtanSettings {
    fn name(&self) -> &'static str {
        MtanSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if self.reduction >= 1 {
            return Ok(());
        }
        Err(Error::setting(
            "reduction",
            format!("`reduction` is {}", self.reduction),
            "it must be at least 1",
        ))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl MtanSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Mtan>> {
        let (trunk, features) = blueprint.part("trunk", &mut root.scope("trunk"), shape)?;
        let widths = stage_widths(MtanSettings::NAME, trunk.as_ref())?;
        let mut attention = Vec::with_capacity(blueprint.tasks.len());
        for (task, name) in blueprint.names().iter().enumerate() {
            let mut scope = root.scope("attention");
            let mut scope = scope.scope(name);
            let mut scope = scope.for_task(task);
            let mut stages = Vec::with_capacity(widths.len());
            let mut before = None;
            for (stage, &width) in widths.iter().enumerate() {
                let scope = &mut scope.scope(format!("stage{stage}"));
                let inner = (width / self.reduction).max(1);
                let known = if before.is_some() { 2 * width } else { width };
                stages.push(Attention {
                    before: before.map(|from| Layer::new(scope, "before", from, width)).transpose()?,
                    inner: Layer::new(scope, "inner", known, inner)?,
                    mask: Layer::new(scope, "mask", inner, width)?,
                });
                before = Some(width);
            }
            attention.push(stages);
        }
        Ok((Mtan { trunk, stages: widths.len(), attention }, features))
    }
}

#[derive(Debug)]
struct Mtan {
    trunk: Box<dyn Module>,
    stages: usize,
    /// The modules of each task, by stage.
    attention: Vec<Vec<Attention>>,
}

#[derive(Debug)]
struct Attention {
    before: Option<Layer>,
    inner: Layer,
    mask: Layer,
}

/// A 1 × 1 convolution with batch-norm.
#[derive(Debug)]
struct Layer {
    linear: Linear,
    norm: BatchNorm,
}

impl Layer {
    fn new(scope: &mut Builder<'_>, name: &str, inputs: i64, outputs: i64) -> Result<Self> {
        let mut scope = scope.scope(name);
        let linear = Linear::new(&mut scope, inputs, outputs)?;
        Ok(Self { linear, norm: BatchNorm::new(&mut scope.scope("norm"), outputs)? })
    }

    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let y = per_channel(x, |rows| self.linear.forward(params, rows, cx))?;
        Ok(self.norm.forward(params, &y, cx)?)
    }
}

impl Attention {
    /// `âʲ` for pʲ and `âʲ⁻¹`.
    fn forward(
        &self,
        params: &Params,
        p: &Tensor,
        before: Option<&Tensor>,
        cx: &mut Context,
    ) -> Result<Tensor> {
        let known = match (&self.before, before) {
            (Some(layer), Some(before)) => {
                let before = layer.forward(params, &pooled_like(before, p)?, cx)?.f_relu()?;
                Tensor::f_cat(&[p, &before], 1)?
            }
            _ => p.shallow_clone(),
        };
        let inner = self.inner.forward(params, &known, cx)?.f_relu()?;
        Ok(self.mask.forward(params, &inner, cx)?.f_sigmoid()?.f_mul(p)?)
    }
}

impl Body for Mtan {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let mut stages = Vec::with_capacity(self.stages);
        let mut p = x.shallow_clone();
        for stage in 0..self.stages {
            p = run_stage(self.trunk.as_ref(), stage, params, &p, cx)?;
            stages.push(p.shallow_clone());
        }
        let mut features = Vec::with_capacity(wanted.len());
        for (position, task) in wanted.iter().enumerate() {
            let mut let_through = None;
            for (module, p) in of_task(&self.attention, *task)?.iter().zip(&stages) {
                let p = rows.of(position, p)?;
                let_through = Some(module.forward(params, &p, let_through.as_ref(), cx)?);
            }
            features.push(let_through.unwrap_or(rows.of(position, x)?));
        }
        Ok(TaskFeatures::Each(features).into())
    }

    fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        let modules = self.attention.get(task).into_iter().flatten();
        modules.map(|module| module.mask.norm.smallest_batch()).fold(1, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Owner;
    use manytask_tensor::random::Key;

    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    /// Batch-norm with the statistics of the batch.
    fn normalised(params: &Params, y: &Tensor, name: &str) -> Tensor {
        let named = |part: &str| params.named(&format!("{name}.norm.{part}")).unwrap();
        let mean = y.mean_dim([0].as_slice(), true, F64.0);
        let var = (y - &mean).square().mean_dim([0].as_slice(), true, F64.0);
        (y - mean) / (var + 1e-5).sqrt() * named("weight") + named("bias")
    }

    #[test]
    fn masks_look_at_the_stage_and_at_what_was_let_through_before() {
        let network = blueprinted(&MtanSettings { reduction: 2 }, &tasks(2), &[("trunk", mlp(&[6, 4]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
        let params = params.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
        let x = inputs(9);
        let mut cx = Context::train(Key::new(1, "a"));
        let found = network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut cx).unwrap();
        let p0 = linear(&params, &x.tensor(F64.0).unwrap(), "trunk.layer0").relu();
        let p1 = linear(&params, &p0, "trunk.layer1").relu();
        for task in 0..2 {
            let layer = |x: &Tensor, name: &str| {
                let name = format!("attention.t{task}.{name}");
                normalised(&params, &linear(&params, x, &name), &name)
            };
            let inner = layer(&p0, "stage0.inner").relu();
            assert_eq!(inner.size(), [9, 3]);
            let first = layer(&inner, "stage0.mask").sigmoid() * &p0;
            let before = layer(&first, "stage1.before").relu();
            let inner = layer(&Tensor::cat(&[&p1, &before], 1), "stage1.inner").relu();
            let last = layer(&inner, "stage1.mask").sigmoid() * &p1;
            let difference = found.raw(task).unwrap() - linear(&params, &last, &format!("heads.t{task}"));
            assert!(difference.abs().max().double_value(&[]) < 1e-10);
        }
    }

    #[test]
    fn stages_of_pictures_are_looked_at_pixel_by_pixel() {
        let network = of_blocks(&MtanSettings::default(), &tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let entries = network.layout().entries();
        let shape = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().shape.clone();
        assert_eq!(shape("attention.t1.stage0.inner.weight"), [3, 3]);
        assert_eq!(shape("attention.t1.stage1.before.weight"), [12, 3]);
        assert!(
            entries.iter().all(|e| e.name.starts_with("trunk") == (e.owner == Owner::Shared)),
            "the trunk is shared and nothing else"
        );
        let x = TaskInputs::shared(&images(6));
        let found = network.forward(&params, &x, &[0, 1], &mut Context::eval()).unwrap();
        assert_eq!(found.raw(1).unwrap().size(), [6, 1]);
    }

    #[test]
    fn own_rows_are_looked_at_as_shared_ones() {
        let network = blueprinted(&MtanSettings::default(), &tasks(2), &[("trunk", mlp(&[5, 4]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        own_rows_are_as_shared_ones(network.as_ref(), &params);
        assert!(MtanSettings { reduction: 0 }.check().is_err());
    }
}
