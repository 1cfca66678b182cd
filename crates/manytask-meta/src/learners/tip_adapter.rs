use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, normalised, one_hot};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::{not_negative, positive};

/// Tip-Adapter (Zhang et al. 2022, arXiv:2111.03930, equation 4), which trains nothing: examples are a cache that queries look their classes up in.
///
/// Logits are `residual · Σₖ exp(−sharpness (1 − cos(f, fₖ))) yₖ + scale · cos(f, t_c)`, with the examples k of all classes. In the paper t are text
/// embeddings of the classes' names; vectors alone have no such, so the mean of a class' examples is in their place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TipAdapter {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// α, what the cache counts.
    pub residual: f64,
    /// β: the larger, the nearer an example has to be to count.
    pub sharpness: f64,
    /// What the cosine to a class' mean counts.
    pub scale: f64,
}

impl Default for TipAdapter {
    fn default() -> Self {
        Self { transform: FeatureTransform::L2n, residual: 1.0, sharpness: 5.5, scale: 10.0 }
    }
}

/// What [`TipAdapter`] builds.
#[derive(Debug)]
struct Cache {
    classes: i64,
    transform: Transform,
    settings: TipAdapter,
}

/// The support set: features of length 1 `[T, N, D]`, labels `[T, N, C]`, and means of length 1 `[T, C, D]`.
struct Keys {
    features: Tensor,
    labels: Tensor,
    means: Tensor,
}

impl Method for TipAdapter {
    const NAME: &'static str = "tip_adapter";
    const SUMMARY: &'static str =
        "a cache of examples that queries look their classes up in, beside class means";
    const ABOUT: &'static str = "\
        Zhang et al. 2022, arXiv:2111.03930, without training: `residual` is the paper's α and `sharpness` its β. Where the paper \
        has text embeddings of class names, the mean of a class' examples stands, with the weight `scale`. For vectors of an \
        encoder that stays as it is (network.kind = \"identity\", training.steps = 0), or of a network that [pretraining] trains.";
}

pretrained!(TipAdapter);

impl TipAdapter {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Cache> {
        positive("sharpness", self.sharpness)?;
        not_negative("residual", self.residual)?;
        not_negative("scale", self.scale)?;
        Ok(Cache { classes, transform: self.transform.build(b, backbone)?, settings: self })
    }
}

impl Head for Cache {
    type Fitted = Keys;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Keys> {
        let labels = one_hot(TipAdapter::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let features = normalised(&self.transform.apply(embeddings, params)?)?;
        let means = normalised(&centroids(&features, &labels)?)?;
        Ok(Keys { features, labels, means })
    }

    fn predict(
        &self,
        keys: &Keys,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let TipAdapter { residual, sharpness, scale, .. } = self.settings;
        let queries = normalised(&self.transform.apply(queries, params)?)?;
        let cosines = queries.f_matmul(&keys.features.f_transpose(1, 2)?)?;
        let near = cosines.f_sub_scalar(1.0)?.f_mul_scalar(sharpness)?.f_exp()?;
        let cached = near.f_matmul(&keys.labels)?.f_mul_scalar(residual)?;
        let known = queries.f_matmul(&keys.means.f_transpose(1, 2)?)?.f_mul_scalar(scale)?;
        Ok(cached.f_add(&known)?)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::Episodes;
    use manytask_nn::layers::Sequential;
    use manytask_nn::loss::Loss;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;
    use crate::episode::{BatchNormStatistics, Episode};

    #[test]
    fn logits_are_the_papers_sum_over_the_examples() {
        let on = (Kind::Double, Device::Cpu);
        // Two examples of class 0, one of class 1, and one without a label.
        let rows = [[3.0, 4.0], [0.0, 2.0], [1.0, 0.0], [7.0, -1.0]];
        let x = Tensor::from_slice2(&rows);
        let query = Tensor::from_slice(&[1.0, 1.0]).reshape([1, 2]);
        let episodes = Episodes {
            support_x: x.shallow_clone(),
            support_y: Tensor::from_slice(&[0_i64, 0, 1, -100]),
            query_x: query.shallow_clone(),
            query_y: Tensor::from_slice(&[0_i64]),
        };
        let (network, loss) = (Sequential(Vec::new()), Loss::Mse);
        let episode = Episode::new((&network, &loss), &episodes, None, None, BatchNormStatistics::Batch);
        let settings = TipAdapter { residual: 2.0, sharpness: 3.0, scale: 5.0, ..TipAdapter::default() };
        let cache = Cache { classes: 2, transform: Transform::Scaled, settings };
        let params = Layout::builder().build().zeros(on.0, on.1).unwrap();
        let keys = cache.fit(&x.unsqueeze(0), &episode.support, &params).unwrap();
        let found = cache.predict(&keys, &query.unsqueeze(0), &episode.support, &params).unwrap();
        let half = 0.5_f64.sqrt();
        let cosines = [7.0 / 5.0 * half, half, half];
        let near = cosines.map(|cosine| (-3.0 * (1.0 - cosine)).exp());
        let mean = [0.3_f64, 0.9];
        let to_mean = (mean[0] + mean[1]) * half / mean[0].hypot(mean[1]);
        let expected = [2.0 * (near[0] + near[1]) + 5.0 * to_mean, 2.0 * near[2] + 5.0 * half];
        for (class, expected) in expected.into_iter().enumerate() {
            let found = found.double_value(&[0, 0, class as i64]);
            assert!((found - expected).abs() < 1e-9, "{class}: {found} {expected}");
        }
    }
}
