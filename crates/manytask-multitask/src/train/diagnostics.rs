//! How the gradients of the tasks stand to each other and to a step.

use manytask_tensor::{Kind, Params, Tensor};

use super::frozen::Passes;
use crate::aggregators::condition_number;
use crate::{Combination, Draw, Gramian, Level, Pass, Problem, Result, Shared};

/// How the gradients of the tasks by the shared parameters stand to each other, and to the direction `d` that the step took
/// against them, before clipping and the optimizer.
///
/// A cosine with a gradient of zero is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostics {
    /// `‖gᵢ‖` of each present task.
    pub norms: Vec<f64>,
    /// `cos(gᵢ, gⱼ)` for each pair `(i, j)` of present tasks, by their places among them, `i < j`.
    pub cosines: Vec<(usize, usize, f64)>,
    /// The share of pairs that conflict: whose cosine is below 0. 0 with a single task.
    pub conflict_rate: f64,
    /// The largest singular value of the matrix of gradients through the smallest; infinite where gradients are dependent.
    pub condition_number: f64,
    /// `cos(gᵢ, d)` of each present task: above 0 where a small enough step lowers its loss, below 0 where it raises it.
    pub descent: Vec<f64>,
}

impl Diagnostics {
    /// Of a step with this draw at `params`: `gradient` is what the combination became. It makes a pass of its own, so that a
    /// step that is looked at is the same to the bit as one that is not; its cost is that of a forward pass and a Gramian, and
    /// where the combination is a direction that of all tasks' gradients.
    ///
    /// # Errors
    /// As passes.
    pub(super) fn of(
        passes: Passes<'_>,
        params: &Params,
        draw: Draw,
        combination: &Combination,
        gradient: &Params,
    ) -> Result<Self> {
        let mut pass = passes.forward(params, draw)?;
        let gramian = pass.gramian(&Level::Parameters)?;
        let (products, length) = match &combination.shared {
            Shared::Weights(weights) => (gramian.apply(weights), gramian.quadratic(weights).max(0.0).sqrt()),
            Shared::Direction { .. } => with_direction(passes.problem, pass.as_mut(), gradient)?,
        };
        Ok(Self::of_gramian(&gramian, &products, length))
    }

    /// Of inner products: of the gradients, and of each with a direction of this length.
    fn of_gramian(gramian: &Gramian, products: &[f64], length: f64) -> Self {
        let norms: Vec<f64> =
            gramian.squared_norms().into_iter().map(|square| square.max(0.0).sqrt()).collect();
        let cosine = |product: f64, lengths: f64| {
            if lengths > 0.0 { (product / lengths).clamp(-1.0, 1.0) } else { 0.0 }
        };
        let mut cosines = Vec::new();
        for (i, a) in norms.iter().enumerate() {
            for (j, b) in norms.iter().enumerate().skip(i + 1) {
                cosines.push((i, j, cosine(gramian.at(i, j), a * b)));
            }
        }
        let conflicts = cosines.iter().filter(|(.., cosine)| *cosine < 0.0).count();
        Self {
            conflict_rate: conflicts as f64 / cosines.len().max(1) as f64,
            condition_number: condition_number(gramian),
            descent: products
                .iter()
                .zip(&norms)
                .map(|(product, norm)| cosine(*product, norm * length))
                .collect(),
            norms,
            cosines,
        }
    }

    /// Whether a small enough step lowers the loss of every task whose gradient is not zero.
    pub fn descends_for_all(&self) -> bool {
        self.descent.iter().zip(&self.norms).all(|(cosine, norm)| *cosine > 0.0 || *norm == 0.0)
    }
}

/// The inner products of each gradient with the shared part of the step's, and the length of that.
fn with_direction(problem: &dyn Problem, pass: &mut dyn Pass, gradient: &Params) -> Result<(Vec<f64>, f64)> {
    let shared = problem.shared().iter().map(|slot| Ok(gradient.get(*slot)?.f_reshape([-1])?));
    let direction = Tensor::f_cat(&shared.collect::<Result<Vec<_>>>()?, 0)?.f_detach()?;
    let products = pass.jacobian(&Level::Parameters)?.rows().f_mv(&direction)?;
    let length = direction.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])?;
    Ok((Vec::<f64>::try_from(products.f_to_kind(Kind::Double)?)?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_two_vectors() {
        // (3, 0) and (-4, 3): products 9, -12, 25; with d = (1, 2) 3 and 2.
        let gramian = Gramian::new(2, vec![9.0, -12.0, -12.0, 25.0]).unwrap();
        let found = Diagnostics::of_gramian(&gramian, &[3.0, 2.0], 5.0_f64.sqrt());
        assert_eq!((found.norms.as_slice(), found.conflict_rate), (&[3.0, 5.0][..], 1.0));
        assert!((found.cosines[0].2 + 0.8).abs() < 1e-12);
        let expected = [3.0 / (3.0 * 5.0_f64.sqrt()), 2.0 / (5.0 * 5.0_f64.sqrt())];
        assert!(found.descent.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12));
        assert!(found.descends_for_all());
        // Eigenvalues 17 ± √(64 + 144).
        let root = 208.0_f64.sqrt();
        let condition = ((17.0 + root) / (17.0 - root)).sqrt();
        assert!((found.condition_number - condition).abs() < 1e-9 * condition);
        let up = Diagnostics::of_gramian(&gramian, &[3.0, -2.0], 5.0_f64.sqrt());
        assert!(!up.descends_for_all());
    }

    #[test]
    fn a_gradient_of_zero_and_a_single_task_have_numbers() {
        let still =
            Diagnostics::of_gramian(&Gramian::new(2, vec![4.0, 0.0, 0.0, 0.0]).unwrap(), &[4.0, 0.0], 2.0);
        assert_eq!((still.cosines[0].2, still.conflict_rate, still.descent[1]), (0.0, 0.0, 0.0));
        assert!(still.descends_for_all() && still.condition_number.is_infinite());
        let one = Diagnostics::of_gramian(&Gramian::new(1, vec![4.0]).unwrap(), &[4.0], 2.0);
        assert_eq!((one.conflict_rate, one.condition_number, one.descent[0]), (0.0, 1.0, 1.0));
    }
}
