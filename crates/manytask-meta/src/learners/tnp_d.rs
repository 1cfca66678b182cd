use manytask_multitask::{Error, Result};
use manytask_nn::layers::{LayerNorm, Linear};
use manytask_nn::nets::MlpConfig;
use manytask_nn::{Builder, Module};
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use super::of_pairs::{hidden, of_pairs};
use crate::attention::{MultiHead, Widths};
use crate::backbone::Backbone;
use crate::embedding::{with_dimension, without_dimension};
use crate::episode::Support;
use crate::learner::{Learner, Predictor};
use crate::outer_gradient::GradientMode;
use crate::prediction::{Prediction, Predicts};
use crate::process::{Decoder, labels};
use crate::shape::EpisodeShape;

/// Transformer neural processes with a distribution of their own for each query (Nguyen & Grover 2022, arXiv:2207.04179, TNP-D).
///
/// Examples `[x, y]` and queries `[x, 0]` are tokens, embedded by the network. In each of `layers` layers examples attend to the examples
/// and queries to the examples alone, never to each other (section 3.2), `t ← norm(t + attention(t))`, `t ← norm(t + W₂ relu(W₁ t))`; what a
/// query has become goes through `decoder`. Minimised is the negative log-likelihood of the queries' labels (equation 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TnpD {
    /// How many layers of attention.
    pub layers: usize,
    /// Heads of each attention, which divide the size of the network's output.
    pub heads: i64,
    /// The size between the two linear maps of a layer.
    pub feed_forward: i64,
    /// The decoder, to whose hidden layers a last one of means and deviations is added.
    pub decoder: MlpConfig,
    /// The smallest standard deviation, in `[0, 1)`.
    pub deviation_floor: f64,
}

impl Default for TnpD {
    fn default() -> Self {
        Self { layers: 6, heads: 4, feed_forward: 128, decoder: hidden(&[128]), deviation_floor: 0.01 }
    }
}

/// What [`TnpD`] builds.
#[derive(Debug)]
struct Transformer {
    layers: Vec<Layer>,
    decoder: Decoder,
}

#[derive(Debug)]
struct Layer {
    attention: MultiHead,
    attended: LayerNorm,
    wide: Linear,
    narrow: Linear,
    normalised: LayerNorm,
    /// The number of its first pass.
    number: u64,
}

/// The examples as each layer sees them, `[T, N, D]`, and which are there, `[T, N, 1]`.
struct Attended<'a> {
    transformer: &'a Transformer,
    support: &'a Support<'a>,
    params: Params,
    examples: Vec<Tensor>,
    there: Tensor,
}

impl Method for TnpD {
    const NAME: &'static str = "tnp_d";
    const SUMMARY: &'static str =
        "a transformer over examples and queries, with a distribution for each query";
    const ABOUT: &'static str = "\
        Nguyen & Grover 2022, arXiv:2207.04179, TNP-D: [network] embeds examples [x, y] and queries [x, 0]; both attend to the \
        examples in `layers` layers. The size of [network]'s output is divisible by `heads`. Judged by the log-likelihood \
        of the queries' labels.";
}

of_pairs!(TnpD);

impl TnpD {
    fn process(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
        _places: i64,
    ) -> Result<Transformer> {
        const MOST: usize = 1000;
        const WIDEST: i64 = 1 << 20;
        if !(1..=MOST).contains(&self.layers) {
            let what = format!("layers is {}", self.layers);
            return Err(Error::setting("layers", what, format!("take 1 to {MOST}")));
        }
        if !(1..=WIDEST).contains(&self.feed_forward) {
            let what = format!("feed_forward is {}", self.feed_forward);
            return Err(Error::setting("feed_forward", what, format!("take 1 to {WIDEST}")));
        }
        let width = backbone.feature_count()?;
        let mut layers = Vec::new();
        for number in 0..self.layers {
            let mut b = b.scope(format!("layer{number}"));
            let widths = Widths { compared: width, values: width };
            layers.push(Layer {
                attention: MultiHead::new(&mut b.scope("attention"), self.heads, widths)?,
                attended: LayerNorm::new(&mut b.scope("attended"), &[width])?,
                wide: Linear::new(&mut b.scope("wide"), width, self.feed_forward)?,
                narrow: Linear::new(&mut b.scope("narrow"), self.feed_forward, width)?,
                normalised: LayerNorm::new(&mut b.scope("normalised"), &[width])?,
                number: 16 + number as u64,
            });
        }
        let config = (&self.decoder, self.deviation_floor);
        let decoder = Decoder::new(b, config, width, shape)?;
        Ok(Transformer { layers, decoder })
    }
}

impl Layer {
    /// Tokens `[T, M, D]` that attend to examples `[T, N, D]`.
    fn forward(
        &self,
        (support, params): (&Support<'_>, &Params),
        tokens: &Tensor,
        (examples, there): (&Tensor, &Tensor),
    ) -> Result<Tensor> {
        let run = |module: &dyn Module, x: &Tensor| {
            let made = support.forward(module, params, &without_dimension(x, support.tasks)?, self.number)?;
            with_dimension(&made, support.tasks)
        };
        let found = self.attention.attend(params, tokens, (examples, examples), there)?;
        let attended = run(&self.attended, &tokens.f_add(&found)?)?;
        let wide = run(&self.wide, &attended)?.f_relu()?;
        run(&self.normalised, &attended.f_add(&run(&self.narrow, &wide)?)?)
    }
}

impl Learner for Transformer {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let (y, there) = labels(&support.y)?;
        let tokens = embedded(support, params, &support.x, &y, 0)?;
        let there = with_dimension(&there, support.tasks)?.f_to_kind(tokens.kind())?;
        let mut examples = vec![tokens];
        // The last layer's output of examples is seen by nothing.
        for layer in self.layers.iter().take(self.layers.len().saturating_sub(1)) {
            if let Some(tokens) = examples.last() {
                examples.push(layer.forward((support, params), tokens, (tokens, &there))?);
            }
        }
        Ok(Box::new(Attended { transformer: self, support, params: params.share(), examples, there }))
    }

    fn predicts(&self) -> Predicts {
        Predicts::Distributions
    }
}

impl Predictor for Attended<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let mut shape = x.size();
        if let (Some(last), Some(outputs)) = (shape.last_mut(), self.support.y.size().last()) {
            *last = *outputs;
        }
        let unknown = Tensor::f_zeros(shape, (x.kind(), x.device()))?;
        let mut tokens = embedded(self.support, &self.params, x, &unknown, 2)?;
        for (layer, examples) in self.transformer.layers.iter().zip(&self.examples) {
            tokens = layer.forward((self.support, &self.params), &tokens, (examples, &self.there))?;
        }
        let (means, deviations) =
            self.transformer.decoder.distributions(self.support, &self.params, &tokens)?;
        Ok(Prediction::normal(means, deviations))
    }
}

/// Tokens `[T, N, D]` of pairs.
fn embedded(support: &Support<'_>, params: &Params, x: &Tensor, y: &Tensor, number: u64) -> Result<Tensor> {
    let pairs = Tensor::f_cat(&[x, y], -1)?;
    with_dimension(&support.forward(support.network, params, &pairs, number)?, support.tasks)
}
