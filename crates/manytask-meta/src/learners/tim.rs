use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Slot, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, negative_squared_distances, targets};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::positive;
use crate::transduction::{Descent, Information, Labelled, sum};

/// Transductive information maximisation (Boudiaf et al. 2020, arXiv:2008.11297, TIM-GD): a task's classifier is sure of each query, and
/// has all classes alike over the queries.
///
/// Class vectors w start as the means of features; logits are `−τ/2 ‖f − w_c‖²` (equation 1). Minimised by Adam is equation 3,
/// `cross_entropy · CE(support) − marginal · H(mean p) + conditional · mean H(p)` of the queries' probabilities p. All queries are known at once, and taken to be of
/// all classes alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tim {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// τ.
    pub temperature: f64,
    /// The weight of the support set's cross-entropy.
    pub cross_entropy: f64,
    /// The weight of the entropy of the queries' mean.
    pub marginal: f64,
    /// The weight of the mean of the queries' entropies.
    pub conditional: f64,
    /// Steps of Adam.
    pub steps: u32,
    /// Their rate.
    pub learning_rate: f64,
}

/// α-TIM (Veilleux et al. 2021, arXiv:2204.11181): as [`Tim`] with the entropies `H_α(p) = (1 − Σ p^α) / (α − 1)` of Tsallis in place of
/// Shannon's, which push less towards classes that are alike: for queries whose classes are of unequal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaTim {
    /// α, above 1.
    pub alpha: f64,
    /// As [`Tim::transform`].
    pub transform: FeatureTransform,
    /// As [`Tim::temperature`].
    pub temperature: f64,
    /// As [`Tim::cross_entropy`].
    pub cross_entropy: f64,
    /// As [`Tim::marginal`].
    pub marginal: f64,
    /// As [`Tim::conditional`].
    pub conditional: f64,
    /// As [`Tim::steps`].
    pub steps: u32,
    /// As [`Tim::learning_rate`].
    pub learning_rate: f64,
}

impl Default for Tim {
    fn default() -> Self {
        Self {
            transform: FeatureTransform::L2n,
            temperature: 15.0,
            cross_entropy: 0.1,
            marginal: 1.0,
            conditional: 0.1,
            steps: 150,
            learning_rate: 1e-3,
        }
    }
}

impl Default for AlphaTim {
    fn default() -> Self {
        let Tim { transform, temperature, steps, learning_rate, .. } = Tim::default();
        let (cross_entropy, marginal, conditional) = (1.0, 1.0, 1.0);
        Self {
            alpha: 2.0,
            transform,
            temperature,
            cross_entropy,
            marginal,
            conditional,
            steps,
            learning_rate,
        }
    }
}

/// What either builds.
#[derive(Debug)]
struct Informed {
    classes: i64,
    name: &'static str,
    transform: Transform,
    temperature: f64,
    information: Information,
    descent: Descent,
}

impl Method for Tim {
    const NAME: &'static str = "tim";
    const SUMMARY: &'static str =
        "class vectors on pretrained features that are sure of each query, and of all classes alike";
    const ABOUT: &'static str = "\
        Boudiaf et al. 2020, arXiv:2008.11297, TIM-GD: `steps` steps of Adam down the support set's cross-entropy minus the \
        information that queries and classes have of each other. All queries of a task are known at once (transductive) and \
        taken to be of all classes alike. The network learns in [pretraining] alone, which takes all steps of [training]; it \
        wants batch_norm = \"running\".";
}

impl Method for AlphaTim {
    const NAME: &'static str = "alpha_tim";
    const SUMMARY: &'static str = "as `tim`, for queries whose classes are of unequal numbers";
    const ABOUT: &'static str = "\
        Veilleux et al. 2021, arXiv:2204.11181: the entropies of `tim` are (1 − Σ p^α) / (α − 1), which push less towards \
        classes alike. All queries of a task are known at once (transductive). The network learns in [pretraining] alone, \
        which takes all steps of [training]; it wants batch_norm = \"running\".";
}

pretrained!(Tim);
pretrained!(AlphaTim);

impl Tim {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Informed> {
        self.informed(Self::NAME, b, backbone, (classes, 1.0))
    }

    fn informed(
        self,
        name: &'static str,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        (classes, alpha): (i64, f64),
    ) -> Result<Informed> {
        positive("temperature", self.temperature)?;
        let Self { temperature, cross_entropy, marginal, conditional, steps, learning_rate, .. } = self;
        let information = Information { cross_entropy, marginal, conditional, alpha };
        let descent = Descent { steps, learning_rate };
        descent.check()?;
        information.check()?;
        let transform = self.transform.build(b, backbone)?;
        Ok(Informed { classes, name, transform, temperature, information, descent })
    }
}

