//! Neural processes: a support set of numbers becomes a representation, and queries normal distributions given it.

mod decoder;
mod latent;

use manytask_multitask::Result;
use manytask_nn::loss::present;
use manytask_nn::nets::Mlp;
use manytask_tensor::{Kind, Params, Tensor};

pub(crate) use self::decoder::{Decoder, check_floor, deviations, numbers};
pub(crate) use self::latent::Latent;
use crate::attention::MultiHead;
use crate::embedding::{with_dimension, without_dimension};
use crate::episode::{Episode, Support};
use crate::learner::{Learner, Objective, Predictor};
use crate::outer_gradient::GradientMode;
use crate::prediction::{Components, Prediction, Predicts};
use crate::shape::{EpisodeShape, NetworkShape};

/// A neural process, whose network encodes pairs `[x, y]`: what the settings of the methods build.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) decoder: Decoder,
    pub(crate) path: Path,
    pub(crate) latent: Option<Latent>,
}

/// What of the encoded pairs reaches the decoder as it is.
#[derive(Debug)]
pub(crate) enum Path {
    /// Nothing: all goes through the latent variable.
    None,
    /// Their mean.
    Mean,
    /// What a query's place attends to among those of the examples, both embedded by one network.
    Attention {
        /// Of places.
        embedding: Box<Mlp>,
        /// Among them.
        attention: MultiHead,
    },
}

/// The numbers of the passes of a task.
const PAIRS: u64 = 0;
const DECODER: u64 = 1;
const LATENT: u64 = 2;
const PLACES: u64 = 3;
const ALL_PAIRS: u64 = 4;
const ALL_LATENT: u64 = 5;

/// Encoded pairs `[T, N, R]`, and `[T, N, 1]` of 1 where there is one.
struct Pairs {
    encoded: Tensor,
    there: Tensor,
}

/// A support set with what was made of it.
struct Represented<'a> {
    process: &'a Process,
    support: &'a Support<'a>,
    params: Params,
    pairs: Pairs,
    /// Of the latent variable, `[T, L]` each, where there is one.
    samples: Vec<Tensor>,
}

/// The pairs that go into the network of a process.
pub(crate) fn pairs_shape(shape: &EpisodeShape) -> NetworkShape {
    let inputs: i64 = shape.input.iter().product();
    NetworkShape { input: vec![inputs.saturating_add(shape.outputs)], outputs: None }
}

/// Sum over the rows of each task `[T, N, R]`, as `[T, R]`.
fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind())?)
}

/// Labels without the missing ones, for which 0 stands, and `[T?, N, 1]` whether they are there.
pub(crate) fn labels(y: &Tensor) -> Result<(Tensor, Tensor)> {
    let there = present(y)?.f_all_dim(-1, true)?;
    Ok((y.f_where_self(&there, &y.f_zeros_like()?)?, there))
}

impl Pairs {
    fn of(support: &Support<'_>, params: &Params, (x, y): (&Tensor, &Tensor), number: u64) -> Result<Self> {
        let (y, there) = labels(y)?;
        let pairs = Tensor::f_cat(&[x, &y], -1)?;
        let encoded = support.forward(support.network, params, &pairs, number)?;
        let encoded = with_dimension(&encoded, support.tasks)?;
        let there = with_dimension(&there, support.tasks)?.f_to_kind(encoded.kind())?;
        Ok(Self { encoded, there })
    }

    /// Their mean `[T, R]`; without any it is 0.
    fn mean(&self) -> Result<Tensor> {
        Ok(sum(&self.encoded.f_mul(&self.there)?)?.f_div(&self.count()?)?)
    }

    /// How many there are `[T, 1]`, at least 1.
    fn count(&self) -> Result<Tensor> {
        Ok(sum(&self.there)?.f_clamp_min(1.0)?)
    }
}

impl Process {
    fn represented<'a>(&'a self, support: &'a Support<'a>, params: &Params) -> Result<Represented<'a>> {
        let pairs = Pairs::of(support, params, (&support.x, &support.y), PAIRS)?;
        Ok(Represented { process: self, support, params: params.share(), pairs, samples: Vec::new() })
    }
}

