use manytask_tensor::{Init, Kind, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use super::pictures::image;
use super::sizes::positive;
use crate::init::truncated_normal;
use crate::layers::{Activation, Conv2d, ConvConfig, LayerNorm, Linear};
use crate::{Builder, Context, Error, Module, Result};

/// The ε of a vision transformer's normalisations.
const EPSILON: f64 = 1e-6;

/// A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929): patches and a class token with learned places, blocks of attention and
/// a perceptron behind layer-norm each, and the class token behind a last layer-norm. The sizes of [`VitConfig`]'s defaults are those of
/// `ViT-S/16` (Touvron et al. 2021, arXiv:2012.12877).
///
/// Parameters are called as timm's: `cls_token`, `pos_embed`, `patch_embed.proj.…`, `blocks.N.attn.qkv.…`, `norm.…`; with an output `head.…`.
#[derive(Debug)]
pub struct VisionTransformer {
    patches: Conv2d,
    class: Slot,
    places: Slot,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Option<Linear>,
    features: i64,
}

/// The form of a [`VisionTransformer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VitConfig {
    /// The side of a patch, which divides that of an image.
    pub patch: i64,
    /// Numbers of each patch.
    pub width: i64,
    /// How many blocks.
    pub depth: usize,
    /// Heads of each attention, which divide the width.
    pub heads: i64,
    /// The size of a last linear layer, `head`. Absent: the net is a trunk.
    pub output: Option<i64>,
}

