use manytask_tensor::{Params, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::sizes::positive;
use crate::init::{self, FanMode, Gain};
use crate::layers::{Activation, BatchNorm, Dropout, LayerNorm, Linear, Stages};
use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Result, Staged};

/// A multi-layer perceptron: linear layers, each but the output followed by normalisation, activation and dropout.
///
/// ```
/// use manytask_nn::nets::{Mlp, MlpConfig};
/// use manytask_nn::{Builder, Context, Module};
/// use manytask_tensor::{Device, Kind, Layout, Tensor};
/// let mut layout = Layout::builder();
/// let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
/// let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config)?;
/// let params = layout.build().init(0, Kind::Float, Device::Cpu)?;
/// let x = Tensor::zeros([10, 1], (Kind::Float, Device::Cpu));
/// assert_eq!(net.forward(&params, &x, &mut Context::eval())?.size(), [10, 1]);
/// // The same definition on 25 tasks at once:
/// let tasks = params.expand_tasks(25)?;
/// let x = Tensor::zeros([25, 10, 1], (Kind::Float, Device::Cpu));
/// assert_eq!(net.forward(&tasks, &x, &mut Context::eval())?.size(), [25, 10, 1]);
/// # Ok::<(), manytask_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Mlp {
    layers: Stages,
    features: i64,
}

/// The form of an [`Mlp`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// The sizes of the hidden layers; with none and no output it passes its input on.
    pub hidden: Vec<i64>,
    /// The size of a last linear layer, `head`, without activation. Absent: there is none, and the net is a trunk.
    pub output: Option<i64>,
    /// After each hidden layer.
    pub activation: Activation,
    /// The share of each hidden layer's numbers that is dropped in training, in `[0, 1)`.
    pub dropout: f64,
    /// Between each hidden layer and its activation.
    pub norm: Norm,
    /// What weights and biases start from.
    pub init: Init,
}

/// A normalisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None.
    #[default]
    None,
    /// Over the batch.
    Batch,
    /// Over each row.
    Layer,
}

/// What linear layers start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// As `torch.nn.Linear`: U(−1/√in, 1/√in) for weights and biases.
    #[default]
    Pytorch,
    /// N(0, 2/in), biases zero (He et al. 2015).
    Kaiming,
    /// U(±√(6/(in + out))), biases zero (Glorot & Bengio 2010).
    Xavier,
    /// N(0, 0.01²) cut at two deviations, biases zero: the start of MAML's sinusoid network.
    TruncatedNormal,
}

impl Mlp {
    /// Adds `layer0.weight`, `layer0.bias`, …, `head.weight`, `head.bias` for inputs `[B, inputs]`.
    ///
    /// # Errors
    /// When a size is below 1 or the dropout out of range.
    pub fn new(b: &mut Builder<'_>, inputs: i64, config: &MlpConfig) -> Result<Self> {
        if inputs < 1 {
            return Err(Error::named_setting(WHOLE, "mlp's inputs", &inputs, "at least 1 is needed"));
        }
        let mut stages = Stages::new();
        let mut features = inputs;
        for (i, &size) in config.hidden.iter().enumerate() {
            positive(("hidden", i), size)?;
            let mut b = b.scope(format!("layer{i}"));
            let mut layers: Vec<Box<dyn Module>> = Vec::new();
            layers.push(Box::new(linear(&mut b, features, size, config.init)?));
            match config.norm {
                Norm::None => {}
                Norm::Batch => layers.push(Box::new(BatchNorm::new(&mut b.scope("norm"), size)?)),
                Norm::Layer => layers.push(Box::new(LayerNorm::new(&mut b.scope("norm"), &[size])?)),
            }
            layers.push(Box::new(config.activation));
            let dropout = Dropout::new(config.dropout)?;
            if config.dropout > 0.0 {
                layers.push(Box::new(dropout));
            }
            stages.push(layers, size);
            features = size;
        }
        if let Some(output) = config.output {
            positive("output", output)?;
            let head = linear(&mut b.scope("head"), features, output, config.init)?;
            stages.push(vec![Box::new(head)], output);
            features = output;
        }
        Ok(Self { layers: stages, features })
    }

    /// The size of its output.
    pub fn features(&self) -> i64 {
        self.features
    }
}

fn linear(b: &mut Builder<'_>, inputs: i64, outputs: i64, init: Init) -> Result<Linear> {
    let shape = [outputs, inputs];
    let weight = match init {
        Init::Pytorch => return Linear::new(b, inputs, outputs),
        Init::Kaiming => init::kaiming_normal(&shape, FanMode::FanIn, Gain::Relu)?,
        Init::Xavier => init::xavier_uniform(&shape, 1.0)?,
        Init::TruncatedNormal => init::truncated_normal(0.01),
    };
    Linear::with_init(b, inputs, outputs, weight, manytask_tensor::Init::Zeros)
}

impl Module for Mlp {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        self.layers.forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        self.layers.primitives()
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
    use manytask_tensor::{Device, Kind, Layout};

    use super::*;

    fn built(config: &MlpConfig) -> (Mlp, Params) {
        let mut layout = Layout::builder();
        let net = Mlp::new(&mut Builder::new(&mut layout), 3, config).unwrap();
        (net, layout.build().init(1, Kind::Double, Device::Cpu).unwrap())
    }

    #[test]
    fn names_sizes_and_layers_are_those_of_the_configuration() {
        let config = MlpConfig {
            hidden: vec![5, 4],
            output: Some(2),
            norm: Norm::Batch,
            dropout: 0.5,
            ..MlpConfig::default()
        };
        let (net, params) = built(&config);
        let names: Vec<&str> = params.iter().map(|(entry, _)| entry.name.as_str()).collect();
        assert_eq!(names[..3], ["layer0.weight", "layer0.bias", "layer0.norm.weight"]);
        assert_eq!(names[names.len() - 2..], ["head.weight", "head.bias"]);
        assert_eq!((net.features(), params.named("head.weight").unwrap().size()), (2, vec![2, 4]));
        let (trunk, _) = built(&MlpConfig { hidden: vec![5], ..MlpConfig::default() });
        assert_eq!(trunk.features(), 5);
        let (nothing, params) = built(&MlpConfig::default());
        let x = Tensor::ones([2, 3], (Kind::Double, Device::Cpu));
        assert_eq!((nothing.features(), nothing.forward(&params, &x, &mut Context::eval()).unwrap()), (3, x));
    }

    #[test]
    fn mamls_start_is_small_normal_and_zero_biases() {
        let (_, params) =
            built(&MlpConfig { hidden: vec![400, 40], init: Init::TruncatedNormal, ..MlpConfig::default() });
        let weight = params.named("layer1.weight").unwrap();
        assert!(weight.abs().max().double_value(&[]) <= 0.02);
        // The deviation of a normal cut at two deviations is 0.8796 of the uncut.
        assert!((weight.std(true).double_value(&[]) - 0.008_796).abs() < 2e-4);
        assert_eq!(params.named("layer1.bias").unwrap().abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let mut layout = Layout::builder();
        let mut b = Builder::new(&mut layout);
        assert!(Mlp::new(&mut b, 0, &MlpConfig::default()).is_err());
        assert!(Mlp::new(&mut b, 1, &MlpConfig { hidden: vec![0], ..MlpConfig::default() }).is_err());
        assert!(
            Mlp::new(&mut b, 1, &MlpConfig { hidden: vec![2], dropout: 1.0, ..MlpConfig::default() })
                .is_err()
        );
    }
}
