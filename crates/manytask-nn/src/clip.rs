//! Gradient clipping.

use manytask_tensor::{Kind, Params, Tensor};

use crate::{Error, Result};

/// Norms below this, and those that are not finite, are summed anew with scaled numbers: squares may have under- or
/// overflowed.
const SMALL: f64 = 1e-15;

/// Scales a gradient down to the norm `max` where it is longer: `g · min(1, max / (‖g‖ + 1e-6))`, as PyTorch's
/// `clip_grad_norm_`. Also gives the norm before. With a task dimension each task's gradient is scaled by itself, and the
/// largest norm is given.
///
/// Any finite gradient is clipped, however large.
///
/// # Errors
/// When `max` is not above 0, or a number of the gradient is NaN or infinite.
pub fn by_global_norm(gradient: &Params, max: f64) -> Result<(Params, f64)> {
    positive("clip_norm", "the largest norm", max)?;
    let norm = gradient.norm()?;
    let largest = norm.f_max()?.f_double_value(&[])?;
    if !largest.is_finite() || largest < SMALL {
        return by_scaled_norm(gradient, max);
    }
    if largest <= max && max / (largest + 1e-6) >= 1.0 {
        return Ok((gradient.share(), largest));
    }
    let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max)?.f_clamp_max(1.0)?;
    Ok((scaled(gradient, &factor)?, largest))
}

/// The norm of a gradient, with a task dimension the largest one; of any finite gradient, however large.
///
/// # Errors
/// When a number of the gradient is NaN or infinite.
pub fn global_norm(gradient: &Params) -> Result<f64> {
    let norm = gradient.norm()?.f_max()?.f_double_value(&[])?;
    if norm.is_finite() && norm >= SMALL { Ok(norm) } else { Ok(Scaled::of(gradient)?.largest) }
}

/// `‖g‖ = s ‖g / s‖` for the largest number s of each gradient, in f64.
struct Scaled {
    /// s.
    scale: Tensor,
    /// `‖g / s‖`.
    relative: Tensor,
    /// The largest of the norms.
    largest: f64,
}

impl Scaled {
    fn of(gradient: &Params) -> Result<Self> {
        let each = [gradient.tasks().unwrap_or(1), -1];
        let flat = gradient.flatten()?.f_to_kind(Kind::Double)?.f_reshape(each)?;
        let scale = flat.f_abs()?.f_amax([1].as_slice(), true)?;
        if !scale.f_max()?.f_double_value(&[])?.is_finite() {
            return Err(Error::NotFinite { what: "the gradient".into() });
        }
        // A gradient of zero is divided by 1.
        let scale = scale.f_add(&scale.f_eq(0.0)?.f_to_kind(Kind::Double)?)?;
        let squares = flat.f_div(&scale)?.f_square()?;
        let relative = squares.f_sum_dim_intlist([1].as_slice(), false, Kind::Double)?.f_sqrt()?;
        let scale = scale.f_reshape([-1])?;
        let largest = relative.f_mul(&scale)?.f_max()?.f_double_value(&[])?.min(f64::MAX);
        Ok(Self { scale, relative, largest })
    }
}

/// The same by scaled numbers.
fn by_scaled_norm(gradient: &Params, max: f64) -> Result<(Params, f64)> {
    let Scaled { scale, relative, largest } = Scaled::of(gradient)?;
    // max / (s r + 1e-6), where the product may overflow.
    let factor = scale.f_reciprocal()?.f_mul_scalar(max)?;
    let factor = factor.f_div(&relative.f_add(&scale.f_reciprocal()?.f_mul_scalar(1e-6)?)?)?;
    let whole = factor.f_min()?.f_double_value(&[])? >= 1.0;
    if whole {
        return Ok((gradient.share(), largest));
    }
    // In two factors, each of which a single-precision number can hold.
    let root = scale.f_clamp_min(1.0)?.f_sqrt()?;
    let shrunk = scaled(gradient, &root.f_reciprocal()?)?;
    Ok((scaled(&shrunk, &factor.f_clamp_max(1.0)?.f_mul(&root)?)?, largest))
}

