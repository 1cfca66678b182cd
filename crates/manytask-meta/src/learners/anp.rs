use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_tensor::{Method, Within as _};
use serde::{Deserialize, Serialize};

use super::of_pairs::{hidden, of_pairs};
use crate::attention::{MultiHead, Widths};
use crate::backbone::Backbone;
use crate::process::{Decoder, Latent, Path, Process};
use crate::shape::EpisodeShape;

/// Attentive neural processes (Kim et al. 2019, arXiv:1901.05761): a neural process whose queries also attend to the examples.
///
/// Beside the latent variable of [`Np`](crate::Np) a query x has `r(x)`, by multihead attention (section 3.2) of x among the places xᵢ of
/// the examples, embedded by the perceptron `places`, with the encoded pairs `h(xᵢ, yᵢ)` as values. One encoder, the network, serves both
/// paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anp {
    /// The embedding of places x for the attention.
    pub places: MlpConfig,
    /// The heads of the attention, which divide the size of the network's output.
    pub heads: i64,
    /// As [`Np::latent`](crate::Np::latent).
    pub latent: MlpConfig,
    /// As [`Np::latent_size`](crate::Np::latent_size).
    pub latent_size: i64,
    /// As [`Np::samples`](crate::Np::samples).
    pub samples: u32,
    /// The decoder, to whose hidden layers a last one of means and deviations is added.
    pub decoder: MlpConfig,
    /// The smallest standard deviation, in `[0, 1)`.
    pub deviation_floor: f64,
}

impl Default for Anp {
    fn default() -> Self {
        Self {
            places: hidden(&[64, 64]),
            heads: 4,
            latent: hidden(&[64]),
            latent_size: 64,
            samples: 50,
            decoder: hidden(&[128, 128]),
            deviation_floor: 0.1,
        }
    }
}

impl Method for Anp {
    const NAME: &'static str = "anp";
    const SUMMARY: &'static str = "a neural process whose queries attend to the examples";
    const ABOUT: &'static str = "\
        Kim et al. 2019, arXiv:1901.05761: as `np`, and a query's x attends to the examples' (`places`, `heads`), with \
        their encoded pairs as values. The size of [network]'s output is divisible by `heads`.";
}

of_pairs!(Anp);

impl Anp {
    fn process(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
        places: i64,
    ) -> Result<Process> {
        let values = backbone.feature_count()?;
        let embedding = Mlp::new(&mut b.scope("places"), places, &self.places).within("places")?;
        let widths = Widths { compared: embedding.features(), values };
        let attention = MultiHead::new(&mut b.scope("attention"), self.heads, widths)?;
        let latent = Latent::new(b, &self.latent, (self.latent_size, self.samples), values)?;
        let config = (&self.decoder, self.deviation_floor);
        let decoder = Decoder::new(b, config, values + latent.size() + places, shape)?;
        let path = Path::Attention { embedding: Box::new(embedding), attention };
        Ok(Process { decoder, path, latent: Some(latent) })
    }
}
