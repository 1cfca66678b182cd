use manytask_data::Inputs;
use manytask_nn::Context;
use manytask_nn::dense::{DenseChain, Trace};
use manytask_nn::fused::NotFused;
use manytask_tensor::dense::{Real, from_fn};
use manytask_tensor::{Device, Kind, Params, Tensor, no_grad, threads};

use super::{Architecture, Bottleneck, Features, Rows, TaskInputs};
use crate::trunk_inputs::TrunkInputs;
use crate::{Error, Result};

/// Rows that go through a network at once in evaluation: enough for the kernels, little enough for the memory.
const ROWS: i64 = 8192;
/// The same of images, each of which becomes many numbers on its way.
const IMAGES: i64 = 512;

/// The raw outputs of the wanted tasks, and what the architecture adds to their losses.
#[derive(Debug)]
pub struct Outputs {
    /// Outputs of one size that were computed together are one tensor.
    pub groups: Vec<OutputGroup>,
    /// How many members of an ensemble the rows are of, one member's after the other's: a loss is then the mean of the members'.
    /// 1 where there is one network, and in evaluation.
    pub members: i64,
    /// Auxiliary losses, in training.
    pub auxiliary: Vec<Auxiliary>,
}

/// The raw outputs of some of the wanted tasks.
#[derive(Debug)]
pub struct OutputGroup {
    /// Their positions among the wanted tasks.
    pub positions: Vec<usize>,
    /// `[G, B, outputs]`, a slice for each; with members `[G, members · B, outputs]`.
    pub raw: Tensor,
}

/// A loss that the architecture has beside those of the tasks.
///
/// It is added to the vector of losses that the aggregator sees, and logged by its name.
#[derive(Debug)]
pub struct Auxiliary {
    /// What it is.
    pub name: &'static str,
    /// The task to whose loss it is added; without one an equal share is added to the loss of each wanted task.
    pub task: Option<usize>,
    /// One element, its factor included.
    pub value: Tensor,
}

impl Outputs {
    /// `[B, outputs]` of each wanted task.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn each(outputs: &[Tensor]) -> Result<Self> {
        let groups = outputs
            .iter()
            .enumerate()
            .map(|(position, raw)| Ok(OutputGroup { positions: vec![position], raw: raw.f_unsqueeze(0)? }));
        Ok(Self { groups: groups.collect::<Result<_>>()?, members: 1, auxiliary: Vec::new() })
    }

    /// The same with auxiliary losses.
    #[must_use]
    pub fn with_auxiliary(self, auxiliary: Vec<Auxiliary>) -> Self {
        Self { auxiliary, ..self }
    }

    /// `[B, outputs]` of the wanted task at `position`.
    ///
    /// # Errors
    /// When the architecture gave none.
    pub fn raw(&self, position: usize) -> Result<Tensor> {
        for group in &self.groups {
            if let Some(row) = group.positions.iter().position(|of| *of == position) {
                return Ok(group.raw.f_select(0, row as i64)?);
            }
        }
        Err(Error::Contract {
            aggregator: "architecture".into(),
            message: format!("it gave no outputs of the wanted task {position}"),
        })
    }
}

/// Each task's raw outputs for rows of inputs, see `dyn Architecture::outputs`.
pub(crate) fn predict(
    architecture: &(dyn Architecture + '_),
    params: &Params,
    inputs: &[Inputs],
) -> Result<Vec<Tensor>> {
    let _off = no_grad();
    let tasks = architecture.tasks();
    let all: Vec<usize> = (0..tasks).collect();
    match inputs {
        [inputs] => chunks(architecture, params, inputs, &all),
        inputs if inputs.len() == tasks => {
            let mut outputs = Vec::with_capacity(inputs.len());
            for (task, inputs) in inputs.iter().enumerate() {
                outputs.extend(chunks(architecture, params, inputs, &[task])?);
            }
            Ok(outputs)
        }
        inputs => Err(Error::setting(
            format!("{} inputs for {tasks} tasks", inputs.len()),
            "give one for all tasks, or one for each",
        )),
    }
}

fn chunks(
    architecture: &(dyn Architecture + '_),
    params: &Params,
    inputs: &Inputs,
    tasks: &[usize],
) -> Result<Vec<Tensor>> {
    let mut parts: Vec<Vec<Tensor>> = tasks.iter().map(|_| Vec::new()).collect();
    let rows = inputs.rows() as i64;
    let most = if matches!(inputs, Inputs::Images(_)) { IMAGES } else { ROWS };
    let mut start = 0;
    // At least once, so that no rows give outputs of no rows.
    loop {
        let length = most.min(rows - start);
        let outputs = forward(architecture, params, &inputs.narrow(start, length)?, tasks)?;
        for (position, parts) in parts.iter_mut().enumerate() {
            parts.push(outputs.raw(position)?);
        }
        start += length;
        if start >= rows {
            break;
        }
    }
    parts.iter().map(|parts| Ok(Tensor::f_cat(parts, 0)?)).collect()
}

fn forward(
    architecture: &(dyn Architecture + '_),
    params: &Params,
    inputs: &Inputs,
    tasks: &[usize],
) -> Result<Outputs> {
    let mut cx = Context::eval();
    if let Some(cut) = architecture.bottleneck()
        && let Ok(chain) = fused_chain(cut, params)
    {
        let representation = match params.kind() {
            Kind::Double => fused_representation::<f64>(chain, params, inputs)?,
            _ => fused_representation::<f32>(chain, params, inputs)?,
        };
        return cut.heads().forward(params, Features::All(&representation, &Rows::Shared), tasks, &mut cx);
    }
    architecture.forward(params, &TaskInputs::shared(inputs), tasks, &mut cx)
}

/// The chain, where passes with these parameters are fused: on a processor, in f32 or f64.
pub(crate) fn fused_chain<'c>(
    cut: &'c dyn Bottleneck,
    params: &Params,
) -> std::result::Result<&'c DenseChain, &'c NotFused> {
    static ELEMENTS: NotFused = NotFused::because("parameters that are neither float32 nor float64");
    static DEVICE: NotFused = NotFused::because("parameters that are not in the processor's memory");
    match (params.kind(), params.device()) {
        (Kind::Float | Kind::Double, Device::Cpu) => cut.chain(),
        (_, Device::Cpu) => Err(&ELEMENTS),
        _ => Err(&DEVICE),
    }
}

/// The representation without libtorch.
fn fused_representation<T: Real>(chain: &DenseChain, params: &Params, inputs: &Inputs) -> Result<Tensor> {
    let inputs = TrunkInputs::new(inputs, chain, T::KIND)?;
    let mut trace = Trace::default();
    chain.forward(&chain.borrow(params)?, inputs.borrow()?, &mut trace, threads::get())?;
    let last = trace.activations.last().map_or(&[][..], Vec::as_slice);
    from_fn::<T, Error>(&[inputs.rows() as i64, chain.outputs() as i64], |out| {
        out.copy_from_slice(last);
        Ok(())
    })
}
