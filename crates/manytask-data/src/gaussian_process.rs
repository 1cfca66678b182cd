//! Functions drawn from Gaussian processes: the regression tasks of neural processes.

use std::ops::Range;

use manytask_tensor::random::{ChaCha8Rng, stream};
use manytask_tensor::{KeyPath, Kind, Tensor, WHOLE};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::pool::room;
use crate::range::wrong_end;
use crate::{Episodes, Error, Result};

/// Functions of one number with the kernel `s² exp(−(x − x')²/(2ℓ²)) + σ² [x = x']`, with lengthscale ℓ and scale s drawn for
/// each task and `x` for each example, all uniformly; σ is the deviation of the noise.
///
/// Tasks have several sizes: the number of examples to adapt on is drawn for each, uniformly from `shots`, and that of queries
/// from 3 to what is left of `points`. Where a task has fewer than another the label is NaN, which says that there is no example.
/// The defaults are the RBF tasks of Nguyen & Grover (2022, arXiv:2207.04179, section 5.1), after Garnelo et al. (2018,
/// arXiv:1807.01613).
///
/// ```
/// use manytask_data::GaussianProcess;
/// use manytask_tensor::Kind;
/// let tasks = GaussianProcess::default().episodes(None, 0, "train", 0..16, Kind::Float)?;
/// assert_eq!((tasks.support_x.size(), tasks.query_y.size()), (vec![16, 47, 1], vec![16, 47, 1]));
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianProcess {
    /// Lowest and highest lengthscale.
    pub lengthscale: [f64; 2],
    /// Lowest and highest scale.
    pub scale: [f64; 2],
    /// The standard deviation of the noise.
    pub noise: f64,
    /// Lowest and highest input.
    pub x: [f64; 2],
    /// Fewest and most examples to adapt on.
    pub shots: [usize; 2],
    /// The most examples of a task, shots and queries together.
    pub points: usize,
}

/// The fewest queries of a task.
const FEWEST: usize = 3;
/// The most examples of a task: a draw costs their number to the third power.
const MOST: usize = 2048;

impl Default for GaussianProcess {
    fn default() -> Self {
        Self {
            lengthscale: [0.1, 0.6],
            scale: [0.1, 1.0],
            noise: 0.02,
            x: [-2.0, 2.0],
            shots: [3, 47],
            points: 50,
        }
    }
}

