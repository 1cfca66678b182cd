//! Arguments of commands that train many times.

use std::path::PathBuf;

use clap::Args;
use clap::builder::TypedValueParser as _;

use super::computing::at_least_one;
use super::{ComputeArgs, ProgressArgs};

/// Arguments of `compare-strategies`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as training.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How many seeds each is trained with: the more, the surer the answer
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// What is compared beside weighted sums of the losses: names of aggregators, or tables such as '{ kind = "cagrad", c = 0.8 }',
    /// with commas between
    #[arg(long, value_name = "A,B,…")]
    pub strategies: Option<String>,
    /// The study's name; otherwise the configuration's with -strategies behind it
    #[arg(long)]
    pub name: Option<String>,
    /// The folder of runs
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// How many of several trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// How much is said.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Arguments of `front`.
#[derive(Debug, Args)]
pub struct FrontArgs {
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as training.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Preferences at most, spread evenly: so many trainings for each method, or one network that is judged at all of them
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u64).range(2..=10_000).map(|n| n as usize))]
    pub points: usize,
    /// How points are looked for: linear (weighted sums), tchebycheff, epo (exact Pareto optimal search), or another aggregator with a
    /// preference, such as stch or pbi, with a training for each preference; or one network for all, phn or cosmos, or with another
    /// objective than its paper's, such as phn+epo
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', default_value = "linear,tchebycheff,epo")]
    pub methods: Vec<String>,
    /// A loss for each task, below which the hypervolume is counted; otherwise it lies beyond all points that are found
    #[arg(long, value_name = "X,Y,…", value_delimiter = ',', value_parser = super::finite)]
    pub reference: Vec<f64>,
    /// The study's name; otherwise the configuration's with -front behind it
    #[arg(long)]
    pub name: Option<String>,
    /// The folder of runs
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// How many of several trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// How much is said.
    #[command(flatten)]
    pub progress: ProgressArgs,
}

/// Arguments of `group`.
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as training.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Networks at most
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=1000).map(|n| n as usize))]
    pub groups: usize,
    /// Steps between two looks at what a step for each task does to the others
    #[arg(long, value_name = "STEPS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// An SVG file for a picture of the affinities
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}
