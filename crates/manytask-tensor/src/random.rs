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

use crate::Result;

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

    /// Uniform numbers in `[low, high)`.
    pub fn uniform(self, low: f64, high: f64, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = self.rng();
        fill(shape, kind, device, || low + (high - low) * rng.random::<f64>())
    }

    /// Numbers from the standard normal distribution.
    pub fn normal(self, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = self.rng();
        fill(shape, kind, device, || rng.sample(StandardNormal))
    }

    /// Ones with probability `p`, zeros otherwise.
    pub fn bernoulli(self, p: f64, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
        let mut rng = self.rng();
        let threshold = (p.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        let values: Vec<u8> =
            (0..elements(shape)).map(|_| u8::from(u64::from(rng.random::<u32>()) < threshold)).collect();
        Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device)?)
    }

    /// The numbers below `n` in random order.
    pub fn permutation(self, n: usize) -> Vec<i64> {
        let mut order: Vec<i64> = (0..n as i64).collect();
        order.shuffle(&mut self.rng());
        order
    }
}

pub(crate) fn fill(shape: &[i64], kind: Kind, device: Device, draw: impl FnMut() -> f64) -> Result<Tensor> {
    let values: Vec<f64> = std::iter::repeat_with(draw).take(elements(shape)).collect();
    Ok(Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device)?)
}

fn elements(shape: &[i64]) -> usize {
    shape.iter().product::<i64>().max(0) as usize
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// The Fowler–Noll–Vo hash: stable across versions and platforms, unlike the standard library's.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
