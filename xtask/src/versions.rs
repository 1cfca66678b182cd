//! Of what other people build, the versions that are used.

/// The libtorch that `tch` was generated for.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

/// The Python whose build of torch is taken. Its C++ libraries are the same for all.
pub(crate) const PYTHON_VERSION: &str = "3.12";
