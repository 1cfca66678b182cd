//! Work that is recorded once and then launched as a whole: CUDA graphs.
//!
//! On a GPU a small operation takes less time than its launch, so that a step of some hundred of them is bound by the
//! processor. A [`Recording`] launches all of them at once. libtorch's binding has no CUDA graphs; a library of a few functions,
//! built by `cargo xtask setup --cuda` from `cuda/capture.cpp`, is opened beside libtorch where it is asked for.
//!
//! What is recorded is a function of tensors: it reads no value on the host, draws nothing at random (there each draw is a function of
//! its key, made on the host) and has the same shapes each time. Draws are refused while recording, see [`Key`](crate::random::Key).

pub(crate) mod library;
mod recorder;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use self::library::Handle;
pub use self::recorder::{Outputs, Recorder};
use crate::{Error, Result, no_grad};

static ALLOWED: AtomicBool = AtomicBool::new(true);

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether steps on a GPU are launched as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// Where that can be.
    #[default]
    Auto,
    /// Each operation by itself.
    Off,
}

/// Allows recording in this process, or forbids it: a [`Recorder`] then runs its work itself. Allowed at the start.
pub fn allow(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed);
}

/// Lets products and convolutions of float32 on CUDA devices round their operands to TF32, 11 significant bits, or forbids it: for this
/// process. libtorch begins with convolutions that round and products that do not.
///
/// # Errors
/// When the library is not there, so that it stays as it is. The message is the reason.
pub fn allow_tf32(allowed: bool) -> Result<()> {
    library::allow_tf32(allowed)
}

/// Whether this thread is recording.
pub(crate) fn is_recording() -> bool {
    RECORDING.get()
}

/// A function of tensors on a device as a CUDA graph, with the memory of its inputs and outputs.
///
/// It may also change tensors in place, those that it is given as `changed`: where they are in memory is part of the recording.
///
/// On a processor there is nothing to launch: a recording made by [`Recording::rehearsed`] calls the function each time, with the same
/// copies in and out, so that what is built on recordings can be tested without a GPU.
#[derive(Debug)]
pub struct Recording {
    changed: Vec<Tensor>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    graph: Option<Handle>,
}

