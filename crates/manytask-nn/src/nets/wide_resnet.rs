use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::pictures::{Convolution, image, unbiased};
use super::sizes::positive;
use crate::layers::{Activation, BatchNorm, Conv2d, Dropout, GlobalAvgPool, Linear, Sequential, Stages};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Wide residual networks (Zagoruyko & Komodakis 2016, arXiv:1605.07146), whose normalisation and activation come before each convolution: a 3×3
/// convolution to 16 channels, three groups of blocks of 16, 32 and 64 times `widen` channels, batch-norm, `ReLU` and the mean of each channel.
/// `WRN-28-10` has a depth of 28 and ten times the channels.
///
/// Parameters are called as in the well-known port to `PyTorch`: `conv1.weight`, `blockN.layer.M.bn1.…`, `blockN.layer.M.conv1.weight`,
/// `blockN.layer.M.convShortcut.weight`, `bn1.…`; with an output `head.…`.
#[derive(Debug)]
pub struct WideResNet {
    layers: Stages,
    features: i64,
}

/// The form of a [`WideResNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WideResNetConfig {
    /// 4 more than six times the blocks of a group.
    pub depth: usize,
    /// How many times the channels of the narrow network.
    pub widen: i64,
    /// The share of the numbers between a block's convolutions that is dropped in training, in `[0, 1)`.
    pub dropout: f64,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

impl Default for WideResNetConfig {
    fn default() -> Self {
        Self { depth: 28, widen: 10, dropout: 0.0, output: None }
    }
}

/// `c(x) + s` with x behind normalisation and activation; s is the block's input, or a 1×1 convolution of x where the shape changes.
#[derive(Debug)]
struct Block {
    before: Sequential,
    body: Sequential,
    past: Option<Conv2d>,
}

impl WideResNet {
    /// For images `[C, H, W]`.
    ///
    /// # Errors
    /// When the depth is no such number, a size below 1, or a share out of range.
    pub fn new(b: &mut Builder<'_>, shape: &[i64], config: &WideResNetConfig) -> Result<Self> {
        const NARROW: i64 = 16;
        let (channels, _, _) = image("wrn_28_10", shape)?;
        let WideResNetConfig { depth, widen, dropout, output } = *config;
        positive("widen", widen)?;
        if depth < 10 || !(depth - 4).is_multiple_of(6) {
            return Err(Error::setting("depth", &depth, "take 4 more than a multiple of 6, as 16, 22 or 28"));
        }
        let mut stages = Stages::new();
        let mut first: Vec<Box<dyn Module>> =
            vec![Box::new(unbiased(channels, NARROW).build(&mut b.scope("conv1"))?)];
        let mut inputs = NARROW;
        for number in 0..3_usize {
            let outputs = (NARROW << number) * widen;
            let mut layers = std::mem::take(&mut first);
            for place in 0..(depth - 4) / 6 {
                let stride = if number > 0 && place == 0 { 2 } else { 1 };
                let mut b = b.scope(format!("block{}", number + 1));
                let mut b = b.scope("layer");
                let mut b = b.scope(place.to_string());
                layers.push(Box::new(Block::new(&mut b, (inputs, outputs), stride, dropout)?));
                inputs = outputs;
            }
            if number == 2 {
                layers.push(Box::new(BatchNorm::new(&mut b.scope("bn1"), inputs)?));
                layers.push(Box::new(Activation::Relu));
                layers.push(Box::new(GlobalAvgPool));
            }
            stages.push(layers, inputs);
        }
        let mut features = inputs;
        if let Some(output) = output {
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

impl Block {
    fn new(b: &mut Builder<'_>, (inputs, outputs): (i64, i64), stride: i64, dropout: f64) -> Result<Self> {
        let before: Vec<Box<dyn Module>> =
            vec![Box::new(BatchNorm::new(&mut b.scope("bn1"), inputs)?), Box::new(Activation::Relu)];
        let first = Convolution { stride, ..unbiased(inputs, outputs) };
        let mut body = first.normalised(b, "conv1", "bn2")?;
        body.push(Box::new(Activation::Relu));
        body.push(Box::new(Dropout::new(dropout)?));
        body.push(Box::new(unbiased(outputs, outputs).build(&mut b.scope("conv2"))?));
        let past = Convolution { kernel: 1, stride, ..unbiased(inputs, outputs) };
        let past = (inputs != outputs || stride != 1).then(|| past.build(&mut b.scope("convShortcut")));
        Ok(Self { before: Sequential(before), body: Sequential(body), past: past.transpose()? })
    }
}

impl Module for Block {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let before = self.before.forward(params, x, cx)?;
        let past = match &self.past {
            Some(past) => past.forward(params, &before, cx)?,
            None => x.shallow_clone(),
        };
        Ok(self.body.forward(params, &before, cx)?.f_add(&past)?)
    }

    fn smallest_batch(&self) -> usize {
        self.before.smallest_batch()
    }
}

impl Module for WideResNet {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn smallest_batch(&self) -> usize {
        self.layers.smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}
