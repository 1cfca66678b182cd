//! A block of convolution, batch-norm, relu and pooling, of many tasks at once.
//!
//! A convolution is one product of the kernels `[T, O, 9 C]` with the patches `[T, 9 C, N H W]` of its input. Relu and batch-norm with γ ≥ 0
//! do not change which pixel of a square is the largest, so that pooling comes first and all that follows is a quarter of the work; a
//! channel with γ < 0 is the same with the signs of its kernel and of γ turned.
//!
//! With `x̂ = s (y − m)` and cotangents g of the pooled squares, G = Σ g x̂ and B = Σ g over the M pixels of a channel, what comes back to y
//! is `γ s (g − B/M − x̂ G/M)`, where g is 0 but at the chosen pixels. Along a direction `ds = −s² m₁` and `dx̂ = s (ẏ − m₀) − s x̂ m₁`, with
//! `m₀ = mean(ẏ)` and `m₁ = mean(x̂ ẏ)`.

use manytask_tensor::{Kind, Slot, Tensor, baddbmm};

use crate::Result;

/// A block by its slots, as [`FusedNet`](super::super::FusedNet) has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchedBlock {
    pub(super) kernel: Slot,
    pub(super) bias: Slot,
    pub(super) scale: Slot,
    pub(super) shift: Slot,
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) eps: f64,
}

/// The parameters of a block in each task, or a gradient or a direction of them. The convolution's bias is none of them: batch-norm
/// subtracts it.
#[derive(Debug)]
pub(super) struct BlockLeaves {
    /// `[T, O, 9 C]`.
    pub(super) kernel: Tensor,
    /// γ, `[T, O, 1]`.
    pub(super) scale: Tensor,
    /// β, `[T, O, 1]`.
    pub(super) shift: Tensor,
}

/// Pictures in a channel, and their sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) pictures: i64,
    pub(super) height: i64,
    pub(super) width: i64,
}

/// What a pass through a block leaves behind.
#[derive(Debug)]
pub(super) struct BlockTrace {
    sides: Sides,
    /// `[T, 9 C, M]`.
    patches: Tensor,
    /// The kernel with the signs of γ, and those signs, `[T, O, 1]`.
    kernel: Tensor,
    sign: Tensor,
    /// `|γ| s`, s and m, `[T, O, 1]`.
    slope: Tensor,
    inverse: Tensor,
    mean: Tensor,
    /// What the convolution gave, `[T, O, M]`.
    y: Tensor,
    /// Of the chosen pixels: where they are in their picture `[T O N, H/2 W/2]`, and x̂ there, `[T, O, N H/2 W/2]`.
    chosen: Tensor,
    normalised: Tensor,
    /// `[T, O, N H/2 W/2]`.
    pub(super) output: Tensor,
    back: Option<Back>,
}

/// What the pass back leaves behind.
#[derive(Debug)]
struct Back {
    /// g, `[T, O, N H/2 W/2]`.
    g: Tensor,
    /// B and G, `[T, O, 1]`.
    shift: Tensor,
    scale: Tensor,
    /// The cotangent of y, `[T, O, M]`, and its patches where a block is below.
    dy: Tensor,
    patches: Option<Tensor>,
}

/// How a pass through a block changes along a direction.
#[derive(Debug)]
pub(super) struct BlockTangent {
    /// The patches of the input's change.
    patches: Option<Tensor>,
    /// The direction of the kernel with the signs of γ, and that of |γ|.
    kernel: Tensor,
    scale: Tensor,
    /// ẏ − m₀, `[T, O, M]`.
    moved: Tensor,
    /// m₁, `[T, O, 1]`.
    mean: Tensor,
    /// dx̂ at the chosen pixels.
    normalised: Tensor,
    pub(super) output: Tensor,
}

impl Sides {
    pub(super) fn halved(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }

    pub(super) fn pixels(self) -> i64 {
        self.pictures * self.height * self.width
    }
}

