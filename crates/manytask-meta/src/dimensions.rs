//! Learned linear maps of tensors, a product of one matrix along each dimension.

use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Params, Role, Slot, Tensor};

use crate::embedding::with_dimension;

/// `M_o G M_iᵀ` of a matrix, and of kernels `[O, I, h, w]` also along the positions h·w.
#[derive(Debug)]
pub(crate) struct Factors(Vec<Slot>);

impl Factors {
    /// Adds for each dimension of a tensor of this shape what is added to the identity, an entry `0`, `1`, …, which starts at 0.
    ///
    /// # Errors
    /// When a name was used before.
    pub(crate) fn new(b: &mut Builder<'_>, shape: &[i64]) -> Result<Self> {
        let sizes = dimensions(shape).into_iter().enumerate();
        let slots = sizes.map(|(dimension, size)| {
            // Around the identity: a scale, not decayed.
            Ok(b.parameter(&dimension.to_string(), &[size, size], Init::Zeros, Role::Scale)?)
        });
        Ok(Self(slots.collect::<Result<_>>()?))
    }

    /// `G + G ×_d A` for each factor A `[T?, n, n]` along its dimension d of G `[T?, n₀, n₁, …]`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn apply(&self, gradient: &Tensor, params: &Params) -> Result<Tensor> {
        let tasks = params.tasks();
        let rows = tasks.unwrap_or(1);
        let size = gradient.size();
        let shape = dimensions(size.get(usize::from(tasks.is_some())..).unwrap_or_default());
        let mut result = gradient.f_reshape([&[rows], shape.as_slice()].concat())?;
        for (dimension, slot) in self.0.iter().enumerate() {
            let factor = with_dimension(params.get(*slot)?, tasks)?;
            // That dimension in the middle, what comes behind it last.
            let moved = result.f_reshape([&[rows], sides(&shape, dimension).as_slice()].concat())?;
            let along = factor.f_unsqueeze(1)?.f_matmul(&moved)?;
            result = moved.f_add(&along)?.f_reshape([&[rows], shape.as_slice()].concat())?;
        }
        Ok(result.f_reshape(size)?)
    }
}

/// The sizes of a tensor's dimensions, positions of kernels as one.
pub(crate) fn dimensions(shape: &[i64]) -> Vec<i64> {
    match shape {
        [outputs, inputs, positions @ ..] if !positions.is_empty() => {
            vec![*outputs, *inputs, positions.iter().product()]
        }
        shape => shape.to_vec(),
    }
}

/// The sizes before a dimension, of it, and behind it.
fn sides(shape: &[i64], dimension: usize) -> [i64; 3] {
    let product = |sizes: Option<&[i64]>| sizes.unwrap_or_default().iter().product::<i64>();
    let own = shape.get(dimension).copied().unwrap_or(1);
    [product(shape.get(..dimension)), own, product(shape.get(dimension + 1..))]
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn kernels_are_mapped_along_outputs_inputs_and_positions() {
        let mut layout = Layout::builder();
        let factors = Factors::new(&mut Builder::new(&mut layout), &[4, 3, 2, 2]).unwrap();
        let mut params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
        let normal =
            |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap();
        let drawn = [normal("o", &[4, 4]), normal("i", &[3, 3]), normal("p", &[4, 4])];
        for (slot, value) in factors.0.iter().zip(&drawn) {
            params.put(*slot, value.shallow_clone()).unwrap();
        }
        let gradient = normal("k", &[4, 3, 2, 2]);
        let [o, i, p] = drawn.map(|x| &x + Tensor::eye(x.size()[0], (Kind::Double, Device::Cpu)));
        let flat = gradient.reshape([4, 3, 4]);
        let by_outputs = o.matmul(&flat.reshape([4, 12])).reshape([4, 3, 4]);
        let expected = i.matmul(&by_outputs).matmul(&p.transpose(0, 1)).reshape([4, 3, 2, 2]);
        let found = factors.apply(&gradient, &params).unwrap();
        assert!((&found - &expected).abs().max().double_value(&[]) < 1e-12);
        let tasks = params.expand_tasks(2).unwrap();
        let both = factors.apply(&Tensor::stack(&[&gradient, &(&gradient * 2.0)], 0), &tasks).unwrap();
        assert!((both.get(1) - expected * 2.0).abs().max().double_value(&[]) < 1e-12);
    }
}
