//! Which device to compute on.
//!
//! A binary built against libtorch for the CPU runs without CUDA. Where the user asks for a GPU, `libtorch_cuda.so` beside
//! the libtorch in use is opened at run time; that registers its kernels.

use std::fmt;
use std::str::FromStr;

use tch::{Cuda, Device, Tensor};

use crate::{Error, Result};

/// A device as the user writes it: `cpu`, `cuda`, `cuda:1`, `auto`.
///
/// ```
/// use manytask_tensor::{Device, DeviceChoice};
/// assert_eq!("cpu".parse::<DeviceChoice>()?.resolve()?, Device::Cpu);
/// assert_eq!("cuda:1".parse::<DeviceChoice>()?, DeviceChoice::Cuda(1));
/// assert!("gpu".parse::<DeviceChoice>().is_err());
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
    /// The first CUDA device where there is one, the processor otherwise.
    Auto,
}

impl DeviceChoice {
    /// Opens what a GPU needs, where one may be chosen: before the first operation on tensors, since some, such as a convolution on
    /// the processor, have libtorch look for CUDA, and it never looks again. What is missing is told by [`DeviceChoice::resolve`].
    pub fn prepare(self) {
        if self != Self::Cpu {
            drop(open_libtorch_cuda());
        }
    }

    /// The device, after [opening](DeviceChoice::prepare) what it needs.
    ///
    /// # Errors
    /// When CUDA was asked for and `libtorch_cuda`, the driver or the device is absent.
    pub fn resolve(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto => Ok(cuda(0).unwrap_or(Device::Cpu)),
            Self::Cuda(index) => cuda(index).map_err(|(reason, remedy)| Error::Device {
                requested: self.to_string(),
                reason,
                remedy: remedy.to_owned(),
            }),
        }
    }
}

/// A tensor of the processor's memory on a device, without waiting for the work that the device is doing: it is copied aside before this
/// returns.
///
/// # Errors
/// When the device has no memory left.
pub fn send(tensor: &Tensor, device: Device) -> Result<Tensor> {
    if device == Device::Cpu || tensor.device() != Device::Cpu {
        return Ok(tensor.f_to_device(device)?);
    }
    Ok(tensor.f_to_device_(device, tensor.kind(), true, false)?)
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let index = match text {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            "cuda" => Some(0),
            _ => text
                .strip_prefix("cuda:")
                .filter(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|index| index.parse().ok()),
        };
        index.map(Self::Cuda).ok_or_else(|| Error::Device {
            requested: text.to_owned(),
            reason: "there is no such device".into(),
            remedy: "write `cpu`, `cuda`, `cuda:N` or `auto`".into(),
        })
    }
}

const SET_UP: &str = "run `cargo xtask setup --cuda`, or use `cpu` or `auto`";

fn cuda(index: usize) -> Result<Device, (String, &'static str)> {
    open_libtorch_cuda().map_err(|reason| (reason, SET_UP))?;
    let count = Cuda::device_count();
    match count {
        ..=0 => Err((
            "libtorch_cuda was opened and found no GPU or no driver, or it was opened after operations on tensors".into(),
            "check `nvidia-smi`, or use `cpu` or `auto`",
        )),
        count if index as i64 >= count => {
            Err((format!("the machine has {count} CUDA device(s), numbered from 0"), "choose one of these"))
        }
        _ => Ok(Device::Cuda(index)),
    }
}

#[cfg(target_os = "linux")]
fn open_libtorch_cuda() -> Result<(), String> {
    use std::sync::OnceLock;

    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    OPENED
        .get_or_init(|| {
            // By its name alone: the loader then looks where it found libtorch_cpu.
            #[expect(unsafe_code, reason = "running a shared library's initialisers; it is libtorch's own other half, of the same build")]
            let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
            match library {
                Ok(library) => {
                    // Its kernels stay registered, so it must never be closed.
                    std::mem::forget(library);
                    Ok(())
                }
                Err(error) => {
                    // The loader's own words, which name the library that is missing, are the cause.
                    let cause = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
                    Err(format!("libtorch_cuda.so cannot be opened ({cause})"))
                }
            }
        })
        .clone()
}

#[cfg(not(target_os = "linux"))]
fn open_libtorch_cuda() -> Result<(), String> {
    Err("CUDA is offered on Linux only".into())
}
