use manytask_tensor::{Params, Tensor};

use crate::{Context, Error, Mode, Module, Result};

/// Zeros with probability p in training, the rest divided by 1 − p; nothing in evaluation. Any shape.
///
/// With a task dimension each task has its own mask, drawn with its own key.
#[derive(Debug, Clone)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Drops with probability `p`.
    ///
    /// # Errors
    /// When it is not in `[0, 1)`.
    pub fn new(p: f64) -> Result<Self> {
        if (0.0..1.0).contains(&p) {
            Ok(Self { p })
        } else {
            Err(Error::setting("dropout", &p, "it must be in [0, 1)"))
        }
    }
}

/// Whole channels of images zeroed with probability p in training, the others divided by 1 − p (Tompson et al. 2015,
/// arXiv:1411.4280): `[…, C, H, W]`. Nothing in evaluation.
#[derive(Debug, Clone)]
pub struct ChannelDropout(Dropout);

impl ChannelDropout {
    /// Drops a channel with probability `p`.
    ///
    /// # Errors
    /// When it is not in `[0, 1)`.
    pub fn new(p: f64) -> Result<Self> {
        Ok(Self(Dropout::new(p)?))
    }
}

impl Module for ChannelDropout {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let mut shape = x.size();
        let [.., height, width] = shape.as_mut_slice() else {
            let expected = "images [B, C, H, W]".into();
            return Err(Error::Input { layer: "channel dropout".into(), expected, found: shape });
        };
        (*height, *width) = (1, 1);
        self.0.masked(params, x, &shape, cx)
    }
}

impl Dropout {
    /// `x` times a mask of this shape.
    fn masked(&self, params: &Params, x: &Tensor, shape: &[i64], cx: &mut Context) -> Result<Tensor> {
        if self.p == 0.0 || cx.mode() == Mode::Eval {
            return Ok(x.shallow_clone());
        }
        let mask = cx.bernoulli(1.0 - self.p, shape, params.tasks(), x.kind(), x.device())?;
        Ok(x.f_mul(&mask)?.f_mul_scalar((1.0 - self.p).recip())?)
    }
}

impl Module for Dropout {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.masked(params, x, &x.size(), cx)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn keeps_the_mean_and_drops_its_share() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let dropout = Dropout::new(0.3).unwrap();
        let x = Tensor::ones([100, 200], (Kind::Double, Device::Cpu));
        let y = dropout.forward(&params, &x, &mut Context::train(Key::new(1, "x"))).unwrap();
        let zeros = y.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((zeros - 0.3).abs() < 0.02, "{zeros}");
        assert!((y.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.03);
        assert!((y.max().double_value(&[]) - 1.0 / 0.7).abs() < 1e-12);
        assert_eq!(dropout.forward(&params, &x, &mut Context::eval()).unwrap(), x);
        assert!(Dropout::new(1.0).is_err() && Dropout::new(f64::NAN).is_err());
    }

    #[test]
    fn channels_are_dropped_as_a_whole() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let dropout = ChannelDropout::new(0.25).unwrap();
        let x = Tensor::ones([50, 40, 3, 2], (Kind::Double, Device::Cpu));
        let y = dropout.forward(&params, &x, &mut Context::train(Key::new(1, "x"))).unwrap();
        let channels = y.reshape([2000, 6]);
        assert_eq!(channels.amax([1], false), channels.amin([1], false));
        let zeros = channels.select(1, 0).eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((zeros - 0.25).abs() < 0.04, "{zeros}");
        assert!((y.max().double_value(&[]) - 1.0 / 0.75).abs() < 1e-12);
        assert_eq!(dropout.forward(&params, &x, &mut Context::eval()).unwrap(), x);
        assert!(ChannelDropout::new(-0.1).is_err());
        let row = Tensor::ones([3], (Kind::Double, Device::Cpu));
        assert!(dropout.forward(&params, &row, &mut Context::eval()).is_err());
    }

    #[test]
    fn tasks_at_once_are_a_loop_over_tasks() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let dropout = Dropout::new(0.5).unwrap();
        let x = Tensor::ones([3, 5, 4], (Kind::Double, Device::Cpu));
        let key = Key::new(1, "x").step(9);
        let batched = params.expand_tasks(3).unwrap();
        let y = dropout.forward(&batched, &x, &mut Context::train(key).with_tasks(vec![4, 5, 6])).unwrap();
        for t in 0..3 {
            let one = Context::train(key.task(4 + t as u64));
            assert_eq!(dropout.forward(&params, &x.select(0, t), &mut { one }).unwrap(), y.select(0, t));
        }
    }
}
