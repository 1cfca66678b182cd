//! Multinomial logistic regressions with a squared penalty, of many tasks at once.

use manytask_multitask::Result;
use manytask_tensor::{Kind, Tensor};

use crate::ridge::with_ones;

/// Where all gradients are below this, a regression is solved.
const SMALL: f64 = 1e-7;
/// Most steps of Newton's method, of conjugate gradients within one, and of halvings of its length.
const MOST: [usize; 3] = [100, 60, 40];

/// Features `[T, N, D]` in coordinates of their own, which are no more than examples: `Z = X B` with `Z Zᵀ = X Xᵀ`.
///
/// An optimum with a squared penalty is within the span of the examples, so a regression on Z is the one on X with the weights `B V`.
pub(crate) struct Span {
    /// Z, `[T, N, R]` with R = min(N, D).
    pub(crate) rows: Tensor,
    /// B, `[T, D, R]`; `None` where Z is X.
    basis: Option<Tensor>,
    /// The eigenvalues of `X Xᵀ` or `Xᵀ X`, `[T, R]`.
    pub(crate) eigenvalues: Tensor,
}

impl Span {
    /// Of features `[T, N, D]`.
    ///
    /// # Errors
    /// When memory runs out, or an eigenvalue cannot be computed.
    pub(crate) fn of(x: &Tensor) -> Result<Self> {
        /// Smaller eigenvalues than so many times the largest are none.
        const NONE: f64 = 1e-12;
        let (_, count, width) = x.size3()?;
        let transposed = x.f_transpose(1, 2)?;
        let short = count < width;
        let gram = if short { x.f_matmul(&transposed)? } else { transposed.f_matmul(x)? };
        let (eigenvalues, vectors) = gram.f_linalg_eigh("L")?;
        let eigenvalues = eigenvalues.f_clamp_min(0.0)?;
        if !short {
            return Ok(Self { rows: x.shallow_clone(), basis: None, eigenvalues });
        }
        let least = eigenvalues.f_amax([-1_i64].as_slice(), true)?.f_mul_scalar(NONE)?;
        let there = eigenvalues.f_gt_tensor(&least)?;
        let inverse = eigenvalues.f_rsqrt()?.f_where_self(&there, &eigenvalues.f_zeros_like()?)?;
        let scaled = |by: &Tensor| vectors.f_mul(&by.f_unsqueeze(1)?);
        let rows = scaled(&eigenvalues.f_sqrt()?.f_mul(&there)?)?;
        Ok(Self { rows, basis: Some(transposed.f_matmul(&scaled(&inverse)?)?), eigenvalues })
    }

    /// Weights `[T, R, C]` as weights `[T, D, C]` of the features.
    pub(crate) fn weights(&self, weights: &Tensor) -> Result<Tensor> {
        Ok(match &self.basis {
            Some(basis) => basis.f_matmul(weights)?,
            None => weights.shallow_clone(),
        })
    }
}

/// Regressions of labels `[T, N, C]` of 0 and 1 on features `[T, N, D]`; rows of 0 do not count.
pub(crate) struct Logistic {
    /// With a column of ones behind, rows of 0 where there is no label.
    x: Tensor,
    y: Tensor,
    there: Tensor,
    /// `[D + 1, 1]`: 1 for each weight and 0 for the offset.
    penalty: Tensor,
}

/// A regression of each task.
pub(crate) struct Solution {
    /// Weights with the offsets behind, `[T, D + 1, C]`.
    pub(crate) weights: Tensor,
    /// What was minimised, `[T]`.
    pub(crate) objective: Tensor,
}

