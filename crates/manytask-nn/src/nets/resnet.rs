use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::pictures::{Convolution, image, unbiased};
use super::sizes::positive;
use crate::layers::{Activation, GlobalAvgPool, Linear, MaxPool2d, Residual, Sequential, Stages};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Residual networks of blocks of two 3×3 convolutions (He et al. 2016, arXiv:1512.03385, table 1): with 1, 1, 1, 1 blocks `ResNet-10`, with 2, 2, 2, 2
/// `ResNet-18`, with 3, 4, 6, 3 `ResNet-34`.
///
/// Parameters are called as torchvision's and timm's: `conv1.weight`, `bn1.…`, `layerN.M.conv1.weight`, `layerN.M.bn1.…`,
/// `layerN.M.downsample.0.weight`; with an output `head.…`.
#[derive(Debug)]
pub struct ResNet {
    layers: Stages,
    features: i64,
}

/// The form of a [`ResNet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNetConfig {
    /// What comes before the blocks.
    pub stem: Stem,
    /// Channels of the blocks of the first stage; each further one has twice as many.
    pub width: i64,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

/// What comes before the blocks of a [`ResNet`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// A 7×7 convolution of stride 2 and 3×3 max-pooling of stride 2: for pictures of some 224 pixels.
    #[default]
    Large,
    /// A 3×3 convolution of stride 1: for pictures of some 32 to 84 pixels.
    Small,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self { stem: Stem::Large, width: 64, output: None }
    }
}

impl ResNet {
    /// With so many blocks in each of four stages, for images `[C, H, W]`.
    ///
    /// # Errors
    /// When a size is below 1, or examples are no images.
    pub fn new(
        b: &mut Builder<'_>,
        shape: &[i64],
        blocks: [usize; 4],
        config: &ResNetConfig,
    ) -> Result<Self> {
        let (channels, height, width) = image("resnet", shape)?;
        positive("width", config.width)?;
        if height.min(width) < 2 {
            let found = format!("{height} x {width}");
            return Err(Error::named_setting("stem", "a picture", &found, "resnet is for larger ones"));
        }
        let mut stages = Stages::new();
        let stem = match config.stem {
            Stem::Large => Convolution { kernel: 7, stride: 2, ..unbiased(channels, config.width) },
            Stem::Small => unbiased(channels, config.width),
        };
        let mut first = stem.normalised(b, "conv1", "bn1")?;
        first.push(Box::new(Activation::Relu));
        if config.stem == Stem::Large {
            first.push(Box::new(MaxPool2d::overlapping(3, 2, 1)?));
        }
        let mut inputs = config.width;
        for (number, count) in blocks.into_iter().enumerate() {
            let outputs = config.width.checked_shl(number as u32).filter(|width| *width > 0);
            let Some(outputs) = outputs else {
                return Err(Error::setting("width", &config.width, "take a number of channels"));
            };
            let mut layers = std::mem::take(&mut first);
            for block in 0..count {
                let mut b = b.scope(format!("layer{}", number + 1));
                let stride = if number > 0 && block == 0 { 2 } else { 1 };
                layers.extend(basic(&mut b.scope(block.to_string()), (inputs, outputs), stride)?);
                inputs = outputs;
            }
            if number == 3 {
                layers.push(Box::new(GlobalAvgPool));
            }
            stages.push(layers, inputs);
        }
        let mut features = inputs;
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

/// Two convolutions beside the input, with `ReLU` behind.
fn basic(b: &mut Builder<'_>, (inputs, outputs): (i64, i64), stride: i64) -> Result<Vec<Box<dyn Module>>> {
    let first = Convolution { stride, ..unbiased(inputs, outputs) };
    let mut body = first.normalised(b, "conv1", "bn1")?;
    body.push(Box::new(Activation::Relu));
    body.extend(unbiased(outputs, outputs).normalised(b, "conv2", "bn2")?);
    let body = Box::new(Sequential(body));
    let residual = if stride == 1 && inputs == outputs {
        Residual::new(body)
    } else {
        let past = Convolution { kernel: 1, stride, ..unbiased(inputs, outputs) };
        let past = past.normalised(&mut b.scope("downsample"), "0", "1")?;
        Residual::with_shortcut(body, Box::new(Sequential(past)))
    };
    Ok(vec![Box::new(residual), Box::new(Activation::Relu)])
}

impl Module for ResNet {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn smallest_batch(&self) -> usize {
        // The last blocks may have a single pixel of each picture.
        self.layers.smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}
