//! What networks of images share.

use manytask_tensor::WHOLE;

use crate::init::{FanMode, Gain, kaiming_normal};
use crate::layers::{BatchNorm, Conv2d, ConvConfig};
use crate::{Builder, Error, Module, Result};

/// A convolution whose odd kernel leaves the size as it is, but for the stride.
#[derive(Debug, Clone, Copy)]
pub(super) struct Convolution {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) bias: bool,
    /// Of the activation behind it, for the start.
    pub(super) gain: Gain,
}

/// 3×3 without offsets, which a normalisation behind it would take away.
pub(super) fn unbiased(inputs: i64, outputs: i64) -> Convolution {
    Convolution { inputs, outputs, kernel: 3, stride: 1, bias: false, gain: Gain::Relu }
}

impl Convolution {
    /// The convolution, whose weight starts from N(0, gain² / fan-out) (He et al. 2015).
    pub(super) fn build(self, b: &mut Builder<'_>) -> Result<Conv2d> {
        let Self { inputs, outputs, kernel, stride, bias, gain } = self;
        let form = ConvConfig { stride, bias, ..ConvConfig::same(inputs, outputs, kernel) };
        let init = kaiming_normal(&[outputs, inputs, kernel, kernel], FanMode::FanOut, gain)?;
        Conv2d::with_init(b, form, init)
    }

    /// The convolution with batch-norm behind, under two names.
    pub(super) fn normalised(
        self,
        b: &mut Builder<'_>,
        convolution: &str,
        norm: &str,
    ) -> Result<Vec<Box<dyn Module>>> {
        Ok(vec![
            Box::new(self.build(&mut b.scope(convolution))?),
            Box::new(BatchNorm::new(&mut b.scope(norm), self.outputs)?),
        ])
    }
}

/// Channels, height and width of images.
pub(super) fn image(network: &str, shape: &[i64]) -> Result<(i64, i64, i64)> {
    match shape {
        &[channels, height, width] => Ok((channels, height, width)),
        _ => Err(Error::named_setting(
            WHOLE,
            "the shape of an example",
            &format!("{shape:?}"),
            format!("{network} is for images [C, H, W]"),
        )),
    }
}
