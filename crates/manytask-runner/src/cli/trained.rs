//! Arguments of commands on runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ComputeArgs;
use crate::run::Which;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The run's folder
    pub run: PathBuf,
    /// Changes, such as data.folder=FOLDER
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Which split; otherwise that of the run's own result
    #[arg(long, alias = "part")]
    pub split: Option<SplitName>,
    /// Which parameters: best, latest, or a checkpoint such as step-100
    #[arg(long, default_value = "best")]
    pub checkpoint: Which,
    /// A table with inputs and labels to judge by, in place of the data of the configuration
    #[arg(long, value_name = "FILE", conflicts_with_all = ["split", "baseline"])]
    pub data: Option<PathBuf>,
    /// Of a network for the whole Pareto front (phn, cosmos): how much each task counts, in their order; otherwise the configuration's, or all
    /// the same
    #[arg(long, value_name = "X,Y,…", value_delimiter = ',', value_parser = super::finite)]
    pub preference: Vec<f64>,
    /// Runs of single tasks to compare with; shows Δm
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub baseline: Vec<PathBuf>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// A split of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// What is fitted
    Train,
    /// What early stopping looks at
    Validation,
    /// What is reported at the end
    Test,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// The run's folder
    pub run: PathBuf,
    /// Changes, such as device=cpu
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// A table with the run's input columns; part-*.csv for several files, - for standard input
    #[arg(long)]
    pub input: PathBuf,
    /// A file for the predictions, in CSV, Parquet or records in JSON as its name ends (.csv, .parquet, .jsonl, .json); otherwise, and
    /// for -, they go to stdout as CSV
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Columns of the table that stand before the predictions, with commas between; * stands for any characters
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Of a network for the whole Pareto front (phn, cosmos): how much each task counts, in their order; otherwise the configuration's, or all
    /// the same
    #[arg(long, value_name = "X,Y,…", value_delimiter = ',', value_parser = super::finite)]
    pub preference: Vec<f64>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Which parameters: best, latest, or a checkpoint such as step-100
    #[arg(long, default_value = "best")]
    pub checkpoint: Which,
}

/// Arguments of `adapt`.
#[derive(Debug, Args)]
pub struct AdaptArgs {
    /// The run's folder
    pub run: PathBuf,
    /// Changes, such as device=cpu
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Examples: a folder with a folder of pictures for each class, which is called as that; or a table with labels
    #[arg(long)]
    pub support: PathBuf,
    /// What is to be labelled: a picture or a folder of pictures; or a table
    #[arg(long)]
    pub query: PathBuf,
    /// A file for the labels, in CSV, Parquet or records in JSON as its name ends (.csv, .parquet, .jsonl, .json); otherwise, and for -,
    /// they go to stdout as CSV
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Columns of the table that stand before the labels, with commas between; * stands for any characters
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// Where it computes.
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Which parameters: best, latest, or a checkpoint such as step-100
    #[arg(long, default_value = "best")]
    pub checkpoint: Which,
}

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// The folder of runs
    #[arg(default_value = "runs")]
    pub folder: PathBuf,
    /// The metric to sort by; otherwise each run's first
    #[arg(long, value_name = "METRIC")]
    pub by: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct RunsToCompare {
    /// The runs, the first being the one that the others are compared with, and changes such as data.folder=FOLDER
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Runs or a study, and changes such as data.folder=FOLDER
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page; otherwise report.html in the folder of the run or the study, or for several runs here
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Leave out the importances of inputs, which take an evaluation for each column
    #[arg(long)]
    pub no_importances: bool,
}
