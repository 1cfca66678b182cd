use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor, solve_linear};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, one_hot};
use crate::episode::{Episode, Support};
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::not_negative;
use crate::ridge::with_diagonal;
use crate::shape::{EpisodeShape, NetworkShape};

/// Deep subspace networks (Simon et al. 2020, CVPR): a class is the subspace through the mean of its embeddings that they span, and a
/// query's logits are `−‖(I − P_c)(q − μ_c)‖²`, with `P_c` the projection on the span of the centred embeddings (equations 3 and 4).
///
/// The subspace has all the directions that K examples span, K − 1 as in the paper; of a single example it is a point, and the method a
/// prototypical network. To the losses of queries `discriminative · Σ_{i ≠ j} tr(Pᵢ Pⱼ)` is added (equation 6), so that
/// subspaces of classes are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dsn {
    /// The factor of the discriminative term; 0.03 in the paper, 0 without it.
    pub discriminative: f64,
}

impl Default for Dsn {
    fn default() -> Self {
        Self { discriminative: 0.03 }
    }
}

/// What [`Dsn`] builds.
#[derive(Debug)]
struct Subspaces {
    classes: i64,
    discriminative: f64,
}

/// Each class' affine subspace.
struct Spanned {
    /// Mean embeddings `[T, C, D]`.
    means: Tensor,
    /// Centred embeddings of the class, rows of 0 for examples of others, `[T, C, N, D]`.
    centred: Tensor,
    /// `G⁻¹ X̃` with `G` the inner products of the centred embeddings, so that `P = X̃ᵀ G⁻¹ X̃`; `[T, C, N, D]`.
    dual: Tensor,
}

impl Method for Dsn {
    const NAME: &'static str = "dsn";
    const SUMMARY: &'static str = "classes are subspaces through the means of their embeddings";
    const ABOUT: &'static str = "\
        Simon et al. 2020, CVPR: logits are negative squared distances to the span of a class' centred \
        embeddings, of K − 1 directions; `discriminative` times the overlap of the subspaces is added to the \
        loss.";
}

impl LearnerSpec for Dsn {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        not_negative("discriminative", self.discriminative)?;
        backbone.trained(self.name())?;
        let classes = classes(self.name(), shape)?;
        Ok(Box::new(Embedding(Subspaces { classes, discriminative: self.discriminative })))
    }
}

impl Subspaces {
    /// How much subspaces have in common, times its weight.
    fn weighted(&self, fitted: &Spanned) -> Result<Option<(&'static str, Tensor)>> {
        if self.discriminative == 0.0 {
            return Ok(None);
        }
        let overlap = overlap(fitted)?;
        Ok(Some(("overlap", overlap.f_mul_scalar(self.discriminative)?)))
    }
}

