//! The outputs of a trained network, without a graph.

use manytask_data::Inputs;
use manytask_nn::Context;
use manytask_nn::dense::{DenseChain, Trace};
use manytask_nn::fused::NotFused;
use manytask_tensor::dense::{Real, from_fn};
use manytask_tensor::{Device, Kind, Params, Tensor, WHOLE, no_grad, threads};

use super::{Architecture, Bottleneck, Features, Outputs, Rows, TaskInputs};
use crate::trunk_inputs::TrunkInputs;
use crate::{Error, Result};

/// Rows that go through a network at once in evaluation: enough for the kernels, little enough for the memory.
const ROWS: i64 = 8192;
/// The same of images, each of which becomes many numbers on its way.
const IMAGES: i64 = 512;
/// The most pixels of such images.
const PIXELS: i64 = 1 << 21;

/// Each task's raw outputs for rows of inputs, see `dyn Architecture::outputs`.
pub(crate) fn predict(
    architecture: &(dyn Architecture + '_),
    params: &Params,
    inputs: &[Inputs],
    preference: Option<&[f64]>,
) -> Result<Vec<Tensor>> {
    let _off = no_grad();
    let tasks = architecture.tasks();
    let all: Vec<usize> = (0..tasks).collect();
    match inputs {
        [inputs] => chunks(architecture, params, (inputs, preference), &all),
        inputs if inputs.len() == tasks => {
            let mut outputs = Vec::with_capacity(inputs.len());
            for (task, inputs) in inputs.iter().enumerate() {
                outputs.extend(chunks(architecture, params, (inputs, preference), &[task])?);
            }
            Ok(outputs)
        }
        inputs => Err(Error::setting(
            WHOLE,
            format!("{} inputs for {tasks} tasks", inputs.len()),
            "give one for all tasks, or one for each",
        )),
    }
}

fn chunks(
    architecture: &(dyn Architecture + '_),
    params: &Params,
    (inputs, preference): (&Inputs, Option<&[f64]>),
    tasks: &[usize],
) -> Result<Vec<Tensor>> {
    let mut parts: Vec<Vec<Tensor>> = tasks.iter().map(|_| Vec::new()).collect();
    let rows = inputs.rows() as i64;
    let most = match inputs {
        Inputs::Images(images) => {
            let pixels: i64 = images.pixels().size().iter().skip(2).product();
            (PIXELS / pixels.max(1)).clamp(1, IMAGES)
        }
        _ => ROWS,
    };
    let mut start = 0;
    // At least once, so that no rows give outputs of no rows.
    loop {
        let length = most.min(rows - start);
        let part = inputs.narrow(start, length)?;
        let outputs = forward(architecture, params, (&part, preference), tasks)?;
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
    (inputs, preference): (&Inputs, Option<&[f64]>),
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
    let inputs = TaskInputs::shared(inputs).at(preference.map(<[f64]>::to_vec));
    architecture.forward(params, &inputs, tasks, &mut cx)
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
