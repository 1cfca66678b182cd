//! Arguments of trainings.

use std::path::PathBuf;

use clap::Args;

use super::computing::at_least_one;
use super::{ComputeArgs, ProgressArgs};
use crate::run::Which;

/// Arguments of `train`.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as training.epochs=3; with several values, optimizer.learning_rate=1e-3,1e-4, one training for each
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The run's name; otherwise the configuration's, with a number if it is taken
    #[arg(long)]
    pub name: Option<String>,
    /// The folder of runs
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// How much is said.
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// Read the data, make one step, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A run whose best parameters are the first ones, where they fit the network
    #[arg(long, value_name = "RUN")]
    pub init_from: Option<PathBuf>,
    /// Parts of the network that are held still, such as trunk or trunk.layer0
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    pub freeze: Vec<String>,
    /// Train once for each of so many folds of the table, each the test split in turn
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=1000))]
    pub folds: Option<u64>,
    /// Train with so many seeds, that of the configuration and those behind it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// Draw so many combinations of values, also out of ranges such as optimizer.learning_rate=1e-4..1e-2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub random: Option<u64>,
    /// Of several trainings let all begin, and one in so many go on at each of some steps (3 without a number): successive halving
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "3", value_parser = clap::value_parser!(u64).range(2..=100))]
    pub halving: Option<u64>,
    /// How many of several trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// End with standard input
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Pause after so many steps, to go on later
    #[arg(long, hide = true)]
    pub until: Option<u64>,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The folder of the run or the study
    pub run: PathBuf,
    /// Changes, such as training.epochs=20, optimizer.learning_rate=1e-4 or data.folder=FOLDER
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where to go on: latest, or a checkpoint such as step-100
    #[arg(long, default_value = "latest")]
    pub checkpoint: Which,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// How much is said.
    #[command(flatten)]
    pub progress: ProgressArgs,
    /// How many of several trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// End with standard input
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Pause after so many steps, to go on later
    #[arg(long, hide = true)]
    pub until: Option<u64>,
}
