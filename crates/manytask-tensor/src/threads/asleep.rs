//! Has libtorch's OpenMP threads sleep while they wait.
//!
//! They spin otherwise, and where other programs want the processors too, a training in two threads then takes several times as
//! long as in one. OpenMP reads how to wait from the environment when it is loaded, before `main`, so the variable must be there
//! when the program starts. `.preinit_array` runs before the constructors of all libraries, which are most of a start: there the
//! program starts itself anew with the variable, once, as the same process with the same arguments and open files.

#![expect(
    unsafe_code,
    reason = "what runs before main has C's form, and starts the program anew by a system call"
)]

use std::ffi::{CStr, c_char, c_int};

/// Who has set one of these knows how threads should wait.
const VARIABLES: [&[u8]; 2] = [b"OMP_WAIT_POLICY=", b"GOMP_SPINCOUNT="];
const SETTING: &CStr = c"OMP_WAIT_POLICY=passive";
/// An environment with more variables is left as it is.
const MOST: usize = 1024;

type Strings = *const *const c_char;

#[used]
#[unsafe(link_section = ".preinit_array")]
static EARLY: extern "C" fn(c_int, Strings, Strings) = start_anew;

extern "C" fn start_anew(_count: c_int, arguments: Strings, environment: Strings) {
    let mut all = [std::ptr::null::<c_char>(); MOST + 2];
    let mut count = 0;
    loop {
        // SAFETY: the environment is a list of strings that ends with a null pointer, and was read up to here.
        let entry = unsafe { *environment.add(count) };
        if entry.is_null() {
            break;
        }
        // SAFETY: no null pointer, so a string with a zero at its end, which lives as long as the process.
        let text = unsafe { CStr::from_ptr(entry) }.to_bytes();
        if count == MOST || VARIABLES.iter().any(|variable| text.starts_with(variable)) {
            return;
        }
        if let Some(place) = all.get_mut(count) {
            *place = entry;
        }
        count += 1;
    }
    if let Some(place) = all.get_mut(count) {
        *place = SETTING.as_ptr();
    }
    let mut path: [c_char; 2048] = [0; 2048];
    // SAFETY: at most one byte less than the buffer is written, so a zero stays at its end.
    let length = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr(), path.len() - 1) };
    if length > 0 {
        // SAFETY: a path that ends with a zero, and two lists that end with null pointers. It comes back only where it failed, and
        // then nothing has changed.
        unsafe { libc::execve(path.as_ptr(), arguments, all.as_ptr()) };
    }
}
