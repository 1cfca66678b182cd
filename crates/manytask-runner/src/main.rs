//! The manytask command.

use std::process::ExitCode;

fn main() -> ExitCode {
    manytask::main_with(&manytask::Registries::default())
}
