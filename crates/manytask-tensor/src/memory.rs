//! How the process keeps its memory, and how much it can have.

mod free;

pub use self::free::free;

/// Keeps freed memory for the next tensor instead of giving it back to the system, from now on and for the whole process.
///
/// libtorch's processor tensors come from `malloc`. glibc maps large ones anew each time and unmaps them when they are freed, so
/// that every step of a training touches fresh pages, which the system must clear one by one. A program that trains calls this
/// once at its start. Without glibc nothing is done.
///
/// ```
/// manytask_tensor::memory::keep_pages();
/// ```
pub fn keep_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// glibc's own limit for the first, and no limit for the second.
        const LARGEST: libc::c_int = 1 << 30;
        #[expect(
            unsafe_code,
            reason = "`mallopt` sets two numbers of the allocator; there is no safe wrapper"
        )]
        // SAFETY: both parameters are documented, any value is allowed, and the call is thread-safe.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
