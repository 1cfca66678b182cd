//! The command line.

mod tune;

use std::path::PathBuf;

use clap::builder::TypedValueParser as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::tune::{TuneArgs, Tuned};
use crate::run::Which;

/// Trains one network on many tasks, and networks that learn new tasks from a few examples.
#[derive(Debug, Parser)]
#[command(
    name = "manytask",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 wrong configuration, 4 data or files missing or damaged, \
                  5 diverged, 6 checkpoint does not fit, 7 run in use, \
                  129, 130 and 143 interrupted with the state saved."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train as a configuration says, in a new folder
    Train(TrainArgs),
    /// Compare one network under several strategies with a network for each task
    CompareStrategies(CompareArgs),
    /// Find out which losses of several tasks can be had together: their Pareto front
    Front(FrontArgs),
    /// Find out which tasks help each other, and which belong into networks of their own
    Group(GroupArgs),
    /// Find a setting by trying many values of it in one short training
    Tune(TuneArgs),
    /// Write a configuration for a table
    Init(InitArgs),
    /// Show what a table, or the data of a configuration, look like
    Inspect(InspectArgs),
    /// Continue a run or a study where it was interrupted
    Resume(ResumeArgs),
    /// Judge a run's parameters again
    Eval(EvalArgs),
    /// Predict for the rows of a file
    Predict(PredictArgs),
    /// Label pictures from a few examples of each class, with a learner
    Adapt(AdaptArgs),
    /// Show the runs in a folder, the best first
    Runs(RunsArgs),
    /// Compare runs on the same rows, with intervals of their differences
    Compare(RunsToCompare),
    /// Write a page with what runs came to: curves, plots of their predictions, importances
    Report(ReportArgs),
    /// Check configurations without training
    Check(CheckArgs),
    /// List what a configuration can name
    List(ListArgs),
    /// Explain one of these names, with its settings and their defaults
    Explain(ExplainArgs),
    /// Show versions, devices and threads
    Env,
    /// Copy a starter, a configuration with its data, to train at once and to change
    New(NewArgs),
    /// Print what a configuration can hold, as JSON Schema for editors
    Schema,
    /// Print a completion script
    Completions(CompletionArgs),
}

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
    /// cpu, cuda, cuda:N or auto
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each kernel
    #[arg(long)]
    pub threads: Option<usize>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
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
    /// How many of these trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// End with standard input
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Pause after so many steps, to go on later
    #[arg(long, hide = true)]
    pub until: Option<u64>,
}

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
    /// How many trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// cpu, cuda, cuda:N or auto
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each training
    #[arg(long)]
    pub threads: Option<usize>,
    /// Say nothing of single runs
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `front`.
#[derive(Debug, Args)]
pub struct FrontArgs {
    /// The configuration
    pub config: PathBuf,
    /// Changes to it, such as training.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Preferences at most, spread evenly: so many trainings for each method
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u64).range(2..=10_000).map(|n| n as usize))]
    pub points: usize,
    /// How a point is looked for: linear (weighted sums), tchebycheff, epo (exact Pareto optimal search), or another aggregator with a
    /// preference, such as stch or pbi
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', default_value = "linear,tchebycheff,epo")]
    pub methods: Vec<String>,
    /// A loss for each task, below which the hypervolume is counted; otherwise it lies beyond all points that are found
    #[arg(long, value_name = "X,Y,…", value_delimiter = ',', value_parser = finite)]
    pub reference: Vec<f64>,
    /// The study's name; otherwise the configuration's with -front behind it
    #[arg(long)]
    pub name: Option<String>,
    /// The folder of runs
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// How many trainings run at a time; otherwise the processors are shared out
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// cpu, cuda, cuda:N or auto
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each training
    #[arg(long)]
    pub threads: Option<usize>,
    /// Say nothing of single runs
    #[arg(long)]
    pub quiet: bool,
}

/// A number that is neither infinite nor NaN.
fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("it must be a finite number".to_owned()),
    }
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
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The table
    pub data: PathBuf,
    /// The columns that are to be predicted, with commas between; * stands for any characters
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub targets: Vec<String>,
    /// A column whose every value is a task with its own rows
    #[arg(long, value_name = "COLUMN")]
    pub tasks_by: Option<String>,
    /// A column whose rows of one value stay together in a split, such as a patient's
    #[arg(long, value_name = "COLUMN", conflicts_with = "tasks_by")]
    pub group: Option<String>,
    /// A table to test on; otherwise a fifth of the rows is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tasks_by", "group"])]
    pub test: Option<PathBuf>,
    /// The configuration that is written; otherwise it is called as the table
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A table, or a configuration
    pub data: PathBuf,
    /// Changes to a configuration, such as data.folder=FOLDER
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
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
    /// cpu, cuda, cuda:N or auto
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each kernel
    #[arg(long)]
    pub threads: Option<usize>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
    /// Of a study: how many trainings run at a time
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// End with standard input
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Pause after so many steps, to go on later
    #[arg(long, hide = true)]
    pub until: Option<u64>,
}

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
    /// Runs of single tasks to compare with; shows Δm
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub baseline: Vec<PathBuf>,
    /// cpu, cuda, cuda:N or auto; otherwise as in the training, or the processor where that is not there
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each kernel
    #[arg(long)]
    pub threads: Option<usize>,
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
    /// A file for the predictions, in CSV, Parquet or records in JSON as its name ends (.parquet, .jsonl); otherwise, and for -, they go
    /// to stdout as CSV
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Columns of the table that stand before the predictions, with commas between; * stands for any characters
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// cpu, cuda, cuda:N or auto; otherwise as in the training, or the processor where that is not there
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each kernel
    #[arg(long)]
    pub threads: Option<usize>,
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
    /// A file for the labels, in CSV, Parquet or records in JSON as its name ends (.parquet, .jsonl); otherwise, and for -, they go to
    /// stdout as CSV
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Columns of the table that stand before the labels, with commas between; * stands for any characters
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub keep: Vec<String>,
    /// cpu, cuda, cuda:N or auto; otherwise as in the training, or the processor where that is not there
    #[arg(long)]
    pub device: Option<String>,
    /// Threads of each kernel
    #[arg(long)]
    pub threads: Option<usize>,
    /// Which parameters: best, latest, or a checkpoint such as step-100
    #[arg(long, default_value = "best")]
    pub checkpoint: Which,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configurations
    #[arg(required = true, value_name = "CONFIG")]
    pub configs: Vec<PathBuf>,
    /// Print the effective configuration, with the defaults of what is not written
    #[arg(long)]
    pub print: bool,
    /// Read the data too, and say what `train` would say of them
    #[arg(long)]
    pub data: bool,
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

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Print all that `explain` says of these names, as a page in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// One kind of names only, such as aggregator, or what a section can name, such as data
    pub kind: Option<String>,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// A name of `manytask list`, of a thing or of a section
    pub name: String,
}

/// Arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Which
    #[arg(default_value = "quickstart")]
    pub starter: Starter,
    /// The folder it is written into
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}

/// A configuration with what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Starter {
    /// Two tasks on a tenth of Census-Income, a table
    Quickstart,
    /// MAML on sine waves, which take no file
    Sinusoid,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
