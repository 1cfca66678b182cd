//! The command, as a user runs it.
#![expect(clippy::unwrap_used, reason = "a function that a test calls may fail it, as the test itself may")]

mod adapt;
mod after_training;
mod aggregators;
mod architectures;
mod command;
mod commands;
mod configs;
mod conformance;
mod damaged;
mod encoding_report;
mod episodes;
mod file_systems;
mod formats;
mod from_table;
mod front;
mod frozen;
mod grouped;
mod images;
mod killed;
mod learners;
mod limits;
mod postprocessing;
mod practice;
mod predicted;
mod reading;
mod refused;
mod report;
mod resumed;
mod settings;
mod starters;
mod strategies;
mod studies;
mod sweeps;
mod table_tasks;
mod training;
