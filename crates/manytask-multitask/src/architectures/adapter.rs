use manytask_nn::layers::{Activation, Linear};
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Init, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::architecture::{
    Architecture, ArchitectureSettings, Blueprint, Conditioned, per_channel, with_heads,
};
use crate::{Error, Result};

/// Residual adapters (Rebuffi et al. 2017, `NeurIPS`, arXiv:1705.08045; in the bottleneck form of Houlsby et al. 2019, ICML,
/// arXiv:1902.00751, section 2): one trunk for all, after each stage of which a task's features are `x + U relu(D x + d) + u` with
/// matrices of the task's own, through a bottleneck of `rank` numbers.
///
/// U and u start at 0, so it starts as hard sharing. On features of pictures they are 1 × 1 convolutions. Parameters are named
/// `trunk.…`, `adapters.NAME.stageN.down.…`, `.up.…`, `heads.NAME.…`. Statistics of a batch-norm in the trunk are, after the first
/// stage, those of all tasks' features together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterSettings {
    /// The width of the bottleneck, at least 1.
    pub rank: i64,
}

impl Default for AdapterSettings {
    fn default() -> Self {
        Self { rank: 8 }
    }
}

impl Method for AdapterSettings {
    const NAME: &'static str = "adapter";
    const SUMMARY: &'static str =
        "one trunk, to whose features each task adds a small correction after each stage";
    const ABOUT: &'static str = "\
        Rebuffi et al. 2017, arXiv:1705.08045, in the form of Houlsby et al. 2019, arXiv:1902.00751: x + U \
        relu(D x) with matrices of the task's own through `rank` (1 to 65536) numbers, 1 x 1 convolutions \
        on pictures. U starts at 0: it starts as hard_sharing. A `trunk` must have stages: mlp and \
        convolutional trunks have.\n\
        The trunk is shared, adapters are each task's own. From the second stage on a step costs as much \
        as one of a trunk for each task.";
}

impl ArchitectureSettings for AdapterSettings {
    fn name(&self) -> &'static str {
        AdapterSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if (1..=65_536).contains(&self.rank) {
            return Ok(());
        }
        Err(Error::setting("rank", format!("`rank` is {}", self.rank), "it must be from 1 to 65536"))
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let names = blueprint.names();
        with_heads(blueprint, |root, shape| {
            Conditioned::build(AdapterSettings::NAME, blueprint, root, shape, |root, widths| {
                let tasks = names.iter().enumerate();
                tasks.map(|(task, name)| self.of_task(root, task, name, widths)).collect()
            })
        })
    }
}

impl AdapterSettings {
    fn of_task(
        &self,
        root: &mut Builder<'_>,
        task: usize,
        name: &str,
        widths: &[i64],
    ) -> Result<Vec<Box<dyn Module>>> {
        let mut scope = root.scope("adapters");
        let mut scope = scope.scope(name);
        let mut scope = scope.for_task(task);
        let mut stages: Vec<Box<dyn Module>> = Vec::with_capacity(widths.len());
        for (stage, width) in widths.iter().enumerate() {
            let mut scope = scope.scope(format!("stage{stage}"));
            let down = Linear::new(&mut scope.scope("down"), *width, self.rank)?;
            let (weight, bias) = (Init::Zeros, Init::Zeros);
            let up = Linear::with_init(&mut scope.scope("up"), self.rank, *width, weight, bias)?;
            stages.push(Box::new(Adapter { down, up }));
        }
        Ok(stages)
    }
}

#[derive(Debug)]
struct Adapter {
    down: Linear,
    up: Linear,
}

impl Module for Adapter {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> manytask_nn::Result<Tensor> {
        let change = per_channel(x, |rows| {
            let inner = self.down.forward(params, rows, cx)?;
            let inner = Activation::Relu.forward(params, &inner, cx)?;
            self.up.forward(params, &inner, cx)
        })?;
        Ok(x.f_add(&change)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        F64, blueprinted, images, inputs, linear, mlp, of_blocks, own_rows_are_as_shared_ones, tasks,
    };
    use super::*;
    use crate::architecture::TaskInputs;

    #[test]
    fn every_stage_has_a_residual_of_the_tasks_own() {
        let network = blueprinted(&AdapterSettings { rank: 2 }, &tasks(2), &[("trunk", mlp(&[5, 4]))]);
        let start = network.layout().init(1, F64.0, F64.1).unwrap();
        let noise = |tensor: &Tensor| Ok(tensor + tensor.rand_like());
        let moved = start.map_slots(&network.layout().trained(), |_, leaf| noise(leaf)).unwrap();
        let x = inputs(6);
        for (params, adapted) in [(start, 0.0), (moved, 1.0)] {
            let found =
                network.forward(&params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
            for task in 0..2 {
                let mut features = x.tensor(F64.0).unwrap();
                for stage in 0..2 {
                    features = linear(&params, &features, &format!("trunk.layer{stage}")).relu();
                    let of = |x: &Tensor, part: &str| {
                        linear(&params, x, &format!("adapters.t{task}.stage{stage}.{part}"))
                    };
                    features = &features + of(&of(&features, "down").relu(), "up") * adapted;
                }
                let expected = linear(&params, &features, &format!("heads.t{task}"));
                assert!((found.raw(task).unwrap() - expected).abs().max().double_value(&[]) < 1e-12);
            }
            own_rows_are_as_shared_ones(network.as_ref(), &params);
        }
        assert!(AdapterSettings { rank: 0 }.check().is_err());
    }

    #[test]
    fn features_of_pictures_are_adapted_pixel_by_pixel() {
        let network = of_blocks(&AdapterSettings::default(), &tasks(2));
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        assert_eq!(params.named("adapters.t1.stage0.down.weight").unwrap().size(), [8, 3]);
        let found =
            network.forward(&params, &TaskInputs::shared(&images(6)), &[1], &mut Context::eval()).unwrap();
        assert_eq!(found.raw(0).unwrap().size(), [6, 1]);
    }
}
