//! Arguments of commands that say what there is.

use clap::Args;

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

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
