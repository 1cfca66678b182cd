use std::sync::Arc;

use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Layout, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Features, Heads, InputEncoder, Outputs, TaskInputs,
};
use crate::{Error, Result};

/// Cross-stitch networks (Misra et al. 2016, CVPR, arXiv:1604.03539, equation 1): a trunk for each task, whose features are
/// exchanged after each stage, `x̃ₐ = Σ_b α_ab x_b` with learned α.
///
/// Heads take what comes out of the unit after the last stage, so that every unit is used. All trunks and units change the
/// outputs of all tasks: they are shared parameters, only heads are the tasks' own.
///
/// Parameters are named `trunks.NAME.…`, `stitches.stageN.weight` (`[K, K, C]` or `[K, K]`, row a is what task a takes of
/// each), `heads.NAME.…`.
#[derive(Debug)]
pub struct CrossStitch {
    layout: Arc<Layout>,
    encoder: InputEncoder,
    trunks: Vec<Box<dyn Module>>,
    stitches: Vec<Slot>,
    heads: Heads,
}

/// The settings of [`CrossStitch`] beside its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrossStitchSettings {
    /// What has an α of its own.
    pub units: Units,
    /// What each α of a task for itself starts from; those for the others share `1 − own`.
    pub own: f64,
}

/// What has an α of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Each channel of pictures, each number of rows.
    #[default]
    Channel,
    /// Each stage.
    Layer,
}

impl Default for CrossStitchSettings {
    fn default() -> Self {
        Self { units: Units::Channel, own: 0.9 }
    }
}

impl Method for CrossStitchSettings {
    const NAME: &'static str = "cross_stitch";
    const SUMMARY: &'static str = "a trunk for each task, whose features are exchanged after each stage";
    const ABOUT: &'static str = "\
        Misra et al. 2016, arXiv:1604.03539: after each stage of the trunks x'_a = sum_b alpha_ab x_b, \
        with an alpha for each channel or one for each stage (`units`: channel, layer), which start from \
        `own` for the task itself and (1 - own) / (K - 1) for each other, as in the paper. A `trunk` must \
        have stages: mlp and convolutional trunks have. The paper gives units 100 to 1000 times the rate \
        of SGD; adam moves them as fast as weights.\n\
        Trunks and units change every task's outputs, so they are shared parameters; only heads are each \
        task's own. A step costs as much as one of a trunk for each task.";
}

impl ArchitectureSettings for CrossStitchSettings {
    fn name(&self) -> &'static str {
        CrossStitchSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if self.own.is_finite() && self.own != 0.0 {
            return Ok(());
        }
        Err(Error::setting(
            "own",
            format!("`own` is {}", self.own),
            "it must be finite and not 0, where a trunk would learn nothing of its task",
        ))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let encoder = blueprint.encoder(&mut root)?;
        let mut trunks = Vec::with_capacity(blueprint.tasks.len());
        let mut features = 0;
        for name in blueprint.names() {
            let (trunk, size) =
                blueprint.part("trunk", &mut root.scope("trunks").scope(name), encoder.shape())?;
            trunks.push(trunk);
            features = size;
        }
        let widths = trunks.first().and_then(|trunk| trunk.staged()).map(|staged| staged.widths().to_vec());
        let widths = widths.ok_or_else(|| {
            Error::setting(
                "trunk",
                "`cross_stitch` with a trunk that has no stages",
                "take one that is a sequence of layers, such as mlp with `hidden`, or conv4",
            )
        })?;
        let tasks = trunks.len() as i64;
        let init = match tasks {
            1 => Init::Ones,
            tasks => Init::Diagonal { on: self.own, off: (1.0 - self.own) / (tasks - 1) as f64 },
        };
        let mut stitches = Vec::with_capacity(widths.len());
        for (stage, width) in widths.into_iter().enumerate() {
            let shape = match self.units {
                Units::Channel => vec![tasks, tasks, width],
                Units::Layer => vec![tasks, tasks],
            };
            // As the scale of a normalisation: not decayed, which would pull all tasks' features to 0.
            let mut scope = root.scope("stitches");
            let mut scope = scope.scope(format!("stage{stage}"));
            stitches.push(scope.parameter("weight", &shape, init, Role::Scale)?);
        }
        let heads = blueprint.heads(&mut root, features)?;
        let layout = layout.build();
        let heads = heads.within(&layout);
        Ok(Box::new(CrossStitch { layout, encoder, trunks, stitches, heads }))
    }
}

