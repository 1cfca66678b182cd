use manytask_tensor::{Params, Tensor};

use crate::{Context, Module, Result};

/// `x`, and `slope · x` below 0 (Maas et al. 2013), with a slope of one's own.
#[derive(Debug, Clone, Copy)]
pub struct LeakyRelu {
    /// The slope below 0.
    pub slope: f64,
}

impl Module for LeakyRelu {
    fn forward(&self, _params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        Ok(x.f_relu()?.f_sub(&x.f_neg()?.f_relu()?.f_mul_scalar(self.slope)?)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn it_has_two_slopes() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let x = Tensor::from_slice(&[-2.0, 0.0, 3.0]);
        let y = LeakyRelu { slope: 0.1 }.forward(&params, &x, &mut Context::eval()).unwrap();
        assert_eq!(Vec::<f64>::try_from(y).unwrap(), [-0.2, 0.0, 3.0]);
    }
}
