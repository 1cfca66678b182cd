//! The device of a plan.

use std::time::Duration;

use manytask_nn::Precision;
use manytask_tensor::capture::{self, Capture};
use manytask_tensor::{Device, DeviceChoice, SettingError};

use crate::experiment::Experiment;

use crate::failure::{Result, Within as _};
use crate::plan::Plan;

/// The device that a plan asks for, with libtorch told how it is to be used, and what is to be said about that.
///
/// # Errors
/// When there is no such device, or it cannot compute as the plan asks.
pub(crate) fn open(plan: &Plan) -> Result<(Device, Option<String>)> {
    let device = plan.device.resolve().within("device")?;
    capture::allow(plan.capture == Capture::Auto);
    let rounds = plan.precision == Precision::Tf32;
    let note = match (device, rounds) {
        (Device::Cuda(_), _) => match (capture::allow_tf32(rounds), rounds) {
            (Ok(()), _) => None,
            (Err(reason), true) => {
                let what = format!("TF32 cannot be allowed: {reason}");
                return Err(SettingError::new("precision", what).remedy("take precision = \"full\"").into());
            }
            (Err(reason), false) => Some(format!(
                "note: convolutions on {device:?} round what they multiply to TF32, as libtorch does unless told otherwise: {reason}"
            )),
        },
        (_, true) => {
            Some("note: precision = \"tf32\" is for GPUs: a processor computes in float32".to_owned())
        }
        (_, false) => None,
    };
    Ok((device, note))
}

/// The experiment on the device on which its steps take less time, where that is left open and there is a GPU: tiny steps are faster on a
/// processor, which launches nothing. `load` loads it on another device. With what is to be said.
///
/// # Errors
/// When it cannot be loaded there.
pub(crate) fn fastest(
    experiment: Experiment,
    load: impl FnOnce(DeviceChoice) -> Result<Experiment>,
) -> Result<(Experiment, Option<String>)> {
    if experiment.plan.device != DeviceChoice::Auto || experiment.device == Device::Cpu {
        return Ok((experiment, None));
    }
    let other = load(DeviceChoice::Cpu)?;
    let times = [experiment.time_of_a_step()?, other.time_of_a_step()?];
    let here = times[1].zip(times[0]).is_some_and(|(here, there)| here < there);
    let shown = |time: Option<Duration>| {
        time.map_or("fails".to_owned(), |time| format!("takes {:.3} ms", time.as_secs_f64() * 1e3))
    };
    let chosen = if here { "the processor".to_owned() } else { format!("{:?}", experiment.device) };
    let said = format!(
        "note: a step {} on {:?} and {} on the processor: device = \"auto\" takes {chosen}",
        shown(times[0]),
        experiment.device,
        shown(times[1])
    );
    Ok((if here { other } else { experiment }, Some(said)))
}

/// How a configuration names a device.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
