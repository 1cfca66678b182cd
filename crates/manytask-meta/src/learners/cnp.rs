use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_nn::nets::MlpConfig;
use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::of_pairs::{hidden, of_pairs};
use crate::backbone::Backbone;
use crate::process::{Decoder, Path, Process};
use crate::shape::EpisodeShape;

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
        Self { decoder: hidden(&[128, 128]), deviation_floor: 0.1 }
    }
}

impl Method for Cnp {
    const NAME: &'static str = "cnp";
    const SUMMARY: &'static str = "normal distributions given the mean of encoded examples";
    const ABOUT: &'static str = "\
        Garnelo et al. 2018, arXiv:1807.01613: [network] encodes pairs [x, y], and needs an `output` or \
        hidden layers; their mean and a query's x go through `decoder`. Judged by the log-likelihood of the \
        queries' labels.";
}

of_pairs!(Cnp);

impl Cnp {
    fn process(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
        places: i64,
    ) -> Result<Process> {
        let inputs = places + backbone.feature_count()?;
        let config = (&self.decoder, self.deviation_floor);
        let decoder = Decoder::new(b, config, inputs, shape)?;
        Ok(Process { decoder, path: Path::Mean, latent: None })
    }
}