impl Logistic {
    /// Of features and labels in double precision.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub(crate) fn new(features: &Tensor, y: &Tensor) -> Result<Self> {
        let (_, _, width) = features.size3()?;
        let there = y.f_sum_dim_intlist([-1_i64].as_slice(), true, y.kind())?;
        let on = (y.kind(), y.device());
        let penalty = Tensor::f_cat(&[Tensor::f_ones([width, 1], on)?, Tensor::f_zeros([1, 1], on)?], 0)?;
        Ok(Self { x: with_ones(features)?.f_mul(&there)?, y: y.shallow_clone(), there, penalty })
    }

    /// The minimum of `c · Σ −ln softmax(W x + b)_y + ½ ‖W‖²`, where b is not penalised: scikit-learn's `LogisticRegression` with
    /// its `C`. Newton's method by conjugate gradients, with the Hessian bound of Böhning (1992), `½ X̃ᵀX̃` for each class, before them.
    ///
    /// # Errors
    /// When memory runs out.
    pub(crate) fn solve(&self, c: f64, start: Option<&Tensor>) -> Result<Solution> {
        let (tasks, _, width) = self.x.size3()?;
        let classes = self.y.size3()?.2;
        let transposed = self.x.f_transpose(1, 2)?;
        let bound = transposed.f_matmul(&self.x)?.f_mul_scalar(0.5 * c)?;
        // The offset has no penalty; a task without labels has no curvature in it either.
        let diagonal = self.penalty.f_clamp_min(1e-9)?.f_squeeze_dim(-1)?.f_diag_embed(0, -2, -1)?;
        let before = Tensor::f_linalg_inv(&bound.f_add(&diagonal)?)?;
        let mut weights = match start {
            Some(start) => start.shallow_clone(),
            None => Tensor::f_zeros([tasks, width, classes], (self.x.kind(), self.x.device()))?,
        };
        let mut objective = self.objective(&weights, c)?;
        for _ in 0..MOST[0] {
            let p = self.x.f_matmul(&weights)?.f_softmax(-1, None::<Kind>)?;
            let gap = p.f_sub(&self.y)?.f_mul(&self.there)?;
            let gradient =
                transposed.f_matmul(&gap)?.f_mul_scalar(c)?.f_add(&weights.f_mul(&self.penalty)?)?;
            if gradient.f_abs()?.f_max()?.f_double_value(&[])? < SMALL {
                break;
            }
            let step = self.newton(&gradient, &p, &before, c)?;
            (weights, objective) = self.shortened((&weights, &objective), (&step, &gradient), c)?;
        }
        Ok(Solution { weights, objective })
    }

    /// `[T]`.
    fn objective(&self, weights: &Tensor, c: f64) -> Result<Tensor> {
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64, 2].as_slice(), false, x.kind());
        let likelihood = sum(&self.x.f_matmul(weights)?.f_log_softmax(-1, None::<Kind>)?.f_mul(&self.y)?)?;
        let penalty = sum(&weights.f_square()?.f_mul(&self.penalty)?)?;
        Ok(penalty.f_mul_scalar(0.5)?.f_sub(&likelihood.f_mul_scalar(c)?)?)
    }

    /// `ln det(I + c Λ ⊗ XᵀX)` of each task, with the eigenvalues of `XᵀX` `[T, R]`.
    fn log_volume(&self, weights: &Tensor, eigenvalues: &Tensor, c: f64) -> Result<Tensor> {
        let p = self.x.f_matmul(weights)?.f_softmax(-1, None::<Kind>)?.f_mul(&self.there)?;
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind());
        let count = sum(&self.there)?.f_clamp_min(1.0)?.f_unsqueeze(-1)?;
        let curvature = sum(&p)?.f_diag_embed(0, -2, -1)?.f_sub(&p.f_transpose(1, 2)?.f_matmul(&p)?)?;
        let (of_classes, _) = curvature.f_div(&count)?.f_linalg_eigh("L")?;
        let products = of_classes.f_clamp_min(0.0)?.f_unsqueeze(-1)?.f_mul(&eigenvalues.f_unsqueeze(1)?)?;
        let volume = products.f_mul_scalar(c)?.f_log1p()?;
        Ok(volume.f_sum_dim_intlist([1_i64, 2].as_slice(), false, volume.kind())?)
    }

    /// The Hessian at probabilities p times a direction.
    fn curvature(&self, p: &Tensor, direction: &Tensor, c: f64) -> Result<Tensor> {
        let moved = self.x.f_matmul(direction)?;
        let mean = p.f_mul(&moved)?.f_sum_dim_intlist([-1_i64].as_slice(), true, p.kind())?;
        let through = p.f_mul(&moved.f_sub(&mean)?)?.f_mul(&self.there)?;
        let of_data = self.x.f_transpose(1, 2)?.f_matmul(&through)?.f_mul_scalar(c)?;
        Ok(of_data.f_add(&direction.f_mul(&self.penalty)?)?)
    }

    /// `−H⁻¹ g`, each task's until its residual is small to its gradient.
    fn newton(&self, gradient: &Tensor, p: &Tensor, before: &Tensor, c: f64) -> Result<Tensor> {
        const ENOUGH: f64 = 1e-4;
        let dot =
            |a: &Tensor, b: &Tensor| a.f_mul(b)?.f_sum_dim_intlist([1_i64, 2].as_slice(), true, a.kind());
        // A task that is solved has no residual, and stays as it is.
        let ratio = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
            let any = b.f_gt(0.0)?;
            Ok(a.f_div(&b.f_where_self(&any, &b.f_ones_like()?)?)?.f_mul(&any)?)
        };
        let mut residual = gradient.f_neg()?;
        let goal = dot(&residual, &residual)?.f_mul_scalar(ENOUGH * ENOUGH)?;
        let mut solution = residual.f_zeros_like()?;
        let mut scaled = before.f_matmul(&residual)?;
        let mut direction = scaled.shallow_clone();
        let mut product = dot(&residual, &scaled)?;
        for _ in 0..MOST[1] {
            let curved = self.curvature(p, &direction, c)?;
            let length = ratio(&product, &dot(&direction, &curved)?)?;
            solution = solution.f_add(&direction.f_mul(&length)?)?;
            residual = residual.f_sub(&curved.f_mul(&length)?)?;
            if !dot(&residual, &residual)?.f_gt_tensor(&goal)?.f_any()?.f_int64_value(&[])?.eq(&1) {
                break;
            }
            scaled = before.f_matmul(&residual)?;
            let next = dot(&residual, &scaled)?;
            direction = scaled.f_add(&direction.f_mul(&ratio(&next, &product)?)?)?;
            product = next;
        }
        Ok(solution)
    }

    /// Weights moved by a step, each task's halved until it is down by a part of what its slope says.
    fn shortened(
        &self,
        (weights, objective): (&Tensor, &Tensor),
        (step, gradient): (&Tensor, &Tensor),
        c: f64,
    ) -> Result<(Tensor, Tensor)> {
        /// The part.
        const PART: f64 = 1e-4;
        /// What rounding may change of an objective.
        const ROUNDING: f64 = 1e-13;
        let slope = step.f_mul(gradient)?.f_sum_dim_intlist([1_i64, 2].as_slice(), false, step.kind())?;
        let allowed = objective.f_abs()?.f_add_scalar(1.0)?.f_mul_scalar(ROUNDING)?;
        let mut length = objective.f_ones_like()?;
        for _ in 0..MOST[2] {
            let moved = weights.f_add(&step.f_mul(&length.f_reshape([-1, 1, 1])?)?)?;
            let found = self.objective(&moved, c)?;
            let wanted = objective.f_add(&slope.f_mul(&length)?.f_mul_scalar(PART)?)?.f_add(&allowed)?;
            let good = found.f_le_tensor(&wanted)?;
            if good.f_all()?.f_int64_value(&[])? == 1 {
                return Ok((moved, found));
            }
            length = length.f_where_self(&good, &length.f_mul_scalar(0.5)?)?;
        }
        Ok((weights.shallow_clone(), objective.shallow_clone()))
    }
}

