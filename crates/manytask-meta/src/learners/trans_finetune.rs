use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Slot, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, normalised, targets};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::positive;
use crate::transduction::{Descent, Information, Labelled, sum};

/// Transductive fine-tuning (Dhillon et al. 2020, arXiv:1909.02729) of a classifier on features of a network that stays as it is.
///
/// A linear classifier starts as the mean feature of each class, of length 1, and no offset (section 3.1); logits are
/// `temperature · (w_c·f + b_c)`. Minimised by Adam is the support set's cross-entropy and the mean entropy of the queries' probabilities
/// (equation 8). The paper trains the network with it, at a rate of 5e-5; the classifier alone takes a larger one. All queries of a task are
/// known at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransductiveFineTuning {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// What logits are multiplied by.
    pub temperature: f64,
    /// The weight of the mean of the queries' entropies.
    pub conditional: f64,
    /// Steps of Adam.
    pub steps: u32,
    /// Their rate.
    pub learning_rate: f64,
}

impl Default for TransductiveFineTuning {
    fn default() -> Self {
        Self {
            transform: FeatureTransform::L2n,
            temperature: 10.0,
            conditional: 1.0,
            steps: 25,
            learning_rate: 1e-2,
        }
    }
}

/// What [`TransductiveFineTuning`] builds.
#[derive(Debug)]
struct Tuned {
    classes: i64,
    transform: Transform,
    temperature: f64,
    information: Information,
    descent: Descent,
}

impl Method for TransductiveFineTuning {
    const NAME: &'static str = "trans_finetune";
    const SUMMARY: &'static str = "a linear classifier on pretrained features that is sure of each query";
    const ABOUT: &'static str = "\
        Dhillon et al. 2020, arXiv:1909.02729, with a network that stays: `steps` steps of Adam down the support set's cross-entropy \
        and the mean entropy of the queries. All queries of a task are known at once (transductive). The network learns in \
        [pretraining] alone, which takes all steps of [training]; it wants batch_norm = \"running\".";
}

pretrained!(TransductiveFineTuning);

impl TransductiveFineTuning {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<Tuned> {
        let Self { temperature, conditional, steps, learning_rate, .. } = self;
        positive("temperature", temperature)?;
        let information = Information { cross_entropy: 1.0, marginal: 0.0, conditional, alpha: 1.0 };
        let descent = Descent { steps, learning_rate };
        information.check()?;
        descent.check()?;
        let transform = self.transform.build(b, backbone)?;
        Ok(Tuned { classes, transform, temperature, information, descent })
    }
}

impl Tuned {
    /// Logits `[T, N, C]` by class vectors `[T, C, D]` and offsets `[T, 1, C]`.
    fn logits(&self, features: &Tensor, [vectors, offsets]: &[Tensor; 2]) -> Result<Tensor> {
        let products = features.f_matmul(&vectors.f_transpose(1, 2)?)?;
        Ok(products.f_add(offsets)?.f_mul_scalar(self.temperature)?)
    }

    /// The gradients of the objective by both.
    fn gradient(&self, support: &Labelled, queries: &Tensor, at: &[Tensor; 2]) -> Result<[Tensor; 2]> {
        let logits = [self.logits(&support.features, at)?, self.logits(queries, at)?];
        let [of_support, of_queries] = self.information.by_logits(support, [&logits[0], &logits[1]])?;
        let along = |by: &Tensor, features: &Tensor| by.f_transpose(1, 2)?.f_matmul(features);
        let vectors = along(&of_support, &support.features)?.f_add(&along(&of_queries, queries)?)?;
        let offsets = sum(&of_support, 1)?.f_add(&sum(&of_queries, 1)?)?;
        Ok([vectors.f_mul_scalar(self.temperature)?, offsets.f_mul_scalar(self.temperature)?])
    }
}

impl Head for Tuned {
    type Fitted = Labelled;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Labelled> {
        let features = self.transform.apply(&embeddings.f_detach()?, params)?;
        let name = TransductiveFineTuning::NAME;
        let (labels, there) = targets(name, support, Some(self.classes), features.kind())?;
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
        let vectors = normalised(&centroids(&labelled.features, &labelled.labels)?)?;
        let offsets =
            Tensor::f_zeros([vectors.size3()?.0, 1, self.classes], (vectors.kind(), vectors.device()))?;
        let found = self.descent.run([vectors, offsets], |at| self.gradient(labelled, &queries, at))?;
        self.logits(&queries, &found)
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
    fn the_gradient_is_that_of_cross_entropy_and_the_queries_entropies() {
        let on = (Kind::Double, Device::Cpu);
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap() * 0.3;
        let there = Tensor::from_slice(&[1.0, 1.0, 1.0, 0.0]).reshape([1, 4, 1]).repeat([2, 1, 1]);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 0]).one_hot(3).to_kind(on.0).unsqueeze(0);
        let support = Labelled { features: of("s", &[2, 4, 5]), labels: labels * &there, there };
        let queries = of("q", &[2, 7, 5]);
        let information = Information { cross_entropy: 1.0, marginal: 0.0, conditional: 0.4, alpha: 1.0 };
        let descent = Descent { steps: 1, learning_rate: 1.0 };
        let tuned =
            Tuned { classes: 3, transform: Transform::Nothing, temperature: 4.0, information, descent };
        let at = [of("w", &[2, 3, 5]), of("b", &[2, 1, 3])].map(|x| x.set_requires_grad(true));
        let logits = |x: &Tensor| (x.matmul(&at[0].transpose(1, 2)) + &at[1]) * 4.0;
        let p = logits(&queries).softmax(-1, on.0);
        let loss = -(logits(&support.features).log_softmax(-1, on.0) * &support.labels).sum(on.0) / 3.0
            - (&p * p.log()).sum(on.0) / 7.0 * 0.4;
        let expected = gradients(&loss, &[&at[0], &at[1]], Graph::Free).unwrap();
        let found = tuned.gradient(&support, &queries, &at.each_ref().map(Tensor::detach)).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs().max().double_value(&[]) < 1e-9);
            assert!(expected.abs().max().double_value(&[]) > 1e-3);
        }
    }
}
