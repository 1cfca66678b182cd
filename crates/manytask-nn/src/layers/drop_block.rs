use manytask_tensor::{Params, Tensor};

use crate::{Context, Error, Mode, Module, Result};

/// Steps after which a share is dropped in full, as in the code of Lee et al. 2019 (arXiv:1904.03758).
const RAMP: f64 = 40_000.0;

/// Squares of each channel zeroed in training, the rest scaled up (Ghiasi et al. 2018, arXiv:1810.12890): `[…, C, H, W]`. Nothing in
/// evaluation.
///
/// A place begins a square with probability `γ = p/b² · HW / ((H − b + 1)(W − b + 1))` (equation 1), where `p` grows linearly to the whole
/// share over the first 40,000 steps of a training, by the step that the context knows: neither evaluations nor further passes of a step
/// count. Where a picture is smaller than the square, the square is as large as the picture.
#[derive(Debug, Clone)]
pub struct DropBlock {
    share: f64,
    size: i64,
}

impl DropBlock {
    /// Drops about `share` of the numbers, in squares of side `size`.
    ///
    /// # Errors
    /// When the share is not in `[0, 1)`, or the side below 1.
    pub fn new(share: f64, size: i64) -> Result<Self> {
        if !(0.0..1.0).contains(&share) {
            return Err(Error::setting("dropout", &share, "it must be in [0, 1)"));
        }
        if size < 1 {
            return Err(Error::setting("block_size", &size, "at least 1 is needed"));
        }
        Ok(Self { share, size })
    }

    /// The share at a step.
    fn share_at(&self, cx: &Context) -> f64 {
        let step = cx.progress().map_or(RAMP, |progress| progress.step as f64);
        self.share * (step / RAMP).min(1.0)
    }
}

impl Module for DropBlock {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let share = self.share_at(cx);
        if share == 0.0 || cx.mode() == Mode::Eval {
            return Ok(x.shallow_clone());
        }
        let shape = x.size();
        let [lead @ .., channels, height, width] = shape.as_slice() else {
            let expected = "images [B, C, H, W]".into();
            return Err(Error::Input { layer: "drop_block".into(), expected, found: shape });
        };
        let (height, width) = (*height, *width);
        let side = self.size.min(height).min(width).max(1);
        let begins = [height - side + 1, width - side + 1];
        let places = (begins[0] * begins[1]) as f64;
        let chance = share / (side * side) as f64 * (height * width) as f64 / places;
        let drawn = [lead, &[*channels], &begins].concat();
        let seeds = cx.bernoulli(chance.min(1.0), &drawn, params.tasks(), x.kind(), x.device())?;
        // A seed is the upper left corner of its square.
        let seeds = seeds.f_reshape([-1, 1, begins[0], begins[1]])?;
        let around = side - 1;
        let dropped = seeds
            .f_constant_pad_nd([around, around, around, around])?
            .f_max_pool2d([side; 2], [1; 2], [0; 2], [1; 2], false)?;
        let kept = dropped.f_neg()?.f_add_scalar(1.0)?.f_reshape(&shape)?;
        // Each task's own, where there is a task dimension.
        let first = i64::from(params.tasks().is_some());
        let dims: Vec<i64> = (first..shape.len() as i64).collect();
        let part = kept.f_mean_dim(dims.as_slice(), true, kept.kind())?.f_clamp_min(1.0 / places)?;
        Ok(x.f_mul(&kept)?.f_div(&part)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;
    use crate::Progress;

    fn passed(x: &Tensor, step: u64) -> Tensor {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let mut cx = Context::train(Key::new(1, "x")).with_progress(Progress { step, epoch: 0 });
        DropBlock::new(0.2, 3).unwrap().forward(&params, x, &mut cx).unwrap()
    }

    #[test]
    fn whole_squares_are_dropped_and_the_mean_stays() {
        let x = Tensor::ones([40, 5, 9, 8], (Kind::Double, Device::Cpu));
        let y = passed(&x, 1_000_000);
        let zero = y.eq(0.0).to_kind(Kind::Double);
        let share = zero.mean(Kind::Double).double_value(&[]);
        // Squares overlap, so somewhat less than the share.
        assert!((0.13..0.21).contains(&share), "{share}");
        assert!((y.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-12);
        // What is dropped is a union of squares: shrunk and grown again it is the same.
        let shrunk = -(-&zero).max_pool2d([3, 3], [1, 1], [0, 0], [1, 1], false);
        let grown = shrunk.constant_pad_nd([2, 2, 2, 2]).max_pool2d([3, 3], [1, 1], [0, 0], [1, 1], false);
        assert_eq!(grown, zero);
    }

    #[test]
    fn the_share_grows_with_the_steps_of_the_training_alone() {
        let x = Tensor::ones([40, 5, 9, 8], (Kind::Double, Device::Cpu));
        let share =
            |step| passed(&x, step).eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert_eq!(share(0), 0.0);
        assert!(share(20_000) < share(40_000) && share(40_000) == share(80_000));
        // As often as it is asked.
        assert_eq!(share(20_000), share(20_000));
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let layer = DropBlock::new(0.2, 3).unwrap();
        assert_eq!(layer.forward(&params, &x, &mut Context::eval()).unwrap(), x);
        assert!(DropBlock::new(1.0, 3).is_err() && DropBlock::new(0.1, 0).is_err());
    }

    #[test]
    fn tasks_at_once_are_a_loop_over_tasks() {
        let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
        let layer = DropBlock::new(0.3, 2).unwrap();
        let x = Key::new(1, "x").normal(&[3, 4, 2, 5, 5], Kind::Double, Device::Cpu).unwrap();
        let key = Key::new(1, "d").step(9);
        let batched = params.expand_tasks(3).unwrap();
        let y = layer.forward(&batched, &x, &mut Context::train(key).with_tasks(vec![4, 5, 6])).unwrap();
        for t in 0..3 {
            let one = Context::train(key.task(4 + t as u64));
            let alone = layer.forward(&params, &x.select(0, t), &mut { one }).unwrap();
            assert!((alone - y.select(0, t)).abs().max().double_value(&[]) < 1e-12);
        }
    }
}
