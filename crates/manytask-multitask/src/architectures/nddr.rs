use manytask_nn::layers::BatchNorm;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Body, BodyOutput, BuiltBody, Rows, TaskFeatures, of_task,
    per_channel, run_stage, stage_widths, with_heads,
};
use crate::{Error, Result};

/// Neural discriminative dimensionality reduction (Gao et al. 2019, CVPR, arXiv:1801.08297, section 3): a trunk for each task; after
/// each stage the features of all are concatenated by channel, and a 1 × 1 convolution for each task, followed by batch-norm and relu,
/// brings them back to as many channels as they were.
///
/// A convolution starts with `own` on the diagonal of the task's own channels and `(1 − own) / (K − 1)` on those of the others; a
/// cross-stitch unit is one whose off-diagonal weights stay 0. Of features that are rows it is a linear layer. All trunks and
/// layers change every task's outputs, so they are shared; only heads are the tasks' own.
///
/// Parameters are named `trunks.NAME.…`, `mixes.stageN.NAME.from.NAME.weight` (`[C, C]`), `mixes.stageN.NAME.norm.…`, `heads.NAME.…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NddrSettings {
    /// What a task takes of its own channels at the start.
    pub own: f64,
}

impl Default for NddrSettings {
    fn default() -> Self {
        Self { own: 0.9 }
    }
}

impl Method for NddrSettings {
    const NAME: &'static str = "nddr";
    const SUMMARY: &'static str =
        "a trunk for each task, whose features are joined and reduced after each stage";
    const ABOUT: &'static str = "\
        Gao et al. 2019, arXiv:1801.08297: after each stage the channels of all tasks are concatenated, \
        and a 1 x 1 convolution (a linear layer of rows) with batch-norm and relu for each task brings \
        them back to as many as they were. It starts with `own` on the diagonal of the task's own channels \
        and (1 - own) / (K - 1) on those of the others. A `trunk` must have stages: mlp and convolutional \
        trunks have.\n\
        Trunks and layers change every task's outputs, so they are shared; only heads are each task's own. \
        A step costs as much as one of a trunk for each task, and a layer of K C x C weights for each \
        stage and task.";
}

impl ArchitectureSettings for NddrSettings {
    fn name(&self) -> &'static str {
        NddrSettings::NAME
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
        with_heads(blueprint, |root, shape| self.body(blueprint, root, shape))
    }
}

impl NddrSettings {
    fn body(
        &self,
        blueprint: &Blueprint<'_>,
        root: &mut Builder<'_>,
        shape: &[i64],
    ) -> Result<BuiltBody<Nddr>> {
        let names = blueprint.names();
        let mut trunks = Vec::with_capacity(names.len());
        let mut features = 0;
        for name in &names {
            let (trunk, size) = blueprint.part("trunk", &mut root.scope("trunks").scope(name), shape)?;
            trunks.push(trunk);
            features = size;
        }
        let first = trunks
            .first()
            .ok_or_else(|| Error::setting(WHOLE, "a network without a task", "describe one"))?;
        let widths = stage_widths(NddrSettings::NAME, first.as_ref())?;
        let other = (1.0 - self.own) / (names.len().max(2) - 1) as f64;
        let mut stages = Vec::with_capacity(widths.len());
        for (stage, width) in widths.into_iter().enumerate() {
            let mut scope = root.scope("mixes");
            let mut scope = scope.scope(format!("stage{stage}"));
            let mut mixes = Vec::with_capacity(names.len());
            for (task, name) in names.iter().enumerate() {
                let mut own = scope.scope(name);
                let mut blocks = Vec::with_capacity(names.len());
                for (from, name) in names.iter().enumerate() {
                    let on = if names.len() == 1 {
                        1.0
                    } else if from == task {
                        self.own
                    } else {
                        other
                    };
                    let mut block = own.scope("from");
                    let init = Init::Diagonal { on, off: 0.0 };
                    blocks.push(block.scope(name).parameter(
                        "weight",
                        &[width, width],
                        init,
                        Role::Weight,
                    )?);
                }
                mixes.push(Mix { blocks, norm: BatchNorm::new(&mut own.scope("norm"), width)? });
            }
            stages.push(mixes);
        }
        Ok((Nddr { trunks, stages }, features))
    }
}

#[derive(Debug)]
struct Nddr {
    trunks: Vec<Box<dyn Module>>,
    /// What each task makes of all tasks' features, by stage.
    stages: Vec<Vec<Mix>>,
}

#[derive(Debug)]
struct Mix {
    /// The weights of the channels of each task.
    blocks: Vec<Slot>,
    norm: BatchNorm,
}