/// Each task's gradient times its factor, `[T]` or one element.
fn scaled(gradient: &Params, factor: &Tensor) -> Result<Params> {
    Ok(gradient.map(|leaf| {
        let mut shape = vec![1_i64; leaf.dim()];
        if let (Some(tasks), Some(first)) = (gradient.tasks(), shape.first_mut()) {
            *first = tasks;
        }
        Ok(leaf.f_mul(&factor.f_to_kind(leaf.kind())?.f_reshape(shape)?)?)
    })?)
}

/// Each number of a gradient brought into `[−max, max]`.
///
/// # Errors
/// When `max` is not above 0.
pub fn by_value(gradient: &Params, max: f64) -> Result<Params> {
    positive("clip_value", "the largest value", max)?;
    Ok(gradient.map(|leaf| {
        let bound = Tensor::from(max).f_to_kind(leaf.kind())?.f_to_device(leaf.device())?;
        Ok(leaf.f_minimum(&bound)?.f_maximum(&bound.f_neg()?)?)
    })?)
}

fn positive(key: &str, what: &str, value: f64) -> Result<()> {
    let good = value.is_finite() && value > 0.0;
    if good { Ok(()) } else { Err(Error::named_setting(key, what, &value, "it must be above 0")) }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Init, Layout, Role};

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
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = by_global_norm(&gradient(&[wrong, 0.0, 1.0]), 1.0).unwrap_err();
            assert!(matches!(error, Error::NotFinite { .. }), "{error}");
        }
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
    fn the_norm_of_any_finite_gradient_is_known() {
        for size in [1e-200, 1.0, 1e20, 1e300] {
            let norm = global_norm(&gradient(&[2.0 * size, 3.0 * size, 6.0 * size])).unwrap();
            assert!((norm / (7.0 * size) - 1.0).abs() < 1e-12, "{size}: {norm}");
        }
        assert_eq!(global_norm(&gradient(&[0.0; 3])).unwrap(), 0.0);
        let error = global_norm(&gradient(&[f64::NAN, 0.0, 0.0])).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    }

    #[test]
    fn a_finite_gradient_is_clipped_however_large_and_however_small() {
        for (kind, size) in
            [(Kind::Double, 1e200), (Kind::Double, 1.7e308), (Kind::Float, 1e20), (Kind::Float, 3e38)]
        {
            let long = gradient(&[0.2 * size, 0.3 * size, 0.6 * size]).to(kind, Device::Cpu).unwrap();
            let (clipped, norm) = by_global_norm(&long, 3.5).unwrap();
            assert!((norm / size - 0.7).abs() < 1e-6, "{kind:?} {size} {norm}");
            for (found, expected) in numbers(&clipped).iter().zip([1.0, 1.5, 3.0]) {
                assert!((found - expected).abs() < 1e-5, "{kind:?} {size} {found}");
            }
        }
        let short = gradient(&[0.2e-200, 0.3e-200, 0.6e-200]);
        let (kept, norm) = by_global_norm(&short, 1e-3).unwrap();
        assert_eq!(numbers(&kept), numbers(&short));
        assert!((norm / 0.7e-200 - 1.0).abs() < 1e-12, "{norm}");
        let (zero, norm) = by_global_norm(&gradient(&[0.0, 0.0, 0.0]), 1.0).unwrap();
        assert_eq!((numbers(&zero), norm), (vec![0.0; 3], 0.0));
        let two = Params::stack(&[gradient(&[2e200, 3e200, 6e200]), gradient(&[2.0, 3.0, 6.0])]).unwrap();
        let both = by_global_norm(&two, 3.5).unwrap().0;
        for task in 0..2 {
            for (found, expected) in numbers(&both.task(task).unwrap()).iter().zip([1.0, 1.5, 3.0]) {
                assert!((found - expected).abs() < 1e-6, "{task} {found}");
            }
        }
    }

    #[test]
    fn values_are_bounded_on_both_sides() {
        assert_eq!(numbers(&by_value(&gradient(&[2.0, -3.0, 0.5]), 1.0).unwrap()), [1.0, -1.0, 0.5]);
    }
}
