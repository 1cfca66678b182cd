//! Arguments of `tune`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ComputeArgs;

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// What is to be found
    pub what: Tuned,
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as optimizer.kind=sgd
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The lowest value, with which the training begins
    #[arg(long, value_name = "RATE", default_value = "1e-6")]
    pub from: f64,
    /// The highest value, with which it would end
    #[arg(long, value_name = "RATE", default_value = "1")]
    pub to: f64,
    /// Steps from the lowest to the highest
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u64).range(20..=100_000))]
    pub steps: u64,
    /// A new SVG file for a picture of the losses
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Say nothing of the data
    #[arg(long)]
    pub quiet: bool,
}

/// What `tune` can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tuned {
    /// The learning rate
    Lr,
}
