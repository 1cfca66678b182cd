use crate::cli::CheckArgs;
use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{print, say};

/// `manytask check`: every configuration is read as `train` would, but for the data.
pub(super) fn check(arguments: &CheckArgs, registries: &Registries) -> Result<()> {
    let mut wrong = Vec::new();
    for path in &arguments.configs {
        let read = || -> Result<Source> {
            let source = Source::read(path, &[])?;
            Plan::read(&source, registries).map_err(|failure| source.name(failure))?;
            Ok(source)
        };
        match read() {
            Ok(source) => {
                say(&format!("{}: good", path.display()));
                if arguments.print {
                    let text = toml::to_string(&source.effective()?);
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
