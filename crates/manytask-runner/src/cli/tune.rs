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
    /// The lowest value, with which it begins; otherwise a learning rate of 1e-6, a batch of 16 rows or of one task
    #[arg(long, value_name = "VALUE")]
    pub from: Option<f64>,
    /// The highest value; otherwise a learning rate of 1, a batch of all rows of the training split
    #[arg(long, value_name = "VALUE")]
    pub to: Option<f64>,
    /// Steps from the lowest learning rate to the highest; otherwise 300
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20..=100_000))]
    pub steps: Option<u64>,
    /// A new SVG file for a picture of what was tried
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
    /// The learning rate: in one short training it rises from step to step
    Lr,
    /// The rows, or tasks of a learner, in a step: the fewest with which as many are worked through in a second as with more
    BatchSize,
}
