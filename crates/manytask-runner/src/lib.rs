//! The manytask command and the library behind it.
//!
//! [`main_with`] is the whole command for the networks, data sets and aggregators of some [`Registries`]: add your own to
//! [`Registries::default`], and every command knows them. `examples/own.rs` does so in one file.

pub mod cli;
mod commands;
pub mod config;
pub mod data;
mod device;
mod digest;
pub mod episodes;
pub mod experiment;
pub mod failure;
mod html;
mod invocation;
mod memory;
mod names;
pub mod network;
pub mod plan;
mod postprocessing;
pub mod progress;
mod registries;
pub mod registry;
pub mod report;
pub mod run;
pub mod schema;
mod sections;
pub mod signals;
pub mod statistics;
mod study;
pub mod tables;
mod threads;
mod whole_front;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use manytask_tensor::catch_panics;

pub use manytask_data as data_sets;
pub use manytask_meta as meta;
pub use manytask_multitask as multitask;
pub use manytask_nn as nn;
pub use manytask_tensor as tensor;

use crate::failure::{Code, Failure, Style};
pub use crate::registries::Registries;

/// Runs the command of this process' arguments.
pub fn main_with(registries: &Registries) -> ExitCode {
    manytask_tensor::memory::keep_pages();
    manytask_tensor::threads::enter_pool(threads::usual());
    // Where it cannot be had, such a write ends the process as before.
    let _ = signals::survive_file_limits();
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if manytask_data::is_guarded() || is_of_size(panic.payload()) {
            return;
        }
        // libtorch's binding panics where it has an error to give, which `catch_panics` turns back into one.
        if !text.contains("on an `Err` value: Torch(") {
            complain(&Failure::new(Code::Bug, panic.to_string()));
        }
    }));
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // To stdout for --help and --version, which end well.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Code::Usage.number() } else { 0 });
        }
    };
    let run = || catch_panics(|| commands::run(&cli.command, registries));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            complain(&failure);
            ExitCode::from(failure.code.number())
        }
        Err(panic) if is_of_size(panic.as_ref()) => {
            let failure = Failure::new(Code::Config, "something is asked for that no memory holds");
            complain(&failure.hint("lower the sizes in the configuration"));
            ExitCode::from(Code::Config.number())
        }
        // The hook has said so.
        Err(_) => ExitCode::from(Code::Bug.number()),
    }
}

/// Whether a panic is that of a collection larger than any memory.
fn is_of_size(panic: &dyn std::any::Any) -> bool {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.is_some_and(|text| text == "capacity overflow")
}

fn complain(failure: &Failure) {
    // When stderr is gone there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(failure.shown(Style::of_stderr()).as_bytes());
}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