impl AlphaTim {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Informed> {
        if !((self.alpha as f32).is_finite() && self.alpha > 1.0) {
            let what = format!("alpha is {}", self.alpha);
            return Err(Error::setting(
                "alpha",
                what,
                "take a number above 1, or kind = \"tim\", which is 1",
            ));
        }
        let Self {
            transform, temperature, cross_entropy, marginal, conditional, steps, learning_rate, ..
        } = self;
        let settings =
            Tim { transform, temperature, cross_entropy, marginal, conditional, steps, learning_rate };
        settings.informed(Self::NAME, b, backbone, (classes, self.alpha))
    }
}

impl Informed {
    /// Logits `[T, N, C]` of features `[T, N, D]` by class vectors `[T, C, D]`.
    fn logits(&self, features: &Tensor, vectors: &Tensor) -> Result<Tensor> {
        let distances = negative_squared_distances(features, vectors)?;
        Ok(distances.f_mul_scalar(0.5 * self.temperature)?)
    }

    /// The gradient of the objective by the class vectors, `[T, C, D]`.
    fn gradient(&self, support: &Labelled, queries: &Tensor, vectors: &Tensor) -> Result<Tensor> {
        let logits = [self.logits(&support.features, vectors)?, self.logits(queries, vectors)?];
        let [of_support, of_queries] = self.information.by_logits(support, [&logits[0], &logits[1]])?;
        // Logits are τ (f·w − ½ ‖w‖² − …): by w they are τ (f − w).
        let through = |by_logits: &Tensor, features: &Tensor| -> Result<Tensor> {
            let along = by_logits.f_transpose(1, 2)?.f_matmul(features)?;
            Ok(along.f_sub(&sum(by_logits, 1)?.f_transpose(1, 2)?.f_mul(vectors)?)?)
        };
        let all = through(&of_support, &support.features)?.f_add(&through(&of_queries, queries)?)?;
        Ok(all.f_mul_scalar(self.temperature)?)
    }
}

impl Head for Informed {
    type Fitted = Labelled;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Labelled> {
        let features = self.transform.apply(&embeddings.f_detach()?, params)?;
        let (labels, there) = targets(self.name, support, Some(self.classes), features.kind())?;
        Ok(Labelled { features, labels, there })
    }

    fn predict(
        &self,
        labelled: &Labelled,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let _off = no_grad();
        let queries = self.transform.apply(&queries.f_detach()?, params)?;
        let vectors = centroids(&labelled.features, &labelled.labels)?;
        let [vectors] =
            self.descent.run([vectors], |[vectors]| Ok([self.gradient(labelled, &queries, vectors)?]))?;
        self.logits(&queries, &vectors)
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
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, Kind, gradients};

    use super::*;

    #[test]
    fn the_gradient_is_that_of_cross_entropy_and_entropies() {
        let on = (Kind::Double, Device::Cpu);
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap() * 0.3;
        let labels =
            Tensor::from_slice(&[0_i64, 1, 2, 0]).one_hot(3).to_kind(on.0).unsqueeze(0).repeat([2, 1, 1]);
        let there = Tensor::from_slice(&[1.0, 1.0, 1.0, 0.0]).reshape([1, 4, 1]).repeat([2, 1, 1]);
        let labels = labels * &there;
        let support = Labelled { features: of("s", &[2, 4, 5]), labels, there };
        let queries = of("q", &[2, 7, 5]);
        let vectors = of("w", &[2, 3, 5]).set_requires_grad(true);
        for alpha in [1.0, 2.0, 1.7] {
            let information = Information { cross_entropy: 0.3, marginal: 0.8, conditional: 0.4, alpha };
            let (descent, temperature) = (Descent { steps: 1, learning_rate: 1.0 }, 15.0);
            let transform = Transform::Nothing;
            let informed = Informed { classes: 3, name: "tim", transform, temperature, information, descent };
            let entropy = |p: &Tensor| {
                let sum = |x: Tensor| x.sum_dim_intlist([-1].as_slice(), false, on.0);
                if alpha == 1.0 {
                    return -sum(p * p.log());
                }
                (-sum(p.pow_tensor_scalar(alpha)) + 1.0) / (alpha - 1.0)
            };
            let logits = |x: &Tensor| {
                let gap = x.unsqueeze(2) - vectors.unsqueeze(1);
                gap.square().sum_dim_intlist([-1].as_slice(), false, on.0) * (-0.5 * temperature)
            };
            let p = logits(&queries).softmax(-1, on.0);
            let loss = -(logits(&support.features).log_softmax(-1, on.0) * &support.labels).sum(on.0) / 3.0
                * 0.3
                - entropy(&p.mean_dim([1].as_slice(), false, on.0)).sum(on.0) * 0.8
                + entropy(&p).sum(on.0) / 7.0 * 0.4;
            let expected = gradients(&loss, &[&vectors], Graph::Free).unwrap().remove(0);
            let found = informed.gradient(&support, &queries, &vectors.detach()).unwrap();
            let gap = (&found - &expected).abs().max().double_value(&[]);
            assert!(gap < 1e-9 && expected.abs().max().double_value(&[]) > 1e-3, "{alpha}: {gap}");
        }
    }
}
