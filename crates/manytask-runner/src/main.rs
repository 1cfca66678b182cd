//! The manytask command.
#![expect(clippy::print_stderr, reason = "a command talks on its streams")]

use std::process::ExitCode;

/// This version has no subcommand, so every call is answered as wrong usage (exit code 2) rather than as success.
fn main() -> ExitCode {
    eprintln!(
        "error: this version of manytask has no commands; its crates are used as libraries (see README.md)"
    );
    ExitCode::from(2)
}
