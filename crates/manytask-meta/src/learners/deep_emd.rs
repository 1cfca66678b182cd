use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, normalised, one_hot};
use crate::episode::Support;
use crate::feature_map::Positions;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::shape::{EpisodeShape, NetworkShape};
use crate::transport::Transport;

/// `DeepEMD` (Zhang et al. 2020, arXiv:2003.06777): a query is of the class that it takes least to turn it into, position by position.
///
/// An embedding is `r` positions of `channels` numbers. With the positions u of a query and v of a class, the mean of its examples, the cost
/// of a pair is `1 − cos(uᵢ, vⱼ)` (equation 3), the mass of a position `max(uᵢ · mean v, 0)` and a little, of the total r (the cross-reference of equation 9). The
/// earth mover's distance is solved exactly; a logit is `temperature / r · Σ flow · cos` (equation 10). Its gradient goes through the flow and,
/// by the prices of the solution, through the masses. The paper's structured classifier for several shots, which descends from
/// this mean, is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepEmd {
    /// The numbers at each position: the channels of a feature map `[C, H, W]`. Left out, an embedding is a single position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<i64>,
    /// What similarities are multiplied by; 12.5 in the authors' code.
    pub temperature: f64,
}

impl Default for DeepEmd {
    fn default() -> Self {
        Self { channels: None, temperature: 12.5 }
    }
}

/// What [`DeepEmd`] builds: fitted are the positions of classes, `[T, C, r, d]`.
#[derive(Debug)]
struct Moved {
    classes: i64,
    positions: Positions,
    temperature: f64,
}

impl Method for DeepEmd {
    const NAME: &'static str = "deep_emd";
    const SUMMARY: &'static str = "the earth mover's distance between the positions of a query and a class";
    const ABOUT: &'static str = "\
        Zhang et al. 2020, arXiv:2003.06777: positions weighed by how much the other image has of them (cross-reference), and the \
        cheapest way from one to the other, solved exactly, on the processor. `channels` are those of the network's last feature map. Of several \
        shots the mean is the class. For a network that a pretraining has trained, or with `weights`.";
}

impl LearnerSpec for DeepEmd {
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
        const MOST: i64 = 200;
        positive("temperature", self.temperature)?;
        let classes = classes(self.name(), shape)?;
        backbone.trained(self.name())?;
        let positions = Positions::new(self.channels, backbone.feature_count()?)?;
        if positions.count > MOST {
            let what = format!("an embedding has {} positions", positions.count);
            let remedy = format!("deep_emd takes up to {MOST}: halve images once more, or set `channels`");
            return Err(Error::setting("channels", what, remedy));
        }
        Ok(Box::new(Embedding(Moved { classes, positions, temperature: self.temperature })))
    }
}

/// The masses `[…, M, C, r]` of positions u `[…, M, 1, r, d]` by the means `[…, 1, C, 1, d]` of other images, of total r.
fn masses(rows: &Tensor, others: &Tensor) -> Result<Tensor> {
    /// So that no mass is 0.
    const LEAST: f64 = 1e-3;
    let along = rows.f_mul(others)?.f_sum_dim_intlist([-1_i64].as_slice(), false, rows.kind())?;
    let masses = along.f_relu()?.f_add_scalar(LEAST)?;
    let count = masses.size().last().copied().unwrap_or(1) as f64;
    let sum = masses.f_sum_dim_intlist([-1_i64].as_slice(), true, masses.kind())?;
    Ok(masses.f_div(&sum)?.f_mul_scalar(count)?)
}

/// The least costs `[P]` of problems with costs `[P, r, r]` and masses `[P, r]` of both sides, with their gradients: those of the optimum are the
/// flow by the costs and the prices by the masses (the envelope theorem).
fn least_costs(costs: &Tensor, [supplies, demands]: [&Tensor; 2]) -> Result<Tensor> {
    let host = |x: &Tensor| -> Result<Vec<f64>> {
        let x = x.f_detach()?.f_to_device(manytask_tensor::Device::Cpu)?.f_to_kind(Kind::Double)?;
        Ok(Vec::<f64>::try_from(x.f_contiguous()?.f_reshape([-1])?)?)
    };
    let (_, rows, columns) = costs.size3()?;
    let (rows, columns) = (rows.max(1) as usize, columns.max(1) as usize);
    let (all, of_sources, of_sinks) = (host(costs)?, host(supplies)?, host(demands)?);
    let (mut flows, mut prices) = (Vec::with_capacity(all.len()), (Vec::new(), Vec::new()));
    let each = of_sources.chunks(rows).zip(of_sinks.chunks(columns));
    for (cost, (supply, demand)) in all.chunks(rows * columns).zip(each) {
        let found = Transport::solve(cost, supply, demand);
        flows.extend(found.flow);
        prices.0.extend(found.prices.0);
        prices.1.extend(found.prices.1);
    }
    let like = |values: &[f64], x: &Tensor| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_to_device(x.device())?.f_to_kind(x.kind())?.f_reshape(x.size())?)
    };
    let sum = |x: &Tensor, dims: &[i64]| x.f_sum_dim_intlist(dims, false, x.kind());
    let paid = sum(&costs.f_mul(&like(&flows, costs)?)?, &[1, 2])?;
    // Nothing in value, the prices in the gradient.
    let through = |x: &Tensor, prices: &[f64]| -> Result<Tensor> {
        Ok(sum(&x.f_sub(&x.f_detach()?)?.f_mul(&like(prices, x)?)?, &[1])?)
    };
    Ok(paid.f_add(&through(supplies, &prices.0)?)?.f_add(&through(demands, &prices.1)?)?)
}

