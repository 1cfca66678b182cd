use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Cx, Module, Result};

/// A function applied to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    #[default]
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x Φ(x) with the normal distribution function Φ, without approximation.
    Gelu,
    /// x · sigmoid(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
}

impl Module for Activation {
    fn forward(&self, _params: &Params, x: &Tensor, _cx: &mut Cx) -> Result<Tensor> {
        Ok(match self {
            Self::Identity => x.shallow_clone(),
            Self::Relu => x.f_relu()?,
            Self::Tanh => x.f_tanh()?,
            Self::Sigmoid => x.f_sigmoid()?,
            Self::Gelu => x.f_gelu("none")?,
            Self::Silu => x.f_silu()?,
            Self::Softplus => x.f_softplus()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn each_equals_its_formula() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let at = |f: Activation, x: f64| {
            f.forward(&params, &Tensor::from(x), &mut Cx::eval()).unwrap().double_value(&[])
        };
        for x in [-2.0_f64, -0.3, 0.0, 0.7, 3.0] {
            let sigmoid = 1.0 / (1.0 + (-x).exp());
            for (f, expected) in [
                (Activation::Identity, x),
                (Activation::Relu, x.max(0.0)),
                (Activation::Tanh, x.tanh()),
                (Activation::Sigmoid, sigmoid),
                (Activation::Silu, x * sigmoid),
                (Activation::Softplus, x.exp().ln_1p()),
            ] {
                assert!((at(f, x) - expected).abs() < 1e-12, "{f:?} at {x}");
            }
        }
        // Φ(1) = 0.841344746068543.
        assert!((at(Activation::Gelu, 1.0) - 0.841_344_746_068_543).abs() < 1e-12);
    }
}
