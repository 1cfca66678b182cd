use manytask_multitask::{Error, Result};
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::classifier::cross_entropy_gradient;
use crate::embedding::{centroids, classes, normalised, one_hot, with_dimension, without_dimension};
use crate::episode::{Episode, Support};
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{not_negative, positive};
use crate::ridge::number;
use crate::shape::{EpisodeShape, NetworkShape};

/// LEO, latent embedding optimisation (Rusu et al. 2019, arXiv:1807.05960): inner steps are made in a latent space of few numbers, from which a
/// classifier is decoded.
///
/// Embeddings are encoded, and each pair of examples goes through a relation network; the mean over a class' pairs is the mean and the
/// deviation of its latent code z (equation 3), of which a training draws a sample. A linear decoder gives the distribution of the class' vector w (equation 4);
/// logits are `f · w`. Then `z ← z − α ∇_z L_support` so many times (equation 5), and `w ← w − α' ∇_w L_support` (section 2.3), with α and α'
/// learned. Training adds `kl · KL(q(z) ‖ N(0, 1))`, `encoder_penalty · ‖z' − z‖²` with the adapted z' as a constant (equation 6), and
/// `orthogonality` times the mean squared correlation between the decoder's rows. In an evaluation nothing is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Leo {
    /// Numbers of a code.
    pub latent_size: i64,
    /// Steps in the latent space.
    pub inner_steps: u32,
    /// What α starts from.
    pub inner_learning_rate: f64,
    /// Steps of the decoded classifier.
    pub finetune_steps: u32,
    /// What α' starts from.
    pub finetune_learning_rate: f64,
    /// The weight of the divergence.
    pub kl: f64,
    /// The weight of what the steps change of codes.
    pub encoder_penalty: f64,
    /// The weight of the correlations.
    pub orthogonality: f64,
}

impl Default for Leo {
    fn default() -> Self {
        Self {
            latent_size: 64,
            inner_steps: 5,
            inner_learning_rate: 1.0,
            finetune_steps: 5,
            finetune_learning_rate: 1e-3,
            kl: 1e-3,
            encoder_penalty: 1e-9,
            orthogonality: 1e-3,
        }
    }
}

/// What [`Leo`] builds.
#[derive(Debug)]
struct Latent {
    classes: i64,
    settings: Leo,
    encoder: Slot,
    relation: Mlp,
    /// `[2 D, L]`.
    decoder: Slot,
    /// α and α', where there are such steps.
    rates: [Option<Slot>; 2],
}

/// A support set's classifier, and what its penalty is made of.
struct Decoded {
    /// `[T, C, D]`.
    vectors: Tensor,
    /// Means and logarithms of deviations of the codes, `[T, C, L]`.
    codes: [Tensor; 2],
    /// z and z', `[T, C, L]`.
    moved: [Tensor; 2],
}

/// Noise of codes `[T, C, L]` and of class vectors `[T, C, D]`.
struct Noise {
    code: Tensor,
    vector: Tensor,
}

/// The numbers of passes of a task, and of draws.
const RELATION: u64 = 2;
const NOISE: u64 = 1 << 35;

impl Method for Leo {
    const NAME: &'static str = "leo";
    const SUMMARY: &'static str = "a classifier that is decoded from few numbers, which the inner steps move";
    const ABOUT: &'static str = "\
        Rusu et al. 2019, arXiv:1807.05960: an encoder with a relation network gives each class a code, a decoder its class vector; \
        `inner_steps` steps move the code, `finetune_steps` the vector, at learned rates. The paper is on features of a pretrained network: \
        give it a [pretraining] with `freeze`, `weights` in [network], or network.kind = \"identity\" on vectors.";
}

