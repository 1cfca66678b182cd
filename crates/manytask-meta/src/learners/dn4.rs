use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, normalised, one_hot};
use crate::episode::Support;
use crate::feature_map::Positions;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::shape::{EpisodeShape, NetworkShape};

/// DN4 (Li et al. 2019, arXiv:1903.12290): a query is of the class whose local descriptors are nearest to its own.
///
/// An embedding is `r` positions of `channels` numbers. A logit is the sum, over the positions of the query, of its cosines to the
/// `neighbours` nearest positions of all of a class' examples together (equation 2): an image-to-class measure, not image to image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dn4 {
    /// The numbers at each position: the channels of a feature map `[C, H, W]`. Left out, an embedding is a single position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<i64>,
    /// How many nearest positions count; 3 in the paper. Fewer where a class has not as many.
    pub neighbours: i64,
}

impl Default for Dn4 {
    fn default() -> Self {
        Self { channels: None, neighbours: 3 }
    }
}

/// What [`Dn4`] builds.
#[derive(Debug)]
struct Nearest {
    classes: i64,
    positions: Positions,
    neighbours: i64,
}

/// A support set.
struct Descriptors {
    /// All positions of all examples, of length 1, `[T, N r, d]`.
    rows: Tensor,
    /// `[T, C, N r]`, 1 where a position is of a class.
    members: Tensor,
}

impl Method for Dn4 {
    const NAME: &'static str = "dn4";
    const SUMMARY: &'static str = "the class whose local descriptors are nearest to a query's";
    const ABOUT: &'static str = "\
        Li et al. 2019, arXiv:1903.12290: the cosines of each of a query's positions to the `neighbours` nearest positions of a class, \
        summed. `channels` are those of the network's last feature map; left out, an embedding is one position.";
}

impl LearnerSpec for Dn4 {
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
        const MOST: i64 = 10_000;
        let classes = classes(self.name(), shape)?;
        backbone.trained(self.name())?;
        if !(1..=MOST).contains(&self.neighbours) {
            let what = format!("neighbours is {}", self.neighbours);
            return Err(Error::setting("neighbours", what, format!("take 1 to {MOST}")));
        }
        let positions = Positions::new(self.channels, backbone.feature_count()?)?;
        Ok(Box::new(Embedding(Nearest { classes, positions, neighbours: self.neighbours })))
    }
}

impl Head for Nearest {
    type Fitted = Descriptors;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Descriptors> {
        let members = one_hot(Dn4::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let rows = normalised(&self.positions.of(embeddings)?.f_flatten(1, 2)?)?;
        let members =
            members.f_repeat_interleave_self_int(self.positions.count, 1, None)?.f_transpose(1, 2)?;
        Ok(Descriptors { rows, members })
    }

    fn predict(
        &self,
        descriptors: &Descriptors,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        /// Below every cosine.
        const NEVER: f64 = -1e4;
        let (tasks, count, _) = queries.size3()?;
        let rows = normalised(&self.positions.of(queries)?.f_flatten(1, 2)?)?;
        let cosines = rows.f_matmul(&descriptors.rows.f_transpose(1, 2)?)?;
        let all = cosines.size3()?.2;
        // [T, M r, C, N r], of a class its own positions alone.
        let members = descriptors.members.f_unsqueeze(1)?;
        let outside = members.f_mul_scalar(-NEVER)?.f_add_scalar(NEVER)?;
        let of_class = cosines.f_unsqueeze(2)?.f_add(&outside)?;
        let (nearest, _) = of_class.f_topk(self.neighbours.min(all), -1, true, true)?;
        let there = nearest.f_gt(0.5 * NEVER)?;
        let nearest = nearest.f_where_self(&there, &nearest.f_zeros_like()?)?;
        let sums = nearest.f_sum_dim_intlist([-1_i64].as_slice(), false, nearest.kind())?;
        let sums = sums.f_reshape([tasks, count, self.positions.count, self.classes])?;
        Ok(sums.f_sum_dim_intlist([2_i64].as_slice(), false, sums.kind())?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn a_logit_is_the_sum_of_the_nearest_cosines_of_each_position() {
        let on = (Kind::Double, Device::Cpu);
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap();
        let head = Nearest { classes: 2, positions: Positions { channels: 3, count: 4 }, neighbours: 3 };
        // Two examples of class 0, and one of class 1.
        let (support, query) = (of("s", &[1, 3, 12]), of("q", &[1, 2, 12]));
        let members = Tensor::from_slice(&[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]).reshape([1, 2, 3]);
        let rows = normalised(&head.positions.of(&support).unwrap().flatten(1, 2)).unwrap();
        let members = members.repeat_interleave_self_int(4, 2, None);
        let position = |x: &Tensor, example: i64, position: i64| {
            let map = x.get(0).get(example).reshape([3, 4]).select(1, position);
            &map / map.square().sum(on.0).sqrt()
        };
        let mut expected = [[0.0; 2]; 2];
        for (number, row) in expected.iter_mut().enumerate() {
            for (class, examples) in [vec![0, 1], vec![2]].into_iter().enumerate() {
                for own in 0..4 {
                    let mut cosines: Vec<f64> = Vec::new();
                    for example in &examples {
                        for other in 0..4 {
                            let product = position(&query, number as i64, own)
                                .dot(&position(&support, *example, other));
                            cosines.push(product.double_value(&[]));
                        }
                    }
                    cosines.sort_by(|a, b| b.total_cmp(a));
                    row[class] += cosines[..3].iter().sum::<f64>();
                }
            }
        }
        let network = manytask_nn::layers::Sequential(Vec::new());
        let loss = manytask_nn::loss::Loss::Mse;
        let empty = Tensor::zeros([1, 0], on);
        let own = Tensor::shallow_clone;
        let episodes = manytask_data::Episodes {
            support_x: own(&empty),
            support_y: own(&empty),
            query_x: own(&empty),
            query_y: own(&empty),
        };
        let statistics = crate::episode::BatchNormStatistics::Batch;
        let episode = crate::episode::Episode::new((&network, &loss), &episodes, None, None, statistics);
        let params = manytask_tensor::Layout::builder().build().zeros(on.0, on.1).unwrap();
        let found = head.predict(&Descriptors { rows, members }, &query, &episode.support, &params).unwrap();
        for (number, row) in expected.iter().enumerate() {
            for (class, expected) in row.iter().enumerate() {
                let found = found.double_value(&[0, number as i64, class as i64]);
                assert!((found - expected).abs() < 1e-10, "{found} {expected}");
            }
        }
    }
}
