use manytask_tensor::{Params, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::sizes::positive;
use crate::layers::{Activation, ChannelDropout, Conv2d, ConvConfig, Flatten, Linear, MaxPool2d, Stages};
use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Blocks of convolution, 2×2 max-pooling and `ReLU`, then linear layers (`LeCun` et al. 1998). With the sizes of [`LeNetConfig`]'s
/// defaults it is the trunk of multi-task learning on pairs of digits (`MultiLeNetR` of Sener & Koltun 2018, arXiv:1810.04650).
///
/// Parameters are `layerN.conv.weight`, `layerN.conv.bias` and `hiddenN.weight`, `hiddenN.bias`.
#[derive(Debug)]
pub struct LeNet {
    layers: Stages,
    features: i64,
}

/// The form of a [`LeNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeNetConfig {
    /// Channels of each convolution.
    pub channels: Vec<i64>,
    /// Height and width of the kernels, without padding.
    pub kernel: i64,
    /// The sizes of the linear layers behind the convolutions.
    pub hidden: Vec<i64>,
    /// The share of the last convolution's channels that is dropped in training, in `[0, 1)`.
    pub dropout: f64,
}

impl Default for LeNetConfig {
    fn default() -> Self {
        Self { channels: vec![10, 20], kernel: 5, hidden: vec![50], dropout: 0.5 }
    }
}

impl LeNet {
    /// For images `[B, channels, height, width]`, given as the shape `[channels, height, width]`.
    ///
    /// # Errors
    /// When a size is below 1, the dropout out of range, or images are too small for the convolutions.
    pub fn new(b: &mut Builder<'_>, image: &[i64], config: &LeNetConfig) -> Result<Self> {
        let &[mut channels, mut height, mut width] = image else {
            return Err(Error::named_setting(
                WHOLE,
                "the shape of an example",
                &format!("{image:?}"),
                "lenet is for images [C, H, W]",
            ));
        };
        let mut stages = Stages::new();
        for (i, &outputs) in config.channels.iter().enumerate() {
            positive(("channels", i), outputs)?;
            positive("kernel", config.kernel)?;
            let form = ConvConfig { padding: 0, ..ConvConfig::same(channels, outputs, config.kernel) };
            let conv = Conv2d::new(&mut b.scope(format!("layer{i}")).scope("conv"), form)?;
            let mut layers: Vec<Box<dyn Module>> = vec![Box::new(conv)];
            let sides = [height, width].map(|side| form.size_after(side));
            if sides.iter().any(|side| *side < 2) {
                return Err(Error::named_setting(
                    "channels",
                    "the size of images",
                    &format!("{image:?}"),
                    format!(
                        "{} convolutions of {} x {} and pooling leave nothing of them; take larger images, fewer `channels` \
                         or a smaller `kernel`",
                        config.channels.len(),
                        config.kernel,
                        config.kernel
                    ),
                ));
            }
            if i + 1 == config.channels.len() && config.dropout != 0.0 {
                layers.push(Box::new(ChannelDropout::new(config.dropout)?));
            }
            layers.extend([Box::new(MaxPool2d::new(2)?) as Box<dyn Module>, Box::new(Activation::Relu)]);
            [height, width] = sides.map(|side| side / 2);
            channels = outputs;
            let is_last = i + 1 == config.channels.len();
            if is_last {
                layers.push(Box::new(Flatten));
            }
            stages.push(layers, if is_last { channels * height * width } else { channels });
        }
        let mut features = channels * height * width;
        if config.channels.is_empty() {
            stages.push(vec![Box::new(Flatten)], features);
        }
        for (i, &size) in config.hidden.iter().enumerate() {
            positive(("hidden", i), size)?;
            let linear = Linear::new(&mut b.scope(format!("hidden{i}")), features, size)?;
            stages.push(vec![Box::new(linear), Box::new(Activation::Relu)], size);
            features = size;
        }
        Ok(Self { layers: stages, features })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

impl Module for LeNet {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        self.layers.primitives()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    fn built(image: &[i64], config: &LeNetConfig) -> Result<(LeNet, Params)> {
        let mut layout = Layout::builder();
        let net = LeNet::new(&mut Builder::new(&mut layout), image, config)?;
        Ok((net, layout.build().init(1, Kind::Double, Device::Cpu)?))
    }

    fn count(params: &Params) -> i64 {
        params.iter().map(|(entry, _)| entry.shape.iter().product::<i64>()).sum()
    }

    #[test]
    fn parameters_are_as_many_as_in_the_papers_code() {
        // 10 · 25 + 10, 20 · 10 · 25 + 20, and 50 rows of 20 channels of 6 x 6 or 4 x 4 pixels.
        for (side, rest) in [(36, 720), (28, 320)] {
            let (net, params) = built(&[1, side, side], &LeNetConfig::default()).unwrap();
            assert_eq!((net.features(), count(&params)), (50, 260 + 5020 + 50 * (rest + 1)));
        }
    }

    #[test]
    fn it_is_convolution_pooling_and_relu_one_after_the_other() {
        let config = LeNetConfig { dropout: 0.0, ..LeNetConfig::default() };
        let (net, params) = built(&[1, 20, 24], &config).unwrap();
        let x = Key::new(1, "x").normal(&[3, 1, 20, 24], Kind::Double, Device::Cpu).unwrap();
        let of = |name: &str| params.named(name).unwrap();
        let block = |x: &Tensor, layer: &str| {
            let (weight, bias) = (of(&format!("{layer}.conv.weight")), of(&format!("{layer}.conv.bias")));
            x.conv2d(weight, Some(bias), 1, 0, 1, 1).relu().max_pool2d([2; 2], [2; 2], [0; 2], [1; 2], false)
        };
        let features = block(&block(&x, "layer0"), "layer1").flatten(1, -1);
        let expected = features.linear(of("hidden0.weight"), Some(of("hidden0.bias"))).relu();
        let found = net.forward(&params, &x, &mut Context::eval()).unwrap();
        assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn channels_are_dropped_in_training_alone() {
        let (net, params) = built(&[1, 16, 16], &LeNetConfig::default()).unwrap();
        let x = Key::new(1, "x").normal(&[2, 1, 16, 16], Kind::Double, Device::Cpu).unwrap();
        let of = |cx: &mut Context| net.forward(&params, &x, cx).unwrap();
        assert_eq!(of(&mut Context::eval()), of(&mut Context::eval()));
        assert_ne!(of(&mut Context::train(Key::new(1, "a"))), of(&mut Context::train(Key::new(2, "a"))));
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        let refused = |image: &[i64], config: LeNetConfig| built(image, &config).unwrap_err().to_string();
        let usual = LeNetConfig::default;
        assert!(refused(&[10], usual()).contains("images [C, H, W]"));
        assert!(refused(&[1, 13, 40], usual()).contains("take larger images"));
        assert!(refused(&[1, 36, 36], LeNetConfig { hidden: vec![0], ..usual() }).contains("at least 1"));
        assert!(refused(&[1, 36, 36], LeNetConfig { dropout: 1.0, ..usual() }).contains("dropout"));
        assert!(refused(&[1, 36, 36], LeNetConfig { kernel: 0, ..usual() }).contains("kernel is 0"));
    }
}
