use std::path::Path;

use manytask_tensor::ShownPath as _;

use crate::cli::CheckArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{print, say};

/// `manytask check`: every configuration is read as `train` would, with the data where that is asked for.
pub(super) fn check(arguments: &CheckArgs, registries: &Registries) -> Result<()> {
    let mut wrong = Vec::new();
    for path in &arguments.configs {
        match checked(path, arguments, registries) {
            Ok(settings) => {
                say(&format!("{}: good", path.shown()));
                if arguments.print {
                    let text = toml::to_string(&settings);
                    print(&text.map_err(|error| Failure::new(Code::Bug, error.to_string()))?)?;
                }
            }
            Err(failure) => wrong.push(failure),
        }
    }
    let mut failures = wrong.into_iter();
    let Some(mut first) = failures.next() else { return Ok(()) };
    for other in failures {
        first.message.push('\n');
        first.message.push_str(&other.message);
        first.hints.extend(other.hints);
    }
    Err(first)
}

/// The effective configuration with the defaults of what is not written.
fn checked(path: &Path, arguments: &CheckArgs, registries: &Registries) -> Result<toml::Table> {
    let source = Source::read(path, &[])?;
    let plan = Plan::read(&source, registries)?;
    plan.check()?;
    let settings = with_defaults(source.effective()?, plan.effective()?);
    if arguments.data {
        let experiment = Experiment::load(plan)?;
        experiment.trainer()?;
        experiment.say_data(Detail::Full);
    }
    Ok(settings)
}

/// What is written, and the defaults of what is not.
fn with_defaults(mut written: toml::Table, settings: toml::Table) -> toml::Table {
    for (key, value) in settings {
        let both = match (written.remove(&key), value) {
            (Some(toml::Value::Table(written)), toml::Value::Table(read)) => {
                toml::Value::Table(with_defaults(written, read))
            }
            (_, value) => value,
        };
        written.insert(key, both);
    }
    written
}