impl Default for VitConfig {
    fn default() -> Self {
        Self { patch: 16, width: 384, depth: 12, heads: 6, output: None }
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    projections: Linear,
    joined: Linear,
    perceptron: [Linear; 2],
    heads: i64,
}

impl VisionTransformer {
    /// For images `[C, H, W]`.
    ///
    /// # Errors
    /// When a size is below 1, patches do not divide images, or heads the width.
    pub fn new(b: &mut Builder<'_>, shape: &[i64], config: &VitConfig) -> Result<Self> {
        let (channels, height, width) = image("vit_s", shape)?;
        let VitConfig { patch, width: size, depth, heads, output } = *config;
        positive("patch", patch)?;
        positive("width", size)?;
        if height % patch != 0 || width % patch != 0 {
            let found = format!("{patch} for images of {height} x {width}");
            return Err(Error::named_setting(
                "patch",
                "the side of a patch",
                &found,
                "it must divide both sides",
            ));
        }
        if heads < 1 || size % heads != 0 {
            let found = format!("{heads} for a width of {size}");
            return Err(Error::named_setting(
                "heads",
                "the number of heads",
                &found,
                "it must divide the width",
            ));
        }
        let form = ConvConfig { stride: patch, padding: 0, ..ConvConfig::same(channels, size, patch) };
        let patches = Conv2d::new(&mut b.scope("patch_embed").scope("proj"), form)?;
        let count = (height / patch) * (width / patch) + 1;
        let class = b.parameter("cls_token", &[1, 1, size], truncated_normal(0.02), Role::Weight)?;
        let places = b.parameter("pos_embed", &[1, count, size], truncated_normal(0.02), Role::Weight)?;
        let blocks = (0..depth)
            .map(|block| {
                let mut b = b.scope("blocks");
                Block::new(&mut b.scope(block.to_string()), size, heads)
            })
            .collect::<Result<_>>()?;
        let norm = LayerNorm::with_eps(&mut b.scope("norm"), &[size], EPSILON)?;
        if let Some(output) = output {
            positive("output", output)?;
        }
        let head = output.map(|output| Linear::new(&mut b.scope("head"), size, output)).transpose()?;
        let features = output.unwrap_or(size);
        Ok(Self { patches, class, places, blocks, norm, head, features })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

impl Block {
    fn new(b: &mut Builder<'_>, width: i64, heads: i64) -> Result<Self> {
        let linear = |b: &mut Builder<'_>, inputs: i64, outputs: i64| {
            Linear::with_init(b, inputs, outputs, truncated_normal(0.02), Init::Zeros)
        };
        Ok(Self {
            norms: [
                LayerNorm::with_eps(&mut b.scope("norm1"), &[width], EPSILON)?,
                LayerNorm::with_eps(&mut b.scope("norm2"), &[width], EPSILON)?,
            ],
            projections: linear(&mut b.scope("attn").scope("qkv"), width, 3 * width)?,
            joined: linear(&mut b.scope("attn").scope("proj"), width, width)?,
            perceptron: [
                linear(&mut b.scope("mlp").scope("fc1"), width, 4 * width)?,
                linear(&mut b.scope("mlp").scope("fc2"), 4 * width, width)?,
            ],
            heads,
        })
    }

    /// `softmax(Q Kᵀ / √d) V` of each head, side by side, of rows `[…, N, D]`.
    fn attention(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let shape = x.size();
        let (Some(&count), Some(&width)) = (shape.iter().rev().nth(1), shape.last()) else {
            return Ok(x.shallow_clone());
        };
        let each = width / self.heads;
        let all = on_rows(&self.projections, params, x, cx)?;
        let all = all.f_reshape([-1, count, 3, self.heads, each])?.f_permute([2, 0, 3, 1, 4])?;
        let [queries, keys, values] = [all.f_get(0)?, all.f_get(1)?, all.f_get(2)?];
        let scores = queries.f_matmul(&keys.f_transpose(-2, -1)?)?.f_div_scalar((each as f64).sqrt())?;
        let found = scores.f_softmax(-1, None::<Kind>)?.f_matmul(&values)?;
        let joined = found.f_transpose(1, 2)?.f_reshape(&shape)?;
        on_rows(&self.joined, params, &joined, cx)
    }
}

/// A linear layer on rows `[T?, B, N, D]`.
fn on_rows(layer: &Linear, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
    let shape = x.size();
    let width = shape.last().copied().unwrap_or_default();
    let flat = match params.tasks() {
        Some(tasks) => x.f_reshape([tasks, -1, width])?,
        None => x.f_reshape([-1, width])?,
    };
    let y = layer.forward(params, &flat, cx)?;
    let mut shape = shape;
    if let (Some(last), Some(width)) = (shape.last_mut(), y.size().last()) {
        *last = *width;
    }
    Ok(y.f_reshape(shape)?)
}

impl Module for Block {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let normed = self.norms[0].forward(params, x, cx)?;
        let x = x.f_add(&self.attention(params, &normed, cx)?)?;
        let normed = self.norms[1].forward(params, &x, cx)?;
        let inner = on_rows(&self.perceptron[0], params, &normed, cx)?;
        let inner = Activation::Gelu.forward(params, &inner, cx)?;
        Ok(x.f_add(&on_rows(&self.perceptron[1], params, &inner, cx)?)?)
    }
}

impl Module for VisionTransformer {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        // [T?, B, D, h, w] as [T?, B, h w, D].
        let patches = self.patches.forward(params, x, cx)?.f_flatten(-2, -1)?.f_transpose(-2, -1)?;
        let patches = patches.f_to_kind(params.kind())?;
        let mut one = patches.size();
        if let Some(count) = one.iter_mut().rev().nth(1) {
            *count = 1;
        }
        // With a task dimension parameters are [T, 1, N, D] already.
        let class = params.get(self.class)?.f_expand(&one, false)?;
        let mut rows = Tensor::f_cat(&[class, patches], -2)?.f_add(params.get(self.places)?)?;
        for block in &self.blocks {
            rows = block.forward(params, &rows, cx)?;
        }
        let first = self.norm.forward(params, &rows.f_narrow(-2, 0, 1)?, cx)?.f_squeeze_dim(-2)?;
        match &self.head {
            Some(head) => head.forward(params, &first, cx),
            None => Ok(first),
        }
    }
}
