//! A block of convolution, batch-norm, relu and pooling, of many tasks at once.
//!
//! A convolution is a product of the kernels `[O, 9 C]` with the patches `[9 C, M]` of its input, one for each group of a task's pictures:
//! G groups of n pictures, M = n H W, so that few tasks give a device enough products to make at once. Relu and batch-norm with γ ≥ 0 do not
//! change which pixel of a square is the largest, so that pooling comes first and all that follows is a quarter of the work; a channel with
//! γ < 0 is the same with the signs of its kernel and of γ turned.
//!
//! With `x̂ = s (y − m)` and cotangents g of the pooled squares, G = Σ g x̂ and B = Σ g over the P pixels of a channel, what comes back to y
//! is `γ s (g − B/P − x̂ G/P)`, where g is 0 but at the chosen pixels. Along a direction `ds = −s² m₁` and `dx̂ = s (ẏ − m₀) − s x̂ m₁`, with
//! `m₀ = mean(ẏ)` and `m₁ = mean(x̂ ẏ)`.

use manytask_tensor::{Slot, Tensor, baddbmm};

use super::sides::{Sides, affine, grouped, mean, of_channels, patches, sum};
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

/// What a pass through a block leaves behind.
#[derive(Debug)]
pub(super) struct BlockTrace {
    sides: Sides,
    /// `[T G, 9 C, M]`.
    patches: Tensor,
    /// The kernel with the signs of γ, `[T, O, 9 C]`, and those signs, `[T, O, 1]`.
    kernel: Tensor,
    sign: Tensor,
    /// |γ|, `|γ| s`, s and m, `[T, 1, O, 1]`.
    scale: Tensor,
    slope: Tensor,
    inverse: Tensor,
    mean: Tensor,
    /// What the convolution gave, `[T, G, O, M]`.
    y: Tensor,
    /// Of the chosen pixels: where they are in their picture `[T G O n, H/2 W/2]`, and x̂ there, `[T, G, O, n H/2 W/2]`.
    chosen: Tensor,
    normalised: Tensor,
    /// `[T, G, O, n H/2 W/2]`.
    pub(super) output: Tensor,
    back: Option<Back>,
}

/// What the pass back leaves behind.
#[derive(Debug)]
struct Back {
    /// g, `[T, G, O, n H/2 W/2]`.
    g: Tensor,
    /// B and G, `[T, 1, O, 1]`.
    shift: Tensor,
    scale: Tensor,
    /// The cotangent of y, `[T, G, O, M]`, and its patches where a block is below.
    dy: Tensor,
    patches: Option<Tensor>,
}

/// How a pass through a block changes along a direction.
#[derive(Debug)]
pub(super) struct BlockTangent {
    /// The patches of the input's change.
    patches: Option<Tensor>,
    /// The direction of the kernel with the signs of γ, `[T, O, 9 C]`, and that of |γ|, `[T, 1, O, 1]`.
    kernel: Tensor,
    scale: Tensor,
    /// ẏ − m₀, `[T, G, O, M]`.
    moved: Tensor,
    /// m₁, `[T, 1, O, 1]`.
    mean: Tensor,
    /// dx̂ at the chosen pixels.
    normalised: Tensor,
    pub(super) output: Tensor,
}

/// Whether a block's input is what another block gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    Nothing,
    Block,
}

