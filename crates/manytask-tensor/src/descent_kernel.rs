//! MAML on small perceptrons as one kernel on a GPU, a block of threads for each task: inner loop, query loss and meta-gradient without
//! leaving the multiprocessor.
//!
//! A step in operations on tensors is some forty kernels for each inner step, one after the other, each of which does next to nothing. This is one
//! launch. Everything of a task must fit into a multiprocessor's shared memory, see [`DescentShape::shared_bytes`].

#[cfg(test)]
mod emulated;

use std::fmt::Write as _;

use tch::{Device, Kind, Tensor};

use crate::kernel::{Kernel, shared_memory};
use crate::{Error, Result};

const SOURCE: &str = include_str!("../cuda/descent.cu");

/// A linear layer with an activation that is linear on both sides of 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DescentLayer {
    /// The numbers of a row that comes in.
    pub inputs: usize,
    /// The numbers of a row that comes out.
    pub outputs: usize,
    /// The slope of the activation below 0: 1 of none, 0 of a rectifier (`relu`).
    pub leak: f64,
    /// Whether W and b move in a task.
    pub moves: [bool; 2],
    /// Where W `[outputs, inputs]` and b begin in the vector of parameters.
    pub places: [usize; 2],
}

/// A mean loss over the labels that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescentLoss {
    /// `(ŷ − y)²`; a missing label is NaN.
    Mse,
    /// Of logits and labels of 0 and 1; a missing label is NaN.
    BinaryCrossEntropy,
    /// Of logits and classes; a missing class is −100.
    CrossEntropy,
}

/// The constants of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct DescentShape {
    /// The layers, first to last, which together have all parameters.
    pub layers: Vec<DescentLayer>,
    /// The loss.
    pub loss: DescentLoss,
    /// The rows of a support set and of a query set.
    pub rows: [usize; 2],
    /// Inner steps.
    pub steps: usize,
    /// Their learning rate.
    pub rate: f64,
    /// Whether the meta-gradient goes through the inner gradients, or takes them as constants.
    pub second_order: bool,
}