/// A regression of each task whose C makes the labels most probable, out of [`REGULARISATIONS`]: `[T, D + 1, C]`.
///
/// With the prior `w ~ N(0, C)` the logarithm of the labels' probability, `ln ∫ p(y | w) p(w) dw`, is by Laplace's approximation
/// `−objective / C − ½ ln det(I + C H)` with H the curvature of the likelihood at the optimum (`MacKay` 1992). H is taken for `Λ ⊗ XᵀX` with
/// the mean Λ of `diag(p) − p pᵀ` over the examples (as Ritter et al. 2018), so the determinant is that of the products of
/// their eigenvalues. No example is held out, so one of each class is enough.
pub(crate) fn most_probable(span: &Span, y: &Tensor) -> Result<Tensor> {
    let regressions = Logistic::new(&span.rows, y)?;
    let mut best: Option<(Tensor, Tensor)> = None;
    let mut start: Option<Tensor> = None;
    for c in REGULARISATIONS.map(f64::exp2) {
        let Solution { weights, objective } = regressions.solve(c, start.as_ref())?;
        let volume = regressions.log_volume(&weights, &span.eigenvalues, c)?;
        let evidence = objective.f_div_scalar(-c)?.f_sub(&volume.f_mul_scalar(0.5)?)?;
        best = Some(match best.take() {
            None => (evidence, weights.shallow_clone()),
            Some((most, kept)) => {
                let better = evidence.f_gt_tensor(&most)?;
                let rows = better.f_reshape([-1, 1, 1])?;
                (evidence.f_where_self(&better, &most)?, weights.f_where_self(&rows, &kept)?)
            }
        });
        start = Some(weights);
    }
    match best {
        Some((_, weights)) => Ok(weights),
        None => Ok(regressions.solve(1.0, None)?.weights),
    }
}

