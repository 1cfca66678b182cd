//! `manytask inspect`: what a table, or the data of a configuration, look like.

use std::path::Path;

use manytask_data::{ColumnProfile, TableFormat, TableProfile};
use manytask_tensor::ShownPath as _;
use serde_json::json;

use crate::cli::InspectArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::Result;
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{aligned, print, say};

/// Columns that are shown one by one.
const SHOWN: usize = 60;

/// `manytask inspect`.
pub(super) fn inspect(arguments: &InspectArgs, registries: &Registries) -> Result<()> {
    if arguments.data.extension().is_some_and(|ending| ending == "toml") {
        return of_config(arguments, registries);
    }
    let profile = TableProfile::of(&arguments.data)?;
    if arguments.json {
        return print(&format!("{:#}\n", as_json(&profile)));
    }
    print(&columns(&arguments.data, &profile))?;
    for note in &profile.notes {
        say(&format!("note: {}", note.0));
    }
    Ok(())
}

/// Rows, inputs and labels of each split, and what is odd about them.
fn of_config(arguments: &InspectArgs, registries: &Registries) -> Result<()> {
    let source = Source::read(&arguments.data, &arguments.overrides)?;
    let plan = Plan::read(&source, registries)?;
    let experiment = Experiment::load(plan)?;
    if arguments.json {
        let report = serde_json::to_value(&experiment.report).unwrap_or_default();
        return print(&format!("{report:#}\n"));
    }
    experiment.say_data(Detail::Full);
    Ok(())
}

/// Says what the columns of a table seem to be.
pub(super) fn say_columns(path: &Path, profile: &TableProfile) {
    say(columns(path, profile).trim_end());
}

fn columns(path: &Path, profile: &TableProfile) -> String {
    let mut rows = vec![["column", "is", "missing", "different"].map(str::to_owned).to_vec()];
    for column in profile.columns.iter().take(SHOWN) {
        rows.push(vec![
            column.name.clone(),
            column.role.name().to_owned(),
            column.missing.to_string(),
            column.distinct.to_string(),
        ]);
    }
    // The values are of any length, and stand behind the others.
    let values = profile.columns.iter().take(SHOWN).map(ColumnProfile::line);
    let values = std::iter::once("values".to_owned()).chain(values);
    let table: String = aligned(&rows)
        .lines()
        .zip(values)
        .map(|(row, values)| format!("{row}  {values}").trim_end().to_owned() + "\n")
        .collect();
    let more = profile.columns.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("and {more} more columns\n") } else { String::new() };
    let source = &profile.source;
    let form = match profile.format {
        TableFormat::Parquet => "in Parquet".to_owned(),
        TableFormat::Json => "in JSON".to_owned(),
        TableFormat::Arrays => "in arrays".to_owned(),
        TableFormat::Csv | TableFormat::Memory => {
            format!(
                "separated by `{}`{}",
                source.separator,
                if source.header { "" } else { ", without a header" }
            )
        }
    };
    format!(
        "{}: {} rows, {} columns, {form}\n{table}{more}",
        path.shown(),
        profile.rows,
        profile.columns.len()
    )
}

fn as_json(profile: &TableProfile) -> serde_json::Value {
    let column = |column: &ColumnProfile| {
        json!({
            "name": column.name,
            "role": column.role.name(),
            "missing": column.missing,
            "distinct": column.distinct,
            "range": column.range,
            "examples": column.examples,
        })
    };
    let notes: Vec<&str> = profile.notes.iter().map(|note| note.0.as_str()).collect();
    json!({
        "rows": profile.rows,
        "source": serde_json::to_value(&profile.source).unwrap_or_default(),
        "columns": profile.columns.iter().map(column).collect::<Vec<_>>(),
        "notes": notes,
    })
}
