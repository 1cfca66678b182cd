//! Arguments of commands on data and configurations.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