impl Recording {
    /// Runs `work` twice on copies of what it changes, so that libraries allocate what they need, and records it the third time. Other tensors
    /// that `work` reads must stay where they are in memory; what they hold may change.
    ///
    /// # Errors
    /// When the device is no CUDA device, the library is not there, recording is not allowed, or `work` does what cannot be
    /// recorded. The message is a reason for whoever wonders why steps are not recorded.
    pub fn new<E: From<Error>>(
        device: Device,
        changed: &[&Tensor],
        inputs: &[&Tensor],
        work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Self, E> {
        let Device::Cuda(index) = device else {
            return Err(refused(format!("{device:?} launches nothing")).into());
        };
        let (practice, inputs) = (copies(changed)?, copies(inputs)?);
        let changed = shared(changed);
        let mut graph = Handle::new(index)?;
        let outputs = recorded(&mut graph, [&practice, &changed], &inputs, work);
        // Also after a failure: the stream must be the usual one again.
        let ended = graph.end();
        let outputs = outputs?;
        ended?;
        Ok(Self { changed, inputs, outputs, graph: Some(graph) })
    }

    /// A recording that calls the function itself each time, on any device.
    ///
    /// # Errors
    /// Those of `work`, and any random draw within it.
    pub fn rehearsed<E: From<Error>>(
        changed: &[&Tensor],
        inputs: &[&Tensor],
        work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Self, E> {
        let (practice, inputs) = (copies(changed)?, copies(inputs)?);
        let outputs = detached(&while_recording(|| work(&practice, &inputs))?)?;
        Ok(Self { changed: shared(changed), inputs, outputs, graph: None })
    }

    /// What the work gives for these inputs. The outputs are in memory of the recording: the next run overwrites them.
    ///
    /// # Errors
    /// When the inputs are not of the recorded shapes, or the device fails.
    pub fn run<E: From<Error>>(
        &self,
        inputs: &[&Tensor],
        work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Vec<Tensor>, E> {
        let same = inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).all(|(a, b)| a.size() == b.size() && a.kind() == b.kind());
        if !same {
            return Err(refused("the inputs are not of the recorded shapes").into());
        }
        overwrite(&self.inputs, inputs.iter().copied())?;
        match &self.graph {
            Some(graph) => graph.replay()?,
            None => overwrite(&self.outputs, &while_recording(|| work(&self.changed, &self.inputs))?)?,
        }
        Ok(self.outputs.iter().map(Tensor::shallow_clone).collect())
    }
}

/// Whether steps can be recorded on a device.
///
/// # Errors
/// With the reason.
pub fn available(device: Device) -> Result<()> {
    match device {
        Device::Cuda(_) => library::open().map(drop),
        other => Err(refused(format!("{other:?} launches nothing"))),
    }
}

fn copies(inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let _off = no_grad();
    let copy = |input: &&Tensor| {
        let copy = Tensor::f_empty(input.size(), (input.kind(), input.device()))?;
        copy.shallow_clone().f_copy_(input)?;
        Ok(copy)
    };
    inputs.iter().map(copy).collect()
}

fn shared(tensors: &[&Tensor]) -> Vec<Tensor> {
    tensors.iter().map(|tensor| tensor.shallow_clone()).collect()
}

fn detached(outputs: &[Tensor]) -> Result<Vec<Tensor>> {
    outputs.iter().map(|output| Ok(output.f_detach()?)).collect()
}

fn overwrite<'t>(to: &[Tensor], from: impl IntoIterator<Item = &'t Tensor>) -> Result<()> {
    let _off = no_grad();
    for (to, from) in to.iter().zip(from) {
        to.shallow_clone().f_copy_(from)?;
    }
    Ok(())
}

fn recorded<E: From<Error>>(
    graph: &mut Handle,
    [practice, changed]: [&[Tensor]; 2],
    inputs: &[Tensor],
    work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
) -> Result<Vec<Tensor>, E> {
    while_recording(|| {
        for _ in 0..2 {
            drop(work(practice, inputs)?);
        }
        graph.begin()?;
        Ok(detached(&work(changed, inputs)?)?)
    })
}

fn while_recording<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            RECORDING.set(self.0);
        }
    }
    let _back = Back(RECORDING.replace(true));
    run()
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Capture { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::random::Key;

    fn square(_: &[Tensor], inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(inputs.iter().map(Tensor::f_square).collect::<std::result::Result<_, _>>()?)
    }

    #[test]
    fn a_rehearsal_gives_what_the_work_gives_in_its_own_memory() {
        let x = Tensor::from_slice(&[1.0, 2.0]);
        let recording = Recording::rehearsed(&[], &[&x], square).unwrap();
        let first = recording.run(&[&Tensor::from_slice(&[3.0, 4.0])], square).unwrap();
        assert_eq!(Vec::<f64>::try_from(&first[0]).unwrap(), [9.0, 16.0]);
        drop(recording.run(&[&Tensor::from_slice(&[5.0, 6.0])], square).unwrap());
        assert_eq!(Vec::<f64>::try_from(&first[0]).unwrap(), [25.0, 36.0], "the memory is the recording's");
        assert!(recording.run(&[&Tensor::from(1.0)], square).is_err());
    }

    #[test]
    fn what_is_changed_is_changed_by_runs_alone() {
        let sum = Tensor::from_slice(&[1.0, 2.0]);
        let adds = |changed: &[Tensor], inputs: &[Tensor]| {
            for (sum, x) in changed.iter().zip(inputs) {
                let _ = sum.shallow_clone().f_add_(x)?;
            }
            Ok::<_, Error>(Vec::new())
        };
        let x = Tensor::from_slice(&[1.0, 1.0]);
        let recording = Recording::rehearsed(&[&sum], &[&x], adds).unwrap();
        assert_eq!(Vec::<f64>::try_from(&sum).unwrap(), [1.0, 2.0], "recording is no run");
        drop(recording.run(&[&x], adds).unwrap());
        drop(recording.run(&[&x], adds).unwrap());
        assert_eq!(Vec::<f64>::try_from(&sum).unwrap(), [3.0, 4.0]);
    }

    #[test]
    fn draws_are_refused_while_recording() {
        let draws = |_: &[Tensor], _: &[Tensor]| {
            Ok::<_, Error>(vec![Key::new(1, "x").normal(&[2], Kind::Float, Device::Cpu)?])
        };
        let error = Recording::rehearsed(&[], &[], draws).unwrap_err().to_string();
        assert!(error.contains("random"), "{error}");
        assert!(draws(&[], &[]).is_ok(), "and allowed after it");
    }

    #[test]
    fn a_processor_has_nothing_to_record() {
        assert!(available(Device::Cpu).is_err());
        assert!(Recording::new(Device::Cpu, &[], &[], square).is_err());
    }
}