impl Body for Nddr {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        rows: &Rows,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<BodyOutput> {
        let mut features: Vec<Tensor> = self.trunks.iter().map(|_| x.shallow_clone()).collect();
        for (stage, mixes) in self.stages.iter().enumerate() {
            let mut own = Vec::with_capacity(features.len());
            for (trunk, x) in self.trunks.iter().zip(&features) {
                own.push(run_stage(trunk.as_ref(), stage, params, x, cx)?);
            }
            let all = Tensor::f_cat(&own, 1)?;
            features.clear();
            for mix in mixes {
                let blocks = mix.blocks.iter().map(|slot| Ok(params.get(*slot)?));
                let weight = Tensor::f_cat(&blocks.collect::<Result<Vec<_>>>()?, 1)?;
                let mixed = per_channel(&all, |rows| Ok(rows.f_linear(&weight, None::<&Tensor>)?))?;
                features.push(mix.norm.forward(params, &mixed, cx)?.f_relu()?);
            }
        }
        let of_wanted = wanted.iter().enumerate();
        let of_wanted = of_wanted.map(|(position, task)| rows.of(position, of_task(&features, *task)?));
        Ok(TaskFeatures::Each(of_wanted.collect::<Result<_>>()?).into())
    }

    fn smallest_batch(&self) -> usize {
        let norms = self.stages.iter().flatten().map(|mix| mix.norm.smallest_batch());
        self.trunks.iter().map(Module::smallest_batch).chain(norms).fold(1, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;

    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    #[test]
    fn every_stage_reduces_the_channels_of_all_tasks_for_each() {
        let settings = NddrSettings { own: 0.7 };
        let network = blueprinted(&settings, &tasks(3), &[("trunk", mlp(&[5, 4]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        // Other numbers than those of the start, whose blocks are diagonal.
        let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
        let params = params.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
        let x = inputs(6);
        let mut cx = Context::train(Key::new(1, "a"));
        let found = network.forward(&params, &TaskInputs::shared(&x), &[0, 2], &mut cx).unwrap();
        let x = x.tensor(F64.0).unwrap();
        let mut features: Vec<Tensor> = (0..3).map(|_| x.shallow_clone()).collect();
        for stage in 0..2 {
            let own: Vec<Tensor> = (0..3)
                .map(|task| linear(&params, &features[task], &format!("trunks.t{task}.layer{stage}")).relu())
                .collect();
            let mix = |task: usize| {
                let scope = format!("mixes.stage{stage}.t{task}");
                let named = |name: String| params.named(&format!("{scope}.{name}")).unwrap();
                let terms = (0..3).map(|from| own[from].matmul(&named(format!("from.t{from}.weight")).tr()));
                let y = terms.reduce(|a, b| a + b).unwrap();
                let mean = y.mean_dim([0].as_slice(), true, F64.0);
                let var = (&y - &mean).square().mean_dim([0].as_slice(), true, F64.0);
                let y = (&y - mean) / (var + 1e-5).sqrt();
                (y * named("norm.weight".into()) + named("norm.bias".into())).relu()
            };
            features = (0..3).map(mix).collect();
        }
        for (position, task) in [0, 2].into_iter().enumerate() {
            let expected = linear(&params, &features[task], &format!("heads.t{task}"));
            let difference = found.raw(position).unwrap() - expected;
            assert!(difference.abs().max().double_value(&[]) < 1e-10);
        }
    }

    #[test]
    fn a_convolution_starts_at_nine_tenths_of_its_own_channels() {
        let network = of_blocks(&NddrSettings::default(), &tasks(3));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let block = |from: usize| params.named(&format!("mixes.stage0.t1.from.t{from}.weight")).unwrap();
        let eye = Tensor::eye(3, F64);
        for (from, expected) in [(0, 0.05), (1, 0.9), (2, 0.05)] {
            assert!((block(from) - &eye * expected).abs().max().double_value(&[]) < 1e-12);
        }
        let x = TaskInputs::shared(&images(6));
        let found = network.forward(&params, &x, &[0, 2], &mut Context::eval()).unwrap();
        assert_eq!(found.raw(1).unwrap().size(), [6, 1]);
    }

    #[test]
    fn own_rows_are_mixed_as_shared_ones() {
        let network = blueprinted(&NddrSettings::default(), &tasks(2), &[("trunk", mlp(&[5, 4]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        own_rows_are_as_shared_ones(network.as_ref(), &params);
        assert!(NddrSettings { own: 0.0 }.check().is_err());
    }
}