impl BatchedBlock {
    /// The pass forward.
    pub(super) fn forward(&self, leaves: &BlockLeaves, patches: Tensor, sides: Sides) -> Result<BlockTrace> {
        let sign = leaves.scale.f_ones_like()?.f_copysign(&leaves.scale)?;
        let kernel = leaves.kernel.f_mul(&sign)?;
        let (scale, shift) = (of_channels(&leaves.scale)?.f_abs()?, of_channels(&leaves.shift)?);
        let y = sides.split(&grouped(&kernel, sides)?.f_matmul(&patches)?, self.outputs)?;
        let (variance, mean) = y.f_var_mean_correction([1_i64, 3].as_slice(), 0.0, true)?;
        let inverse = variance.f_add_scalar(self.eps)?.f_rsqrt()?;
        let slope = scale.f_mul(&inverse)?;
        let half = sides.halved();
        let pictures = y.f_reshape([-1, sides.pictures, sides.height, sides.width])?;
        let (largest, chosen) = pictures.f_max_pool2d_with_indices([2, 2], [2, 2], [0, 0], [1, 1], false)?;
        let normalised = half.split(&largest, self.outputs)?.f_sub(&mean)?.f_mul(&inverse)?;
        let output = affine(&shift, &scale, &normalised)?.f_relu()?;
        let chosen = chosen.f_reshape([-1, half.height * half.width])?;
        Ok(BlockTrace {
            sides,
            patches,
            kernel,
            sign,
            scale,
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
        let sides = trace.sides;
        let g = trace.output_derivative(cotangent)?;
        let (shift, scale) = (sum(&g)?, sum(&g.f_mul(&trace.normalised)?)?);
        let by_pixel = trace.slope.f_mul_scalar(-1.0 / sides.pixels() as f64)?;
        // −k (B + x̂ G) / P = c y + d.
        let c = by_pixel.f_mul(&scale)?.f_mul(&trace.inverse)?;
        let d = by_pixel.f_mul(&shift)?.f_sub(&c.f_mul(&trace.mean)?)?;
        let dy = trace.scattered(affine(&d, &c, &trace.y)?, &g.f_mul(&trace.slope)?)?;
        let kernels = dy.f_flatten(0, 1)?.f_matmul(&trace.patches.f_transpose(1, 2)?)?;
        let gradient = self.gradient(&kernels, &scale, &shift, trace)?;
        let (patches, under) = match below {
            Below::Nothing => (None, None),
            Below::Block => {
                let patches = patches(&dy, sides)?;
                let under = grouped(&self.turned(&trace.kernel)?, sides)?.f_matmul(&patches)?;
                (Some(patches), Some(sides.split(&under, self.inputs)?))
            }
        };
        trace.back = Some(Back { g, shift, scale, dy, patches });
        Ok((gradient, under))
    }

    /// The pass forward along a direction of the parameters and, from a block below, of the input.
    pub(super) fn forward_jvp(
        &self,
        direction: &BlockLeaves,
        trace: &BlockTrace,
        input: Option<&Tensor>,
    ) -> Result<BlockTangent> {
        let sides = trace.sides;
        let kernel = direction.kernel.f_mul(&trace.sign)?;
        let scale = of_channels(&direction.scale.f_mul(&trace.sign)?)?;
        let patches = input.map(|input| patches(input, sides)).transpose()?;
        let mut products = grouped(&kernel, sides)?.f_matmul(&trace.patches)?;
        if let Some(patches) = &patches {
            products = baddbmm(&products, &grouped(&trace.kernel, sides)?, patches)?;
        }
        let dy = sides.split(&products, self.outputs)?;
        let moved = dy.f_sub(&mean(&dy)?)?;
        // What is multiplied by y has mean 0, so that y's own mean takes no part.
        let mean = mean(&moved.f_mul(&trace.y)?)?.f_mul(&trace.inverse)?;
        let there = trace.at_chosen(&moved)?;
        let normalised = there.f_sub(&trace.normalised.f_mul(&mean)?)?.f_mul(&trace.inverse)?;
        let moving = affine(&of_channels(&direction.shift)?, &scale, &trace.normalised)?;
        let output = trace.output_derivative(&moving.f_addcmul(&trace.scale, &normalised)?)?;
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
        let moved_dy = changed_back(trace, back, tangent, (&moved_g, &shift, &scale))?;
        let mut kernels = moved_dy.f_flatten(0, 1)?.f_matmul(&trace.patches.f_transpose(1, 2)?)?;
        if let Some(patches) = &tangent.patches {
            kernels = baddbmm(&kernels, &back.dy.f_flatten(0, 1)?, &patches.f_transpose(1, 2)?)?;
        }
        let moved = self.gradient(&kernels, &scale, &shift, trace)?;
        let turned = |kernel: &Tensor| grouped(&self.turned(kernel)?, trace.sides);
        let under = match (below, &back.patches) {
            (Below::Block, Some(before)) => {
                let own = turned(&trace.kernel)?.f_matmul(&patches(&moved_dy, trace.sides)?)?;
                let all = baddbmm(&own, &turned(&tangent.kernel)?, before)?;
                Some(trace.sides.split(&all, self.inputs)?)
            }
            _ => None,
        };
        Ok((moved, under))
    }

    /// A gradient from those of the kernels in each group, `[T G, O, 9 C]`, and of |γ| and β, with the signs of γ.
    fn gradient(
        &self,
        kernels: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        trace: &BlockTrace,
    ) -> Result<BlockLeaves> {
        let groups = trace.sides.groups;
        let kernels = kernels.f_reshape([-1, groups, self.outputs, 9 * self.inputs])?;
        let kernel = if groups == 1 {
            kernels.f_squeeze_dim(1)?
        } else {
            kernels.f_sum_dim_intlist([1_i64].as_slice(), false, kernels.kind())?
        };
        Ok(BlockLeaves {
            kernel: kernel.f_mul(&trace.sign)?,
            scale: scale.f_squeeze_dim(1)?.f_mul(&trace.sign)?,
            shift: shift.f_squeeze_dim(1)?,
        })
    }

    /// The kernel `[T, C, 9 O]` that leads back to the input.
    fn turned(&self, kernel: &Tensor) -> Result<Tensor> {
        let turned = kernel.f_reshape([-1, self.outputs, self.inputs, 9])?.f_flip([3_i64])?;
        Ok(turned.f_transpose(1, 2)?.f_reshape([-1, self.inputs, self.outputs * 9])?)
    }
}

/// How the cotangent of y changes: with `k = γ s` it is `−(k̇ B + k Ḃ)/P − x̂ (k̇ G + k Ġ)/P − dx̂ k G/P`, and `k̇ g + k ġ` at the chosen
/// pixels; x̂ and dx̂ are taken from y and ẏ.
fn changed_back(
    trace: &BlockTrace,
    back: &Back,
    tangent: &BlockTangent,
    (moved_g, shift, scale): (&Tensor, &Tensor, &Tensor),
) -> Result<Tensor> {
    let (k, s) = (&trace.slope, &trace.inverse);
    let moved_k = tangent.scale.f_sub(&k.f_mul(&tangent.mean)?)?.f_mul(s)?;
    let each = -1.0 / trace.sides.pixels() as f64;
    let product = |a: [&Tensor; 2], b: [&Tensor; 2]| -> Result<Tensor> {
        Ok(a[0].f_mul(a[1])?.f_addcmul(b[0], b[1])?.f_mul_scalar(each)?)
    };
    let fixed = product([&moved_k, &back.shift], [k, shift])?;
    let of_moved = k.f_mul(&back.scale)?.f_mul_scalar(each)?.f_mul(s)?;
    let of_normalised = product([&moved_k, &back.scale], [k, scale])?;
    let of_y = of_normalised.f_sub(&of_moved.f_mul(&tangent.mean)?)?.f_mul(s)?;
    let fixed = fixed.f_sub(&of_y.f_mul(&trace.mean)?)?;
    let everywhere = affine(&fixed, &of_y, &trace.y)?.f_addcmul(&of_moved, &tangent.moved)?;
    trace.scattered(everywhere, &back.g.f_mul(&moved_k)?.f_addcmul(moved_g, k)?)
}

impl BlockTrace {
    /// A cotangent, or a change, of the output as one of what relu was applied to.
    fn output_derivative(&self, of_output: &Tensor) -> Result<Tensor> {
        Ok(self.output.f_threshold_backward(of_output, 0.0)?)
    }

    /// Adds numbers of the chosen pixels to those of all pixels, which are overwritten.
    fn scattered(&self, all: Tensor, chosen: &Tensor) -> Result<Tensor> {
        let mut by_picture = all.f_view([-1, self.sides.height * self.sides.width])?;
        let _same = by_picture.f_scatter_add_(1, &self.chosen, &chosen.f_reshape(self.chosen.size())?)?;
        Ok(all)
    }

    /// The numbers of the chosen pixels, `[T, G, O, n H/2 W/2]`.
    fn at_chosen(&self, all: &Tensor) -> Result<Tensor> {
        let by_picture = all.f_reshape([-1, self.sides.height * self.sides.width])?;
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