impl Head for Subspaces {
    type Fitted = Spanned;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Spanned> {
        let members = one_hot(Dsn::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        span(embeddings, &members)
    }

    fn predict(
        &self,
        fitted: &Spanned,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        // [T, C, M, D]
        let from = queries.f_unsqueeze(1)?.f_sub(&fitted.means.f_unsqueeze(2)?)?;
        let within = from.f_matmul(&fitted.centred.f_transpose(2, 3)?)?.f_matmul(&fitted.dual)?;
        let outside = from.f_sub(&within)?.f_square()?;
        Ok(outside.f_sum_dim_intlist([-1_i64].as_slice(), false, from.kind())?.f_neg()?.f_transpose(1, 2)?)
    }

    fn penalty(
        &self,
        fitted: &Spanned,
        _embeddings: [&Tensor; 2],
        _episode: &Episode<'_>,
        _params: &Params,
    ) -> Result<Option<(&'static str, Tensor)>> {
        self.weighted(fitted)
    }
}

/// The subspaces of embeddings `[T, N, D]`, of which `members` `[T, N, C]` says the class.
fn span(embeddings: &Tensor, members: &Tensor) -> Result<Spanned> {
    /// Relative to the mean length, for examples that are alike.
    const JITTER: f64 = 1e-7;
    let kind = embeddings.kind();
    let means = centroids(embeddings, members)?;
    let of_class = members.f_transpose(1, 2)?.f_unsqueeze(-1)?;
    let centred = embeddings.f_unsqueeze(1)?.f_sub(&means.f_unsqueeze(2)?)?.f_mul(&of_class)?;
    let gram = centred.f_matmul(&centred.f_transpose(2, 3)?)?;
    // Centred embeddings sum to 0, so their inner products have no inverse. Adding c 11ᵀ gives one that is the same on all that
    // sums to 0, and examples of other classes, whose rows are 0, get a 1 of their own.
    let counts = of_class.f_sum_dim_intlist([2_i64].as_slice(), true, kind)?.f_clamp_min(1.0)?;
    let lengths = centred.f_square()?.f_sum_dim_intlist([2_i64, 3].as_slice(), true, kind)?;
    let size = lengths.f_div(&counts)?.f_add_scalar(f64::from(f32::MIN_POSITIVE))?;
    let ones = of_class.f_matmul(&of_class.f_transpose(2, 3)?)?.f_div(&counts)?;
    let others = of_class.f_neg()?.f_add_scalar(1.0)?.f_mul(&size)?.f_squeeze_dim(-1)?;
    let system = gram.f_add(&ones.f_mul(&size)?)?.f_add(&others.f_diag_embed(0, -2, -1)?)?;
    let system = with_diagonal(&system, &size.f_mul_scalar(JITTER)?)?;
    let dual = solve_linear(&system, &centred)?;
    Ok(Spanned { means, centred, dual })
}

/// `Σ_{i ≠ j} tr(Pᵢ Pⱼ)`, `[T]`: with `P = X̃ᵀ Z` a trace is the sum of `(X̃ᵢ Zⱼᵀ) ∘ (Zᵢ X̃ⱼᵀ)`.
fn overlap(fitted: &Spanned) -> Result<Tensor> {
    let (tasks, classes, count, width) = fitted.centred.size4()?;
    let rows = |x: &Tensor| x.f_reshape([tasks, classes * count, width]);
    let (centred, dual) = (rows(&fitted.centred)?, rows(&fitted.dual)?);
    let products = centred.f_matmul(&dual.f_transpose(1, 2)?)?;
    let all = products.f_mul(&products.f_transpose(1, 2)?)?;
    let all = all.f_sum_dim_intlist([1_i64, 2].as_slice(), false, centred.kind())?;
    // The traces tr(Pᵢ Pᵢ), of a class with itself.
    let own = fitted.centred.f_matmul(&fitted.dual.f_transpose(2, 3)?)?;
    let own = own.f_mul(&own.f_transpose(2, 3)?)?;
    Ok(all.f_sub(&own.f_sum_dim_intlist([1_i64, 2, 3].as_slice(), false, centred.kind())?)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    /// Two classes of `shots` examples each, one after the other, of 6 numbers.
    fn spanned(shots: i64) -> (Tensor, Spanned) {
        let x = Key::new(1, "x").normal(&[1, 2 * shots, 6], Kind::Double, Device::Cpu).unwrap();
        let labels = Tensor::arange(2 * shots, (Kind::Int64, Device::Cpu)).divide_scalar_mode(shots, "floor");
        let members = labels.to_kind(Kind::Int64).one_hot(2).to_kind(Kind::Double).unsqueeze(0);
        let spanned = span(&x, &members).unwrap();
        (x, spanned)
    }

    /// The projection on the span of a class, by a singular value decomposition.
    fn projection(x: &Tensor, class: i64, shots: i64) -> Tensor {
        let own = x.select(0, 0).narrow(0, class * shots, shots);
        let centred = &own - own.mean_dim([0].as_slice(), true, Kind::Double);
        let (u, _, _) = centred.transpose(0, 1).svd(true, true);
        let basis = u.narrow(1, 0, shots - 1);
        basis.matmul(&basis.transpose(0, 1))
    }

    #[test]
    fn logits_are_squared_distances_to_the_span_that_a_singular_value_decomposition_gives() {
        let shots = 3;
        let (x, fitted) = spanned(shots);
        let head = Subspaces { classes: 2, discriminative: 0.03 };
        let query = Key::new(2, "q").normal(&[1, 4, 6], Kind::Double, Device::Cpu).unwrap();
        let from = query.unsqueeze(1) - fitted.means.unsqueeze(2);
        let within = from.matmul(&fitted.centred.transpose(2, 3)).matmul(&fitted.dual);
        for class in 0..2 {
            let projection = projection(&x, class, shots);
            let own = from.select(0, 0).select(0, class);
            let gap = within.select(0, 0).select(0, class) - own.matmul(&projection);
            assert!(gap.abs().max().double_value(&[]) < 1e-6);
        }
        let trace = projection(&x, 0, shots).matmul(&projection(&x, 1, shots)).trace().double_value(&[]);
        let penalty = head.weighted(&fitted).unwrap().unwrap().1.double_value(&[0]);
        assert!((penalty - 0.03 * 2.0 * trace).abs() < 1e-6, "{penalty} {trace}");
    }

    #[test]
    fn the_subspace_of_a_single_example_is_a_point() {
        let (x, fitted) = spanned(1);
        assert_eq!(fitted.means, x);
        assert_eq!(fitted.dual.abs().max().double_value(&[]), 0.0);
        assert_eq!(overlap(&fitted).unwrap().double_value(&[0]), 0.0);
    }
}