impl CrossStitch {
    /// `x̃ₐ = Σ_b α_ab x_b` for features `[K, B, C, …]`.
    fn exchange(alpha: &Tensor, features: &Tensor) -> Result<Tensor> {
        let shape = features.size();
        let &[tasks, _, width, ..] = shape.as_slice() else {
            return Err(Error::setting("trunk", "features without channels", "take another trunk"));
        };
        let alpha = alpha.f_to_kind(features.kind())?;
        if alpha.dim() == 2 {
            return Ok(alpha.f_matmul(&features.f_reshape([tasks, -1])?)?.f_reshape(&shape)?);
        }
        // [C, K, K] times [C, K, rest].
        let by_channel = features.f_transpose(1, 2)?.f_transpose(0, 1)?;
        let moved = by_channel.size();
        let mixed = alpha.f_permute([2, 0, 1])?.f_bmm(&by_channel.f_reshape([width, tasks, -1])?)?;
        Ok(mixed.f_reshape(&moved)?.f_transpose(0, 1)?.f_transpose(1, 2)?)
    }
}

impl Architecture for CrossStitch {
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
        let mut features: Vec<Tensor> = self.trunks.iter().map(|_| x.shallow_clone()).collect();
        for (stage, slot) in self.stitches.iter().enumerate() {
            let mut own = Vec::with_capacity(features.len());
            for (trunk, x) in self.trunks.iter().zip(&features) {
                let staged = trunk
                    .staged()
                    .ok_or_else(|| Error::setting("trunk", "a trunk without stages", "take another"))?;
                own.push(staged.run(stage, params, x, cx)?);
            }
            let mixed = Self::exchange(params.get(*slot)?, &Tensor::f_stack(&own, 0)?)?;
            features = mixed.f_unbind(0)?;
        }
        let of_wanted = wanted.iter().enumerate().map(|(position, task)| {
            let own = features.get(*task).ok_or_else(|| {
                Error::setting(WHOLE, format!("task {task} of {}", features.len()), "count tasks from 0")
            })?;
            // A stage gives what its layers compute in; heads are given the kind of the parameters.
            inputs.rows.of(position, &own.f_to_kind(params.kind())?)
        });
        let of_wanted = of_wanted.collect::<Result<Vec<_>>>()?;
        self.heads.forward(params, Features::Each(&of_wanted), wanted, cx)
    }

    fn smallest_batch(&self) -> usize {
        self.trunks.iter().map(Module::smallest_batch).fold(1, usize::max)
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.smallest_batch_of(task)
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::{Images, Inputs, Normalisation};
    use manytask_nn::nets::{Conv4, Conv4Config};
    use manytask_tensor::Kind;
    use manytask_tensor::random::Key;

    use super::super::testing::{F64, blueprinted, blueprinted_for, inputs, mlp, tasks};
    use super::*;
    use crate::architecture::{Built, InputSizes, TrunkSettings};

    #[test]
    fn units_start_at_nine_tenths_and_share_the_rest() {
        for (units, shape) in [(Units::Channel, vec![3, 3, 5]), (Units::Layer, vec![3, 3])] {
            let settings = CrossStitchSettings { units, ..CrossStitchSettings::default() };
            let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5, 5]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            let alpha = params.named("stitches.stage1.weight").unwrap();
            assert_eq!(alpha.size(), shape);
            let sums = alpha.sum_dim_intlist([1].as_slice(), false, F64.0);
            assert!((sums - 1.0).abs().max().double_value(&[]) < 1e-12);
            let own = alpha.diagonal(0, 0, 1);
            assert!((own - 0.9).abs().max().double_value(&[]) < 1e-12);
        }
    }

    /// The exchange by its definition, unit by unit, the last one included.
    #[test]
    fn every_stage_is_exchanged_by_channel_and_by_layer() {
        for units in [Units::Channel, Units::Layer] {
            let settings = CrossStitchSettings { units, own: 0.7 };
            let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5, 4]))]);
            let params = network.layout().init(1, F64.0, F64.1).unwrap();
            // Other numbers than those of the start, which are alike.
            let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
            let params = params.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
            let x = inputs(6);
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 2], &mut Context::eval()).unwrap();
            let named = |name: String| params.named(&name).unwrap();
            let linear = |x: &Tensor, name: String| {
                x.matmul(&named(format!("{name}.weight")).tr()) + named(format!("{name}.bias"))
            };
            let x = x.tensor(Kind::Double).unwrap();
            let mut features: Vec<Tensor> = (0..3).map(|_| x.shallow_clone()).collect();
            for stage in 0..2 {
                let own: Vec<Tensor> = features
                    .iter()
                    .zip(0..)
                    .map(|(x, task)| linear(x, format!("trunks.t{task}.layer{stage}")).relu())
                    .collect();
                let alpha = named(format!("stitches.stage{stage}.weight"));
                let mix = |a: i64| {
                    (0..3).map(|b| alpha.get(a).get(b) * &own[b as usize]).reduce(|x, y| x + y).unwrap()
                };
                features = (0..3).map(mix).collect();
            }
            for (position, task) in [0, 2].into_iter().enumerate() {
                let expected = linear(&features[task], format!("heads.t{task}"));
                let difference = found.raw(position).unwrap() - expected;
                assert!(difference.abs().max().double_value(&[]) < 1e-12, "{units:?}");
            }
        }
    }

    #[derive(Debug)]
    struct Blocks;

    impl TrunkSettings for Blocks {
        fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
            let net = Conv4::new(
                b,
                inputs[0],
                inputs[1],
                &Conv4Config { hidden: 3, blocks: 2, output: None, ..Conv4Config::default() },
            )?;
            let features = net.features();
            Ok((Box::new(net), features))
        }
    }

    #[test]
    fn feature_maps_of_convolutions_are_exchanged_channel_by_channel() {
        let sizes = InputSizes::Images { channels: 1, height: 8, width: 8 };
        let parts = [("trunk", Box::new(Blocks) as Box<dyn TrunkSettings>)];
        let network =
            blueprinted_for(&CrossStitchSettings::default(), &tasks(2), parts.into(), &sizes).unwrap();
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        assert_eq!(params.named("stitches.stage0.weight").unwrap().size(), [2, 2, 3]);
        let pixels = Key::new(1, "pixels").uniform(0.0, 255.0, &[6, 1, 8, 8], F64.0, F64.1).unwrap();
        let images = Images::new(pixels.to_kind(Kind::Uint8), Normalisation::default()).unwrap();
        let x = TaskInputs::shared(&Inputs::Images(images));
        let found = network.forward(&params, &x, &[0, 1], &mut Context::eval()).unwrap();
        assert_eq!(found.raw(1).unwrap().size(), [6, 1]);
        // With units that take each task's own features alone it is a network for each task.
        let apart = CrossStitchSettings { own: 1.0, ..CrossStitchSettings::default() };
        let parts = [("trunk", Box::new(Blocks) as Box<dyn TrunkSettings>)];
        let network = blueprinted_for(&apart, &tasks(2), parts.into(), &sizes).unwrap();
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let before = network.forward(&params, &x, &[0, 1], &mut Context::eval()).unwrap();
        let others =
            network.layout().select(|entry| entry.name.starts_with("trunks.t1.") && entry.role.is_trained());
        let moved = params.map_slots(&others, |_, leaf| Ok(leaf + 0.5)).unwrap();
        let after = network.forward(&moved, &x, &[0, 1], &mut Context::eval()).unwrap();
        assert_eq!(before.raw(0).unwrap(), after.raw(0).unwrap());
        assert_ne!(before.raw(1).unwrap(), after.raw(1).unwrap());
    }

    #[test]
    fn a_trunk_without_stages_is_refused() {
        let parts = [("trunk", Box::new(mlp(&[])) as Box<dyn TrunkSettings>)];
        let settings = CrossStitchSettings::default();
        let built = blueprinted_for(&settings, &tasks(2), parts.into(), &InputSizes::numbers(4));
        assert!(built.unwrap_err().to_string().contains("no stages"));
        assert!(CrossStitchSettings { own: 0.0, ..settings }.check().is_err());
    }
}
