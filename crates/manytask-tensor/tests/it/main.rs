//! Tests of the public interface.
#![expect(clippy::unwrap_used, reason = "a function that a test calls may fail it, as the test itself may")]

mod autograd;
mod checkpoint;
mod derivatives;
mod device;
mod errors;
mod init;
mod io;
mod params;
mod params_tasks;
mod random;
mod support;
mod threads;
