use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, solve_linear};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, one_hot};
use crate::episode::Support;
use crate::feature_map::Positions;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::Scaled;
use crate::ridge::{number, with_diagonal};
use crate::shape::{EpisodeShape, NetworkShape};

/// Feature map reconstruction networks (Wertheimer et al. 2021, arXiv:2012.01506): a query is of the class from whose features its own
/// are best reconstructed by ridge regression.
///
/// An embedding is `r` positions of `channels` numbers. With the positions S `[K r, d]` of a class' examples and Q `[r, d]` of a query
/// it is `Q̄ = ρ Q Sᵀ(SSᵀ + λI)⁻¹ S` (equations 4 and 8) with `λ = K r/d · e^α` and `ρ = e^β` (equations 6 and 7), and
/// logits are `−γ/r ‖Q − Q̄‖²` (equation 9); α and β, 0 to begin with, and γ are learned. Where a class has more positions than
/// channels the system is `SᵀS + λI`, which gives the same by Woodbury's identity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frn {
    /// The numbers at each position: the channels of a feature map `[C, H, W]`. Left out, an embedding is a single position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<i64>,
    /// γ to begin with.
    pub scale: f64,
}

impl Default for Frn {
    fn default() -> Self {
        Self { channels: None, scale: 1.0 }
    }
}

/// What [`Frn`] builds.
#[derive(Debug)]
struct Reconstruction {
    classes: i64,
    positions: Positions,
    log_lambda: Slot,
    log_rho: Slot,
    scale: Scaled,
}

/// The linear maps of positions to their reconstructions, for each class: one after the other, `[T, C, d, …]` and `[T, C, …, d]`.
struct Maps {
    first: Tensor,
    second: Option<Tensor>,
}

impl Method for Frn {
    const NAME: &'static str = "frn";
    const SUMMARY: &'static str = "the class from whose features a query's are best reconstructed";
    const ABOUT: &'static str = "\
        Wertheimer et al. 2021, arXiv:2012.01506: ridge regression of a query's positions on those of a \
        class, λ, ρ and the scale of the logits learned. `channels` are those of the network's last feature \
        map; left out, an embedding is one position.";
}

impl LearnerSpec for Frn {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        let classes = classes(self.name(), shape)?;
        let features = backbone.feature_count()?;
        let positions = Positions::new(self.channels, features)?;
        let mut zero = |name: &str| b.parameter(name, &[1], Init::Zeros, Role::Scale);
        let (log_lambda, log_rho) = (zero("log_lambda")?, zero("log_rho")?);
        let scale = Scaled::new(b, self.scale)?;
        Ok(Box::new(Embedding(Reconstruction { classes, positions, log_lambda, log_rho, scale })))
    }
}

impl Head for Reconstruction {
    type Fitted = Maps;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Maps> {
        let members = one_hot(Frn::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let shots = members.f_sum_dim_intlist([1_i64].as_slice(), false, members.kind())?.f_clamp_min(1.0)?;
        let share = self.positions.count as f64 / self.positions.channels as f64;
        let lambda = number(params, self.log_lambda)?.f_exp()?.f_squeeze_dim(-1)?;
        let lambda = shots.f_mul_scalar(share)?.f_mul(&lambda)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        // The positions of a class' examples, rows of 0 for those of others, [T, C, N r, d].
        let positions = self.positions.of(embeddings)?.f_unsqueeze(1)?;
        let of_class = members.f_transpose(1, 2)?.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        let rows = positions.f_mul(&of_class)?.f_flatten(2, 3)?;
        let mut maps = maps(&rows, &lambda)?;
        let rho = number(params, self.log_rho)?.f_exp()?.f_unsqueeze(-1)?;
        maps.first = maps.first.f_mul(&rho)?;
        Ok(maps)
    }

    fn predict(
        &self,
        maps: &Maps,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let (tasks, count, _) = queries.size3()?;
        let Positions { channels, count: each } = self.positions;
        let rows = self.positions.of(queries)?.f_reshape([tasks, 1, count * each, channels])?;
        let gap = rows.f_sub(&maps.of(&rows)?)?.f_square()?;
        let gap = gap.f_reshape([tasks, self.classes, count, each * channels])?;
        let gap = gap.f_sum_dim_intlist([-1_i64].as_slice(), false, rows.kind())?;
        let logits = gap.f_div_scalar(-(each as f64))?.f_transpose(1, 2)?;
        self.scale.apply(&logits, params)
    }
}

impl Maps {
    fn of(&self, rows: &Tensor) -> Result<Tensor> {
        let mapped = rows.f_matmul(&self.first)?;
        Ok(match &self.second {
            Some(second) => mapped.f_matmul(second)?,
            None => mapped,
        })
    }
}

/// `Sᵀ` then `(SSᵀ + λI)⁻¹ S` of rows S `[T, C, n, d]` with λ `[T, C, 1, 1]`, or both as one where there are more rows than columns.
fn maps(rows: &Tensor, lambda: &Tensor) -> Result<Maps> {
    let transposed = rows.f_transpose(2, 3)?;
    let (_, _, count, channels) = rows.size4()?;
    if count > channels {
        let gram = transposed.f_matmul(rows)?;
        let map = solve_linear(&with_diagonal(&gram, lambda)?, &gram)?;
        return Ok(Maps { first: map, second: None });
    }
    let gram = rows.f_matmul(&transposed)?;
    let second = solve_linear(&with_diagonal(&gram, lambda)?, rows)?;
    Ok(Maps { first: transposed, second: Some(second) })
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn a_reconstruction_is_the_ridge_regression_on_the_rows_by_either_system() {
        let normal =
            |name, shape: &[i64]| Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap();
        let query = normal("q", &[1, 1, 4, 3]);
        for count in [2, 7] {
            let rows = normal("s", &[1, 1, count, 3]);
            let lambda = Tensor::from_slice(&[0.4]).reshape([1, 1, 1, 1]);
            let found = maps(&rows, &lambda).unwrap();
            assert_eq!(found.second.is_some(), count == 2);
            // W minimises ‖Q − WS‖² + λ‖W‖²: (WS − Q)Sᵀ + λW = 0, so λW = (Q − Q̄)Sᵀ and Q̄ = WS.
            let reconstructed = found.of(&query).unwrap();
            let weight = (&query - &reconstructed).matmul(&rows.transpose(2, 3)) / 0.4;
            let gap = weight.matmul(&rows) - reconstructed;
            assert!(gap.abs().max().double_value(&[]) < 1e-10, "{count}");
        }
    }
}
