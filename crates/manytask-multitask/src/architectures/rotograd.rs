use std::sync::Arc;

use manytask_data::Inputs;
use manytask_nn::layers::Sequential;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Graph, Init, Layout, Method, Params, Role, Slot, Tensor, gradients, number_like};
use serde::{Deserialize, Serialize};

use super::HardSharing;
use crate::architecture::{
    Alignment, Architecture, ArchitectureSettings, Blueprint, Bottleneck, Heads, Outputs, TaskInputs,
};
use crate::{Error, Result, Task};

/// Rotations of `RotoGrad` (Javaloy & Valera 2022, ICLR, arXiv:2103.02631, section 4.2): hard sharing in which each task's head sees the
/// representation turned, `yᵢ = hᵢ(Rᵢ z)`, so that the tasks' gradients of z agree.
///
/// `Rᵢ = exp(Aᵢ − Aᵢᵀ)`, from A = 0 on, does not follow the task's loss, but the alignment of gradients: with `g̃ᵢ` the gradient of the loss
/// by `Rᵢ z`, row by row, it goes down for the mean over rows of `‖Rᵢ v − g̃ᵢ‖²`. v is the mean of all present tasks' gradients of z, each of
/// the length of their mean, as in the authors' code. A step costs a matrix exponential of each task and its derivative more.
///
/// Parameters are named `trunk.…`, `heads.NAME.rotation` (A), `heads.NAME.…`. The lengths of gradients are evened out by the aggregator of the
/// same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RotogradSettings {
    /// How many features are turned, the first ones; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

impl Method for RotogradSettings {
    const NAME: &'static str = "rotograd";
    const SUMMARY: &'static str =
        "a shared trunk, whose representation each task turns so that gradients agree";
    const ABOUT: &'static str = "\
        Javaloy & Valera 2022, arXiv:2103.02631: y_i = h_i(R_i z) with a rotation of each task, which does not \
        follow the task's loss but brings the tasks' gradients of z, row by row, to one direction. `size` turns \
        the first so many features alone (left out: all; a step then costs a matrix exponential of all features \
        for each task). The lengths of gradients are the other half of the method: [aggregator] kind = \"rotograd\".\n\
        For tasks on the same rows. The paper gives rotations a rate that falls faster than the network's; here all \
        parameters have one.";
}

impl ArchitectureSettings for RotogradSettings {
    fn name(&self) -> &'static str {
        RotogradSettings::NAME
    }

    fn takes_pixels(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        match self.size {
            Some(size) if size < 2 => {
                let what = format!("`size` is {size}");
                Err(Error::setting("size", what, "it must be at least 2; leave it out for all features"))
            }
            _ => Ok(()),
        }
    }

    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>> {
        self.check()?;
        let mut rotations = Vec::with_capacity(blueprint.tasks.len());
        let network = HardSharing::build(
            blueprint.inputs,
            blueprint.encoding,
            &blueprint.names(),
            |b, shape| blueprint.part("trunk", b, shape),
            |b, task, features| {
                let rotation = self.rotation(b, features)?;
                rotations.push(rotation);
                let head = blueprint.head(b, task, features)?;
                Ok(Box::new(Sequential(vec![Box::new(rotation), head])))
            },
        )?;
        Ok(Box::new(Rotograd { network, rotations: Rotations(rotations) }))
    }
}

impl RotogradSettings {
    fn rotation(&self, b: &mut Builder<'_>, features: i64) -> Result<Rotation> {
        let size = self.size.unwrap_or(features);
        if size > features {
            let what = format!("`size` is {size}, and the trunk gives {features} features");
            return Err(Error::setting("size", what, "take no more than there are, or leave it out"));
        }
        // As a scale: decay would turn everything back.
        let generator = b.parameter("rotation", &[size, size], Init::Zeros, Role::Scale)?;
        Ok(Rotation { generator, size })
    }
}

/// `z ↦ R z` for rows of features, `[B, F]`, by the first `size` of them. R is a constant: it has a gradient from [`Rotations`] alone.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    /// A.
    generator: Slot,
    size: i64,
}

/// `exp(A − Aᵀ)`, with a graph to A.
fn rotation(generator: &Tensor) -> manytask_nn::Result<Tensor> {
    Ok(generator.f_sub(&generator.f_tr()?)?.f_linalg_matrix_exp()?)
}