/// One task: inputs and outputs, of which the first `shots` are to adapt on.
struct Drawn {
    shots: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl GaussianProcess {
    /// The tasks with these numbers, inputs and outputs `[T, K, 1]`; `queries` says how many there are of each, in place of a
    /// drawn number. Each is a function of (seed, purpose, number) and of nothing else, and computed in float64.
    ///
    /// # Errors
    /// As [`GaussianProcess::check`], and when so many numbers do not fit in memory.
    pub fn episodes(
        &self,
        queries: Option<usize>,
        seed: u64,
        purpose: &str,
        ids: Range<u64>,
        kind: Kind,
    ) -> Result<Episodes> {
        self.check(queries)?;
        let tasks = ids.end.saturating_sub(ids.start) as i64;
        let sizes = [self.shots[1], queries.unwrap_or(self.points - self.shots[0])];
        let mut sets: Vec<[Vec<f64>; 2]> = Vec::new();
        for size in sizes {
            sets.push([room(tasks, 1, size)?, room(tasks, 1, size)?]);
        }
        for id in ids {
            let Drawn { shots, x, y } = self.draw(queries, &mut stream(seed, purpose, id, 0))?;
            let parts = [0..shots, shots..x.len()];
            for ((set, part), size) in sets.iter_mut().zip(parts).zip(sizes) {
                let missing = size.saturating_sub(part.len());
                for ((to, from), absent) in set.iter_mut().zip([&x, &y]).zip([0.0, f64::NAN]) {
                    to.extend(from.get(part.clone()).unwrap_or_default());
                    to.extend(std::iter::repeat_n(absent, missing));
                }
            }
        }
        let mut tensors =
            sets.iter().zip(sizes).flat_map(|(set, size)| set.iter().map(move |v| (v, size))).map(
                |(values, size)| -> Result<Tensor> {
                    Ok(Tensor::f_from_slice(values)?.f_reshape([tasks, size as i64, 1])?.f_to_kind(kind)?)
                },
            );
        let mut next =
            || tensors.next().unwrap_or_else(|| Err(Error::config(WHOLE, "a set of a task is missing")));
        Ok(Episodes { support_x: next()?, support_y: next()?, query_x: next()?, query_y: next()? })
    }

    /// Whether there are such tasks.
    ///
    /// # Errors
    /// When a range is empty or out of bounds, or there is no shot or no query.
    pub fn check(&self, queries: Option<usize>) -> Result<()> {
        let bad = |key: KeyPath, what: String| Err(Error::config(key, format!("gaussian_process: {what}")));
        for (name, [low, high], least) in
            [("lengthscale", self.lengthscale, 1e-3), ("scale", self.scale, 1e-3), ("x", self.x, -1e6)]
        {
            if let Some(end) = wrong_end([low, high], |value| (least..=1e6).contains(&value)) {
                return bad(
                    (name, end).into(),
                    format!("{name} = [{low}, {high}] is no range from low to high within {least} and 1e6"),
                );
            }
        }
        if !(1e-6..=1e6).contains(&self.noise) {
            return bad(
                "noise".into(),
                format!(
                    "noise is {}: take 1e-6 to 1e6; without any the kernel cannot be drawn from",
                    self.noise
                ),
            );
        }
        let [fewest, most] = self.shots;
        if fewest == 0 || fewest > most {
            return bad(
                ("shots", usize::from(fewest > 0)).into(),
                format!("shots = [{fewest}, {most}] is no range from low to high of 1 at least"),
            );
        }
        if queries == Some(0) {
            return bad("queries".into(), "`queries` is 0: a task needs one at least".into());
        }
        if most.saturating_add(FEWEST) > self.points {
            return bad(
                "points".into(),
                format!("points is {}: {most} shots and {FEWEST} queries at least are more", self.points),
            );
        }
        let all = self.points.max(most.saturating_add(queries.unwrap_or(0)));
        if all > MOST {
            return bad("points".into(), format!("{all} examples of a task; take {MOST} at most"));
        }
        Ok(())
    }

    fn draw(&self, queries: Option<usize>, rng: &mut ChaCha8Rng) -> Result<Drawn> {
        let uniform = |rng: &mut ChaCha8Rng, [low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
        let (lengthscale, scale) = (uniform(rng, self.lengthscale), uniform(rng, self.scale));
        let shots = rng.random_range(self.shots[0]..=self.shots[1]);
        let drawn = rng.random_range(FEWEST..=self.points - shots);
        let count = shots + queries.unwrap_or(drawn);
        let x: Vec<f64> = (0..count).map(|_| uniform(rng, self.x)).collect();
        let white: Vec<f64> = (0..count).map(|_| rng.sample(StandardNormal)).collect();
        let kernel = |a: f64, b: f64| scale * scale * (-0.5 * ((a - b) / lengthscale).powi(2)).exp();
        let root = cholesky(&x, kernel, self.noise * self.noise).ok_or_else(|| {
            Error::config(
                "noise",
                "gaussian_process: a kernel is not positive definite in float64; raise `noise`",
            )
        })?;
        let y = (0..count).map(|row| {
            let start = row * (row + 1) / 2;
            let row = root.get(start..=start + row).unwrap_or_default();
            row.iter().zip(&white).map(|(l, z)| l * z).sum()
        });
        Ok(Drawn { shots, y: y.collect(), x })
    }
}

/// The lower triangle L of `K + variance I = L Lᵀ`, row after row; `None` where that is not positive definite.
fn cholesky(x: &[f64], kernel: impl Fn(f64, f64) -> f64, variance: f64) -> Option<Vec<f64>> {
    let mut rows: Vec<f64> = Vec::with_capacity(x.len() * (x.len() + 1) / 2);
    for (i, a) in x.iter().enumerate() {
        let first = i * (i + 1) / 2;
        for (j, b) in x.iter().enumerate().take(i + 1) {
            let other = j * (j + 1) / 2;
            let (own, above) = (rows.get(first..first + j)?, rows.get(other..other + j)?);
            let sum: f64 = own.iter().zip(above).map(|(p, q)| p * q).sum();
            let left = kernel(*a, *b) + if i == j { variance } else { 0.0 } - sum;
            let value = if i == j {
                (left > 0.0).then(|| left.sqrt())?
            } else {
                left / rows.get(other + j).copied()?
            };
            rows.push(value);
        }
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_the_kernel_gives_the_kernel() {
        let x = [0.3, -1.0, 0.5, 2.0];
        let kernel = |a: f64, b: f64| (-(a - b).powi(2)).exp();
        let root = cholesky(&x, kernel, 0.01).unwrap();
        let row = |i: usize| &root[i * (i + 1) / 2..=i * (i + 1) / 2 + i];
        for (i, a) in x.iter().enumerate() {
            for (j, b) in x.iter().enumerate().take(i + 1) {
                let product: f64 = row(i).iter().zip(row(j)).map(|(p, q)| p * q).sum();
                let expected = kernel(*a, *b) + if i == j { 0.01 } else { 0.0 };
                assert!((product - expected).abs() < 1e-12);
            }
        }
        assert!(cholesky(&[1.0, 1.0], kernel, 0.0).is_none());
    }

    #[test]
    fn values_have_the_variance_and_the_covariance_of_the_kernel() {
        let fixed = GaussianProcess {
            lengthscale: [0.4, 0.4],
            scale: [0.7, 0.7],
            noise: 0.1,
            x: [1.0, 1.0],
            shots: [2, 2],
            points: 5,
        };
        let tasks = fixed.episodes(Some(1), 0, "test", 0..4000, Kind::Double).unwrap();
        let mean = |t: Tensor| t.mean(Kind::Double).double_value(&[]);
        // At one place two values differ by the noise alone.
        assert!((mean(tasks.query_y.square()) - 0.5).abs() < 0.04);
        let pair = tasks.support_y.select(1, 0) * tasks.support_y.select(1, 1);
        assert!((mean(pair) - 0.49).abs() < 0.04);
    }

    #[test]
    fn tasks_have_sizes_of_their_own_and_are_the_same_in_any_batch() {
        let family = GaussianProcess::default();
        let batch = family.episodes(None, 1, "train", 0..200, Kind::Double).unwrap();
        let count = |y: &Tensor| -> Vec<i64> {
            Vec::try_from(y.isfinite().sum_dim_intlist([1, 2].as_slice(), false, Kind::Int64)).unwrap()
        };
        let (shots, queries) = (count(&batch.support_y), count(&batch.query_y));
        assert!(shots.iter().min() <= Some(&5) && shots.iter().max() >= Some(&45));
        assert!(shots.iter().zip(&queries).all(|(s, q)| *s >= 3 && *q >= 3 && s + q <= 50));
        let alone = family.episodes(None, 1, "train", 8..9, Kind::Double).unwrap();
        let gap = (batch.query_y.get(8).nan_to_num(0.0, None, None)
            - alone.query_y.get(0).nan_to_num(0.0, None, None))
        .abs()
        .max();
        assert_eq!(gap.double_value(&[]), 0.0);
        let judged = family.episodes(Some(60), 1, "test", 0..3, Kind::Double).unwrap();
        assert_eq!(count(&judged.query_y), [60; 3]);
    }

    #[test]
    fn impossible_settings_are_refused() {
        for text in [
            "x = [2.0, -2.0]",
            "lengthscale = [0.0, 1.0]",
            "noise = 0.0",
            "shots = [0, 3]",
            "shots = [4, 48]",
            "points = 100000000000",
            "scale = [0.1, inf]",
        ] {
            let family: GaussianProcess = toml::from_str(text).unwrap();
            assert!(family.episodes(None, 0, "x", 0..1, Kind::Float).is_err(), "{text}");
        }
        assert!(GaussianProcess::default().episodes(Some(0), 0, "x", 0..1, Kind::Float).is_err());
        assert!(GaussianProcess::default().episodes(Some(usize::MAX), 0, "x", 0..1, Kind::Float).is_err());
    }
}
