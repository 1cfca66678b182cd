//! The crate on the shipped extract, and on the full data sets where the environment says they are.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may fail by panicking, and say when they skip"
)]

mod full;
mod shipped;

use std::path::PathBuf;

/// The folder of the full data sets; the tests on them say so when it is not there.
fn data(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("MANYTASK_DATA") else {
        println!("skipped: MANYTASK_DATA not set");
        return None;
    };
    Some(PathBuf::from(folder).join(name))
}