/// The 3 × 3 patches `[T, 9 C, N H W]` around each pixel of `[T, C, N H W]`, zeros beyond the borders.
pub(super) fn patches(x: &Tensor, sides: Sides) -> Result<Tensor> {
    let Sides { pictures, height, width } = sides;
    let (tasks, channels) = leading(x);
    let padded = x.f_reshape([tasks, channels, pictures, height, width])?.f_constant_pad_nd([1, 1, 1, 1])?;
    let (row, picture) = (width + 2, (height + 2) * (width + 2));
    let channel = pictures * picture;
    let view = padded.f_as_strided(
        [tasks, channels, 3, 3, pictures, height, width],
        [channels * channel, channel, row, 1, picture, row, 1],
        None,
    )?;
    Ok(view.f_reshape([tasks, channels * 9, pictures * height * width])?)
}

fn leading(x: &Tensor) -> (i64, i64) {
    let size = x.size();
    (size.first().copied().unwrap_or_default(), size.get(1).copied().unwrap_or_default())
}

fn sum(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([2_i64].as_slice(), true, x.kind())?)
}

/// `a + b x` with `[T, O, 1]` and `[T, O, M]`.
fn affine(a: &Tensor, b: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(a.f_addcmul(b, x)?)
}

impl BatchedBlock {
    /// The pass forward.
    pub(super) fn forward(&self, leaves: &BlockLeaves, patches: Tensor, sides: Sides) -> Result<BlockTrace> {
        let BlockLeaves { kernel, scale, shift } = leaves;
        let sign = scale.f_ones_like()?.f_copysign(scale)?;
        let kernel = kernel.f_mul(&sign)?;
        let y = kernel.f_matmul(&patches)?;
        let (variance, mean) = y.f_var_mean_correction([2_i64].as_slice(), 0.0, true)?;
        let inverse = variance.f_add_scalar(self.eps)?.f_rsqrt()?;
        let slope = scale.f_abs()?.f_mul(&inverse)?;
        let (tasks, outputs) = leading(&y);
        let half = sides.halved();
        let pictures = y.f_reshape([tasks * outputs, sides.pictures, sides.height, sides.width])?;
        let (largest, chosen) = pictures.f_max_pool2d_with_indices([2, 2], [2, 2], [0, 0], [1, 1], false)?;
        let squares = [tasks, outputs, half.pixels()];
        let normalised = largest.f_reshape(squares)?.f_sub(&mean)?.f_mul(&inverse)?;
        let output = affine(shift, &scale.f_abs()?, &normalised)?.f_relu()?;
        let chosen = chosen.f_reshape([tasks * outputs * sides.pictures, half.height * half.width])?;
        Ok(BlockTrace {
            sides,
            patches,
            kernel,
            sign,
            slope,
            inverse,
            mean,
            y,
            chosen,
            normalised,
            output,
            back: None,
        })
    }

    /// The pass back from a cotangent of the output: the gradient, and the cotangent of the input where there is a block below.
    pub(super) fn backward(
        &self,
        trace: &mut BlockTrace,
        cotangent: &Tensor,
        below: Below,
    ) -> Result<(BlockLeaves, Option<Tensor>)> {
        let g = trace.output_derivative(cotangent)?;
        let (shift, scale) = (sum(&g)?, sum(&g.f_mul(&trace.normalised)?)?);
        let by_pixel = trace.slope.f_mul_scalar(-1.0 / trace.sides.pixels() as f64)?;
        // −k (B + x̂ G) / M = c y + d.
        let c = by_pixel.f_mul(&scale)?.f_mul(&trace.inverse)?;
        let d = by_pixel.f_mul(&shift)?.f_sub(&c.f_mul(&trace.mean)?)?;
        let dy = trace.scattered(affine(&d, &c, &trace.y)?, &g.f_mul(&trace.slope)?)?;
        let kernel = dy.f_matmul(&trace.patches.f_transpose(1, 2)?)?;
        let gradient = BlockLeaves {
            kernel: kernel.f_mul(&trace.sign)?,
            scale: scale.f_mul(&trace.sign)?,
            shift: shift.shallow_clone(),
        };
        let (patches, under) = match below {
            Below::Nothing => (None, None),
            Below::Block => {
                let patches = patches(&dy, trace.sides)?;
                let under = self.turned(&trace.kernel)?.f_matmul(&patches)?;
                (Some(patches), Some(under))
            }
        };
        trace.back = Some(Back { g, shift, scale, dy, patches });
        Ok((gradient, under))
    }

