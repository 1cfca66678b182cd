//! The command line.

mod computing;
mod progress;
mod studies;
mod trained;
mod training;
mod tune;
mod words;
mod written;

use clap::{Parser, Subcommand};

pub use self::computing::ComputeArgs;
pub use self::progress::ProgressArgs;
pub use self::studies::{CompareArgs, FrontArgs, GroupArgs};
pub use self::trained::{AdaptArgs, EvalArgs, PredictArgs, ReportArgs, RunsArgs, RunsToCompare, SplitName};
pub use self::training::{ResumeArgs, TrainArgs};
pub use self::tune::{TuneArgs, Tuned};
pub use self::words::{CompletionArgs, ExplainArgs, ListArgs};
pub use self::written::{CheckArgs, InitArgs, InspectArgs, NewArgs, Starter};

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

/// A number that is neither infinite nor NaN.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("it must be a finite number".to_owned()),
    }
}
