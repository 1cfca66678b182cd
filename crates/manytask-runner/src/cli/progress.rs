//! How much is said of trainings.

use clap::Args;

use crate::progress::Display;

/// How much is said of trainings.
#[derive(Debug, Clone, Args)]
pub struct ProgressArgs {
    /// Show no progress; of several trainings say nothing of single ones
    #[arg(long)]
    pub quiet: bool,
    /// Show progress in lines one after the other, also on a terminal
    #[arg(long, conflicts_with = "quiet")]
    pub plain: bool,
}

impl ProgressArgs {
    /// How progress is shown.
    pub(crate) fn display(&self) -> Display {
        match (self.quiet, self.plain) {
            (true, _) => Display::Silent,
            (false, true) => Display::Plain,
            (false, false) => Display::Live,
        }
    }
}