impl DescentShape {
    /// P, the length of the vector of parameters.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.outputs * (layer.inputs + 1)).sum()
    }

    /// The bytes of shared memory that a task takes.
    pub fn shared_bytes(&self) -> usize {
        let size: usize =
            self.layers.iter().map(|layer| layer.inputs * (layer.outputs | 1) + layer.outputs).sum();
        let width: usize = self.layers.iter().map(|layer| layer.outputs).sum();
        let [support, query] = self.rows;
        let (copies, kept, tangents) =
            if self.second_order { (self.steps + 1, self.steps, 2) } else { (1, 1, 0) };
        4 * ((copies + 1) * size + (2 * kept + tangents) * support * width + 2 * query * width + query)
    }

    fn source(&self) -> Result<String> {
        let mut text = String::new();
        let [support, query] = self.rows;
        let loss = match self.loss {
            DescentLoss::Mse => 0,
            DescentLoss::BinaryCrossEntropy => 1,
            DescentLoss::CrossEntropy => 2,
        };
        let constants = [
            ("LAYERS", self.layers.len()),
            ("SUPPORT", support),
            ("QUERY", query),
            ("STEPS", self.steps),
            ("SECOND_ORDER", usize::from(self.second_order)),
            ("LOSS", loss),
        ];
        let written = constants.iter().try_for_each(|(name, value)| writeln!(text, "#define {name} {value}"));
        let number = |of: fn(&DescentLayer) -> f64| self.layers.iter().map(of).collect::<Vec<_>>();
        let functions = [
            ("int", "inputs", number(|layer| layer.inputs as f64)),
            ("int", "outputs", number(|layer| layer.outputs as f64)),
            ("double", "leak", number(|layer| layer.leak)),
            ("bool", "weight_moves", number(|layer| f64::from(u8::from(layer.moves[0])))),
            ("bool", "bias_moves", number(|layer| f64::from(u8::from(layer.moves[1])))),
            ("int", "weight_at", number(|layer| layer.places[0] as f64)),
            ("int", "bias_at", number(|layer| layer.places[1] as f64)),
        ];
        let rest = functions.iter().try_for_each(|(kind, name, values)| {
            write!(text, "constexpr {kind} {name}(int l) {{ return ")?;
            let mut cases = values.iter().enumerate();
            cases.try_for_each(|(layer, value)| write!(text, "l == {layer} ? {value} : "))?;
            writeln!(text, "0; }}")
        });
        let last = writeln!(
            text,
            "#define RATE {:?}\nconstexpr int count(int) {{ return {}; }}\n",
            self.rate,
            self.parameters()
        );
        written.and(rest).and(last).map_err(|error| refused(error.to_string()))?;
        Ok(text + SOURCE)
    }

    /// What the kernel takes, as it takes it.
    fn arguments(&self, tasks: i64, params: &Tensor, episodes: [&Tensor; 4]) -> Result<Vec<Tensor>> {
        let [support, query] = self.rows.map(|rows| rows as i64);
        let inputs = self.layers.first().map_or(0, |layer| layer.inputs as i64);
        let labels = match self.loss {
            DescentLoss::CrossEntropy => 1,
            _ => self.layers.last().map_or(0, |layer| layer.outputs as i64),
        };
        let kind = if self.loss == DescentLoss::CrossEntropy { Kind::Int64 } else { Kind::Float };
        let forms = [
            (support * inputs, Kind::Float),
            (support * labels, kind),
            (query * inputs, Kind::Float),
            (query * labels, kind),
        ];
        let mut found = vec![params.f_detach()?.f_contiguous()?];
        if params.kind() != Kind::Float || params.numel() != self.parameters() {
            return Err(refused("parameters of another network"));
        }
        for (tensor, (length, kind)) in episodes.into_iter().zip(forms) {
            if tensor.numel() as i64 != tasks * length || tensor.size().first() != Some(&tasks) {
                return Err(refused(format!("episodes of another form: {:?}", tensor.size())));
            }
            found.push(tensor.f_to_kind(kind)?.f_contiguous()?);
        }
        Ok(found)
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Capture { reason: reason.into() }
}

/// A compiled kernel of a shape.
#[derive(Debug)]
pub struct DescentKernel {
    shape: DescentShape,
    kernel: Kernel,
}

impl DescentKernel {
    /// Compiles the kernel, which takes about a second.
    ///
    /// # Errors
    /// When the device is no CUDA device, a task does not fit into its shared memory, or the library is not there: the message is the reason.
    pub fn compile(device: Device, shape: DescentShape) -> Result<Self> {
        let (needed, there) = (shape.shared_bytes(), shared_memory(device)?);
        if needed > there {
            return Err(refused(format!(
                "a task takes {needed} bytes of shared memory, and there are {there}"
            )));
        }
        let kernel = Kernel::compile(device, &shape.source()?, "perceptron_descent", needed)?;
        Ok(Self { shape, kernel })
    }

    /// The query losses `[T]` in float64, and each task's meta-gradient `[T, P]`, for parameters `[P]` and episodes with a leading task dimension:
    /// support and query sets with their labels.
    ///
    /// # Errors
    /// When these are of another form or device, or memory runs out.
    pub fn run(&self, params: &Tensor, episodes: [&Tensor; 4]) -> Result<[Tensor; 2]> {
        let tasks = episodes[0].size().first().copied().unwrap_or_default();
        let given = self.shape.arguments(tasks, params, episodes)?;
        let rows = Tensor::f_empty([tasks, params.numel() as i64], (Kind::Float, params.device()))?;
        let losses = Tensor::f_empty([tasks], (Kind::Double, params.device()))?;
        let tensors: Vec<&Tensor> = given.iter().chain([&rows, &losses]).collect();
        #[expect(
            unsafe_code,
            reason = "the arguments are those of the function, of the sizes that its constants say, and its results are new"
        )]
        unsafe {
            self.kernel.launch(tasks as usize, &tensors)?;
        }
        Ok([losses, rows])
    }
}