impl Head for Moved {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let members = one_hot(DeepEmd::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        self.positions.of(&centroids(embeddings, &members)?)
    }

    fn predict(
        &self,
        classes: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        let (tasks, count, _) = queries.size3()?;
        let each = self.positions.count;
        let queries = self.positions.of(queries)?.f_unsqueeze(2)?;
        let classes = classes.f_unsqueeze(1)?;
        let mean = |x: &Tensor| x.f_mean_dim([-2_i64].as_slice(), true, x.kind());
        let supplies = masses(&queries, &mean(&classes)?)?;
        let demands = masses(&classes, &mean(&queries)?)?;
        let cosines = normalised(&queries)?.f_matmul(&normalised(&classes)?.f_transpose(-2, -1)?)?;
        let costs = cosines.f_neg()?.f_add_scalar(1.0)?.f_reshape([-1, each, each])?;
        let flat = |x: &Tensor| x.f_reshape([-1, each]);
        let paid = least_costs(&costs, [&flat(&supplies)?, &flat(&demands)?])?;
        // Σ flow · cos = r − Σ flow · cost, since the flow is r in all.
        let logits = paid.f_neg()?.f_add_scalar(each as f64)?.f_mul_scalar(self.temperature / each as f64)?;
        Ok(logits.f_reshape([tasks, count, self.classes])?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, gradients};

    use super::*;

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn of(name: &str, shape: &[i64]) -> Tensor {
        Key::new(1, name).normal(shape, ON.0, ON.1).unwrap()
    }

    #[test]
    fn gradients_of_the_least_cost_are_those_of_differences() {
        let scaled = |x: Tensor| {
            let x = x.exp();
            &x / x.sum_dim_intlist([-1].as_slice(), true, ON.0) * 4.0
        };
        let leaves = [of("c", &[3, 4, 4]).abs(), of("s", &[3, 4]), of("d", &[3, 4])];
        let at = |leaves: &[Tensor; 3]| {
            let sides = [scaled(leaves[1].shallow_clone()), scaled(leaves[2].shallow_clone())];
            least_costs(&leaves[0], [&sides[0], &sides[1]]).unwrap().sum(ON.0)
        };
        let live = leaves.each_ref().map(|leaf| leaf.copy().set_requires_grad(true));
        let found = gradients(&at(&live), &[&live[0], &live[1], &live[2]], Graph::Free).unwrap();
        for number in 0..3 {
            let direction = of("direction", &leaves[number].size());
            let moved = |shift: f64| {
                let mut leaves = leaves.each_ref().map(Tensor::copy);
                leaves[number] = &leaves[number] + &direction * shift;
                at(&leaves).double_value(&[])
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let along = (&found[number] * &direction).sum(ON.0).double_value(&[]);
            assert!(
                (along - expected).abs() < 1e-7 * expected.abs().max(1.0),
                "{number}: {along} {expected}"
            );
            assert!(expected.abs() > 1e-3);
        }
    }

    #[test]
    fn an_image_is_nearest_to_itself_however_its_positions_are_shuffled() {
        let head = Moved { classes: 2, positions: Positions { channels: 3, count: 4 }, temperature: 12.5 };
        let map = of("map", &[1, 1, 3, 4]).abs();
        let shuffled = map.index_select(3, &Tensor::from_slice(&[2_i64, 0, 3, 1]));
        let classes = Tensor::cat(&[map.reshape([1, 1, 12]), of("other", &[1, 1, 12]).abs()], 1);
        let classes = head.positions.of(&classes).unwrap();
        let network = manytask_nn::layers::Sequential(Vec::new());
        let loss = manytask_nn::loss::Loss::Mse;
        let empty = Tensor::zeros([1, 0], ON);
        let own = Tensor::shallow_clone;
        let episodes = manytask_data::Episodes {
            support_x: own(&empty),
            support_y: own(&empty),
            query_x: own(&empty),
            query_y: own(&empty),
        };
        let statistics = crate::episode::BatchNormStatistics::Batch;
        let episode = crate::episode::Episode::new((&network, &loss), &episodes, None, None, statistics);
        let params = manytask_tensor::Layout::builder().build().zeros(ON.0, ON.1).unwrap();
        let logits =
            head.predict(&classes, &shuffled.reshape([1, 1, 12]), &episode.support, &params).unwrap();
        // Every cosine along the way is 1.
        assert!((logits.double_value(&[0, 0, 0]) - 12.5).abs() < 1e-9);
        assert!(logits.double_value(&[0, 0, 1]) < 12.4);
    }
}
