use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::pictures::{Convolution, image, unbiased};
use super::sizes::positive;
use crate::init::Gain;
use crate::layers::{Dropout, LeakyRelu, Linear, MaxPool2d, Sequential, Stages};
use crate::{Builder, Context, Error, Module, Result};

/// The slope of the activations.
const SLOPE: f64 = 0.1;

/// The network of R2-D2 (Bertinetto et al. 2019, arXiv:1805.08136, section 4.2): four blocks of 3×3 convolution, batch-norm, 2×2 max-pooling and
/// leaky `ReLU` of slope 0.1, with dropout in the last two. What comes out are the numbers of the third block and of the fourth: as in the
/// authors' code the fourth pools with a stride of 1, and so is the third once more.
///
/// Parameters are `layerN.conv.…`, `layerN.norm.…`, and `head.…` with an output.
#[derive(Debug)]
pub struct ConvR2d2 {
    first: Stages,
    third: Sequential,
    fourth: Sequential,
    head: Option<Linear>,
    features: i64,
}

/// The form of a [`ConvR2d2`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvR2d2Config {
    /// Channels of the four blocks.
    pub channels: [i64; 4],
    /// The shares of numbers that are dropped in training behind the third block and the fourth, in `[0, 1)`.
    pub dropout: [f64; 2],
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

impl Default for ConvR2d2Config {
    fn default() -> Self {
        Self { channels: [96, 192, 384, 512], dropout: [0.1, 0.4], output: None }
    }
}

impl ConvR2d2 {
    /// For images `[C, H, W]`.
    ///
    /// # Errors
    /// When a size is below 1, a share out of range, or images too small.
    pub fn new(b: &mut Builder<'_>, shape: &[i64], config: &ConvR2d2Config) -> Result<Self> {
        let (channels, height, width) = image("conv_r2d2", shape)?;
        let sides = [height / 8, width / 8];
        if sides.iter().any(|side| *side < 2) {
            let found = format!("{height} x {width}");
            return Err(Error::named_setting(
                "channels",
                "a picture",
                &found,
                "conv_r2d2 is for sides of 16 pixels and more",
            ));
        }
        let (mut first, mut blocks, mut inputs) = (Stages::new(), Vec::new(), channels);
        for (number, outputs) in config.channels.into_iter().enumerate() {
            positive(("channels", number), outputs)?;
            let pooling = if number == 3 { MaxPool2d::overlapping(2, 1, 0)? } else { MaxPool2d::new(2)? };
            let form = Convolution { bias: true, gain: Gain::LeakyRelu(SLOPE), ..unbiased(inputs, outputs) };
            let mut layers = form.normalised(&mut b.scope(format!("layer{number}")), "conv", "norm")?;
            layers.extend([Box::new(pooling) as Box<dyn Module>, Box::new(LeakyRelu { slope: SLOPE })]);
            match number.checked_sub(2).and_then(|place| Some((place, *config.dropout.get(place)?))) {
                None => first.push(layers, outputs),
                Some((place, share)) => {
                    let dropout = Dropout::new(share)
                        .map_err(|_| Error::setting(("dropout", place), &share, "it must be in [0, 1)"))?;
                    layers.push(Box::new(dropout));
                    blocks.push(Sequential(layers));
                }
            }
            inputs = outputs;
        }
        let [_, _, third, fourth] = config.channels;
        let mut features = (third + fourth) * (sides[0] - 1) * (sides[1] - 1);
        if let Some(output) = config.output {
            positive("output", output)?;
        }
        let inputs = features;
        let head =
            config.output.map(|output| Linear::new(&mut b.scope("head"), inputs, output)).transpose()?;
        features = config.output.unwrap_or(features);
        let mut blocks = blocks.into_iter();
        let [third, fourth] =
            [blocks.next(), blocks.next()].map(|block| block.unwrap_or(Sequential(Vec::new())));
        Ok(Self { first, third, fourth, head, features })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

impl Module for ConvR2d2 {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let x = self.first.forward(params, x, cx)?;
        let third = self.third.forward(params, &x, cx)?;
        let fourth = self.fourth.forward(params, &third, cx)?;
        let third = MaxPool2d::overlapping(2, 1, 0)?.forward(params, &third, cx)?;
        let rows = Tensor::f_cat(&[third.f_flatten(-3, -1)?, fourth.f_flatten(-3, -1)?], -1)?;
        match &self.head {
            Some(head) => head.forward(params, &rows, cx),
            None => Ok(rows),
        }
    }
}
