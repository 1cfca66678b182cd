use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::Pooling;
use super::pictures::{Convolution, image, unbiased};
use super::sizes::positive;
use crate::init::Gain;
use crate::layers::{DropBlock, Dropout, LeakyRelu, Linear, MaxPool2d, Residual, Sequential, Stages};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// The slope of the activations.
const SLOPE: f64 = 0.1;

/// The residual network of few-shot learning (Lee et al. 2019, arXiv:1904.03758): four blocks of three 3×3 convolutions, each with batch-norm,
/// beside one of 1×1; after their sum leaky `ReLU` of slope 0.1, then 2×2 max-pooling, then dropout: of single numbers in the first
/// two blocks, of squares ([`DropBlock`]) in the last two.
///
/// Parameters are called as in the authors' code: `layerN.0.conv1.weight`, `layerN.0.bn1.…`, `layerN.0.downsample.0.weight`; with an output
/// `head.…`.
#[derive(Debug)]
pub struct ResNet12 {
    layers: Stages,
    features: i64,
}

/// The form of a [`ResNet12`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNet12Config {
    /// Channels of each block: 64-160-320-640, or 64-128-256-512 (Oreshkin et al. 2018).
    pub channels: Vec<i64>,
    /// The share that is dropped in training behind each block, in `[0, 1)`.
    pub dropout: f64,
    /// The side of the squares that the last two blocks drop.
    pub block_size: i64,
    /// What becomes of the last feature map.
    pub pooling: Pooling,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

impl Default for ResNet12Config {
    fn default() -> Self {
        let channels = vec![64, 160, 320, 640];
        Self { channels, dropout: 0.1, block_size: 5, pooling: Pooling::Mean, output: None }
    }
}

impl ResNet12 {
    /// For images `[C, H, W]`.
    ///
    /// # Errors
    /// When a size is below 1, a share out of range, or images too small to be halved by each block.
    pub fn new(b: &mut Builder<'_>, shape: &[i64], config: &ResNet12Config) -> Result<Self> {
        let (mut inputs, mut height, mut width) = image("resnet12", shape)?;
        let mut stages = Stages::new();
        let count = config.channels.len();
        for (number, &outputs) in config.channels.iter().enumerate() {
            positive(("channels", number), outputs)?;
            if height.min(width) < 2 {
                return Err(Error::named_setting(
                    "channels",
                    "the size of images",
                    &format!("{shape:?}"),
                    format!("each of {count} blocks halves it; take larger images or fewer `channels`"),
                ));
            }
            let mut b = b.scope(format!("layer{}", number + 1));
            let mut layers = block(&mut b.scope("0"), (inputs, outputs))?;
            // Of squares where two blocks or fewer are still to come.
            if number + 2 >= count {
                layers.push(Box::new(DropBlock::new(config.dropout, config.block_size)?));
            } else {
                layers.push(Box::new(Dropout::new(config.dropout)?));
            }
            (inputs, height, width) = (outputs, height / 2, width / 2);
            let last = number + 1 == count;
            if last {
                layers.push(config.pooling.layer());
            }
            stages.push(layers, if last { config.pooling.features([inputs, height, width]) } else { inputs });
        }
        let mut features = config.pooling.features([inputs, height, width]);
        if count == 0 {
            stages.push(vec![config.pooling.layer()], features);
        }
        if let Some(output) = config.output {
            positive("output", output)?;
            stages.push(vec![Box::new(Linear::new(&mut b.scope("head"), features, output)?)], output);
            features = output;
        }
        Ok(Self { layers: stages, features })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

/// Three convolutions beside one, the activation, and then pooling: after the sum.
fn block(b: &mut Builder<'_>, (inputs, outputs): (i64, i64)) -> Result<Vec<Box<dyn Module>>> {
    let gain = Gain::LeakyRelu(SLOPE);
    let convolution = |inputs| Convolution { gain, ..unbiased(inputs, outputs) };
    let mut body = convolution(inputs).normalised(b, "conv1", "bn1")?;
    for number in [2, 3] {
        body.push(Box::new(LeakyRelu { slope: SLOPE }));
        let names = (format!("conv{number}"), format!("bn{number}"));
        body.extend(convolution(outputs).normalised(b, &names.0, &names.1)?);
    }
    let past = Convolution { kernel: 1, ..convolution(inputs) };
    let past = past.normalised(&mut b.scope("downsample"), "0", "1")?;
    let residual = Residual::with_shortcut(Box::new(Sequential(body)), Box::new(Sequential(past)));
    Ok(vec![Box::new(residual), Box::new(LeakyRelu { slope: SLOPE }), Box::new(MaxPool2d::new(2)?)])
}

impl Module for ResNet12 {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn smallest_batch(&self) -> usize {
        // Each batch-norm stands before a pooling layer, so it has four values or more of each channel in a single picture.
        1
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}
