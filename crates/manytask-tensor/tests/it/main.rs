//! Tests of the public interface.

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
