//! `manytask tune`: a setting that is found by trying many values of it.

mod batch_size;
mod learning_rate;

use manytask_tensor::{ShownPath as _, io};

use super::destination::Destination;
use crate::cli::{TuneArgs, Tuned};
use crate::failure::Result;
use crate::html::Chart;
use crate::invocation::{program, quoted};
use crate::registries::Registries;
use crate::report::{print, say};

/// What was found.
struct Answer {
    text: String,
    json: serde_json::Value,
    chart: Chart,
    /// The change of the configuration that is suggested.
    change: String,
}

/// `manytask tune`.
pub(super) fn tune(arguments: &TuneArgs, registries: &Registries) -> Result<()> {
    if let Some(path) = &arguments.svg {
        Destination { option: "--svg", path }.is_new()?;
    }
    let overrides = arguments.compute.with(&arguments.overrides);
    let answer = match arguments.what {
        Tuned::Lr => learning_rate::tune(arguments, &overrides, registries)?,
        Tuned::BatchSize => batch_size::tune(arguments, &overrides, registries)?,
    };
    if let Some(path) = &arguments.svg {
        io::write_atomically(path, answer.chart.document().as_bytes())?;
        say(&format!("picture: {}", path.shown()));
    }
    if arguments.json {
        return print(&format!("{:#}\n", answer.json));
    }
    print(&answer.text)?;
    let changes: Vec<&str> = overrides.iter().chain([&answer.change]).map(String::as_str).collect();
    print(&format!("\n{} train {} {}\n", program(), quoted(&arguments.config), changes.join(" ")))
}