    /// The pass forward along a direction of the parameters and, from a block below, of the input.
    pub(super) fn forward_jvp(
        &self,
        leaves: &BlockLeaves,
        direction: &BlockLeaves,
        trace: &BlockTrace,
        input: Option<&Tensor>,
    ) -> Result<BlockTangent> {
        let kernel = direction.kernel.f_mul(&trace.sign)?;
        let scale = direction.scale.f_mul(&trace.sign)?;
        let patches = input.map(|input| patches(input, trace.sides)).transpose()?;
        let mut dy = kernel.f_matmul(&trace.patches)?;
        if let Some(patches) = &patches {
            dy = baddbmm(&dy, &trace.kernel, patches)?;
        }
        let along = [2_i64];
        let moved = dy.f_sub(&dy.f_mean_dim(along.as_slice(), true, dy.kind())?)?;
        // x̂ has mean 0, and so has what is multiplied by it here.
        let mean =
            moved.f_mul(&trace.y)?.f_mean_dim(along.as_slice(), true, dy.kind())?.f_mul(&trace.inverse)?;
        let there = trace.at_chosen(&moved)?;
        let normalised = there.f_sub(&trace.normalised.f_mul(&mean)?)?.f_mul(&trace.inverse)?;
        let moving = affine(&direction.shift, &scale, &trace.normalised)?;
        let moving = moving.f_addcmul(&leaves.scale.f_abs()?, &normalised)?;
        let output = trace.output_derivative(&moving)?;
        Ok(BlockTangent { patches, kernel, scale, moved, mean, normalised, output })
    }

    /// How what [`BatchedBlock::backward`] gave changes along the direction, for a change of the cotangent of the output.
    pub(super) fn backward_jvp(
        &self,
        trace: &BlockTrace,
        tangent: &BlockTangent,
        cotangent: &Tensor,
        below: Below,
    ) -> Result<(BlockLeaves, Option<Tensor>)> {
        let Some(back) = &trace.back else { return Err(super::nothing()) };
        let moved_g = trace.output_derivative(cotangent)?;
        let shift = sum(&moved_g)?;
        let scale = sum(&moved_g.f_mul(&trace.normalised)?.f_addcmul(&back.g, &tangent.normalised)?)?;
        let (k, s) = (&trace.slope, &trace.inverse);
        let moved_k = tangent.scale.f_sub(&k.f_mul(&tangent.mean)?)?.f_mul(s)?;
        let each = -1.0 / trace.sides.pixels() as f64;
        let product = |a: [&Tensor; 2], b: [&Tensor; 2]| -> Result<Tensor> {
            Ok(a[0].f_mul(a[1])?.f_addcmul(b[0], b[1])?.f_mul_scalar(each)?)
        };
        // −(k̇ B + k Ḃ)/M − x̂ (k̇ G + k Ġ)/M − dx̂ k G/M, with x̂ and dx̂ by y and ẏ.
        let fixed = product([&moved_k, &back.shift], [k, &shift])?;
        let of_moved = k.f_mul(&back.scale)?.f_mul_scalar(each)?.f_mul(s)?;
        let of_normalised = product([&moved_k, &back.scale], [k, &scale])?;
        let of_y = of_normalised.f_sub(&of_moved.f_mul(&tangent.mean)?)?.f_mul(s)?;
        let fixed = fixed.f_sub(&of_y.f_mul(&trace.mean)?)?;
        let moved_dy = affine(&fixed, &of_y, &trace.y)?.f_addcmul(&of_moved, &tangent.moved)?;
        let chosen = back.g.f_mul(&moved_k)?.f_addcmul(&moved_g, k)?;
        let moved_dy = trace.scattered(moved_dy, &chosen)?;
        let mut kernel = moved_dy.f_matmul(&trace.patches.f_transpose(1, 2)?)?;
        if let Some(patches) = &tangent.patches {
            kernel = baddbmm(&kernel, &back.dy, &patches.f_transpose(1, 2)?)?;
        }
        let moved =
            BlockLeaves { kernel: kernel.f_mul(&trace.sign)?, scale: scale.f_mul(&trace.sign)?, shift };
        let under = match (below, &back.patches) {
            (Below::Block, Some(before)) => {
                let own = self.turned(&trace.kernel)?.f_matmul(&patches(&moved_dy, trace.sides)?)?;
                Some(baddbmm(&own, &self.turned(&tangent.kernel)?, before)?)
            }
            _ => None,
        };
        Ok((moved, under))
    }