impl LearnerSpec for Leo {
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
        const MOST: u32 = 1000;
        const LARGEST: i64 = 1 << 16;
        let classes = classes(self.name(), shape)?;
        for (key, steps) in [("inner_steps", self.inner_steps), ("finetune_steps", self.finetune_steps)] {
            if steps > MOST {
                return Err(Error::setting(key, format!("{key} is {steps}"), format!("take 0 to {MOST}")));
            }
        }
        positive("inner_learning_rate", self.inner_learning_rate)?;
        positive("finetune_learning_rate", self.finetune_learning_rate)?;
        not_negative("kl", self.kl)?;
        not_negative("encoder_penalty", self.encoder_penalty)?;
        not_negative("orthogonality", self.orthogonality)?;
        let size = self.latent_size;
        if !(1..=LARGEST).contains(&size) {
            let what = format!("latent_size is {size}");
            return Err(Error::setting("latent_size", what, format!("take 1 to {LARGEST}")));
        }
        let features = backbone.feature_count()?;
        let mut matrix = |name: &str, outputs: i64, inputs: i64| {
            let bound = (6.0 / (inputs + outputs) as f64).sqrt();
            b.parameter(name, &[outputs, inputs], Init::Uniform { low: -bound, high: bound }, Role::Weight)
        };
        let (encoder, decoder) = (matrix("encoder", size, features)?, matrix("decoder", 2 * features, size)?);
        let hidden = vec![2 * size, 2 * size];
        let config = MlpConfig { hidden, output: Some(2 * size), ..MlpConfig::default() };
        let relation = Mlp::new(&mut b.scope("relation"), 2 * size, &config)?;
        let mut rate = |name: &str, steps: u32, start: f64| -> Result<Option<Slot>> {
            let slot = || b.parameter(name, &[1], Init::Constant(start), Role::Scale);
            Ok((steps > 0).then(slot).transpose()?)
        };
        let rates = [
            rate("inner_rate", self.inner_steps, self.inner_learning_rate)?,
            rate("finetune_rate", self.finetune_steps, self.finetune_learning_rate)?,
        ];
        Ok(Box::new(Embedding(Latent { classes, settings: *self, encoder, relation, decoder, rates })))
    }
}