/// The logarithms, of base 2, of what C is chosen from.
pub(crate) const REGULARISATIONS: [f64; 12] =
    [-4.0, -2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0];

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;
    use crate::embedding::normalised;

    fn labels() -> Tensor {
        let y = Tensor::from_slice(&[0_i64, 0, 0, 1, 1, 1, 2, 2, 2]).one_hot(3).to_kind(Kind::Double);
        y.unsqueeze(0).repeat([2, 1, 1])
    }

    fn features(width: i64) -> Tensor {
        normalised(&Key::new(2, "x").normal(&[2, 9, width], Kind::Double, Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn the_regression_is_the_one_that_no_small_change_makes_better() {
        let (x, y) = (features(4), labels());
        let x = with_ones(&x).unwrap();
        for c in [1.0, 20.0, 3000.0] {
            let loss = |weight: &Tensor| {
                let likelihood = (x.matmul(weight).log_softmax(-1, Kind::Double) * &y).sum(Kind::Double);
                let penalty = weight.narrow(1, 0, 4).square().sum(Kind::Double) * 0.5;
                (penalty - likelihood * c).double_value(&[])
            };
            let found = Logistic::new(&features(4), &y).unwrap().solve(c, None).unwrap();
            let best = loss(&found.weights);
            assert!((found.objective.sum(Kind::Double).double_value(&[]) - best).abs() < 1e-9 * best.abs());
            for number in 0..4 {
                let change = Key::new(number, "d").normal(&[2, 5, 3], Kind::Double, Device::Cpu).unwrap();
                let weight = &found.weights;
                assert!(loss(&(weight + &change * 1e-2)) > best && loss(&(weight - change * 1e-2)) > best);
            }
            assert!(best < loss(&found.weights.zeros_like()) - 0.1);
        }
    }

    #[test]
    fn a_regression_in_the_span_of_the_examples_is_the_one_on_all_features() {
        let (x, y) = (features(30), labels());
        let span = Span::of(&x).unwrap();
        assert_eq!(span.rows.size(), [2, 9, 9]);
        let within = Logistic::new(&span.rows, &y).unwrap().solve(5.0, None).unwrap().weights;
        let whole = Logistic::new(&x, &y).unwrap().solve(5.0, None).unwrap().weights;
        let expected = whole.narrow(1, 0, 30);
        let gap = (span.weights(&within.narrow(1, 0, 9)).unwrap() - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-6, "{gap}");
    }

    #[test]
    fn an_example_without_a_label_does_not_count() {
        let (x, y) = (features(4), labels());
        let without = y.copy();
        let _ = without.select(1, 8).fill_(0.0);
        let fewer = Logistic::new(&x.narrow(1, 0, 8), &y.narrow(1, 0, 8)).unwrap().solve(3.0, None).unwrap();
        let found = Logistic::new(&x, &without).unwrap().solve(3.0, None).unwrap();
        assert!((found.weights - fewer.weights).abs().max().double_value(&[]) < 1e-7);
    }

    #[test]
    fn the_volume_is_the_determinant_where_all_probabilities_are_alike() {
        let (x, y) = (features(4), labels());
        let regressions = Logistic::new(&x, &y).unwrap();
        // Offsets alone.
        let offsets = Tensor::from_slice(&[0.3, -0.5, 1.0]);
        let weights = Tensor::zeros([2, 5, 3], (Kind::Double, Device::Cpu));
        weights.select(1, 4).copy_(&offsets);
        let span = Span::of(&x).unwrap();
        let found = regressions.log_volume(&weights, &span.eigenvalues, 7.0).unwrap();
        let p = offsets.softmax(0, Kind::Double);
        let curvature = p.diag(0) - p.outer(&p);
        for task in 0..2 {
            let gram = x.get(task).tr().matmul(&x.get(task));
            let whole = Tensor::eye(12, (Kind::Double, Device::Cpu)) + curvature.kron(&gram) * 7.0;
            let gap = whole.logdet().double_value(&[]) - found.double_value(&[task]);
            assert!(gap.abs() < 1e-9, "{gap}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_penalised_more() {
        let y = labels();
        let noise = most_probable(&Span::of(&features(40)).unwrap(), &y).unwrap();
        // Features that are the labels, and noise of the same length.
        let clear = Tensor::cat(&[&y, &(features(40).narrow(2, 0, 37) * 0.1)], -1);
        let clear = most_probable(&Span::of(&clear).unwrap(), &y).unwrap();
        let size = |w: &Tensor| w.square().sum(Kind::Double).double_value(&[]);
        assert!(size(&clear) > 2.0 * size(&noise), "{} {}", size(&clear), size(&noise));
    }
}
