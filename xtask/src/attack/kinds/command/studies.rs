//! Studies of a configuration: sweeps, repetitions, strategies and groups of tasks.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{REFUSED, is_json};
use crate::attack::outcome::is_tidy;
use crate::attack::scenario::CONFIG;
use crate::attack::trial::Trial;

/// A sweep that was killed and goes on has the results of one that was not.
pub(super) fn sweep(trial: &mut Trial<'_>) -> Result<()> {
    let rates = trial.rng.pick(&[
        "optimizer.learning_rate=1e-3,1e-2",
        "seed=1,2,3",
        "optimizer.learning_rate=1e-4..1e-2",
    ]);
    let mut arguments = vec!["train", CONFIG, rates, "--quiet", "--jobs", "2"];
    if rates.contains("..") {
        arguments.extend(["--random", "2"]);
    }
    let named = |name| [&arguments[..], &["--name", name]].concat();
    let whole = trial.command(&named("sweep"))?;
    whole.expect(&REFUSED)?;
    if whole.is(0) && trial.rng.chance(0.5) {
        let mut running = trial.start(&named("broken-sweep"))?;
        running.wait_for(whole.took.mul_f64(trial.rng.unit()))?;
        running.signal(trial.rng.pick(&["KILL", "TERM", "INT"]))?;
        trial.finish(running)?;
        trial.command(&named("broken-sweep"))?.expect(&[0])?;
        let read = |name: &str| -> Result<Value> {
            let mut results =
                serde_json::from_slice(&fs_err::read(trial.at(format!("runs/{name}/results.json")))?)?;
            without_times(&mut results);
            Ok(results)
        };
        if read("sweep")? != read("broken-sweep")? {
            bail!("other results of the sweep after an interruption");
        }
    }
    tidy_studies(trial)
}

/// Folds, seeds and strategies.
pub(super) fn repeated(trial: &mut Trial<'_>) -> Result<()> {
    let many = [
        &["train", CONFIG, "--quiet", "--name", "folds", "--folds", "2", "--seeds", "2"][..],
        &["train", CONFIG, "--quiet", "--name", "seeds", "--seeds", "2"],
        &[
            "compare-strategies",
            CONFIG,
            "--quiet",
            "--seeds",
            "1",
            "--strategies",
            "mgda",
            "--name",
            "strategies",
        ],
    ];
    let arguments = trial.rng.pick(&many);
    trial.command(arguments)?.expect(&REFUSED)?;
    tidy_studies(trial)
}

/// Which tasks belong together.
pub(super) fn grouped(trial: &mut Trial<'_>) -> Result<()> {
    let ended =
        trial.command(&["group", CONFIG, "--quiet", "--every", "2", "--json", "--svg", "groups.svg"])?;
    ended.expect(&REFUSED)?;
    if ended.is(0) { is_json(&ended) } else { Ok(()) }
}

/// What depends on the clock is of no account.
fn without_times(results: &mut Value) {
    match results {
        Value::Object(fields) => {
            fields.remove("seconds");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(all) => all.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// The members of studies are as tidy as runs.
fn tidy_studies(trial: &Trial<'_>) -> Result<()> {
    for entry in fs_err::read_dir(trial.at("runs"))? {
        let members = entry?.path().join("members");
        for member in members.is_dir().then(|| fs_err::read_dir(&members)).transpose()?.into_iter().flatten()
        {
            let member = member?.path();
            if member.join("results.json").exists() {
                is_tidy(&member)?;
            }
        }
    }
    Ok(())
}