impl Latent {
    /// Means and logarithms of deviations `[T, C, L]` of the classes' codes.
    fn codes(
        &self,
        embeddings: &Tensor,
        members: &Tensor,
        (support, params): (&Support<'_>, &Params),
    ) -> Result<[Tensor; 2]> {
        let encoder = with_dimension(params.get(self.encoder)?, params.tasks())?;
        let encoded = embeddings.f_matmul(&encoder.f_transpose(1, 2)?)?;
        let (tasks, count, size) = encoded.size3()?;
        let shape = [tasks, count, count, size];
        let (own, other) = (encoded.f_unsqueeze(2)?, encoded.f_unsqueeze(1)?);
        let pairs = Tensor::f_cat(&[own.f_expand(shape, false)?, other.f_expand(shape, false)?], -1)?;
        let rows = without_dimension(&pairs.f_reshape([tasks, count * count, 2 * size])?, support.tasks)?;
        let relation: &dyn Module = &self.relation;
        let made = support.forward(relation, params, &rows, RELATION)?;
        let made = made.f_reshape([tasks, count, count, 2 * size])?;
        // The mean over all other examples that are there, then over those of a class.
        let there = members.f_sum_dim_intlist([-1_i64].as_slice(), false, members.kind())?;
        let all = there.f_sum_dim_intlist([-1_i64].as_slice(), true, there.kind())?.f_clamp_min(1.0)?;
        let shares = there.f_div(&all)?.f_unsqueeze(1)?.f_unsqueeze(-1)?;
        let each = made.f_mul(&shares)?.f_sum_dim_intlist([2_i64].as_slice(), false, made.kind())?;
        let codes = centroids(&each, members)?;
        Ok([codes.f_narrow(-1, 0, size)?, codes.f_narrow(-1, size, size)?])
    }

    /// Class vectors `[T, C, D]` of codes, with their deviations.
    fn decoded(&self, codes: &Tensor, noise: &Tensor, params: &Params) -> Result<[Tensor; 2]> {
        let decoder = with_dimension(params.get(self.decoder)?, params.tasks())?;
        let both = codes.f_matmul(&decoder.f_transpose(1, 2)?)?;
        let features = both.size3()?.2 / 2;
        let deviations = both.f_narrow(-1, features, features)?.f_exp()?;
        let drawn = deviations.f_sub_scalar(1.0)?.f_add_scalar(offset(features))?.f_clamp_min(1e-10)?;
        Ok([both.f_narrow(-1, 0, features)?.f_add(&drawn.f_mul(noise)?)?, deviations])
    }

    /// Codes after the steps in the latent space, in the form of `start`.
    fn stepped(
        &self,
        start: &Tensor,
        (embeddings, members): (&Tensor, &Tensor),
        noise: &Tensor,
        params: &Params,
    ) -> Result<Tensor> {
        let Some(rate) = self.rates[0] else { return Ok(start.shallow_clone()) };
        let rate = number(params, rate)?;
        let decoder = with_dimension(params.get(self.decoder)?, params.tasks())?;
        let mut codes = start.shallow_clone();
        for _ in 0..self.settings.inner_steps {
            let [vectors, deviations] = self.decoded(&codes, noise, params)?;
            let by_vectors = gradient(&vectors, embeddings, members)?;
            // Through w = A z + ε ∘ (exp(B z) + …), where that deviation is not at its floor.
            let above =
                deviations.f_sub_scalar(1.0)?.f_add_scalar(offset(by_vectors.size3()?.2))?.f_gt(1e-10)?;
            let by_raw = by_vectors.f_mul(noise)?.f_mul(&deviations)?.f_mul(&above)?;
            let by_codes = Tensor::f_cat(&[by_vectors, by_raw], -1)?.f_matmul(&decoder)?;
            codes = codes.f_sub(&by_codes.f_mul(&rate)?)?;
        }
        Ok(codes)
    }
}

impl Noise {
    /// What is drawn in a task of a training; nothing in an evaluation.
    fn drawn(support: &Support<'_>, like: [&Tensor; 2]) -> Result<Self> {
        let of = |like: &Tensor, number: u64| -> Result<Tensor> {
            let Some((key, ids)) = support.random() else { return Ok(like.f_zeros_like()?) };
            let (_, rows, columns) = like.size3()?;
            let each = ids.iter().map(|id| {
                let key = key.within(NOISE + number).task(*id);
                Ok::<_, Error>(key.normal(&[rows, columns], like.kind(), like.device())?)
            });
            Ok(Tensor::f_stack(&each.collect::<Result<Vec<_>>>()?, 0)?)
        };
        Ok(Self { code: of(like[0], 0)?, vector: of(like[1], 1)? })
    }
}

/// What deviations begin near of class vectors of so many numbers.
fn offset(features: i64) -> f64 {
    (2.0 / (features.max(1) as f64 + 1.0)).sqrt()
}

/// The gradient of the support set's mean cross-entropy by class vectors `[T, C, D]`.
fn gradient(vectors: &Tensor, embeddings: &Tensor, members: &Tensor) -> Result<Tensor> {
    let logits = embeddings.f_matmul(&vectors.f_transpose(1, 2)?)?;
    Ok(cross_entropy_gradient(&logits, members)?.f_transpose(1, 2)?.f_matmul(embeddings)?)
}

impl Head for Latent {
    type Fitted = Decoded;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Decoded> {
        let members = one_hot(Leo::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let codes = self.codes(embeddings, &members, (support, params))?;
        let like = centroids(embeddings, &members)?;
        let noise = Noise::drawn(support, [&codes[0], &like])?;
        let start = codes[0].f_add(&codes[1].f_exp()?.f_mul(&noise.code)?)?;
        let moved = self.stepped(&start, (embeddings, &members), &noise.vector, params)?;
        let [mut vectors, _] = self.decoded(&moved, &noise.vector, params)?;
        if let Some(rate) = self.rates[1] {
            let rate = number(params, rate)?;
            for _ in 0..self.settings.finetune_steps {
                vectors = vectors.f_sub(&gradient(&vectors, embeddings, &members)?.f_mul(&rate)?)?;
            }
        }
        Ok(Decoded { vectors, codes, moved: [start, moved] })
    }

    fn predict(
        &self,
        decoded: &Decoded,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        Ok(queries.f_matmul(&decoded.vectors.f_transpose(1, 2)?)?)
    }

    fn penalty(
        &self,
        decoded: &Decoded,
        _embeddings: [&Tensor; 2],
        _episode: &Episode<'_>,
        params: &Params,
    ) -> Result<Option<(&'static str, Tensor)>> {
        let Leo { kl, encoder_penalty, orthogonality, .. } = self.settings;
        let mean = |x: &Tensor| x.f_mean_dim([1_i64, 2].as_slice(), false, x.kind());
        let [means, logs] = &decoded.codes;
        // ½ (μ² + σ² − 1) − ln σ.
        let squares = means.f_square()?.f_add(&logs.f_mul_scalar(2.0)?.f_exp()?)?.f_sub_scalar(1.0)?;
        let divergence = mean(&squares.f_mul_scalar(0.5)?.f_sub(logs)?)?;
        let [start, moved] = &decoded.moved;
        let change = mean(&moved.f_detach()?.f_sub(start)?.f_square()?)?;
        // Rows of the decoder as [T, L, 2 D], one for each number of a code.
        let rows = with_dimension(params.get(self.decoder)?, params.tasks())?.f_transpose(1, 2)?;
        let rows = normalised(&rows)?;
        let correlations = rows.f_matmul(&rows.f_transpose(1, 2)?)?;
        let own = Tensor::f_eye(correlations.size3()?.1, (rows.kind(), rows.device()))?;
        let correlated = mean(&correlations.f_sub(&own)?.f_square()?)?;
        let sum = divergence.f_mul_scalar(kl)?.f_add(&change.f_mul_scalar(encoder_penalty)?)?;
        Ok(Some(("penalty", sum.f_add(&correlated.f_mul_scalar(orthogonality)?)?)))
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, Kind, Layout, gradients};

    use super::*;

    #[test]
    fn steps_in_the_latent_space_are_those_of_the_graph() {
        let on = (Kind::Double, Device::Cpu);
        let mut layout = Layout::builder();
        let b = &mut Builder::new(&mut layout);
        let config = MlpConfig { hidden: vec![4], output: Some(4), ..MlpConfig::default() };
        let relation = Mlp::new(&mut b.scope("relation"), 4, &config).unwrap();
        let normal = Init::Normal { mean: 0.0, std: 0.4 };
        let encoder = b.parameter("encoder", &[2, 5], normal, Role::Weight).unwrap();
        let decoder = b.parameter("decoder", &[10, 2], normal, Role::Weight).unwrap();
        let rate = b.parameter("rate", &[1], Init::Constant(0.7), Role::Scale).unwrap();
        let settings = Leo { inner_steps: 2, ..Leo::default() };
        let head = Latent { classes: 3, settings, encoder, relation, decoder, rates: [Some(rate), None] };
        let params = layout.build().init(3, on.0, on.1).unwrap();
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap();
        let (x, z, noise) = (of("x", &[1, 4, 5]), of("z", &[1, 3, 2]), of("e", &[1, 3, 5]));
        let members = Tensor::from_slice(&[0_i64, 1, 2, 0]).one_hot(3).to_kind(on.0).unsqueeze(0);
        let _ = members.select(1, 3).fill_(0.0);
        let found = head.stepped(&z, (&x, &members), &noise, &params).unwrap();
        let mut expected = z;
        for _ in 0..2 {
            let leaf = expected.detach().set_requires_grad(true);
            let [vectors, _] = head.decoded(&leaf, &noise, &params).unwrap();
            let logits = x.matmul(&vectors.transpose(1, 2));
            let loss = -(logits.log_softmax(-1, on.0) * &members).sum(on.0) / 3.0;
            let gradient = gradients(&loss, &[&leaf], Graph::Free).unwrap().remove(0);
            expected = leaf.detach() - gradient * 0.7;
        }
        assert!((found - expected).abs().max().double_value(&[]) < 1e-10);
    }
}
