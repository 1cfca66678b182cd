use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Kind, Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, negative_squared_distances, one_hot};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::not_negative;

/// `LaplacianShot` (Ziko et al. 2020, arXiv:2006.15486): the nearest mean, and neighbouring queries are of one class.
///
/// With `a_qc = ‖f_q − m_c‖²` and W the graph of the `neighbours` nearest queries of each, itself not among them, probabilities start as
/// `softmax(−a)` and follow `y ← softmax(−a + λ W y)` (equation 12), which lowers the energy of equation 4 in each step, until none of them
/// changes or 20 steps are done. For pretrained features of a split; all queries are known at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaplacianShot {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// How many neighbours a query has.
    pub neighbours: i64,
    /// λ, what a neighbour counts; 0.7 for one shot and 0.1 for five in the authors' code.
    pub lambda: f64,
}

impl Default for LaplacianShot {
    fn default() -> Self {
        Self { transform: FeatureTransform::Cl2n, neighbours: 3, lambda: 0.7 }
    }
}

/// What [`LaplacianShot`] builds: fitted are the mean features of classes, `[T, C, D]`.
#[derive(Debug)]
struct Laplacian {
    classes: i64,
    transform: Transform,
    neighbours: i64,
    lambda: f64,
}

impl Method for LaplacianShot {
    const NAME: &'static str = "laplacian_shot";
    const SUMMARY: &'static str =
        "the nearest mean of pretrained features, smoothed over neighbouring queries";
    const ABOUT: &'static str = "\
        Ziko et al. 2020, arXiv:2006.15486: y ← softmax(−distance² + λ Σ y of the nearest queries), some twenty times. \
        All queries of a task are known at once (transductive). The network learns in [pretraining] alone, which takes all \
        steps of [training]; it wants batch_norm = \"running\".";
}

pretrained!(LaplacianShot);

impl LaplacianShot {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Laplacian> {
        const MOST: i64 = 10_000;
        if !(1..=MOST).contains(&self.neighbours) {
            let what = format!("neighbours is {}", self.neighbours);
            return Err(Error::setting("neighbours", what, format!("take 1 to {MOST}")));
        }
        not_negative("lambda", self.lambda)?;
        let transform = self.transform.build(b, backbone)?;
        Ok(Laplacian { classes, transform, neighbours: self.neighbours, lambda: self.lambda })
    }
}

/// The graph of nearest queries `[T, M, M]`: row i has 1 at the neighbours of i, of which i is none.
fn neighbours(queries: &Tensor, count: i64) -> Result<Tensor> {
    let closeness = negative_squared_distances(queries, queries)?;
    let itself = Tensor::f_eye(queries.size3()?.1, (Kind::Bool, queries.device()))?;
    let closeness = closeness.f_masked_fill(&itself, f64::NEG_INFINITY)?;
    let count = count.min(queries.size3()?.1 - 1).max(0);
    let (_, nearest) = closeness.f_topk(count, -1, true, true)?;
    Ok(closeness.f_zeros_like()?.f_scatter_value(-1, &nearest, 1.0)?)
}

impl Head for Laplacian {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let name = LaplacianShot::NAME;
        let members = one_hot(name, &support.y, self.classes, support.tasks, embeddings.kind())?;
        centroids(&self.transform.apply(embeddings, params)?, &members)
    }

    fn predict(
        &self,
        means: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        const MOST: usize = 20;
        const SMALL: f64 = 1e-6;
        let queries = self.transform.apply(queries, params)?;
        let alone = negative_squared_distances(&queries, means)?;
        let graph = neighbours(&queries, self.neighbours)?.f_mul_scalar(self.lambda)?;
        let mut logits = alone.shallow_clone();
        let mut shares = logits.f_softmax(-1, None::<Kind>)?;
        for _ in 0..MOST {
            logits = alone.f_add(&graph.f_matmul(&shares)?)?;
            let next = logits.f_softmax(-1, None::<Kind>)?;
            let change = next.f_sub(&shares)?.f_abs()?.f_max()?.f_double_value(&[])?;
            shares = next;
            if change < SMALL {
                break;
            }
        }
        Ok(logits)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }

    fn is_transductive(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports let each point be a neighbour of itself, so that nothing is smoothed with one neighbour.
    #[test]
    fn a_query_is_no_neighbour_of_itself() {
        let queries = Tensor::from_slice(&[0.0, 0.0, 1.0, 0.0, 5.0, 0.0, 5.5, 0.0]).reshape([1, 4, 2]);
        let graph = neighbours(&queries, 1).unwrap();
        let expected =
            [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]];
        for (row, expected) in expected.iter().enumerate() {
            for (column, expected) in expected.iter().enumerate() {
                assert_eq!(graph.double_value(&[0, row as i64, column as i64]), *expected, "{row} {column}");
            }
        }
        assert_eq!(neighbours(&queries, 9).unwrap().sum(Kind::Double).double_value(&[]), 12.0);
        let single = neighbours(&queries.narrow(1, 0, 1), 3).unwrap();
        assert_eq!(single.abs().max().double_value(&[]), 0.0);
    }
}