    /// The kernel `[T, C, 9 O]` that leads back to the input.
    fn turned(&self, kernel: &Tensor) -> Result<Tensor> {
        let (tasks, outputs) = leading(kernel);
        let turned = kernel.f_reshape([tasks, outputs, self.inputs, 9])?.f_flip([3_i64])?;
        Ok(turned.f_transpose(1, 2)?.f_reshape([tasks, self.inputs, outputs * 9])?)
    }
}

/// Whether a block's input is what another block gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    Nothing,
    Block,
}

impl BlockTrace {
    /// A cotangent, or a change, of the output as one of what relu was applied to.
    fn output_derivative(&self, of_output: &Tensor) -> Result<Tensor> {
        Ok(self.output.f_threshold_backward(of_output, 0.0)?)
    }

    /// Adds numbers of the chosen pixels to those of all pixels, which are overwritten.
    fn scattered(&self, all: Tensor, chosen: &Tensor) -> Result<Tensor> {
        let rows = self.chosen.size().first().copied().unwrap_or_default();
        let mut by_picture = all.f_view([rows, self.sides.height * self.sides.width])?;
        let chosen = chosen.f_reshape(self.chosen.size())?;
        let _same = by_picture.f_scatter_add_(1, &self.chosen, &chosen)?;
        Ok(all)
    }

    /// The numbers of the chosen pixels, `[T, O, N H/2 W/2]`.
    fn at_chosen(&self, all: &Tensor) -> Result<Tensor> {
        let rows = self.chosen.size().first().copied().unwrap_or_default();
        let by_picture = all.f_reshape([rows, self.sides.height * self.sides.width])?;
        Ok(by_picture.f_gather(1, &self.chosen, false)?.f_reshape(self.normalised.size())?)
    }
}

impl BlockLeaves {
    /// `self − rate · other`, where it moves.
    pub(super) fn less(&self, other: &Self, rate: f64, moves: [bool; 3]) -> Result<Self> {
        let less = |from: &Tensor, what: &Tensor, moves: bool| -> Result<Tensor> {
            Ok(if moves { from.f_sub(&what.f_mul_scalar(rate)?)? } else { from.shallow_clone() })
        };
        Ok(Self {
            kernel: less(&self.kernel, &other.kernel, moves[0])?,
            scale: less(&self.scale, &other.scale, moves[1])?,
            shift: less(&self.shift, &other.shift, moves[2])?,
        })
    }

    /// With zeros where nothing moves.
    pub(super) fn masked(&self, moves: [bool; 3]) -> Result<Self> {
        let masked = |leaf: &Tensor, moves: bool| -> Result<Tensor> {
            Ok(if moves { leaf.shallow_clone() } else { leaf.f_zeros_like()? })
        };
        Ok(Self {
            kernel: masked(&self.kernel, moves[0])?,
            scale: masked(&self.scale, moves[1])?,
            shift: masked(&self.shift, moves[2])?,
        })
    }
}

/// Pictures `[T, N, C, H, W]` channel by channel, `[T, C, N H W]`.
pub(super) fn by_channels(x: &Tensor, kind: Kind) -> Result<(Tensor, Sides)> {
    let &[tasks, pictures, channels, height, width] = x.size().as_slice() else {
        return Err(super::nothing());
    };
    let turned = x.f_to_kind(kind)?.f_transpose(1, 2)?.f_reshape([tasks, channels, -1])?;
    Ok((turned, Sides { pictures, height, width }))
}
