//! What can be asked of a run, a study, a table or nothing at all: answered, or refused in words, and nothing half-written.

mod studies;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::attack::draw;
use crate::attack::scenario::{CONFIG, Length, Scenario, TABLE};
use crate::attack::subject::Ended;
use crate::attack::trial::Trial;

use self::studies::{grouped, repeated, sweep};
use super::valid::are_predictions;

/// Commands that are given in one trial.
const COMMANDS: usize = 5;
/// What a command may end with that is asked for something odd.
const REFUSED: [i32; 5] = [0, 2, 3, 4, 5];

/// Two runs, and commands on them.
pub(super) fn attack(trial: &mut Trial<'_>) -> Result<()> {
    let scenario = draw::scenario(&mut trial.rng, &trial.equipment.names, Length::Short)?;
    if trial.offer(&scenario)?.is_none() {
        return Ok(());
    }
    trial.command(&["train", CONFIG, "--quiet", "--name", "other", "seed=101"])?.expect(&[0, 4, 5])?;
    for _ in 0..COMMANDS {
        match trial.rng.below(12) {
            0 => report(trial)?,
            1 => started(trial, &scenario)?,
            2 => sweep(trial)?,
            3 => repeated(trial)?,
            4 => grouped(trial)?,
            5 => compared(trial)?,
            6 => predicted(trial, &scenario)?,
            7 => judged(trial, &scenario)?,
            8 => inspected(trial, &scenario)?,
            9 => continued(trial)?,
            10 => explained(trial)?,
            _ => odd(trial)?,
        }
        nothing_half_written(&trial.folder)?;
    }
    Ok(())
}

/// A page is whole, and has nothing from a network.
fn report(trial: &mut Trial<'_>) -> Result<()> {
    let mut arguments = vec!["report", "runs/whole", "--output", "page.html"];
    if trial.at("runs/other/results.json").exists() && trial.rng.chance(0.4) {
        arguments.push("runs/other");
    }
    if trial.rng.chance(0.5) {
        arguments.push("--no-importances");
    }
    let _ = fs_err::remove_file(trial.at("page.html"));
    trial.command(&arguments)?.expect(&[0])?;
    let page = fs_err::read_to_string(trial.at("page.html"))?;
    if !page.trim_end().ends_with("</html>")
        || ["<script", "NaN", "src=\"http"].iter().any(|no| page.contains(no))
    {
        bail!("page.html is no whole page, or holds a script, NaN or something from a network");
    }
    Ok(())
}

/// What `init` writes trains without an edit.
fn started(trial: &mut Trial<'_>, scenario: &Scenario) -> Result<()> {
    let Some(table) = scenario.table.as_ref().or(scenario.examples.as_ref()) else { return Ok(()) };
    let columns: Vec<String> = table.names.iter().filter(|name| name.starts_with('y')).cloned().collect();
    let targets = trial.rng.some(&columns, 0.7).join(",");
    let _ = fs_err::remove_file(trial.at("new.toml"));
    let mut arguments = vec!["init", TABLE, "--targets", &targets, "--output", "new.toml"];
    if table.names.iter().any(|name| name == "g") && trial.rng.chance(0.5) {
        arguments.extend([trial.rng.pick(&["--tasks-by", "--group"]), "g"]);
    }
    let ended = trial.command(&arguments)?;
    ended.expect(&REFUSED)?;
    if !ended.is(0) {
        return Ok(());
    }
    trial.command(&["check", "new.toml", "--data"])?.expect(&[0])?;
    let train = ["train", "new.toml", "--quiet", "--name", "new", "training.epochs=1"];
    trial.command(&train)?.expect(&[0])?;
    let _ = fs_err::remove_dir_all(trial.at("runs/new"));
    Ok(())
}

fn compared(trial: &mut Trial<'_>) -> Result<()> {
    let ended = trial.command(&["compare", "runs/whole", "runs/other", "--json"])?;
    ended.expect(&REFUSED)?;
    if ended.is(0) {
        is_json(&ended)?;
    }
    let runs = trial.command(&["runs", "--json"])?;
    is_json(runs.expect(&[0])?)
}

/// Predictions in a file, which is whole or not there.
fn predicted(trial: &mut Trial<'_>, scenario: &Scenario) -> Result<()> {
    let keep = trial.rng.pick(&["*", "x*", "g", "nothing"]);
    let output = trial.rng.pick(&["p.csv", "p.parquet", "p.jsonl", "-"]);
    let _ = fs_err::remove_file(trial.at(output));
    let rest = ["--keep", keep, "--output", output];
    let start: &[&str] = match (&scenario.table, &scenario.examples) {
        (Some(_), _) => &["predict", "runs/whole", "--input", TABLE],
        (None, Some(_)) => &["adapt", "runs/whole", "--support", TABLE, "--query", TABLE],
        (None, None) => return Ok(()),
    };
    let mut ended = trial.command(&[start, &rest].concat())?;
    ended.expect(if scenario.table.is_some() { &[0, 2] } else { &[0, 2, 4] })?;
    if output != "-" {
        if ended.is(0) != trial.at(output).exists() {
            bail!("`{}` ended with {:?}, and its file is not as that says", ended.line, ended.end);
        }
        ended.out = fs_err::read(trial.at(output)).unwrap_or_default();
    }
    match scenario.table.as_ref().or(scenario.examples.as_ref()) {
        Some(table) if ended.is(0) && keep != "*" && ["p.csv", "-"].contains(&output) => {
            are_predictions(&ended, table)
        }
        _ => Ok(()),
    }
}

