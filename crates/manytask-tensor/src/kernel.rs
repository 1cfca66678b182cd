//! Kernels that are compiled for the GPU at hand when they are first needed.

use std::ffi::{CString, c_int, c_uint, c_void};

use tch::{Device, Tensor};

use crate::capture::library::{self, KernelFunctions, called};
use crate::{Error, Result};

/// Threads of a block.
const THREADS: c_uint = 512;

/// A compiled function on its device.
#[derive(Debug)]
pub(crate) struct Kernel {
    raw: *mut c_void,
    device: Device,
    functions: &'static KernelFunctions,
}

#[expect(
    unsafe_code,
    reason = "the kernel is behind a pointer that only this value has, and launching it changes nothing there"
)]
unsafe impl Send for Kernel {}
#[expect(
    unsafe_code,
    reason = "the kernel is behind a pointer that only this value has, and launching it changes nothing there"
)]
unsafe impl Sync for Kernel {}

fn index_of(device: Device) -> Result<c_int> {
    match device {
        Device::Cuda(index) => Ok(index as c_int),
        other => Err(refused(format!("{other:?} runs no kernels"))),
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Capture { reason: reason.into() }
}

/// The bytes of shared memory that a block may have on a device.
///
/// # Errors
/// When it is no CUDA device, or the library is not there.
pub(crate) fn shared_memory(device: Device) -> Result<usize> {
    let (index, functions) = (index_of(device)?, &library::open()?.kernel);
    let mut bytes = 0;
    #[expect(unsafe_code, reason = "it writes a number and a message of at most that length")]
    called(|message, length| unsafe { (functions.shared)(index, &raw mut bytes, message, length) })?;
    Ok(bytes)
}

impl Kernel {
    /// Compiles the function `name` of a source; each block has so many bytes of shared memory.
    ///
    /// # Errors
    /// When the device is no CUDA device, the library is not there, or the compiler refuses the source.
    pub(crate) fn compile(device: Device, source: &str, name: &str, shared: usize) -> Result<Self> {
        let (index, functions) = (index_of(device)?, &library::open()?.kernel);
        let text = |text: &str| CString::new(text).map_err(|_| refused("a source with a byte of zero"));
        let (source, name) = (text(source)?, text(name)?);
        let mut raw = std::ptr::null_mut();
        #[expect(
            unsafe_code,
            reason = "it reads two texts that live until it returns, and writes a pointer and a message of at most that length"
        )]
        called(|message, length| unsafe {
            (functions.new)(index, source.as_ptr(), name.as_ptr(), shared, &raw mut raw, message, length)
        })?;
        Ok(Self { raw, device, functions })
    }

    /// Launches blocks on the device's current stream, with the memory of tensors as arguments.
    ///
    /// # Errors
    /// When a tensor is on another device or has gaps, or the launch fails.
    ///
    /// # Safety
    /// The function takes as many pointers to numbers of these types, and stays within each tensor's memory. What it writes must be read by
    /// nobody else at the same time.
    #[expect(
        unsafe_code,
        reason = "what a kernel does with the memory that it is given cannot be checked here"
    )]
    pub(crate) unsafe fn launch(&self, blocks: usize, tensors: &[&Tensor]) -> Result<()> {
        if tensors.iter().any(|tensor| tensor.device() != self.device || !tensor.is_contiguous()) {
            return Err(refused("a kernel takes tensors of its device without gaps"));
        }
        let mut pointers: Vec<*mut c_void> = tensors.iter().map(|tensor| tensor.data_ptr()).collect();
        let mut arguments: Vec<*mut c_void> =
            pointers.iter_mut().map(|pointer| std::ptr::from_mut(pointer).cast()).collect();
        let blocks = c_uint::try_from(blocks).map_err(|_| refused("too many blocks"))?;
        // SAFETY: the arguments are pointers to pointers that live until this returns, as many as the caller says that there are.
        called(|message, length| unsafe {
            (self.functions.launch)(self.raw, blocks, THREADS, arguments.as_mut_ptr(), message, length)
        })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the pointer is one that `new` gave, and is not used after this")]
        unsafe {
            (self.functions.free)(self.raw);
        }
    }
}
