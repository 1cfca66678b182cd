//! PyTorch's initialisers, which look at fan-in and fan-out.

use manytask_tensor::{Init, WHOLE};

use crate::{Error, Result};

/// Which fan a variance is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanMode {
    /// The inputs of a unit: the forward pass.
    FanIn,
    /// The outputs of a unit: the backward pass.
    FanOut,
}

/// By what an activation shrinks a variance, as `torch.nn.init.calculate_gain`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gain {
    /// 1: linear layers, convolutions, sigmoid.
    Linear,
    /// √2.
    Relu,
    /// √(2 / (1 + slope²)).
    LeakyRelu(f64),
    /// 5/3.
    Tanh,
}

impl Gain {
    fn value(self) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::Relu => 2.0_f64.sqrt(),
            Self::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Self::Tanh => 5.0 / 3.0,
        }
    }
}

/// Inputs and outputs of a unit of a weight `[out, in, …]`: the receptive field counts for both.
///
/// # Errors
/// When the shape has fewer than two dimensions or a size below 1.
pub fn fans(shape: &[i64]) -> Result<(f64, f64)> {
    match shape {
        [outputs, inputs, field @ ..] if shape.iter().all(|size| *size > 0) => {
            let field: i64 = field.iter().product();
            Ok(((inputs * field) as f64, (outputs * field) as f64))
        }
        _ => Err(Error::named_setting(
            WHOLE,
            "a weight's shape",
            &format!("{shape:?}"),
            "[out, in, …] is needed",
        )),
    }
}

fn kaiming_std(shape: &[i64], mode: FanMode, gain: Gain) -> Result<f64> {
    let (fan_in, fan_out) = fans(shape)?;
    let fan = if mode == FanMode::FanIn { fan_in } else { fan_out };
    Ok(gain.value() / fan.sqrt())
}

/// U(−b, b) with b = gain · √(3 / fan) (He et al. 2015).
///
/// # Errors
/// As [`fans`].
pub fn kaiming_uniform(shape: &[i64], mode: FanMode, gain: Gain) -> Result<Init> {
    let bound = 3.0_f64.sqrt() * kaiming_std(shape, mode, gain)?;
    Ok(Init::Uniform { low: -bound, high: bound })
}

/// N(0, gain² / fan) (He et al. 2015).
///
/// # Errors
/// As [`fans`].
pub fn kaiming_normal(shape: &[i64], mode: FanMode, gain: Gain) -> Result<Init> {
    Ok(Init::Normal { mean: 0.0, std: kaiming_std(shape, mode, gain)? })
}

/// U(−b, b) with b = gain · √(6 / (in + out)) (Glorot & Bengio 2010).
///
/// # Errors
/// As [`fans`].
pub fn xavier_uniform(shape: &[i64], gain: f64) -> Result<Init> {
    let (fan_in, fan_out) = fans(shape)?;
    let bound = gain * (6.0 / (fan_in + fan_out)).sqrt();
    Ok(Init::Uniform { low: -bound, high: bound })
}

/// N(0, gain² · 2 / (in + out)) (Glorot & Bengio 2010).
///
/// # Errors
/// As [`fans`].
pub fn xavier_normal(shape: &[i64], gain: f64) -> Result<Init> {
    let (fan_in, fan_out) = fans(shape)?;
    Ok(Init::Normal { mean: 0.0, std: gain * (2.0 / (fan_in + fan_out)).sqrt() })
}

/// N(0, std²) cut at two deviations on both sides, as TensorFlow's `truncated_normal`.
pub fn truncated_normal(std: f64) -> Init {
    Init::TruncatedNormal { mean: 0.0, std, low: -2.0 * std, high: 2.0 * std }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    /// Deviation and largest absolute value of many draws.
    fn drawn(init: Init, shape: &[i64]) -> (f64, f64) {
        let values = init.draw(shape, Key::new(1, "init"), Kind::Double, Device::Cpu).unwrap();
        (values.std(true).double_value(&[]), values.abs().max().double_value(&[]))
    }

    #[test]
    fn deviations_and_bounds_are_pytorchs() {
        let shape = [200, 50, 3, 3]; // fan-in 450, fan-out 1800
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.01, "{found} {expected}");
        let (std, most) = drawn(kaiming_uniform(&shape, FanMode::FanIn, Gain::Relu).unwrap(), &shape);
        close(std, (2.0_f64 / 450.0).sqrt());
        close(most, (6.0_f64 / 450.0).sqrt());
        close(
            drawn(kaiming_normal(&shape, FanMode::FanOut, Gain::Tanh).unwrap(), &shape).0,
            5.0 / 3.0 / 1800_f64.sqrt(),
        );
        close(drawn(xavier_uniform(&shape, 2.0).unwrap(), &shape).1, 2.0 * (6.0_f64 / 2250.0).sqrt());
        close(drawn(xavier_normal(&shape, 1.0).unwrap(), &shape).0, (2.0_f64 / 2250.0).sqrt());
        // torch.nn.Linear and Conv2d: kaiming_uniform with a = √5 is U(±1/√fan-in).
        close(
            drawn(kaiming_uniform(&shape, FanMode::FanIn, Gain::LeakyRelu(5_f64.sqrt())).unwrap(), &shape).1,
            450_f64.sqrt().recip(),
        );
    }

    #[test]
    fn a_vector_has_no_fans() {
        assert!(fans(&[3]).is_err() && fans(&[0, 2]).is_err());
        assert_eq!(fans(&[4, 3, 2, 2]).unwrap(), (12.0, 16.0));
    }
}