impl Learner for Process {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let mut represented = self.represented(support, params)?;
        if let Some(latent) = &self.latent {
            let given = latent.given(support, params, &represented.pairs.mean()?, LATENT)?;
            represented.samples = latent.samples(support, &given)?;
        }
        Ok(Box::new(represented))
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, _mode: GradientMode) -> Result<Objective> {
        let support = &episode.support;
        let along = i64::from(support.tasks.is_some());
        let x = Tensor::f_cat(&[&support.x, &episode.query_x], along)?;
        let target = Tensor::f_cat(&[&support.y, &episode.query_y], along)?;
        let mut represented = self.represented(support, params)?;
        let mut terms = Vec::new();
        let mut divergence = None;
        if let Some(latent) = &self.latent {
            let prior = latent.given(support, params, &represented.pairs.mean()?, LATENT)?;
            let all = Pairs::of(support, params, (&x, &target), ALL_PAIRS)?;
            let posterior = latent.given(support, params, &all.mean()?, ALL_LATENT)?;
            represented.samples = vec![latent.sample(support, &posterior)?];
            let each = posterior.divergence(&prior)?.f_div(&all.count()?.f_squeeze_dim(1)?)?;
            let each = without_dimension(&each, support.tasks)?;
            terms.push(("divergence", each.shallow_clone()));
            divergence = Some(each);
        }
        let prediction = represented.predict(&x)?;
        let mut losses = prediction.losses(support.loss, &target, support.tasks)?;
        if let Some(divergence) = divergence {
            losses = losses.f_add(&divergence)?;
        }
        let rows = [support.tasks.unwrap_or(1), -1];
        if let Some(deviations) = &prediction.deviations {
            let mean = deviations.f_reshape(rows)?.f_mean_dim([1_i64].as_slice(), false, None::<Kind>)?;
            terms.push(("deviation", mean));
        }
        Ok(Objective { losses, terms })
    }

    fn predicts(&self) -> Predicts {
        Predicts::Distributions
    }

    fn changes_with_steps(&self) -> bool {
        // Samples are drawn anew for each.
        self.latent.is_some()
    }
}

impl Represented<'_> {
    /// What of the pairs reaches the decoder of queries `[T, M, X]`, `[T, M, R]`.
    fn reached(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let (count, queries, _) = x.size3()?;
        let support = self.support;
        Ok(match &self.process.path {
            Path::None => None,
            Path::Mean => Some(self.pairs.mean()?.f_unsqueeze(1)?.f_expand([count, queries, -1], false)?),
            Path::Attention { embedding, attention } => {
                let embedded = |x: &Tensor, number: u64| -> Result<Tensor> {
                    let places = support.forward(embedding.as_ref(), &self.params, x, number)?;
                    with_dimension(&places, support.tasks)
                };
                let keys = embedded(&support.x, PLACES)?;
                let places = embedded(&without_dimension(x, support.tasks)?, PLACES)?;
                let found = (&keys, &self.pairs.encoded);
                Some(attention.attend(&self.params, &places, found, &self.pairs.there)?)
            }
        })
    }

    /// Means and deviations `[T?, M, D]` for queries `[T, M, X]` and what reached them, with a sample of the latent variable.
    fn decoded(
        &self,
        x: &Tensor,
        reached: Option<&Tensor>,
        sample: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let (count, queries, _) = x.size3()?;
        let sample = sample.map(|z| {
            Ok::<_, manytask_multitask::Error>(z.f_unsqueeze(1)?.f_expand([count, queries, -1], false)?)
        });
        let sample = sample.transpose()?;
        let parts: Vec<&Tensor> = reached.into_iter().chain(sample.as_ref()).chain([x]).collect();
        self.process.decoder.distributions(self.support, &self.params, &Tensor::f_cat(&parts, -1)?)
    }
}

impl Predictor for Represented<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let x = with_dimension(x, self.support.tasks)?.f_flatten(2, -1)?;
        let reached = self.reached(&x)?;
        if self.samples.len() < 2 {
            let (means, deviations) = self.decoded(&x, reached.as_ref(), self.samples.first())?;
            return Ok(Prediction::normal(means, deviations));
        }
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for sample in &self.samples {
            let (mean, deviation) = self.decoded(&x, reached.as_ref(), Some(sample))?;
            means.push(mean);
            deviations.push(deviation);
        }
        let (means, deviations) = (Tensor::f_stack(&means, 0)?, Tensor::f_stack(&deviations, 0)?);
        Prediction::mixture(Components { means, deviations })
    }
}
