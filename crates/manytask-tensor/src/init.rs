use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::random::{Key, fill};
use crate::{Error, Result};

/// The distribution that a parameter starts from.
///
/// ```
/// use manytask_tensor::{random::Key, Device, Init, Kind};
/// let init = Init::TruncatedNormal { mean: 0.0, std: 1.0, low: -2.0, high: 2.0 };
/// let values = init.draw(&[100], Key::new(1, "example"), Kind::Float, Device::Cpu)?;
/// assert!(values.abs().max().double_value(&[]) <= 2.0);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// Policies that look at fan-in and fan-out are in `manytask_nn::init`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// One number everywhere.
    Constant(f64),
    /// Uniform in `[low, high)`.
    Uniform {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// The normal distribution.
    Normal {
        /// Its mean.
        mean: f64,
        /// Its standard deviation.
        std: f64,
    },
    /// The normal distribution under the condition of lying in `[low, high]`.
    TruncatedNormal {
        /// The mean before truncation.
        mean: f64,
        /// The standard deviation before truncation.
        std: f64,
        /// The lower end, in units of the parameter.
        low: f64,
        /// The upper end, in units of the parameter.
        high: f64,
    },
    /// Rows (or columns, if fewer) that are orthogonal with length `gain`; Saxe et al. 2014, <https://arxiv.org/abs/1312.6120>.
    Orthogonal {
        /// The length.
        gain: f64,
    },
    /// One number where the first two indices are equal, and another elsewhere.
    Diagonal {
        /// Where they are equal.
        on: f64,
        /// Elsewhere.
        off: f64,
    },
}

impl Init {
    /// A tensor drawn from this distribution with the generator of `key`.
    pub fn draw(&self, shape: &[i64], key: Key, kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = key.rng();
        match *self {
            Self::Zeros => Ok(Tensor::f_zeros(shape, (kind, device))?),
            Self::Ones => Ok(Tensor::f_ones(shape, (kind, device))?),
            Self::Constant(value) => Ok(Tensor::f_full(shape, value, (kind, device))?),
            Self::Uniform { low, high } => key.uniform(low, high, shape, kind, device),
            Self::Normal { mean, std } => {
                fill(shape, kind, device, || mean + std * rng.sample::<f64, _>(StandardNormal))
            }
            Self::TruncatedNormal { mean, std, low, high } => {
                truncated_normal(shape, [mean, std, low, high], key)?
                    .f_to_kind(kind)?
                    .f_to_device(device)
                    .map_err(Error::from)
            }
            Self::Orthogonal { gain } => {
                orthogonal(shape, gain, key)?.f_to_kind(kind)?.f_to_device(device).map_err(Error::from)
            }
            Self::Diagonal { on, off } => diagonal(shape, on, off, (kind, device)),
        }
    }
}

/// By the inverse of the distribution function, as PyTorch's `trunc_normal_`, so that a narrow range takes no longer.
fn truncated_normal(shape: &[i64], [mean, std, low, high]: [f64; 4], key: Key) -> Result<Tensor> {
    // Φ is exact in its lower tail only: a range above the mean is mirrored.
    let mirror = if low > mean { -1.0 } else { 1.0 };
    let ends = [(low - mean) / std * mirror, (high - mean) / std * mirror];
    let ends = ends.map(|x| -x * std::f64::consts::FRAC_1_SQRT_2);
    let ends = Tensor::f_from_slice(&ends)?.f_special_erfc()?;
    let (a, b) = (0.5 * ends.f_double_value(&[0])?, 0.5 * ends.f_double_value(&[1])?);
    if !(low < high && std > 0.0 && (a - b).abs() > 0.0) {
        return Err(Error::Layout {
            message: format!(
                "truncated normal: [{low}, {high}] holds nothing of mean {mean}, deviation {std}"
            ),
        });
    }
    let normal = key.uniform(a.min(b), a.max(b), shape, Kind::Double, Device::Cpu)?.f_special_ndtri()?;
    Ok(normal.f_mul_scalar(std * mirror)?.f_add_scalar(mean)?.f_clamp(low, high)?)
}

fn diagonal(shape: &[i64], on: f64, off: f64, at: (Kind, Device)) -> Result<Tensor> {
    let &[rows, columns, ref rest @ ..] = shape else {
        return Err(Error::Layout { message: "a diagonal start needs at least two dimensions".into() });
    };
    let mut first = vec![rows, columns];
    let eye = Tensor::f_full([rows, columns], off, at)?;
    let _ = eye.f_diagonal(0, 0, 1)?.f_fill_(on)?;
    first.extend(rest.iter().map(|_| 1));
    Ok(eye.f_reshape(first)?.f_expand(shape, false)?.f_contiguous()?)
}

fn orthogonal(shape: &[i64], gain: f64, key: Key) -> Result<Tensor> {
    let ([rows, rest @ ..], true) = (shape, shape.len() >= 2) else {
        return Err(Error::Layout { message: "an orthogonal start needs at least two dimensions".into() });
    };
    let columns: i64 = rest.iter().product();
    let (long, short) = (*rows.max(&columns), *rows.min(&columns));
    let normal = key.normal(&[long, short], Kind::Double, Device::Cpu)?;
    let (q, r) = Tensor::f_linalg_qr(&normal, "reduced")?;
    // The sign of R's diagonal makes the distribution uniform over orthogonal matrices.
    let q = q.f_mul(&r.f_diagonal(0, 0, 1)?.f_sign()?)?;
    let q = if *rows < columns { q.f_tr()? } else { q };
    Ok(q.f_contiguous()?.f_reshape(shape)?.f_mul_scalar(gain)?)
}
