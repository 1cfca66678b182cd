use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::Norm;
use super::pictures::image;
use super::sizes::positive;
use crate::init::{FanMode, Gain, kaiming_normal};
use crate::layers::{Activation, BatchNorm, Conv2d, ConvConfig, GroupNorm, Stages};
use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// Convolutions of 3×3 whose dilation grows, for predictions of each pixel: the picture keeps its size, and what a pixel sees of its
/// surroundings doubles with each layer (Yu & Koltun 2016, arXiv:1511.07122, the context module): `[B, C, H, W]` to
/// `[B, width, H, W]`.
///
/// Parameters are `layerN.conv.weight`, with a normalisation `layerN.norm.…`, without one `layerN.conv.bias`. A layer costs
/// `9 · width²` multiplications for each pixel.
#[derive(Debug)]
pub struct Dilated {
    layers: Stages,
    width: i64,
}

/// The form of a [`Dilated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DilatedConfig {
    /// Channels of each layer.
    pub width: i64,
    /// The dilation of each layer. With `[1, 1, 2, 4, 8, 1]` a pixel sees 35 × 35.
    pub dilations: Vec<i64>,
    /// Between each convolution and its `ReLU`: over the batch, over each picture, or none.
    pub norm: Norm,
}

impl Default for DilatedConfig {
    fn default() -> Self {
        Self { width: 32, dilations: vec![1, 1, 2, 4, 8, 1], norm: Norm::Batch }
    }
}

impl Dilated {
    /// For images `[B, channels, height, width]`, given as the shape `[channels, height, width]`.
    ///
    /// # Errors
    /// When a size is below 1, there is no layer, or rows are no images.
    pub fn new(b: &mut Builder<'_>, shape: &[i64], config: &DilatedConfig) -> Result<Self> {
        let (mut channels, ..) = image("dilated", shape)?;
        positive("width", config.width)?;
        if config.dilations.is_empty() {
            return Err(Error::setting("dilations", &"[]", "one layer at least is needed"));
        }
        let mut stages = Stages::new();
        for (i, &dilation) in config.dilations.iter().enumerate() {
            positive(("dilations", i), dilation)?;
            let mut b = b.scope(format!("layer{i}"));
            let width = config.width;
            let bias = config.norm == Norm::None;
            let form =
                ConvConfig { dilation, padding: dilation, bias, ..ConvConfig::same(channels, width, 3) };
            let init = kaiming_normal(&[width, channels, 3, 3], FanMode::FanOut, Gain::Relu)?;
            let mut layers: Vec<Box<dyn Module>> =
                vec![Box::new(Conv2d::with_init(&mut b.scope("conv"), form, init)?)];
            match config.norm {
                Norm::None => {}
                Norm::Batch => layers.push(Box::new(BatchNorm::new(&mut b.scope("norm"), width)?)),
                Norm::Layer => layers.push(Box::new(GroupNorm::new(&mut b.scope("norm"), 1, width)?)),
            }
            layers.push(Box::new(Activation::Relu));
            stages.push(layers, width);
            channels = width;
        }
        Ok(Self { layers: stages, width: config.width })
    }

    /// The numbers of each pixel.
    pub fn features(&self) -> i64 {
        self.width
    }
}

impl Module for Dilated {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        Err(NotFused::because("predictions of pixels"))
    }

    fn smallest_batch(&self) -> usize {
        self.layers.smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, Kind, Layout, gradients};

    use super::*;

    fn built(config: &DilatedConfig) -> Result<(Dilated, Params)> {
        let mut layout = Layout::builder();
        let net = Dilated::new(&mut Builder::new(&mut layout), &[3, 40, 40], config)?;
        Ok((net, layout.build().init(1, Kind::Double, Device::Cpu)?))
    }

    #[test]
    fn a_pixel_sees_as_far_as_the_dilations_reach_and_no_farther() {
        let config = DilatedConfig { width: 4, norm: Norm::None, ..DilatedConfig::default() };
        let (net, params) = built(&config).unwrap();
        // Of positive numbers alone no activation is 0, so that every path counts.
        let params = params.unflatten(&params.flatten().unwrap().abs()).unwrap();
        let x = Key::new(1, "x").normal(&[1, 3, 40, 40], Kind::Double, Device::Cpu).unwrap().abs();
        let x = x.set_requires_grad(true);
        let rows = net.forward(&params, &x, &mut Context::eval()).unwrap();
        assert_eq!((rows.size().as_slice(), net.features()), (&[1, 4, 40, 40][..], 4));
        let middle = rows.get(0).select(1, 20).select(1, 20).sum(Kind::Double);
        let seen = gradients(&middle, &[&x], Graph::Free).unwrap().remove(0).abs().sum_dim_intlist(
            [0, 1].as_slice(),
            false,
            Kind::Double,
        );
        // 1 + 2 (1 + 1 + 2 + 4 + 8 + 1) = 35 pixels to a side.
        for edge in [3, 37] {
            let row = seen.narrow(0, edge, 1).sum(Kind::Double).double_value(&[]);
            assert!(row > 0.0, "row {edge} is seen");
        }
        let outside = seen.shallow_clone();
        let _ = outside.narrow(0, 3, 35).narrow(1, 3, 35).fill_(0.0);
        assert_eq!(outside.sum(Kind::Double).double_value(&[]), 0.0);
    }

    #[test]
    fn its_stages_are_the_whole_and_norms_are_said() {
        for norm in [Norm::None, Norm::Batch, Norm::Layer] {
            let (net, params) = built(&DilatedConfig { width: 4, dilations: vec![1, 2], norm }).unwrap();
            let x = Key::new(1, "x").normal(&[2, 3, 40, 40], Kind::Double, Device::Cpu).unwrap();
            let staged = net.staged().unwrap();
            let mut by_stages = x.shallow_clone();
            for stage in 0..staged.widths().len() {
                by_stages = staged.run(stage, &params, &by_stages, &mut Context::eval()).unwrap();
            }
            assert_eq!(by_stages, net.forward(&params, &x, &mut Context::eval()).unwrap());
            assert_eq!(params.named("layer1.conv.bias").is_some(), norm == Norm::None);
        }
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        let usual = DilatedConfig::default;
        for wrong in [
            DilatedConfig { width: 0, ..usual() },
            DilatedConfig { dilations: Vec::new(), ..usual() },
            DilatedConfig { dilations: vec![1, 0], ..usual() },
        ] {
            assert!(built(&wrong).is_err(), "{wrong:?}");
        }
        let mut layout = Layout::builder();
        let error = Dilated::new(&mut Builder::new(&mut layout), &[7], &usual()).unwrap_err().to_string();
        assert!(error.contains("images [C, H, W]"), "{error}");
    }
}
