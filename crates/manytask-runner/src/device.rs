//! The device of a plan.

use manytask_nn::Precision;
use manytask_tensor::capture::{self, Capture};
use manytask_tensor::{Device, SettingError};

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
                "note: convolutions on {} round what they multiply to TF32, as libtorch does unless told otherwise: {reason}",
                name(device)
            )),
        },
        (_, true) => {
            Some("note: precision = \"tf32\" is for GPUs: a processor computes in float32".to_owned())
        }
        (_, false) => None,
    };
    Ok((device, note))
}

/// How a configuration names a device.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_as_configurations_name_it() {
        assert_eq!((name(Device::Cpu).as_str(), name(Device::Cuda(1)).as_str()), ("cpu", "cuda:1"));
    }
}
