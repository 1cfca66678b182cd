use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_nn::nets::MlpConfig;
use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::of_pairs::{hidden, of_pairs};
use crate::backbone::Backbone;
use crate::process::{Decoder, Latent, Path, Process};
use crate::shape::EpisodeShape;

/// Neural processes (Garnelo et al. 2018, arXiv:1807.01622): a support set becomes the distribution of a latent variable z, of which a
/// sample stands for one function, and queries become normal distributions given it.
///
/// With the network as the encoder h of pairs `[x, y]`: `q(z | S) = N(μ(r), σ(r)²)` of the mean `r = mean h(xᵢ, yᵢ)` by the perceptron
/// `latent`, and `p(y | x, z)` by `decoder`. Minimised is the negative of their equation 7 for each label of support S and queries Q,
/// `−mean ln p(y | x, z) + KL(q(z | S ∪ Q) ‖ q(z | S)) / |S ∪ Q|` with one sample z of `q(z | S ∪ Q)`. A prediction is the mixture over
/// `samples` samples of `q(z | S)`, the same quantiles for every task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Np {
    /// The hidden layers between the mean of encoded pairs and the distribution of z.
    pub latent: MlpConfig,
    /// The numbers of z.
    pub latent_size: i64,
    /// How many samples a prediction is a mixture over.
    pub samples: u32,
    /// The decoder, to whose hidden layers a last one of means and deviations is added.
    pub decoder: MlpConfig,
    /// The smallest standard deviation, in `[0, 1)`.
    pub deviation_floor: f64,
}

impl Default for Np {
    fn default() -> Self {
        Self {
            latent: hidden(&[64]),
            latent_size: 64,
            samples: 50,
            decoder: hidden(&[128, 128]),
            deviation_floor: 0.1,
        }
    }
}

impl Method for Np {
    const NAME: &'static str = "np";
    const SUMMARY: &'static str = "normal distributions given a sampled latent variable of the examples";
    const ABOUT: &'static str = "\
        Garnelo et al. 2018, arXiv:1807.01622: [network] encodes pairs [x, y], of whose mean `latent` makes the \
        distribution of z; z and a query's x go through `decoder`. Trained by the evidence lower bound with one \
        sample, judged by the log-likelihood of the mixture over `samples` samples.";
}

of_pairs!(Np);

impl Np {
    fn process(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
        places: i64,
    ) -> Result<Process> {
        let sizes = (self.latent_size, self.samples);
        let latent = Latent::new(b, &self.latent, sizes, backbone.feature_count()?)?;
        let config = (&self.decoder, self.deviation_floor);
        let decoder = Decoder::new(b, config, latent.size() + places, shape)?;
        Ok(Process { decoder, path: Path::None, latent: Some(latent) })
    }
}
