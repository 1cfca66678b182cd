use manytask_multitask::{Error, Result};
use manytask_nn::loss::present;
use manytask_nn::metrics::Output;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Kind, Method, Params, Tensor, WHOLE, Within as _};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{with_dimension, without_dimension};
use crate::episode::{Episode, Support};
use crate::learner::{Learner, LearnerSpec, Objective, Predictor};
use crate::outer_gradient::GradientMode;
use crate::prediction::{Prediction, Predicts};
use crate::shape::{EpisodeShape, NetworkShape};

/// Conditional neural processes (Garnelo et al. 2018, arXiv:1807.01613): nothing is adapted; a support set becomes one vector, and
/// queries become normal distributions given it.
///
/// The network is the encoder h of pairs `[x, y]`, a decoder g is the learner's own: `r = mean h(xᵢ, yᵢ)` over the support
/// examples that are there (equations 2 and 3), `(μ, ω) = g(x, r)` (equation 4), `σ = floor + (1 − floor) softplus(ω)`. Minimised is the mean
/// negative log-likelihood `−ln N(y; μ, σ²)` (equation 5) of support and query labels together; judged are those of the queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cnp {
    /// The decoder, to whose hidden layers a last one of means and deviations is added.
    pub decoder: MlpConfig,
    /// The smallest standard deviation, in `[0, 1)`; 0.1 in the paper's experiments.
    pub deviation_floor: f64,
}

impl Default for Cnp {
    fn default() -> Self {
        Self { decoder: MlpConfig { hidden: vec![128, 128], ..MlpConfig::default() }, deviation_floor: 0.1 }
    }
}

/// What [`Cnp`] builds.
#[derive(Debug)]
struct Process {
    decoder: Mlp,
    outputs: i64,
    floor: f64,
}

/// A support set as a vector for each task, `[T, R]`.
struct Represented<'a> {
    process: &'a Process,
    support: &'a Support<'a>,
    params: Params,
    representation: Tensor,
}

impl Method for Cnp {
    const NAME: &'static str = "cnp";
    const SUMMARY: &'static str = "normal distributions given the mean of encoded examples";
    const ABOUT: &'static str = "\
        Garnelo et al. 2018, arXiv:1807.01613: [network] encodes pairs [x, y], and needs an `output` or \
        hidden layers; their mean and a query's x go through `decoder`. Judged by the log-likelihood of the \
        queries' labels.";
}

impl LearnerSpec for Cnp {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        let inputs: i64 = shape.input.iter().product();
        NetworkShape { input: vec![inputs.saturating_add(shape.outputs)], outputs: None }
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        if shape.output != Output::Regression || shape.input.len() != 1 {
            return Err(Error::setting(
                WHOLE,
                "`cnp` on tasks that are no regression of numbers",
                "take such tasks, e.g. `gaussian_process`, or another learner",
            ));
        }
        if self.decoder.output.is_some() {
            return Err(Error::setting(
                ["decoder", "output"],
                "`decoder` has an `output`",
                "leave it out: its last layer has a mean and a deviation for each number",
            ));
        }
        if !(0.0..1.0).contains(&self.deviation_floor) {
            return Err(Error::setting(
                "deviation_floor",
                format!("deviation_floor is {}", self.deviation_floor),
                "take 0 to below 1",
            ));
        }
        let representation: i64 = backbone.features()?.iter().product();
        let inputs: i64 = shape.input.iter().product();
        let config = MlpConfig { output: Some(2 * shape.outputs), ..self.decoder.clone() };
        let decoder =
            Mlp::new(&mut b.scope("decoder"), representation + inputs, &config).within("decoder")?;
        Ok(Box::new(Process { decoder, outputs: shape.outputs, floor: self.deviation_floor }))
    }
}

impl Learner for Process {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let there = present(&support.y)?.f_all_dim(-1, true)?;
        let y = support.y.f_where_self(&there, &support.y.f_zeros_like()?)?;
        let pairs = Tensor::f_cat(&[&support.x, &y], -1)?;
        let encoded = with_dimension(&support.forward(support.network, params, &pairs, 0)?, support.tasks)?;
        let there = with_dimension(&there, support.tasks)?.f_to_kind(encoded.kind())?;
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind());
        // Without any example it is 0.
        let representation = sum(&encoded.f_mul(&there)?)?.f_div(&sum(&there)?.f_clamp_min(1.0)?)?;
        Ok(Box::new(Represented { process: self, support, params: params.share(), representation }))
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, mode: GradientMode) -> Result<Objective> {
        let support = &episode.support;
        let along = i64::from(support.tasks.is_some());
        let predictor = self.adapt(support, params, mode)?;
        let prediction = predictor.predict(&Tensor::f_cat(&[&support.x, &episode.query_x], along)?)?;
        let target = Tensor::f_cat(&[&support.y, &episode.query_y], along)?;
        let losses = prediction.losses(support.loss, &target, support.tasks)?;
        let rows = [support.tasks.unwrap_or(1), -1];
        let mean = |x: &Tensor| x.f_reshape(rows)?.f_mean_dim([1_i64].as_slice(), false, None::<Kind>);
        let deviation = prediction.deviations.as_ref().map(mean).transpose()?;
        Ok(Objective {
            losses,
            terms: deviation.map(|deviation| ("deviation", deviation)).into_iter().collect(),
        })
    }

    fn predicts(&self) -> Predicts {
        Predicts::Distributions
    }
}

impl Predictor for Represented<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let (tasks, Process { decoder, outputs, floor }) = (self.support.tasks, self.process);
        let x = with_dimension(x, tasks)?;
        let [count, queries, width] = [0, 1, -1].map(|dim| {
            let (size, dims) = (x.size(), x.dim() as i64);
            size.get((if dim < 0 { dims + dim } else { dim }) as usize).copied().unwrap_or_default()
        });
        let representation = self.representation.f_unsqueeze(1)?.f_expand([count, queries, -1], false)?;
        let rows = Tensor::f_cat(&[&representation, &x.f_reshape([count, queries, width])?], -1)?;
        let decoder: &dyn Module = decoder;
        let decoded = self.support.forward(decoder, &self.params, &without_dimension(&rows, tasks)?, 1)?;
        let values = decoded.f_narrow(-1, 0, *outputs)?;
        let raw = decoded.f_narrow(-1, *outputs, *outputs)?;
        let deviations = raw.f_softplus()?.f_mul_scalar(1.0 - floor)?.f_add_scalar(*floor)?;
        Ok(Prediction { values, deviations: Some(deviations) })
    }
}
