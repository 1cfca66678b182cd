use manytask_tensor::{Params, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::sizes::positive;
use crate::layers::{Activation, BatchNorm, Conv2d, ConvConfig, Flatten, Linear, MaxPool2d, Stages};
use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Blocks of 3×3 convolution, batch-norm, `ReLU` and 2×2 max-pooling: the trunk of few-shot learning (Vinyals et al. 2016).
///
/// Parameters are `layerN.conv.weight`, `layerN.conv.bias`, `layerN.norm.…`, and `head.…` with an output.
#[derive(Debug)]
pub struct Conv4 {
    layers: Stages,
    features: i64,
}

/// The form of a [`Conv4`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conv4Config {
    /// Channels of each block.
    pub hidden: i64,
    /// The number of blocks.
    pub blocks: usize,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

impl Default for Conv4Config {
    fn default() -> Self {
        Self { hidden: 64, blocks: 4, output: None }
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
        positive("hidden", config.hidden)?;
        for i in 0..config.blocks {
            if side < 2 {
                let found = format!("{size} pixels for {} blocks", config.blocks);
                return Err(Error::named_setting(
                    "blocks",
                    "a picture's size",
                    &found,
                    "each block halves it; take fewer blocks",
                ));
            }
            let mut b = b.scope(format!("layer{i}"));
            let mut layers: Vec<Box<dyn Module>> = Vec::new();
            let conv = ConvConfig::same(channels, config.hidden, 3);
            layers.push(Box::new(Conv2d::new(&mut b.scope("conv"), conv)?));
            layers.push(Box::new(BatchNorm::new(&mut b.scope("norm"), config.hidden)?));
            layers.push(Box::new(Activation::Relu));
            layers.push(Box::new(MaxPool2d::new(2)?));
            (channels, side) = (config.hidden, side / 2);
            let is_last = i + 1 == config.blocks;
            if is_last {
                layers.push(Box::new(Flatten));
            }
            stages.push(layers, if is_last { channels * side * side } else { channels });
        }
        let mut features = channels * side * side;
        if config.blocks == 0 {
            stages.push(vec![Box::new(Flatten)], features);
        }
        if let Some(output) = config.output {
            positive("output", output)?;
            let head = Linear::new(&mut b.scope("head"), features, output)?;
            stages.push(vec![Box::new(head)], output);
            features = output;
        }
        Ok(Self { layers: stages, features })
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
        // Each batch-norm stands before a pooling layer, so it has four values or more of each channel in a single picture.
        1
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
