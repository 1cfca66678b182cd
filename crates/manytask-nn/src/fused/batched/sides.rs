//! Pictures of many tasks in groups, and what is done with them channel by channel.

use manytask_tensor::{Kind, Tensor};

use super::nothing;
use crate::Result;

/// So many products at least are made at once, where there are pictures for it.
const AT_ONCE: i64 = 64;

/// The pictures of a task, and their sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    /// G.
    pub(super) groups: i64,
    /// The pictures of a group, n.
    pub(super) pictures: i64,
    pub(super) height: i64,
    pub(super) width: i64,
}

impl Sides {
    /// Of so many pictures of each task.
    pub(super) fn of(tasks: i64, pictures: i64, [height, width]: [i64; 2]) -> Self {
        let divides = |groups: &i64| pictures % groups == 0 && tasks * groups >= AT_ONCE;
        let groups = (1..=pictures).find(divides).unwrap_or(pictures).max(1);
        Self { groups, pictures: pictures / groups, height, width }
    }

    pub(super) fn halved(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }

    /// M, the pixels of a channel in a group.
    fn group(self) -> i64 {
        self.pictures * self.height * self.width
    }

    /// P, the pixels of a channel.
    pub(super) fn pixels(self) -> i64 {
        self.groups * self.group()
    }

    /// `[T G, C, M]` as `[T, G, C, M]`.
    pub(super) fn split(self, x: &Tensor, channels: i64) -> Result<Tensor> {
        Ok(x.f_reshape([-1, self.groups, channels, self.group()])?)
    }

    /// Features `[T, N, C h w]` as `[T, G, C, n h w]`.
    pub(super) fn by_channels(self, x: &Tensor, channels: i64) -> Result<Tensor> {
        let pixels = self.height * self.width;
        let turned = x.f_reshape([-1, self.groups, self.pictures, channels, pixels])?.f_transpose(2, 3)?;
        self.split(&turned.f_contiguous()?, channels)
    }

    /// `[T, G, C, n h w]` as `[T, N, C h w]`.
    pub(super) fn by_rows(self, x: &Tensor) -> Result<Tensor> {
        let &[tasks, _, channels, _] = x.size().as_slice() else { return Err(nothing()) };
        let pixels = self.height * self.width;
        let turned = x.f_reshape([tasks, self.groups, channels, self.pictures, pixels])?.f_transpose(2, 3)?;
        Ok(turned.f_reshape([tasks, self.groups * self.pictures, channels * pixels])?)
    }
}

/// Pictures `[T, N, C, H, W]` channel by channel, `[T, G, C, M]`.
pub(super) fn channels_of(x: &Tensor, kind: Kind) -> Result<(Tensor, Sides)> {
    let &[tasks, pictures, channels, height, width] = x.size().as_slice() else { return Err(nothing()) };
    let sides = Sides::of(tasks, pictures, [height, width]);
    Ok((sides.by_channels(&x.f_to_kind(kind)?.f_flatten(2, -1)?, channels)?, sides))
}

/// The 3 × 3 patches `[T G, 9 C, M]` around each pixel of `[T, G, C, M]`, zeros beyond the borders.
pub(super) fn patches(x: &Tensor, sides: Sides) -> Result<Tensor> {
    let Sides { pictures, height, width, .. } = sides;
    let &[tasks, groups, channels, _] = x.size().as_slice() else { return Err(nothing()) };
    let planes = [tasks * groups, channels, pictures, height, width];
    let padded = x.f_reshape(planes)?.f_constant_pad_nd([1, 1, 1, 1])?;
    let (row, picture) = (width + 2, (height + 2) * (width + 2));
    let channel = pictures * picture;
    let view = padded.f_as_strided(
        [tasks * groups, channels, 3, 3, pictures, height, width],
        [channels * channel, channel, row, 1, picture, row, 1],
        None,
    )?;
    Ok(view.f_reshape([tasks * groups, channels * 9, sides.group()])?)
}

/// A kernel `[T, a, b]` for each group, `[T G, a, b]`.
pub(super) fn grouped(kernel: &Tensor, sides: Sides) -> Result<Tensor> {
    let &[tasks, rows, columns] = kernel.size().as_slice() else { return Err(nothing()) };
    if sides.groups == 1 {
        return Ok(kernel.shallow_clone());
    }
    let each = kernel.f_unsqueeze(1)?.f_expand([tasks, sides.groups, rows, columns], false)?;
    Ok(each.f_reshape([tasks * sides.groups, rows, columns])?)
}

/// The sum over a channel of all groups, `[T, 1, C, 1]`.
pub(super) fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([1_i64, 3].as_slice(), true, x.kind())?)
}

/// Its mean.
pub(super) fn mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_mean_dim([1_i64, 3].as_slice(), true, x.kind())?)
}

/// `a + b x` with `[T, 1, C, 1]` and `[T, G, C, M]`.
pub(super) fn affine(a: &Tensor, b: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(a.f_addcmul(b, x)?)
}

/// `[T, C, 1]` as `[T, 1, C, 1]`.
pub(super) fn of_channels(leaf: &Tensor) -> Result<Tensor> {
    Ok(leaf.f_unsqueeze(1)?)
}