fn judged(trial: &mut Trial<'_>, scenario: &Scenario) -> Result<()> {
    let data: &[&str] = if scenario.table.is_some() { &["--data", TABLE] } else { &[] };
    let ended = trial.command(&[&["eval", "runs/whole", "--json"], data].concat())?;
    is_json(ended.expect(&[0])?)
}

fn inspected(trial: &mut Trial<'_>, scenario: &Scenario) -> Result<()> {
    let what = if scenario.files.contains_key(TABLE) { trial.rng.pick(&[CONFIG, TABLE]) } else { CONFIG };
    let ended = trial.command(&["inspect", what, "--json"])?;
    ended.expect(&[0, 2])?;
    if ended.is(0) { is_json(&ended) } else { Ok(()) }
}

/// From another run's parameters, or a run that goes on longer.
fn continued(trial: &mut Trial<'_>) -> Result<()> {
    let all = [
        &["train", CONFIG, "--quiet", "--name", "from", "--init-from", "runs/other"][..],
        &["train", CONFIG, "--quiet", "--name", "held", "--init-from", "runs/other", "--freeze", "trunk"],
        &["resume", "runs/other", "--quiet", "training.steps=40"],
        &["resume", "runs/other", "--quiet", "optimizer.learning_rate=1e-4"],
    ];
    let arguments = trial.rng.pick(&all);
    trial.command(arguments)?.expect(&[0, 2, 3, 4, 5, 6])?;
    for name in ["from", "held"] {
        let _ = fs_err::remove_dir_all(trial.at("runs").join(name));
    }
    Ok(())
}

/// What the program says of itself.
fn explained(trial: &mut Trial<'_>) -> Result<()> {
    let name = trial.rng.pick(&trial.equipment.names.all());
    for arguments in [&["explain", &name, "--json"][..], &["list", "--json"], &["schema"]] {
        let ended = trial.command(arguments)?;
        is_json(ended.expect(&[0])?)?;
    }
    trial.command(&["completions", trial.rng.clone().pick(&["bash", "zsh", "fish"])])?.expect(&[0])?;
    let starter = trial.rng.pick(&["quickstart", "sinusoid"]);
    trial.command(&["new", starter, "starter"])?.expect(&[0, 2, 4])?;
    trial.command(&["env"])?.expect(&[0])?;
    Ok(())
}

/// Arguments that do not belong together.
fn odd(trial: &mut Trial<'_>) -> Result<()> {
    let commands = [
        "train",
        "compare-strategies",
        "group",
        "init",
        "inspect",
        "resume",
        "eval",
        "predict",
        "adapt",
        "runs",
        "compare",
        "report",
        "check",
        "list",
        "explain",
        "new",
    ];
    let words = [
        CONFIG,
        TABLE,
        "runs/whole",
        "runs/other",
        "runs",
        ".",
        "nothing",
        "",
        "--json",
        "--quiet",
        "--input",
        "--output",
        "--support",
        "--query",
        "--data",
        "--keep",
        "--targets",
        "--folds",
        "--seeds",
        "2",
        "0",
        "-1",
        "seed=1,2",
        "=",
        "a=b=c",
        "--random",
        "--svg",
        "--by",
        "loss",
        "--checkpoint",
        "step-1",
        "--split",
        "train",
        "../x",
        "\u{fffd}",
        "--freeze",
        "--init-from",
        "--name",
        "--",
        "-",
    ];
    let mut arguments = vec![trial.rng.pick(&commands)];
    for _ in 0..trial.rng.between(0, 4) {
        arguments.push(trial.rng.pick(&words));
    }
    trial.command(&arguments)?.expect(&[0, 2, 3, 4, 5, 6, 7])?;
    Ok(())
}

fn is_json(ended: &Ended) -> Result<()> {
    serde_json::from_slice::<serde_json::Value>(&ended.out)
        .map(drop)
        .with_context(|| format!("`{}` gave no JSON", ended.line))
}

/// Nothing that is written under another name first lies in the folder.
fn nothing_half_written(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(".writing-") || name.starts_with(".tmp") {
            bail!("{name} is left half-written");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::subject::End;

    #[test]
    fn json_and_files_that_are_left_are_told() {
        let said = |out: &str| Ended {
            line: "manytask runs --json".into(),
            end: End::Code(0),
            out: out.into(),
            err: String::new(),
            took: std::time::Duration::ZERO,
        };
        assert!(is_json(&said("{\"a\": 1}")).is_ok() && is_json(&said("{")).is_err());
        let folder = tempfile::tempdir().unwrap();
        assert!(nothing_half_written(folder.path()).is_ok());
        fs_err::write(folder.path().join(".writing-page"), "").unwrap();
        assert!(nothing_half_written(folder.path()).is_err());
    }
}
