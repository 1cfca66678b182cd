use std::f64::consts::TAU;

use manytask_tensor::{Init, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Builder, Context, Error, Module, Result};

/// The settings of a [`Periodic`] embedding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeriodicConfig {
    /// The numbers that each number becomes, `d`.
    pub size: i64,
    /// The frequencies of each number, `k`.
    pub frequencies: i64,
    /// The deviation of the frequencies at the start, `σ`, above 0: the larger, the finer the differences that the network begins with.
    pub scale: f64,
    /// Whether all numbers have one linear layer, "PLR(lite)", and not each its own.
    pub shared: bool,
}

impl Default for PeriodicConfig {
    fn default() -> Self {
        Self { size: 24, frequencies: 48, scale: 0.01, shared: false }
    }
}

impl PeriodicConfig {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        for (key, value) in [("size", self.size), ("frequencies", self.frequencies)] {
            if !(1..=65536).contains(&value) {
                return Err(Error::setting(key, &value, "it must be from 1 to 65536"));
            }
        }
        if self.scale > 0.0 && self.scale.is_finite() {
            return Ok(());
        }
        Err(Error::setting("scale", &self.scale, "it must be above 0"))
    }
}

/// Each number as several, from `[B, n]` to `[B, n · d]` (Gorishniy et al. 2022, arXiv:2203.05556, section 3.3, "PLR"):
/// `ReLU(W_i [sin v, cos v] + b_i)` with `v = 2π c_i x_i`, where the k frequencies `c_i` are trained; with a task dimension from `[T, B, n]`.
///
/// Frequencies start from N(0, σ²), cut at three deviations, W and b from U(−1/√(2k), 1/√(2k)), as in the paper's code. Frequencies
/// have the role of scales, which weight decay leaves alone, as that code advises. A row costs `2 k d` multiplications for each number.
#[derive(Debug, Clone)]
pub struct Periodic {
    frequencies: Slot,
    weight: Slot,
    bias: Slot,
    numbers: i64,
}

impl Periodic {
    /// Adds `frequencies` `[n, k]`, `weight` `[n, 2k, d]` and `bias` `[n, 1, d]`; with shared layers the latter two begin with 1.
    ///
    /// # Errors
    /// When a setting is out of range, there is no number, or a name was used before.
    pub fn new(b: &mut Builder<'_>, numbers: i64, settings: &PeriodicConfig) -> Result<Self> {
        settings.check()?;
        let (k, d, scale) = (settings.frequencies, settings.size, settings.scale);
        let layers = if settings.shared { 1 } else { numbers };
        let bound = 1.0 / (2.0 * k as f64).sqrt();
        let uniform = Init::Uniform { low: -bound, high: bound };
        let normal = Init::TruncatedNormal { mean: 0.0, std: scale, low: -3.0 * scale, high: 3.0 * scale };
        Ok(Self {
            frequencies: b.parameter("frequencies", &[numbers, k], normal, Role::Scale)?,
            weight: b.parameter("weight", &[layers, 2 * k, d], uniform, Role::Weight)?,
            bias: b.parameter("bias", &[layers, 1, d], uniform, Role::Bias)?,
            numbers,
        })
    }
}

impl Module for Periodic {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let size = x.size();
        let tasks = usize::from(params.tasks().is_some());
        if size.len() != 2 + tasks || size.last() != Some(&self.numbers) {
            return Err(Error::Input {
                layer: "periodic".into(),
                expected: format!("[B, {}], or [T, B, {}] with tasks", self.numbers, self.numbers),
                found: size,
            });
        }
        // [n, B, k], so that each number's rows go through its own layer.
        let angles = x.f_transpose(-2, -1)?.f_unsqueeze(-1)?;
        let angles = angles.f_mul(&params.get(self.frequencies)?.f_unsqueeze(-2)?)?.f_mul_scalar(TAU)?;
        let waves = Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], -1)?;
        let rows = waves.f_matmul(params.get(self.weight)?)?.f_add(params.get(self.bias)?)?.f_relu()?;
        Ok(rows.f_transpose(-3, -2)?.f_flatten(-2, -1)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    fn built(numbers: i64, settings: PeriodicConfig) -> (Periodic, Params) {
        let mut layout = Layout::builder();
        let module = Periodic::new(&mut Builder::new(&mut layout), numbers, &settings).unwrap();
        (module, layout.build().init(1, Kind::Double, Device::Cpu).unwrap())
    }

    #[test]
    fn each_number_goes_through_its_own_waves_and_layer() {
        for shared in [false, true] {
            let (module, params) = built(3, PeriodicConfig { size: 2, frequencies: 4, scale: 0.3, shared });
            let x = Key::new(1, "x").normal(&[5, 3], Kind::Double, Device::Cpu).unwrap();
            let y = module.forward(&params, &x, &mut Context::eval()).unwrap();
            assert_eq!(y.size(), [5, 6]);
            let leaf = |name: &str, at: &[i64]| params.named(name).unwrap().double_value(at);
            for (row, number, out) in [(0, 0, 0), (4, 2, 1), (2, 1, 0)] {
                let layer = if shared { 0 } else { number };
                let mut sum = leaf("bias", &[layer, 0, out]);
                for k in 0..4 {
                    let v = TAU * leaf("frequencies", &[number, k]) * x.double_value(&[row, number]);
                    sum += leaf("weight", &[layer, k, out]) * v.sin();
                    sum += leaf("weight", &[layer, 4 + k, out]) * v.cos();
                }
                let found = y.double_value(&[row, 2 * number + out]);
                assert!((found - sum.max(0.0)).abs() < 1e-12, "{row} {number} {out}: {found} {sum}");
            }
        }
    }

    #[test]
    fn tasks_at_once_are_a_loop_over_tasks() {
        let (module, params) = built(3, PeriodicConfig { scale: 1.0, ..PeriodicConfig::default() });
        let both = Params::stack(&[params.share(), params.scale(0.5).unwrap()]).unwrap();
        let x = Key::new(2, "x").normal(&[2, 4, 3], Kind::Double, Device::Cpu).unwrap();
        let y = module.forward(&both, &x, &mut Context::eval()).unwrap();
        for task in 0..2 {
            let alone =
                module.forward(&both.task(task).unwrap(), &x.select(0, task), &mut Context::eval()).unwrap();
            assert!((y.select(0, task) - alone).abs().max().double_value(&[]) < 1e-12);
        }
    }

    #[test]
    fn frequencies_start_within_three_deviations_and_settings_are_checked() {
        let (_, params) = built(50, PeriodicConfig::default());
        let frequencies = params.named("frequencies").unwrap();
        assert!((frequencies.std(true).double_value(&[]) / 0.01 - 1.0).abs() < 0.05);
        assert!(frequencies.abs().max().double_value(&[]) <= 0.03);
        let default = PeriodicConfig::default();
        for wrong in [
            PeriodicConfig { size: 0, ..default },
            PeriodicConfig { frequencies: 0, ..default },
            PeriodicConfig { scale: 0.0, ..default },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