impl Rotation {
    /// The rows turned by R.
    fn turned(&self, rotation: &Tensor, z: &Tensor) -> manytask_nn::Result<Tensor> {
        let features = z.size().last().copied().unwrap_or_default();
        if features == self.size {
            return Ok(z.f_matmul(&rotation.f_tr()?)?);
        }
        let turned = z.f_narrow(-1, 0, self.size)?.f_matmul(&rotation.f_tr()?)?;
        Ok(Tensor::f_cat(&[turned, z.f_narrow(-1, self.size, features - self.size)?], -1)?)
    }
}

impl Module for Rotation {
    fn forward(&self, params: &Params, z: &Tensor, _cx: &mut Context) -> manytask_nn::Result<Tensor> {
        self.turned(&rotation(&params.get(self.generator)?.f_detach()?)?, z)
    }
}

#[derive(Debug)]
struct Rotations(Vec<Rotation>);

impl Alignment for Rotations {
    fn gradients(
        &self,
        params: &Params,
        present: &[usize],
        cotangents: &[Tensor],
    ) -> Result<Vec<Vec<(Slot, Tensor)>>> {
        let Some(first) = cotangents.first() else { return Ok(Vec::new()) };
        let kind = first.kind();
        let mean = |all: &[Tensor]| -> Result<Tensor> {
            Ok(Tensor::f_stack(all, 0)?.f_mean_dim([0].as_slice(), false, kind)?)
        };
        let length = mean(cotangents)?.f_norm()?;
        let of_one_length = cotangents.iter().map(|one| {
            // A gradient of zero has no direction, and stays what it is.
            let own = one.f_norm()?;
            let own = own.f_add(&own.f_eq(0.0)?.f_to_kind(kind)?)?;
            Ok(one.f_mul(&length)?.f_div(&own)?)
        });
        let reference = mean(&of_one_length.collect::<Result<Vec<_>>>()?)?;
        let aligned = present.iter().zip(cotangents).map(|(task, cotangent)| {
            let Some(own) = self.0.get(*task) else { return Ok(Vec::new()) };
            let generator = params.get(own.generator)?.f_detach()?.f_set_requires_grad(true)?;
            let rotation = rotation(&generator)?;
            let found = own.turned(&rotation.f_detach()?, cotangent)?;
            let distance = own.turned(&rotation, &reference)?.f_sub(&found)?;
            let rows = cotangent.size().first().copied().unwrap_or(1).max(1) as f64;
            let objective = distance.f_square()?.f_sum(kind)?;
            let objective = objective.f_mul(&number_like(1.0 / rows, &objective)?)?;
            let found = gradients(&objective, &[&generator], Graph::Free)?;
            Ok(found.into_iter().map(|gradient| (own.generator, gradient)).collect())
        });
        aligned.collect()
    }
}

#[derive(Debug)]
struct Rotograd {
    network: HardSharing,
    rotations: Rotations,
}

impl Architecture for Rotograd {
    fn layout(&self) -> &Arc<Layout> {
        self.network.layout()
    }

    fn tasks(&self) -> usize {
        self.network.tasks()
    }

    fn forward(
        &self,
        params: &Params,
        inputs: &TaskInputs,
        wanted: &[usize],
        cx: &mut Context,
    ) -> Result<Outputs> {
        self.network.forward(params, inputs, wanted, cx)
    }

    fn bottleneck(&self) -> Option<&dyn Bottleneck> {
        Some(self)
    }

    fn surrogates(&self) -> Vec<Slot> {
        self.rotations.0.iter().map(|rotation| rotation.generator).collect()
    }

    fn check(&self, _tasks: &[Task], single_input: bool) -> Result<()> {
        if single_input {
            return Ok(());
        }
        let what = "`rotograd` brings gradients of the same rows together, and each task has rows of its own";
        Err(Error::setting("kind", what, "take hard_sharing or task_norm"))
    }

    fn smallest_batch(&self) -> usize {
        self.network.smallest_batch()
    }

    fn smallest_batch_of(&self, task: usize) -> usize {
        self.network.smallest_batch_of(task)
    }
}

impl Bottleneck for Rotograd {
    fn encode(&self, params: &Params, inputs: &Inputs, cx: &mut Context) -> Result<Tensor> {
        self.network.encode(params, inputs, cx)
    }

    fn heads(&self) -> &Heads {
        self.network.heads()
    }

