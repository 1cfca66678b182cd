//! The sinusoid family: the regression tasks of MAML.

use std::f64::consts::PI;
use std::ops::Range;

use manytask_tensor::random::stream;
use manytask_tensor::{Kind, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::pool::room;
use crate::range::wrong_end;
use crate::{Episodes, Error, Result};

/// `y = a sin(f x - p)`, with amplitude, phase and frequency drawn for each task and `x` for each example, all uniformly.
///
/// The defaults are Finn et al. (2017), section 5.1: `a` in `[0.1, 5]`, `p` in `[0, π]`, `f = 1`, `x` in `[-5, 5]`.
///
/// ```
/// use manytask_data::Sinusoid;
/// use manytask_tensor::Kind;
/// let tasks = Sinusoid::default().episodes(10, 5, 0, "train", 0..25, Kind::Float)?;
/// assert_eq!(tasks.support_x.size(), [25, 10, 1]);
/// assert_eq!(tasks.query_y.size(), [25, 5, 1]);
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sinusoid {
    /// Lowest and highest amplitude.
    pub amplitude: [f64; 2],
    /// Lowest and highest phase, in radians.
    pub phase: [f64; 2],
    /// Lowest and highest angular frequency.
    pub frequency: [f64; 2],
    /// Lowest and highest input.
    pub x: [f64; 2],
}

impl Default for Sinusoid {
    fn default() -> Self {
        Self { amplitude: [0.1, 5.0], phase: [0.0, PI], frequency: [1.0, 1.0], x: [-5.0, 5.0] }
    }
}

impl Sinusoid {
    /// The tasks with these numbers, with `shots` examples to adapt on and `queries` to be judged by; inputs and outputs
    /// `[T, K, 1]`. Each is a function of (seed, purpose, number) and of nothing else, and computed in float64.
    ///
    /// # Errors
    /// As [`Sinusoid::check`], and when so many numbers do not fit in memory.
    pub fn episodes(
        &self,
        shots: usize,
        queries: usize,
        seed: u64,
        purpose: &str,
        ids: Range<u64>,
        kind: Kind,
    ) -> Result<Episodes> {
        self.check(shots, queries)?;
        let tasks = ids.end.saturating_sub(ids.start) as i64;
        let (mut support_x, mut support_y) = (room(tasks, 1, shots)?, room(tasks, 1, shots)?);
        let (mut query_x, mut query_y) = (room(tasks, 1, queries)?, room(tasks, 1, queries)?);
        for id in ids {
            let mut rng = stream(seed, purpose, id, 0);
            let mut draw = |[low, high]: [f64; 2]| low + (high - low) * rng.random::<f64>();
            let (amplitude, phase, frequency) =
                (draw(self.amplitude), draw(self.phase), draw(self.frequency));
            for (count, xs, ys) in
                [(shots, &mut support_x, &mut support_y), (queries, &mut query_x, &mut query_y)]
            {
                for _ in 0..count {
                    let x = draw(self.x);
                    xs.push(x);
                    ys.push(amplitude * (frequency * x - phase).sin());
                }
            }
        }
        let tensor = |values: &[f64], count: usize| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_reshape([tasks, count as i64, 1])?.f_to_kind(kind)?)
        };
        Ok(Episodes {
            support_x: tensor(&support_x, shots)?,
            support_y: tensor(&support_y, shots)?,
            query_x: tensor(&query_x, queries)?,
            query_y: tensor(&query_y, queries)?,
        })
    }

    /// Whether there are such tasks.
    ///
    /// # Errors
    /// When a range is empty or not finite, or there is no shot or no query.
    pub fn check(&self, shots: usize, queries: usize) -> Result<()> {
        for (what, number) in [("shots", shots), ("queries", queries)] {
            if number == 0 {
                return Err(Error::config(
                    what,
                    format!("`{what}` is 0: a task needs a shot and a query at least"),
                ));
            }
        }
        let ranges = [
            ("amplitude", self.amplitude),
            ("phase", self.phase),
            ("frequency", self.frequency),
            ("x", self.x),
        ];
        // Beyond, squares are not finite in single precision.
        let usable = |value: f64| value.abs() <= 1e18;
        match ranges.iter().find_map(|(name, range)| Some((*name, range, wrong_end(*range, usable)?))) {
            None => Ok(()),
            Some((name, range, end)) => Err(Error::config(
                (name, end),
                format!("sinusoid: {name} = {range:?} is no range from low to high within ±1e18"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_sinusoids_of_the_inputs() {
        let family = Sinusoid { amplitude: [2.0, 2.0], phase: [0.5, 0.5], ..Sinusoid::default() };
        let tasks = family.episodes(6, 4, 3, "test", 0..3, Kind::Double).unwrap();
        let expected = (&tasks.query_x - 0.5).sin() * 2.0;
        assert!((expected - &tasks.query_y).abs().max().double_value(&[]) < 1e-12);
        assert!(tasks.support_x.abs().max().double_value(&[]) <= 5.0);
    }

    #[test]
    fn amplitudes_and_phases_fill_their_ranges() {
        let tasks = Sinusoid::default().episodes(50, 1, 0, "test", 0..400, Kind::Double).unwrap();
        let peaks: Vec<f64> = Vec::try_from(tasks.support_y.abs().amax([1, 2], false)).unwrap();
        let mean = peaks.iter().sum::<f64>() / 400.0;
        // The mean amplitude is 2.55, and 50 points come near the peak.
        assert!((mean - 2.55).abs() < 0.2, "{mean}");
        assert!(peaks.iter().all(|peak| *peak <= 5.0));
    }

    #[test]
    fn a_task_is_the_same_in_any_batch() {
        let family = Sinusoid::default();
        let batch = family.episodes(5, 5, 1, "train", 7..10, Kind::Float).unwrap();
        let alone = family.episodes(5, 5, 1, "train", 8..9, Kind::Float).unwrap();
        assert_eq!(batch.support_y.get(1), alone.support_y.get(0));
        assert_eq!(batch.query_x.get(1), alone.query_x.get(0));
        assert_ne!(batch.support_x.get(0), batch.support_x.get(1));
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for text in ["x = [5.0, -5.0]", "amplitude = [0.0, inf]", "phase = [nan, 1.0]"] {
            let family: Sinusoid = toml::from_str(text).unwrap();
            assert!(family.episodes(1, 1, 0, "x", 0..1, Kind::Float).is_err(), "{text}");
        }
        for (shots, queries) in [(0, 1), (1, 0), (usize::MAX, 1), (1 << 62, 1 << 62)] {
            assert!(Sinusoid::default().episodes(shots, queries, 0, "x", 0..3, Kind::Float).is_err());
        }
        assert!(toml::from_str::<Sinusoid>("amplitudes = [0.0, 1.0]").is_err());
    }
}
