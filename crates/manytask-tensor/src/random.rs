//! Randomness without state: each draw comes from a ChaCha generator keyed by (seed, purpose, step, task).
//!
//! A resumed run therefore needs no saved generator, and one thread per task draws what a loop over tasks would.
//!
//! ```
//! use manytask_tensor::random::{stream, Key};
//! use rand::Rng;
//! assert_eq!(stream(1, "dropout", 7, 0).random::<u64>(), stream(1, "dropout", 7, 0).random::<u64>());
//! assert_ne!(stream(1, "dropout", 7, 0).random::<u64>(), stream(1, "dropout", 7, 1).random::<u64>());
//! assert_eq!(Key::new(1, "dropout").step(7).rng(), stream(1, "dropout", 7, 0));
//! ```

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
pub use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// The generator of one (seed, purpose, step, task); the four fill its 256-bit key, so no two of them overlap.
pub fn stream(seed: u64, purpose: &str, step: u64, task: u64) -> ChaCha8Rng {
    Key::new(seed, purpose).step(step).task(task).rng()
}

/// The key of a generator, to be refined on the way down: a loop sets the step, a task its number, a layer its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    seed: u64,
    purpose: u64,
    step: u64,
    task: u64,
}

impl Key {
    /// The key of a purpose, at step 0 of task 0.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self { seed, purpose: fnv1a(FNV_OFFSET, purpose.as_bytes()), step: 0, task: 0 }
    }

    /// The same key at another step.
    #[must_use]
    pub fn step(self, step: u64) -> Self {
        Self { step, ..self }
    }

    /// The same key for another task.
    #[must_use]
    pub fn task(self, task: u64) -> Self {
        Self { task, ..self }
    }

    /// The key of a purpose within this one: the third dropout layer, the second inner step.
    #[must_use]
    pub fn within(self, number: u64) -> Self {
        Self { purpose: fnv1a(self.purpose, &number.to_le_bytes()), ..self }
    }

    /// The generator of this key.
    pub fn rng(self) -> ChaCha8Rng {
        let mut bytes = [0; 32];
        for (part, word) in bytes.chunks_exact_mut(8).zip([self.seed, self.purpose, self.step, self.task]) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(bytes)
    }

    /// Uniform numbers in `[low, high)`, also after rounding to `kind`.
    ///
    /// ```
    /// use manytask_tensor::{random::Key, Device, Kind};
    /// let x = Key::new(1, "example").uniform(-1.0, 1.0, &[100], Kind::Float, Device::Cpu)?;
    /// assert!(x.min().double_value(&[]) >= -1.0 && x.max().double_value(&[]) < 1.0);
    /// # Ok::<(), manytask_tensor::Error>(())
    /// ```
    pub fn uniform(self, low: f64, high: f64, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = self.rng();
        let mut values = fill(shape, kind, device, || low + (high - low) * rng.random::<f64>())?;
        // What was rounded up to the open end goes to the closed one, as PyTorch does it.
        let _ = values.f_masked_fill_(&values.f_ge(high)?, low)?;
        Ok(values)
    }

    /// Numbers from the standard normal distribution.
    ///
    /// ```
    /// use manytask_tensor::{random::Key, Device, Kind};
    /// let draw = || Key::new(1, "example").step(3).normal(&[2, 2], Kind::Double, Device::Cpu);
    /// assert_eq!(draw()?, draw()?);
    /// # Ok::<(), manytask_tensor::Error>(())
    /// ```
    pub fn normal(self, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = self.rng();
        fill(shape, kind, device, || rng.sample(StandardNormal))
    }

    /// Ones with probability `p`, zeros otherwise.
    pub fn bernoulli(self, p: f64, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        refuse_while_recording()?;
        let mut rng = self.rng();
        let threshold = (p.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        let values = collect(shape, || u8::from(u64::from(rng.random::<u32>()) < threshold))?;
        Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device)?)
    }

    /// One number: a seed for what takes seeds.
    pub fn number(self) -> u64 {
        self.rng().random()
    }

    /// A point of the simplex of the Dirichlet distribution whose parameters are all `concentration`: below 1 most points are near the corners, above
    /// it near the middle.
    ///
    /// ```
    /// let point = manytask_tensor::random::Key::new(1, "preference").dirichlet(0.2, 3);
    /// assert!((point.iter().sum::<f64>() - 1.0).abs() < 1e-12 && point.iter().all(|share| *share >= 0.0));
    /// ```
    pub fn dirichlet(self, concentration: f64, count: usize) -> Vec<f64> {
        let mut rng = self.rng();
        let drawn: Vec<f64> = (0..count).map(|_| gamma(concentration, &mut rng)).collect();
        let sum: f64 = drawn.iter().sum();
        // All are 0 where the concentration is so small that they are rounded to it: then one of them is all.
        let all = if sum > 0.0 { None } else { Some(rng.random_range(0..count.max(1))) };
        let share = |(place, x): (usize, &f64)| all.map_or(x / sum, |of| f64::from(u8::from(of == place)));
        drawn.iter().enumerate().map(share).collect()
    }

    /// The numbers below `n` in random order.
    ///
    /// ```
    /// let mut order = manytask_tensor::random::Key::new(1, "shuffle").permutation(5);
    /// order.sort_unstable();
    /// assert_eq!(order, [0, 1, 2, 3, 4]);
    /// ```
    pub fn permutation(self, n: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..n as i64).collect();
        order.shuffle(&mut self.rng());
        order
    }
}

