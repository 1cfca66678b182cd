use manytask_tensor::{OpContext, Params, Role, Slot, Tensor, WHOLE};

use crate::init::{FanMode, Gain, fans, kaiming_uniform};
use crate::primitive::{ConvConfig, NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Precision, Result};

/// A convolution of pictures, from `[B, in, H, W]` to `[B, out, H', W']`; with a task dimension from `[T, B, in, H, W]`, as
/// one convolution of T groups.
///
/// Both parameters start from U(−1/√fan-in, 1/√fan-in), as `torch.nn.Conv2d`'s do.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Slot,
    bias: Option<Slot>,
    config: ConvConfig,
    precision: Precision,
}

impl Conv2d {
    /// Adds `weight` `[out, in / groups, kernel, kernel]` and, unless it is left out, `bias` `[out]`.
    ///
    /// # Errors
    /// When a size is out of range, or groups do not divide the channels.
    pub fn new(b: &mut Builder<'_>, config: ConvConfig) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel, groups, .. } = config;
        let shape = [outputs, inputs / groups.max(1), kernel, kernel];
        Self::checked(&config)?;
        Self::with_init(b, config, kaiming_uniform(&shape, FanMode::FanIn, Gain::LeakyRelu(5.0_f64.sqrt()))?)
    }

    /// The same with another start of the weight.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn with_init(b: &mut Builder<'_>, config: ConvConfig, init: manytask_tensor::Init) -> Result<Self> {
        Self::checked(&config)?;
        let ConvConfig { inputs, outputs, kernel, groups, .. } = config;
        let shape = [outputs, inputs / groups, kernel, kernel];
        let bound = fans(&shape)?.0.sqrt().recip();
        let weight = b.parameter("weight", &shape, init, Role::Weight)?;
        let uniform = manytask_tensor::Init::Uniform { low: -bound, high: bound };
        let bias =
            if config.bias { Some(b.parameter("bias", &[outputs], uniform, Role::Bias)?) } else { None };
        Ok(Self { weight, bias, config, precision: b.precision() })
    }

    /// Refuses sizes that are out of range.
    fn checked(config: &ConvConfig) -> Result<()> {
        let ConvConfig { inputs, outputs, kernel, stride, padding, dilation, groups, .. } = *config;
        let positive = [inputs, outputs, kernel, stride, dilation, groups].iter().all(|n| *n > 0);
        if !positive || padding < 0 || inputs % groups != 0 || outputs % groups != 0 {
            let expected = "sizes of at least 1, and groups that divide both numbers of channels";
            return Err(Error::named_setting(WHOLE, "a convolution", &format!("{config:?}"), expected));
        }
        Ok(())
    }
}

impl Module for Conv2d {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let ConvConfig { inputs, outputs, stride, padding, dilation, groups, .. } = self.config;
        let shape = x.size();
        let operand = |x: &Tensor| self.precision.operand(x);
        let x = operand(x)?;
        let weight = operand(params.get(self.weight)?)?;
        let bias = self.bias.map(|slot| operand(params.get(slot)?)).transpose()?;
        let large = |side: i64| self.config.size_after(side) > 0;
        let error =
            |expected: String| Error::Input { layer: "conv2d".into(), expected, found: shape.clone() };
        match (params.tasks(), shape.as_slice()) {
            (None, &[_, channels, height, width]) if channels == inputs && large(height) && large(width) => {
                Ok(x.f_conv2d(&weight, bias.as_ref(), [stride; 2], [padding; 2], [dilation; 2], groups)
                    .op("conv2d", &[&x, &weight])?)
            }
            (Some(tasks), &[t, batch, channels, height, width])
                if t == tasks && channels == inputs && large(height) && large(width) =>
            {
                let merged = x.f_transpose(0, 1)?.f_reshape([batch, tasks * inputs, height, width])?;
                let weight = weight.f_flatten(0, 1)?;
                let bias = bias.map(|bias| bias.f_flatten(0, 1)).transpose()?;
                let y = merged
                    .f_conv2d(
                        &weight,
                        bias.as_ref(),
                        [stride; 2],
                        [padding; 2],
                        [dilation; 2],
                        groups * tasks,
                    )
                    .op("conv2d", &[&merged, &weight])?;
                let (h, w) = (self.config.size_after(height), self.config.size_after(width));
                Ok(y.f_reshape([batch, tasks, outputs, h, w])?.f_transpose(0, 1)?)
            }
            (None, _) => Err(error(format!("[B, {inputs}, H, W], no smaller than the kernel"))),
            (Some(tasks), _) => {
                Err(error(format!("[{tasks}, B, {inputs}, H, W], no smaller than the kernel")))
            }
        }
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        let Self { weight, bias, config, precision } = *self;
        NotFused::unless_full(precision)?;
        Ok(vec![Primitive::Convolution { weight, bias, config }])
    }
}
