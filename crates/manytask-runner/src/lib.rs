//! The manytask command and the library behind it.
//!
//! [`main_with`] is the whole command for the networks, data sets and aggregators of some [`Registries`]: add your own to
//! [`Registries::default`], and every command knows them. `examples/own.rs` does so in one file.

pub mod cli;
mod commands;
pub mod config;
pub mod data;
pub mod episodes;
pub mod experiment;
pub mod failure;
pub mod network;
pub mod plan;
mod registries;
pub mod registry;
pub mod report;
pub mod run;
pub mod signals;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

pub use manytask_data as data_sets;
pub use manytask_meta as meta;
pub use manytask_multitask as multitask;
pub use manytask_nn as nn;
pub use manytask_tensor as tensor;

use crate::failure::Failure;
pub use crate::registries::Registries;

/// Runs the command of this process' arguments.
pub fn main_with(registries: &Registries) -> ExitCode {
    manytask_tensor::memory::keep_pages();
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        // libtorch's binding panics where it has an error to give; the loop turns it back into one.
        if !text.contains("on an `Err` value: Torch(") {
            let _ = writeln!(std::io::stderr(), "error: this is a bug in manytask\n{panic}");
        }
    }));
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To stdout for --help and --version, which end well.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| commands::run(&cli.command, registries)));
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            complain(&failure);
            ExitCode::from(failure.code.number())
        }
        Err(_) => ExitCode::from(1),
    }
}

fn complain(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    let colour = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (red, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(err, "{red}error{plain}: {}", failure.message);
    for hint in &failure.hints {
        let _ = writeln!(err, "  hint: {hint}");
    }
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