    fn alignment(&self) -> Option<&dyn Alignment> {
        Some(&self.rotations)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;

    use super::super::testing::{F64, blueprinted, inputs, linear, mlp, tasks};
    use super::*;

    fn rotations() -> (Rotations, Params) {
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let all = ["a", "b"]
            .map(|name| RotogradSettings::default().rotation(&mut root.scope(name), 2).unwrap())
            .to_vec();
        let params = layout.build().init(1, F64.0, F64.1).unwrap();
        (Rotations(all), params)
    }

    #[test]
    fn heads_see_the_representation_turned_by_an_orthogonal_matrix() {
        let network = blueprinted(&RotogradSettings { size: Some(3) }, &tasks(2), &[("trunk", mlp(&[5]))]);
        let params = network.layout().init(1, F64.0, F64.1).unwrap();
        let noise = Key::new(1, "a").normal(&[3, 3], F64.0, F64.1).unwrap();
        let mut turned = params.share();
        turned.put(network.layout().find("heads.t1.rotation").unwrap(), noise.shallow_clone()).unwrap();
        let x = inputs(6);
        let of = |params: &Params| {
            let found =
                network.forward(params, &TaskInputs::shared(&x), &[0, 1], &mut Context::eval()).unwrap();
            [0, 1].map(|task| found.raw(task).unwrap())
        };
        let z = linear(&params, &x.tensor(F64.0).unwrap(), "trunk.layer0").relu();
        let rotation = rotation(&noise).unwrap();
        let identity = rotation.matmul(&rotation.tr()) - Tensor::eye(3, F64);
        assert!(identity.abs().max().double_value(&[]) < 1e-12);
        assert!((rotation.det() - 1.0).abs().double_value(&[]) < 1e-12);
        let seen = Tensor::cat(&[z.narrow(1, 0, 3).matmul(&rotation.tr()), z.narrow(1, 3, 2)], 1);
        let [plain, changed] = [of(&params), of(&turned)];
        for (found, z, task) in [(&plain[1], &z, "t1"), (&changed[1], &seen, "t1"), (&changed[0], &z, "t0")] {
            let expected = linear(&params, z, &format!("heads.{task}"));
            assert!((found - expected).abs().max().double_value(&[]) < 1e-12, "{task}");
        }
    }

    /// Two gradients of a row in the plane at an angle: descent turns each by half of it, so that both heads' gradients of what they see
    /// come from one gradient of z.
    #[test]
    fn rotations_bring_gradients_to_one_direction() {
        let (rotations, mut params) = rotations();
        let angles = [0.2_f64, 1.4];
        // What the heads give by what they see, which stays as it is.
        let seen = angles.map(|angle| Tensor::from_slice(&[angle.cos(), angle.sin()]).unsqueeze(0));
        let cosine = |params: &Params| {
            let own = [0, 1].map(|task| {
                let rotation = rotation(params.get(rotations.0[task].generator).unwrap()).unwrap();
                seen[task].matmul(&rotation)
            });
            let cosine = (&own[0] * &own[1]).sum(F64.0).double_value(&[]);
            (cosine, own)
        };
        assert!((cosine(&params).0 - 1.2_f64.cos()).abs() < 1e-12);
        for _ in 0..200 {
            let own = cosine(&params).1;
            let found = rotations.gradients(&params, &[0, 1], &own).unwrap();
            for (slot, gradient) in found.into_iter().flatten() {
                let moved = params.get(slot).unwrap() - gradient * 0.1;
                params.put(slot, moved).unwrap();
            }
        }
        assert!(cosine(&params).0 > 0.999_99, "{}", cosine(&params).0);
    }

    #[test]
    fn one_task_and_gradients_of_zero_turn_nothing() {
        let (rotations, params) = rotations();
        let some = Key::new(2, "c").normal(&[4, 2], F64.0, F64.1).unwrap();
        let zero = some.zeros_like();
        for (present, cotangents) in [(&[1][..], vec![some]), (&[0, 1], vec![zero.copy(), zero])] {
            for (_, gradient) in
                rotations.gradients(&params, present, &cotangents).unwrap().into_iter().flatten()
            {
                assert!(gradient.abs().max().double_value(&[]) < 1e-12, "{present:?}");
            }
        }
    }

    #[test]
    fn sizes_out_of_range_and_rows_of_each_task_are_refused() {
        assert!(RotogradSettings { size: Some(1) }.check().unwrap_err().to_string().contains("`size` is 1"));
        let network = blueprinted(&RotogradSettings::default(), &tasks(2), &[("trunk", mlp(&[5]))]);
        assert!(network.check(&tasks(2), false).unwrap_err().to_string().contains("rows of its own"));
        let mut layout = Layout::builder();
        let error =
            RotogradSettings { size: Some(9) }.rotation(&mut Builder::new(&mut layout), 4).unwrap_err();
        assert!(error.to_string().contains("gives 4 features"), "{error}");
    }
}
