use manytask_tensor::{Params, Tensor};

use crate::primitive::{Activation, NotFused, Primitive};
use crate::{Context, Module, Result};

impl Module for Activation {
    fn forward(&self, _params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        Ok(match self {
            Self::Identity => x.shallow_clone(),
            Self::Relu => x.f_relu()?,
            Self::Tanh => x.f_tanh()?,
            Self::Sigmoid => x.f_sigmoid()?,
            Self::Gelu => x.f_gelu("none")?,
            Self::Silu => x.f_silu()?,
            Self::Softplus => x.f_softplus()?,
            Self::LeakyRelu => x.f_leaky_relu()?,
            Self::Elu => x.f_elu()?,
            Self::Selu => x.f_selu()?,
        })
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        Ok(vec![Primitive::Activation(*self)])
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
            f.forward(&params, &Tensor::from(x), &mut Context::eval()).unwrap().double_value(&[])
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
                (Activation::LeakyRelu, x.max(0.01 * x)),
                (Activation::Elu, if x > 0.0 { x } else { x.exp_m1() }),
                (
                    Activation::Selu,
                    1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() },
                ),
            ] {
                assert!((at(f, x) - expected).abs() < 1e-12, "{f:?} at {x}");
            }
        }
        // Φ(1) = 0.841344746068543.
        assert!((at(Activation::Gelu, 1.0) - 0.841_344_746_068_543).abs() < 1e-12);
    }
}
