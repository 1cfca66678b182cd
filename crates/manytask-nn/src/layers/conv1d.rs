use manytask_tensor::{Params, Role, Slot, Tensor, WHOLE};

use crate::init::{FanMode, Gain, fans, kaiming_uniform};
use crate::{Builder, Context, Error, Module, Result};

/// A convolution of sequences that leaves their length as it is, with zeros around them: from `[B, in, L]` to `[B, out, L]`; with a task dimension
/// from `[T, B, in, L]`, as one convolution of T groups.
///
/// Both parameters start from U(−1/√fan-in, 1/√fan-in), as `torch.nn.Conv1d`'s do.
#[derive(Debug, Clone)]
pub struct Conv1d {
    weight: Slot,
    bias: Slot,
    inputs: i64,
    outputs: i64,
    kernel: i64,
}

impl Conv1d {
    /// Adds `weight` `[out, in, kernel]` and `bias` `[out]`.
    ///
    /// # Errors
    /// When a size is below 1, or the kernel is even.
    pub fn new(b: &mut Builder<'_>, (inputs, outputs): (i64, i64), kernel: i64) -> Result<Self> {
        if inputs < 1 || outputs < 1 || kernel < 1 || kernel % 2 == 0 {
            let found = format!("{inputs} to {outputs} channels with a kernel of {kernel}");
            let expected = "at least 1 channel and an odd kernel are needed";
            return Err(Error::named_setting(WHOLE, "a convolution of sequences", &found, expected));
        }
        let shape = [outputs, inputs, kernel];
        let init = kaiming_uniform(&shape, FanMode::FanIn, Gain::LeakyRelu(5.0_f64.sqrt()))?;
        let bound = fans(&shape)?.0.sqrt().recip();
        let uniform = manytask_tensor::Init::Uniform { low: -bound, high: bound };
        Ok(Self {
            weight: b.parameter("weight", &shape, init, Role::Weight)?,
            bias: b.parameter("bias", &[outputs], uniform, Role::Bias)?,
            inputs,
            outputs,
            kernel,
        })
    }
}

impl Module for Conv1d {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let Self { inputs, outputs, kernel, .. } = *self;
        let (weight, bias) = (params.get(self.weight)?, params.get(self.bias)?);
        let pad = kernel / 2;
        match (params.tasks(), x.size().as_slice()) {
            (None, &[_, channels, _]) if channels == inputs => {
                Ok(x.f_conv1d(weight, Some(bias), [1], [pad], [1], 1)?)
            }
            (Some(tasks), &[t, batch, channels, length]) if t == tasks && channels == inputs => {
                let merged = x.f_transpose(0, 1)?.f_reshape([batch, tasks * inputs, length])?;
                let (weight, bias) = (weight.f_flatten(0, 1)?, bias.f_flatten(0, 1)?);
                let y = merged.f_conv1d(&weight, Some(&bias), [1], [pad], [1], tasks)?;
                Ok(y.f_reshape([batch, tasks, outputs, length])?.f_transpose(0, 1)?)
            }
            (tasks, found) => Err(Error::Input {
                layer: "conv1d".into(),
                expected: match tasks {
                    None => format!("[B, {inputs}, L]"),
                    Some(tasks) => format!("[{tasks}, B, {inputs}, L]"),
                },
                found: found.to_vec(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn a_sequence_by_hand_and_tasks_at_once() {
        let on = (Kind::Double, Device::Cpu);
        let mut layout = Layout::builder();
        let layer = Conv1d::new(&mut Builder::new(&mut layout), (2, 3), 3).unwrap();
        let params = layout.build().init(1, on.0, on.1).unwrap();
        let x = Key::new(1, "x").normal(&[2, 2, 5], on.0, on.1).unwrap();
        let y = layer.forward(&params, &x, &mut Context::eval()).unwrap();
        let (weight, bias) = (params.named("weight").unwrap(), params.named("bias").unwrap());
        for (output, place) in [(0, 0), (1, 2), (2, 4)] {
            let mut expected = bias.double_value(&[output]);
            for input in 0..2 {
                for step in -1..=1_i64 {
                    if (0..5).contains(&(place + step)) {
                        expected += weight.double_value(&[output, input, step + 1])
                            * x.double_value(&[1, input, place + step]);
                    }
                }
            }
            assert!((y.double_value(&[1, output, place]) - expected).abs() < 1e-12);
        }
        let both = params.expand_tasks(2).unwrap();
        let found =
            layer.forward(&both, &Tensor::stack(&[&x, &(&x * 2.0)], 0), &mut Context::eval()).unwrap();
        assert!((found.get(0) - &y).abs().max().double_value(&[]) < 1e-12);
        assert!(layer.forward(&params, &x.transpose(1, 2), &mut Context::eval()).is_err());
        assert!(Conv1d::new(&mut Builder::new(&mut Layout::builder()), (2, 3), 4).is_err());
    }
}
