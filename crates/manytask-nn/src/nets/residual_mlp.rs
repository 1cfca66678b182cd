use manytask_tensor::{Params, Tensor};
use serde::{Deserialize, Serialize};

use super::Norm;
use crate::layers::{Activation, BatchNorm, Dropout, LayerNorm, Linear, Residual, Sequential, Stages};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// A residual network for tables (Gorishniy et al. 2021, `NeurIPS`, arXiv:2106.11959, section 3.2): a linear layer, blocks
/// `x + dropout(linear(dropout(relu(linear(norm(x))))))`, and `relu(norm(x))` at the end.
///
/// Parameters are `first.…`, `blockN.norm.…`, `blockN.up.…`, `blockN.down.…`, `norm.…`. Each block is a stage; the linear layer before
/// belongs to a stage of its own, the normalisation at the end to the last one.
#[derive(Debug)]
pub struct ResidualMlp {
    layers: Stages,
    features: i64,
}

/// The form of a [`ResidualMlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResidualMlpConfig {
    /// The width of x.
    pub width: i64,
    /// The number of blocks.
    pub blocks: usize,
    /// The width within a block, in widths of x.
    pub expansion: f64,
    /// The share of the numbers within a block that is dropped in training, in `[0, 1)`.
    pub dropout: f64,
    /// The share of what a block adds that is dropped in training, in `[0, 1)`.
    pub residual_dropout: f64,
    /// The normalisation.
    pub norm: Norm,
    /// The activation.
    pub activation: Activation,
}

impl Default for ResidualMlpConfig {
    fn default() -> Self {
        Self {
            width: 128,
            blocks: 2,
            expansion: 2.0,
            dropout: 0.1,
            residual_dropout: 0.0,
            norm: Norm::Batch,
            activation: Activation::Relu,
        }
    }
}

impl ResidualMlp {
    /// Adds its parameters for inputs `[B, inputs]`.
    ///
    /// # Errors
    /// When a size is below 1 or a dropout out of range.
    pub fn new(b: &mut Builder<'_>, inputs: i64, config: &ResidualMlpConfig) -> Result<Self> {
        let width = config.width;
        let inner = (width as f64 * config.expansion).round();
        if inputs < 1 || width < 1 || !(1.0..=1e6).contains(&inner) {
            let found = format!("{inputs} inputs, width {width}, expansion {}", config.expansion);
            let key = if width < 1 { "width" } else { "expansion" };
            return Err(Error::named_setting(
                key,
                "residual_mlp's sizes",
                &found,
                "each layer must be at least 1 wide",
            ));
        }
        let mut stages = Stages::new();
        stages.push(vec![Box::new(Linear::new(&mut b.scope("first"), inputs, width)?)], width);
        for block in 0..config.blocks {
            let mut scope = b.scope(format!("block{block}"));
            let mut layers = normalisation(&mut scope, width, config.norm)?;
            layers.push(Box::new(Linear::new(&mut scope.scope("up"), width, inner as i64)?));
            layers.push(Box::new(config.activation));
            layers.extend(dropout("dropout", config.dropout)?);
            layers.push(Box::new(Linear::new(&mut scope.scope("down"), inner as i64, width)?));
            layers.extend(dropout("residual_dropout", config.residual_dropout)?);
            let mut stage: Vec<Box<dyn Module>> = vec![Box::new(Residual::new(Box::new(Sequential(layers))))];
            if block + 1 == config.blocks {
                stage.extend(normalisation(b, width, config.norm)?);
                stage.push(Box::new(config.activation));
            }
            stages.push(stage, width);
        }
        Ok(Self { layers: stages, features: width })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

/// The layer `norm`, where there is one.
fn normalisation(b: &mut Builder<'_>, width: i64, norm: Norm) -> Result<Vec<Box<dyn Module>>> {
    Ok(match norm {
        Norm::None => Vec::new(),
        Norm::Batch => vec![Box::new(BatchNorm::new(&mut b.scope("norm"), width)?)],
        Norm::Layer => vec![Box::new(LayerNorm::new(&mut b.scope("norm"), &[width])?)],
    })
}

fn dropout(key: &str, share: f64) -> Result<Option<Box<dyn Module>>> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::setting(key, &share, "it must be in [0, 1)"));
    }
    let layer = Dropout::new(share)?;
    Ok((share > 0.0).then(|| Box::new(layer) as Box<dyn Module>))
}

impl Module for ResidualMlp {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn smallest_batch(&self) -> usize {
        self.layers.smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        self.layers.staged()
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    #[test]
    fn blocks_add_to_what_comes_in() {
        let config =
            ResidualMlpConfig { width: 4, expansion: 1.5, norm: Norm::Layer, ..ResidualMlpConfig::default() };
        let mut layout = Layout::builder();
        let net = ResidualMlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
        let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
        let x = Key::new(2, "x").normal(&[6, 3], Kind::Double, Device::Cpu).unwrap();
        let found = net.forward(&params, &x, &mut Context::eval()).unwrap();
        let linear = |x: &Tensor, name: &str| {
            let named = |part: &str| params.named(&format!("{name}.{part}")).unwrap();
            x.matmul(&named("weight").tr()) + named("bias")
        };
        let norm = |x: &Tensor| {
            let mean = x.mean_dim([1].as_slice(), true, Kind::Double);
            let var = (x - &mean).square().mean_dim([1].as_slice(), true, Kind::Double);
            (x - mean) / (var + 1e-5).sqrt()
        };
        let mut expected = linear(&x, "first");
        for block in 0..2 {
            let up = linear(&norm(&expected), &format!("block{block}.up")).relu();
            assert_eq!(up.size(), [6, 6]);
            expected += linear(&up, &format!("block{block}.down"));
        }
        let difference = found - norm(&expected).relu();
        assert!(difference.abs().max().double_value(&[]) < 1e-12);
        assert_eq!((net.features(), net.staged().unwrap().widths()), (4, &[4, 4, 4][..]));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let base = ResidualMlpConfig::default();
        for config in [
            ResidualMlpConfig { width: 0, ..base.clone() },
            ResidualMlpConfig { expansion: f64::NAN, ..base.clone() },
            ResidualMlpConfig { dropout: 1.0, ..base },
        ] {
            assert!(ResidualMlp::new(&mut Builder::new(&mut Layout::builder()), 3, &config).is_err());
        }
    }
}
