use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::spectrum::Spectrum;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Independent component alignment (Senushkin et al. 2023): the mean of the gradients after their principal components were
/// brought to one length, `α = B 1/K` with `B = √λᵣ V Λ^(−1/2) Vᵀ` and `G = V Λ Vᵀ`, so that `B G B = λᵣ I`.
///
/// Components that are nothing but rounding, `λ ≤ K ε λ_max`, are left out. The authors' code takes the sum, which is K times
/// as long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignedMtl {
    /// Of which gradients.
    pub level: Level,
    /// The λᵣ that all get.
    pub scale: Scale,
}

/// Which of the eigenvalues that are kept all get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The smallest: no component grows.
    #[default]
    Min,
    /// The one in the middle, the lower of two.
    Median,
    /// Their mean: the root mean square of the components' lengths.
    Rmse,
}

#[derive(Debug)]
struct Alignment(Scale);

impl Method for AlignedMtl {
    const NAME: &'static str = "aligned_mtl";
    const SUMMARY: &'static str = "the mean of gradients whose principal components have one length";
    const ABOUT: &'static str = "\
        Senushkin et al. 2023, arXiv:2305.19000: the singular values of the gradients all become the \
        smallest, the median or the root mean square of them (`scale`: min, median, rmse).";
}

impl AggregatorSettings for AlignedMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(Alignment(self.scale), self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous]
    }
}

/// α; `None` where the eigenvalues are not found, which no finite matrix is known to do.
fn weights(gramian: &Gramian, scale: Scale) -> Option<Vec<f64>> {
    let count = gramian.size();
    let mut weights = vec![1.0 / count as f64; count];
    let spectrum = Spectrum::new(gramian)?;
    let largest = spectrum.values().iter().copied().fold(0.0, f64::max);
    let rounding = largest * count as f64 * f64::EPSILON;
    let mut kept: Vec<f64> = spectrum.values().iter().copied().filter(|value| *value > rounding).collect();
    kept.sort_by(f64::total_cmp);
    let chosen = match scale {
        Scale::Min => kept.first().copied(),
        Scale::Median => kept.get(kept.len().saturating_sub(1) / 2).copied(),
        Scale::Rmse => Some(kept.iter().sum::<f64>() / kept.len() as f64),
    };
    // Without any component there is nothing to align.
    if let (Some(chosen), false) = (chosen, kept.is_empty()) {
        spectrum.apply(&mut weights, |value| if value > rounding { (chosen / value).sqrt() } else { 0.0 });
    }
    Some(weights)
}

impl GramianWeighting for Alignment {
    fn name(&self) -> &'static str {
        AlignedMtl::NAME
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        weights(gramian, self.0)
            .ok_or_else(|| step.diverged("the eigenvalues of the gradients' Gramian were not found"))
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;
    use crate::Jacobian;

    fn gramian(count: i64, width: i64) -> Gramian {
        let rows = Key::new(4, "rows").normal(&[count, width], Kind::Double, Device::Cpu).unwrap();
        Jacobian::new(&rows).unwrap().gramian().unwrap()
    }

    /// The columns of `V f(Λ) Vᵀ`.
    fn columns(spectrum: &Spectrum, size: usize, f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
        let column = |j: usize| {
            let mut x = vec![0.0; size];
            x[j] = 1.0;
            spectrum.apply(&mut x, &f);
            x
        };
        (0..size).map(column).collect()
    }

    #[test]
    fn the_aligned_gradients_have_one_length_and_are_orthogonal() {
        for size in [1, 2, 3, 7, 20] {
            let gramian = gramian(size as i64, 40);
            let spectrum = Spectrum::new(&gramian).unwrap();
            let b = columns(&spectrum, size, |value| (2.5 / value).sqrt());
            for (i, column) in b.iter().enumerate() {
                let product = gramian.apply(column);
                for (j, other) in b.iter().enumerate() {
                    let element: f64 = other.iter().zip(&product).map(|(x, y)| x * y).sum();
                    let expected = if i == j { 2.5 } else { 0.0 };
                    assert!((element - expected).abs() < 1e-12, "{size}: {i} {j} {element}");
                }
            }
        }
    }

    #[test]
    fn the_spectrum_makes_the_matrix_again() {
        // Five rows of three numbers have two eigenvalues of zero; a matrix of zeros and a diagonal one need no rotation.
        let diagonal = Gramian::new(3, vec![4.0, 0.0, 0.0, 0.0, 1e-8, 0.0, 0.0, 0.0, 9.0]).unwrap();
        let zeros = Gramian::new(3, vec![0.0; 9]).unwrap();
        for gramian in [gramian(20, 30), gramian(5, 3), gramian(9, 9), diagonal, zeros] {
            let spectrum = Spectrum::new(&gramian).unwrap();
            let largest = spectrum.values().iter().copied().fold(0.0, f64::max);
            for (i, column) in columns(&spectrum, gramian.size(), |value| value).iter().enumerate() {
                let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-14 * largest;
                assert!(column.iter().zip(gramian.row(i)).all(near), "{column:?}");
            }
        }
        assert!(Spectrum::new(&Gramian::new(0, Vec::new()).unwrap()).unwrap().values().is_empty());
    }

    #[test]
    fn dependent_gradients_are_aligned_in_the_space_that_they_have() {
        // g, g and an orthogonal h: eigenvalues 2 ‖g‖² and ‖h‖².
        let gramian = Gramian::new(3, vec![4.0, 4.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 2.0]).unwrap();
        for (scale, chosen) in [(Scale::Min, 2.0), (Scale::Median, 2.0), (Scale::Rmse, 5.0_f64)] {
            let found = weights(&gramian, scale).unwrap();
            let expected = [(chosen / 8.0).sqrt(), (chosen / 8.0).sqrt(), (chosen / 2.0).sqrt()];
            assert!(found.iter().zip(expected).all(|(a, b)| (a * 3.0 - b).abs() < 1e-14), "{found:?}");
        }
        assert_eq!(weights(&Gramian::new(2, vec![0.0; 4]).unwrap(), Scale::Min).unwrap(), [0.5, 0.5]);
    }
}