/// A number of the gamma distribution with this shape and the scale 1: a sum of exponential ones, and a share of another by Jöhnk's method for what is
/// left of the shape. Its cost grows with the shape.
pub fn gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    let mut exponential = || -(1.0 - rng.random::<f64>()).ln();
    let whole: f64 = (0..shape.floor() as u32).map(|_| exponential()).sum();
    let rest = shape.fract();
    if rest == 0.0 {
        return whole;
    }
    let last = exponential();
    loop {
        let (x, y) = (rng.random::<f64>().powf(rest.recip()), rng.random::<f64>().powf((1.0 - rest).recip()));
        if x + y <= 1.0 {
            return whole + if x + y > 0.0 { last * x / (x + y) } else { 0.0 };
        }
    }
}

/// A draw is made on the host: recorded, it would be the same in each step.
fn refuse_while_recording() -> Result<()> {
    if crate::capture::is_recording() {
        return Err(Error::Capture {
            reason: "random numbers are drawn on the host, as dropout does".into(),
        });
    }
    Ok(())
}

pub(crate) fn fill(shape: &[i64], kind: Kind, device: Device, draw: impl FnMut() -> f64) -> Result<Tensor> {
    refuse_while_recording()?;
    let values = collect(shape, draw)?;
    Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device)?)
}

fn collect<T>(shape: &[i64], draw: impl FnMut() -> T) -> Result<Vec<T>> {
    let count = elements(shape)?;
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| impossible(shape))?;
    values.extend(std::iter::repeat_with(draw).take(count));
    Ok(values)
}

/// The number of elements of a shape.
pub(crate) fn elements(shape: &[i64]) -> Result<usize> {
    // Zeros are left out of the product: libtorch refuses strides that overflow also where there is no element.
    let sizes = shape.iter().filter(|d| **d != 0);
    let product = sizes.copied().try_fold(1, |n: i64, d| if d < 0 { None } else { n.checked_mul(d) });
    match product.and_then(|n| usize::try_from(n).ok()) {
        Some(_) if shape.contains(&0) => Ok(0),
        Some(count) => Ok(count),
        None => Err(impossible(shape)),
    }
}

fn impossible(shape: &[i64]) -> Error {
    Error::Layout {
        message: format!("a tensor of shape {shape:?} does not fit in memory, or has a negative size"),
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// The Fowler–Noll–Vo hash: stable across versions and platforms, unlike the standard library's.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_mean_and_the_variance_of_their_distribution() {
        for concentration in [0.2, 1.0, 2.5] {
            let drawn: Vec<f64> = (0..4000)
                .map(|step| Key::new(1, "shares").step(step).dirichlet(concentration, 3)[1])
                .collect();
            let mean = drawn.iter().sum::<f64>() / 4000.0;
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 4000.0;
            let expected = (2.0 / 9.0) / (3.0 * concentration + 1.0);
            assert!((mean - 1.0 / 3.0).abs() < 0.03, "{concentration}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.08, "{concentration}: {variance} {expected}");
        }
        assert_eq!(Key::new(1, "corner").dirichlet(1e-300, 2).iter().sum::<f64>(), 1.0);
    }
}
