//! The command, as a user runs it.
#![expect(clippy::unwrap_used, reason = "a function that a test calls may fail it, as the test itself may")]

mod command;
mod commands;
mod configs;
mod encoding_report;
mod episodes;
mod killed;
mod reading;
mod refused;
mod settings;
