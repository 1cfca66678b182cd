//! The library with CUDA graphs and kernels that are compiled at run time, which is opened at run time itself.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use super::refused;
use crate::Result;

type Call = unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> c_int;

/// Its functions.
#[derive(Debug)]
pub(crate) struct Functions {
    new: unsafe extern "C" fn(c_int, *mut *mut c_void, *mut c_char, usize) -> c_int,
    begin: Call,
    end: Call,
    replay: Call,
    free: unsafe extern "C" fn(*mut c_void),
    allow_tf32: unsafe extern "C" fn(c_int, *mut c_char, usize) -> c_int,
    pub(crate) kernel: KernelFunctions,
}

/// Those for kernels.
#[derive(Debug)]
pub(crate) struct KernelFunctions {
    pub(crate) shared: unsafe extern "C" fn(c_int, *mut usize, *mut c_char, usize) -> c_int,
    pub(crate) new: NewKernel,
    pub(crate) launch:
        unsafe extern "C" fn(*mut c_void, c_uint, c_uint, *mut *mut c_void, *mut c_char, usize) -> c_int,
    pub(crate) free: unsafe extern "C" fn(*mut c_void),
}

type NewKernel = unsafe extern "C" fn(
    c_int,
    *const c_char,
    *const c_char,
    usize,
    *mut *mut c_void,
    *mut c_char,
    usize,
) -> c_int;

/// A graph on its device.
#[derive(Debug)]
pub(super) struct Handle {
    raw: *mut c_void,
    functions: &'static Functions,
}

#[expect(
    unsafe_code,
    reason = "the graph is behind a pointer that only this value has, and its functions keep no thread-local state of ours"
)]
unsafe impl Send for Handle {}

const NAME: &str = "libmanytask_capture.so";

/// The functions, after opening the library the first time.
pub(crate) fn open() -> Result<&'static Functions> {
    static OPENED: OnceLock<std::result::Result<Functions, String>> = OnceLock::new();
    OPENED.get_or_init(load).as_ref().map_err(|reason| refused(reason.clone()))
}

#[cfg(target_os = "linux")]
fn load() -> std::result::Result<Functions, String> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

    let told = |error: libloading::Error| {
        let cause = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
        format!(
            "{NAME} cannot be opened ({cause}): run `cargo xtask setup --cuda`, which builds it where a C++ compiler is"
        )
    };
    #[expect(
        unsafe_code,
        reason = "the library is built from the files of cuda, which declare these functions with these types"
    )]
    // By its name alone, as libtorch_cuda is; its functions are used as long as the process lives, so it is never closed.
    unsafe {
        let library = Library::open(Some(NAME), RTLD_NOW | RTLD_LOCAL).map_err(told)?;
        let functions = Functions {
            new: *library.get(b"manytask_capture_new\0").map_err(told)?,
            begin: *library.get(b"manytask_capture_begin\0").map_err(told)?,
            end: *library.get(b"manytask_capture_end\0").map_err(told)?,
            replay: *library.get(b"manytask_capture_replay\0").map_err(told)?,
            free: *library.get(b"manytask_capture_free\0").map_err(told)?,
            allow_tf32: *library.get(b"manytask_allow_tf32\0").map_err(told)?,
            kernel: KernelFunctions {
                shared: *library.get(b"manytask_kernel_shared\0").map_err(told)?,
                new: *library.get(b"manytask_kernel_new\0").map_err(told)?,
                launch: *library.get(b"manytask_kernel_launch\0").map_err(told)?,
                free: *library.get(b"manytask_kernel_free\0").map_err(told)?,
            },
        };
        std::mem::forget(library);
        Ok(functions)
    }
}

#[cfg(not(target_os = "linux"))]
fn load() -> std::result::Result<Functions, String> {
    Err("CUDA is offered on Linux only".into())
}

/// Whether float32 may be rounded to TF32 on CUDA devices.
pub(super) fn allow_tf32(allowed: bool) -> Result<()> {
    let functions = open()?;
    #[expect(unsafe_code, reason = "it writes a message of at most that length")]
    called(|message, length| unsafe { (functions.allow_tf32)(c_int::from(allowed), message, length) })
}

/// Calls a function that answers 0, or 1 with a message.
pub(crate) fn called(call: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<()> {
    let mut message = [0_u8; 512];
    if call(message.as_mut_ptr().cast(), message.len()) == 0 {
        return Ok(());
    }
    let text = message.split(|byte| *byte == 0).next().unwrap_or_default();
    Err(refused(crate::error::first_line_of(&String::from_utf8_lossy(text))))
}

impl Handle {
    /// A graph on a device, whose stream becomes the current one until [`Handle::end`].
    pub(super) fn new(device: usize) -> Result<Self> {
        let functions = open()?;
        let mut raw = std::ptr::null_mut();
        #[expect(unsafe_code, reason = "it writes a pointer and a message of at most that length")]
        called(|message, length| unsafe { (functions.new)(device as c_int, &raw mut raw, message, length) })?;
        Ok(Self { raw, functions })
    }

    /// Records what is launched from here on.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.call(self.functions.begin)
    }

    /// Ends recording, and goes back to the stream from before.
    pub(super) fn end(&mut self) -> Result<()> {
        self.call(self.functions.end)
    }

    /// Launches it.
    pub(super) fn replay(&self) -> Result<()> {
        self.call(self.functions.replay)
    }

    fn call(&self, function: Call) -> Result<()> {
        #[expect(unsafe_code, reason = "the pointer is one that `new` gave and `free` has not yet seen")]
        called(|message, length| unsafe { function(self.raw, message, length) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the pointer is one that `new` gave, and is not used after this")]
        unsafe {
            (self.functions.free)(self.raw);
        }
    }
}
