use manytask_tensor::{Params, Tensor, WHOLE};

use crate::primitive::{NotFused, Primitive};
use crate::{Context, Error, Module, Result};

/// The largest of each `size × size` pixels: `[…, C, H, W]` to `[…, C, H/size, W/size]` where squares do not overlap.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2d {
    size: i64,
    stride: i64,
    padding: i64,
}

/// The mean of each `size × size` pixels, without overlap: `[…, C, H, W]` to `[…, C, H/size, W/size]`.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool2d {
    size: i64,
}

/// The mean of each channel: `[…, C, H, W]` to `[…, C]`.
#[derive(Debug, Clone, Copy)]
pub struct GlobalAvgPool;

/// All numbers of a row one after the other: `[B, …]` to `[B, N]`, `[T, B, …]` to `[T, B, N]`.
#[derive(Debug, Clone, Copy)]
pub struct Flatten;

fn checked(size: i64) -> Result<i64> {
    if size > 0 {
        Ok(size)
    } else {
        Err(Error::named_setting(WHOLE, "a pooling's size", &size, "at least 1 is needed"))
    }
}

impl MaxPool2d {
    /// Squares of this side.
    ///
    /// # Errors
    /// When it is below 1.
    pub fn new(size: i64) -> Result<Self> {
        Ok(Self { size: checked(size)?, stride: size, padding: 0 })
    }

    /// Squares of this side that begin so many pixels after each other, with pixels around the picture that are never the largest.
    ///
    /// # Errors
    /// When the side or the stride is below 1, or there are more pixels around than half of the side.
    pub fn overlapping(size: i64, stride: i64, padding: i64) -> Result<Self> {
        if padding < 0 || 2 * padding > size {
            return Err(Error::named_setting(
                WHOLE,
                "a pooling's padding",
                &padding,
                "0 to half of its size is needed",
            ));
        }
        Ok(Self { size: checked(size)?, stride: checked(stride)?, padding })
    }
}

impl AvgPool2d {
    /// Squares of this side.
    ///
    /// # Errors
    /// When it is below 1.
    pub fn new(size: i64) -> Result<Self> {
        Ok(Self { size: checked(size)? })
    }
}

/// Runs a function of `[N, C, H, W]` on `[B, C, H, W]` or `[T, B, C, H, W]`.
fn on_pictures(
    layer: &str,
    size: i64,
    params: &Params,
    x: &Tensor,
    run: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let shape = x.size();
    match (params.tasks(), shape.as_slice()) {
        (None, &[_, _, height, width]) if height >= size && width >= size => run(x),
        (Some(tasks), &[t, batch, channels, height, width])
            if t == tasks && height >= size && width >= size =>
        {
            let y = run(&x.f_reshape([t * batch, channels, height, width])?)?;
            let out: Vec<i64> = [t, batch].into_iter().chain(y.size().into_iter().skip(1)).collect();
            Ok(y.f_reshape(out)?)
        }
        _ => Err(Error::Input {
            layer: layer.into(),
            expected: format!("pictures of at least {size} x {size} pixels"),
            found: shape,
        }),
    }
}

impl Module for MaxPool2d {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let Self { size, stride, padding } = *self;
        on_pictures("max_pool2d", size - 2 * padding, params, x, |x| {
            Ok(x.f_max_pool2d([size; 2], [stride; 2], [padding; 2], [1; 2], false)?)
        })
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        if self.stride != self.size || self.padding != 0 {
            return Err(NotFused::because("pooling of squares that overlap"));
        }
        Ok(vec![Primitive::MaxPool(self.size)])
    }
}

impl Module for AvgPool2d {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let s = self.size;
        on_pictures("avg_pool2d", s, params, x, |x| {
            Ok(x.f_avg_pool2d([s; 2], [s; 2], [0; 2], false, true, None)?)
        })
    }
}

impl Module for GlobalAvgPool {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        on_pictures("global_avg_pool", 1, params, x, |x| {
            Ok(x.f_mean_dim([-2_i64, -1].as_slice(), false, x.kind())?)
        })
    }
}

impl Module for Flatten {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let first = 1 + i64::from(params.tasks().is_some());
        if (x.dim() as i64) < first + 1 {
            return Err(Error::Input {
                layer: "flatten".into(),
                expected: "[B, N, …]".into(),
                found: x.size(),
            });
        }
        Ok(x.f_flatten(first, -1)?)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        Ok(vec![Primitive::Flatten])
    }
}
