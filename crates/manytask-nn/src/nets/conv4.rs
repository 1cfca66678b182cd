use manytask_tensor::{Params, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::Pooling;
use super::sizes::positive;
use crate::layers::{Activation, BatchNorm, Conv2d, ConvConfig, Linear, MaxPool2d, Stages};
use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Blocks of 3×3 convolution, batch-norm, `ReLU` and 2×2 max-pooling: the trunk of few-shot learning (Vinyals et al. 2016), with the published
/// variants: of other channels, with convolutions of stride 2 in place of pooling, with the mean of the last feature map.
///
/// Parameters are `layerN.conv.weight`, `layerN.conv.bias`, `layerN.norm.…`, and `head.…` with an output.
#[derive(Debug)]
pub struct Conv4 {
    layers: Stages,
    features: i64,
    /// The smallest batch.
    smallest: usize,
}

/// The form of a [`Conv4`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conv4Config {
    /// Channels of each block.
    pub hidden: i64,
    /// The number of blocks.
    pub blocks: usize,
    /// Channels of each block, where they differ: in place of `hidden` and `blocks`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<i64>,
    /// How blocks halve pictures.
    pub down: Downsampling,
    /// What becomes of the last feature map.
    pub pooling: Pooling,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

/// How the blocks of a [`Conv4`] halve pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downsampling {
    /// By 2×2 max-pooling at their end (Vinyals et al. 2016, Snell et al. 2017).
    #[default]
    Pool,
    /// By convolutions of stride 2, without pooling (Finn et al. 2017, on Omniglot).
    Stride,
}

impl Default for Conv4Config {
    fn default() -> Self {
        let (channels, down, pooling) = (Vec::new(), Downsampling::Pool, Pooling::Flatten);
        Self { hidden: 64, blocks: 4, channels, down, pooling, output: None }
    }
}

impl Conv4Config {
    /// Channels of each block.
    fn channels(&self) -> Result<Vec<i64>> {
        if self.channels.is_empty() {
            positive("hidden", self.hidden)?;
            return Ok(vec![self.hidden; self.blocks]);
        }
        for (number, channels) in self.channels.iter().enumerate() {
            positive(("channels", number), *channels)?;
        }
        Ok(self.channels.clone())
    }
}

impl Conv4 {
    /// For pictures `[B, channels, size, size]`.
    ///
    /// # Errors
    /// When a size is below 1, or the picture too small to be halved once for each block.
    pub fn new(b: &mut Builder<'_>, channels: i64, size: i64, config: &Conv4Config) -> Result<Self> {
        let mut stages = Stages::new();
        let (mut channels, mut side) = (channels, size);
        let blocks = config.channels()?;
        for (i, &outputs) in blocks.iter().enumerate() {
            if side < 2 {
                let found = format!("{size} pixels for {} blocks", blocks.len());
                return Err(Error::named_setting(
                    "blocks",
                    "a picture's size",
                    &found,
                    "each block halves it; take fewer blocks",
                ));
            }
            let mut b = b.scope(format!("layer{i}"));
            let mut layers: Vec<Box<dyn Module>> = Vec::new();
            let stride = if config.down == Downsampling::Stride { 2 } else { 1 };
            let conv = ConvConfig { stride, ..ConvConfig::same(channels, outputs, 3) };
            layers.push(Box::new(Conv2d::new(&mut b.scope("conv"), conv)?));
            layers.push(Box::new(BatchNorm::new(&mut b.scope("norm"), outputs)?));
            layers.push(Box::new(Activation::Relu));
            side = conv.size_after(side);
            if config.down == Downsampling::Pool {
                layers.push(Box::new(MaxPool2d::new(2)?));
                side /= 2;
            }
            channels = outputs;
            let is_last = i + 1 == blocks.len();
            if is_last {
                layers.push(config.pooling.layer());
            }
            stages.push(
                layers,
                if is_last { config.pooling.features([channels, side, side]) } else { channels },
            );
        }
        let mut features = config.pooling.features([channels, side, side]);
        if blocks.is_empty() {
            stages.push(vec![config.pooling.layer()], features);
        }
        if let Some(output) = config.output {
            positive("output", output)?;
            let head = Linear::new(&mut b.scope("head"), features, output)?;
            stages.push(vec![Box::new(head)], output);
            features = output;
        }
        // A batch-norm before a pooling layer has four values or more of each channel in a single picture, one before a single pixel has one.
        let smallest = if config.down == Downsampling::Stride && side == 1 { 2 } else { 1 };
        Ok(Self { layers: stages, features, smallest })
    }

    /// For images given as the shape `[C, H, W]`.
    ///
    /// # Errors
    /// When these are no square images, and those of [`Conv4::new`].
    pub fn for_images(b: &mut Builder<'_>, image: &[i64], config: &Conv4Config) -> Result<Self> {
        match image {
            &[channels, height, width] if height == width => Self::new(b, channels, height, config),
            [_, height, width] => Err(Error::named_setting(
                WHOLE,
                "a picture",
                &format!("{height} x {width}"),
                "conv4 is for square ones",
            )),
            _ => Err(Error::named_setting(
                WHOLE,
                "the shape of an example",
                &format!("{image:?}"),
                "conv4 is for pictures [C, H, W]",
            )),
        }
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

impl Module for Conv4 {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        self.layers.primitives()
    }

    fn smallest_batch(&self) -> usize {
        self.smallest
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn omniglot_gives_64_numbers() {
        let mut layout = Layout::builder();
        let net = Conv4::new(&mut Builder::new(&mut layout), 1, 28, &Conv4Config::default()).unwrap();
        assert_eq!(net.features(), 64);
        let params = layout.build().init(1, Kind::Float, Device::Cpu).unwrap();
        let x = Tensor::zeros([2, 1, 28, 28], (Kind::Float, Device::Cpu));
        assert_eq!(net.forward(&params, &x, &mut Context::eval()).unwrap().size(), [2, 64]);
        let mut layout = Layout::builder();
        assert!(Conv4::new(&mut Builder::new(&mut layout), 1, 15, &Conv4Config::default()).is_err());
    }
}
