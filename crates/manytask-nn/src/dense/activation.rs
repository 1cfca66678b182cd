use manytask_tensor::Tensor;
use manytask_tensor::dense::Real;

use crate::Result;
use crate::primitive::Activation;

/// An activation whose derivatives are functions of its value, so that a pass keeps nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenseActivation {
    /// x.
    Identity,
    /// max(x, 0), with slope 0 at 0.
    Relu,
    /// x, and 0.01 x below 0.
    LeakyRelu,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
}

impl DenseActivation {
    /// The curve of an activation, where it has one.
    pub fn of(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Identity => Some(Self::Identity),
            Activation::Relu => Some(Self::Relu),
            Activation::LeakyRelu => Some(Self::LeakyRelu),
            Activation::Tanh => Some(Self::Tanh),
            Activation::Sigmoid => Some(Self::Sigmoid),
            Activation::Gelu
            | Activation::Silu
            | Activation::Softplus
            | Activation::Elu
            | Activation::Selu => None,
        }
    }

    /// Whether it is straight on both sides of 0: then it costs next to nothing, and has no second derivative.
    pub fn is_piecewise_linear(self) -> bool {
        matches!(self, Self::Identity | Self::Relu | Self::LeakyRelu)
    }

    /// The values of a tensor's numbers, on any device.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn apply_to(self, numbers: Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Identity => numbers,
            Self::Relu => numbers.f_relu()?,
            Self::LeakyRelu => numbers.f_leaky_relu()?,
            Self::Tanh => numbers.f_tanh()?,
            Self::Sigmoid => numbers.f_sigmoid()?,
        })
    }

    /// A cotangent of the values, `[…, B, o]`, as one of what they are of, on any device; `values` broadcasts to it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn mul_derivative(self, values: &Tensor, cotangent: Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Identity => cotangent,
            Self::Relu => values.f_threshold_backward(&cotangent, 0.0)?,
            Self::LeakyRelu => values.f_leaky_relu_backward(&cotangent, 0.01, true)?,
            Self::Tanh => cotangent.f_mul(&values.f_square()?.f_neg()?.f_add_scalar(1.0)?)?,
            Self::Sigmoid => cotangent.f_mul(&values.f_sub(&values.f_square()?)?)?,
        })
    }

    /// Overwrites numbers by their values.
    pub fn apply<T: Real>(self, numbers: &mut [T]) {
        let each = |f: fn(T) -> T, numbers: &mut [T]| numbers.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Identity => {}
            // Not `max`: a NaN must stay one, so that it is seen.
            Self::Relu => each(|x| if x < T::zero() { T::zero() } else { x }, numbers),
            Self::LeakyRelu => each(|x| if x < T::zero() { x * T::of(0.01) } else { x }, numbers),
            Self::Tanh => each(T::tanh, numbers),
            Self::Sigmoid => each(sigmoid, numbers),
        }
    }

    /// Multiplies cotangents of values by the slope there, `f′`. There may be several cotangents for each value, one whole set
    /// after the other.
    pub fn mul_derivative_in_place<T: Real>(self, cotangents: &mut [T], values: &[T]) {
        let each = |f: fn(T, T) -> T, cotangents: &mut [T]| {
            for set in cotangents.chunks_mut(values.len().max(1)) {
                for (cotangent, value) in set.iter_mut().zip(values) {
                    *cotangent = f(*cotangent, *value);
                }
            }
        };
        match self {
            Self::Identity => {}
            Self::Relu => each(|c, a| if a > T::zero() { c } else { T::zero() }, cotangents),
            Self::LeakyRelu => each(|c, a| if a > T::zero() { c } else { c * T::of(0.01) }, cotangents),
            Self::Tanh => each(|c, a| c * (T::one() - a * a), cotangents),
            Self::Sigmoid => each(|c, a| c * a * (T::one() - a), cotangents),
        }
    }

    /// Adds to `changes` how the slope's change, along a direction in which values change by `along`, changes what comes
    /// back: `f″ ż c̄ = (f″/f′) ȧ c̄`.
    pub fn add_second_derivative<T: Real>(
        self,
        changes: &mut [T],
        along: &[T],
        cotangents: &[T],
        values: &[T],
    ) {
        let each = |bend: fn(T) -> T, changes: &mut [T]| {
            for (((change, along), cotangent), value) in
                changes.iter_mut().zip(along).zip(cotangents).zip(values)
            {
                *change += bend(*value) * *along * *cotangent;
            }
        };
        match self {
            Self::Identity | Self::Relu | Self::LeakyRelu => {}
            Self::Tanh => each(|a| -(a + a), changes),
            Self::Sigmoid => each(|a| T::one() - (a + a), changes),
        }
    }
}

/// `1 / (1 + e⁻ˣ)` without an overflow.
pub(super) fn sigmoid<T: Real>(x: T) -> T {
    if x < T::zero() {
        let e = x.exp();
        e / (T::one() + e)
    } else {
        (T::one() + (-x).exp()).recip()
    }
}
