//! `manytask init`: from a table to a configuration that trains.

mod draft;
mod text;

use std::path::{Path, PathBuf};

use manytask_data::{Columns, TableProfile};
use manytask_tensor::ShownPath as _;
use manytask_tensor::io::write_atomically;

use self::draft::{Asked, Draft};
use super::inspect::say_columns;
use crate::cli::InitArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{print, say};

/// `manytask init`.
pub(super) fn init(arguments: &InitArgs, registries: &Registries) -> Result<()> {
    let output = output(arguments)?;
    let profile = TableProfile::of(&arguments.data).map_err(of_data)?;
    say_columns(&arguments.data, &profile);
    let targets = targets(arguments, &profile)?;
    let asked = Asked {
        path: from(&output, &arguments.data)?,
        test: arguments.test.as_deref().map(|test| from(&output, test)).transpose()?,
        targets,
        tasks_by: arguments.tasks_by.clone(),
        group: arguments.group.clone(),
    };
    let draft = Draft::of(&profile, asked)?;
    let command = format!("{} train {}", program(), quoted(&output));
    write_atomically(
        &output,
        text::config(&draft, &format!("manytask train {}", quoted(&output))).as_bytes(),
    )?;
    say(&format!("written: {}", output.shown()));
    for note in profile.notes.iter().map(|note| note.0.as_str()).chain(draft.notes.iter().map(String::as_str))
    {
        say(&format!("note: {note}"));
    }
    try_out(&output, registries)?;
    print(&format!("\n{command}\n"))
}

/// Reads what was written as `train` would, up to one step, and says what is odd about the data.
fn try_out(output: &Path, registries: &Registries) -> Result<()> {
    let source = Source::read(output, &[])?;
    let plan = Plan::read(&source, registries)?;
    let experiment = Experiment::load(plan)?;
    let mut trainer = experiment.trainer()?;
    experiment.say_data(Detail::Full);
    trainer.try_step()?;
    Ok(())
}

/// The columns that `--targets` means.
fn targets(arguments: &InitArgs, profile: &TableProfile) -> Result<Vec<String>> {
    if arguments.targets.is_empty() {
        let last = profile.columns.last().map_or("", |column| column.name.as_str());
        let what = "which columns are to be predicted is not said";
        return Err(Failure::new(Code::Usage, what)
            .hint(format!("name them, such as --targets {}", quoted(Path::new(last)))));
    }
    let named: Vec<&str> =
        arguments.targets.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    profile.matching(&Columns::from(named.as_slice())).map_err(of_data)
}

/// The file that is written, which must not be there.
fn output(arguments: &InitArgs) -> Result<PathBuf> {
    let name = arguments.data.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("table").to_owned();
    let path = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{stem}.toml")));
    if path.exists() {
        let what = format!("{} is there already", path.shown());
        return Err(Failure::new(Code::Usage, what).hint("give another file with --output, or remove it"));
    }
    Ok(path)
}

/// A data file as it is seen from the folder of the configuration.
fn from(output: &Path, data: &Path) -> Result<String> {
    let beside = output.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let path = if beside || data.is_absolute() { data.to_owned() } else { std::path::absolute(data)? };
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let what = format!("{}: the name of this file is not UTF-8", data.shown());
        Failure::new(Code::Data, what).hint("a configuration cannot name it: rename it")
    })
}

/// A column that is not there is a wrong argument here.
pub(super) fn of_data(error: manytask_data::Error) -> Failure {
    match Failure::from(error) {
        failure if failure.code == Code::Config => Failure { code: Code::Usage, ..failure },
        other => other,
    }
}
