//! Gradient clipping.

use manytask_tensor::{Params, Tensor};

use crate::{Error, Result};

/// Scales a gradient down to the norm `max` where it is longer: `g · min(1, max / (‖g‖ + 1e-6))`, as PyTorch's
/// `clip_grad_norm_`. Also gives the norm before. With a task dimension each task's gradient is scaled by itself, and the
/// largest norm is given.
///
/// # Errors
/// When `max` is not above 0, or the norm is not finite.
pub fn by_global_norm(gradient: &Params, max: f64) -> Result<(Params, f64)> {
    positive("the largest norm", max)?;
    let norm = gradient.norm()?;
    let largest = norm.f_max()?.f_double_value(&[])?;
    if !largest.is_finite() {
        return Err(Error::setting(
            "the gradient's norm",
            &largest,
            "a finite one is needed; lower the learning rate",
        ));
    }
    if largest <= max && max / (largest + 1e-6) >= 1.0 {
        return Ok((gradient.share(), largest));
    }
    let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max)?.f_clamp_max(1.0)?;
    let clipped = gradient.map(|leaf| {
        let mut shape = vec![1_i64; leaf.dim()];
        if let (Some(tasks), Some(first)) = (gradient.tasks(), shape.first_mut()) {
            *first = tasks;
        }
        Ok(leaf.f_mul(&factor.f_reshape(shape)?)?)
    });
    Ok((clipped?, largest))
}

/// Each number of a gradient brought into `[−max, max]`.
///
/// # Errors
/// When `max` is not above 0.
pub fn by_value(gradient: &Params, max: f64) -> Result<Params> {
    positive("the largest value", max)?;
    Ok(gradient.map(|leaf| {
        let bound = Tensor::from(max).f_to_kind(leaf.kind())?.f_to_device(leaf.device())?;
        Ok(leaf.f_minimum(&bound)?.f_maximum(&bound.f_neg()?)?)
    })?)
}

fn positive(what: &str, value: f64) -> Result<()> {
    let good = value.is_finite() && value > 0.0;
    if good { Ok(()) } else { Err(Error::setting(what, &value, "it must be above 0")) }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Init, Layout, Role};

    use super::*;

    fn gradient(values: &[f64]) -> Params {
        let mut layout = Layout::builder();
        layout.add("a", &[2], Init::Zeros, Role::Weight).unwrap();
        layout.add("b", &[1], Init::Zeros, Role::Bias).unwrap();
        Params::from_vector(&layout.build(), &Tensor::from_slice(values)).unwrap()
    }

    fn numbers(params: &Params) -> Vec<f64> {
        Vec::try_from(params.flatten().unwrap().reshape([-1])).unwrap()
    }

    #[test]
    fn a_long_gradient_is_shortened_and_a_short_one_kept() {
        let (clipped, norm) = by_global_norm(&gradient(&[2.0, 3.0, 6.0]), 3.5).unwrap();
        assert_eq!(norm, 7.0);
        for (found, expected) in numbers(&clipped).iter().zip([1.0, 1.5, 3.0]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
        let (kept, norm) = by_global_norm(&gradient(&[2.0, 3.0, 6.0]), 7.5).unwrap();
        assert_eq!((numbers(&kept), norm), (vec![2.0, 3.0, 6.0], 7.0));
        assert!(by_global_norm(&gradient(&[f64::NAN, 0.0, 0.0]), 1.0).is_err());
        assert!(by_global_norm(&gradient(&[1.0, 0.0, 0.0]), 0.0).is_err());
    }

    #[test]
    fn each_task_is_clipped_by_itself() {
        let two = Params::stack(&[gradient(&[2.0, 3.0, 6.0]), gradient(&[0.1, 0.0, 0.0])]).unwrap();
        let (clipped, norm) = by_global_norm(&two, 3.5).unwrap();
        assert_eq!(norm, 7.0);
        let alone = by_global_norm(&gradient(&[2.0, 3.0, 6.0]), 3.5).unwrap().0;
        assert!(clipped.task(0).unwrap().max_difference(&alone).unwrap() < 1e-12);
        assert_eq!(numbers(&clipped.task(1).unwrap()), [0.1, 0.0, 0.0]);
    }

    #[test]
    fn values_are_bounded_on_both_sides() {
        assert_eq!(numbers(&by_value(&gradient(&[2.0, -3.0, 0.5]), 1.0).unwrap()), [1.0, -1.0, 0.5]);
    }
}
