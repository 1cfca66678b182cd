//! `manytask tune batch-size`: how many rows, or tasks of a learner, are worked through in a second, by how many are in a step.

use std::time::Duration;

use serde_json::json;

use super::Answer;
use crate::cli::TuneArgs;
use crate::config::Source;
use crate::data::Detail;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::html::{Chart, Mark, Series};
use crate::plan::{Plan, Work};
use crate::registries::Registries;
use crate::report::{aligned, number, say};

/// The share of the highest number a second that is enough.
const ENOUGH: f64 = 0.9;
/// The smallest batch of rows, and of tasks, that is tried where none is named.
const ROWS: u64 = 16;
const TASKS: u64 = 1;
/// Sizes that are tried at most, each twice the one before.
const SIZES: u32 = 16;

/// The size of a batch with the time of a step.
type Tried = (u64, Duration);

/// `manytask tune batch-size`.
pub(super) fn tune(arguments: &TuneArgs, overrides: &[String], registries: &Registries) -> Result<Answer> {
    if arguments.steps.is_some() {
        let what = "--steps is for a learning rate: the time of a step of each size is the median of some";
        return Err(Failure::new(Code::Usage, what).hint("leave it out"));
    }
    let source = Source::read(&arguments.config, overrides)?;
    let (key, what, least) = match Plan::read(&source, registries)?.work {
        Work::Rows(_) => ("training.batch_size", "rows", ROWS),
        Work::Episodes(_) => ("training.tasks_per_step", "tasks", TASKS),
    };
    let (from, to) = ends(arguments, least)?;
    let mut tried: Vec<Tried> = Vec::new();
    for size in (0..SIZES).map(|power| from.saturating_mul(1 << power)).take_while(|size| *size <= to) {
        let changed = source.with(&[format!("{key}={size}")])?;
        let experiment = match Plan::read(&changed, registries).and_then(Experiment::load) {
            Ok(experiment) => experiment,
            Err(failure) if tried.is_empty() => return Err(failure),
            Err(failure) => {
                say(&format!("note: {size} {what} in a step are not tried: {}", failure.message));
                break;
            }
        };
        if tried.is_empty() {
            experiment.say_data(if arguments.quiet { Detail::Notes } else { Detail::Brief });
        }
        let rows =
            experiment.report.rows.iter().find(|(split, _)| split == "train").map(|(_, rows)| *rows as u64);
        if !tried.is_empty() && rows.is_some_and(|rows| size > rows) {
            break;
        }
        match experiment.time_of_a_step()? {
            Some(time) => tried.push((size, time)),
            None => say(&format!("note: a step of {size} {what} failed")),
        }
    }
    answer(&tried, key, what)
}

/// The smallest and the largest size.
fn ends(arguments: &TuneArgs, least: u64) -> Result<(u64, u64)> {
    let whole = |number: Option<f64>, absent: u64| match number {
        None => Some(absent),
        Some(number) if number >= 1.0 && number.fract() == 0.0 && number < 1e15 => Some(number as u64),
        Some(_) => None,
    };
    match (whole(arguments.from, least), whole(arguments.to, u64::MAX)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(Failure::new(Code::Usage, "--from and --to are the smallest and the largest batch")
            .hint("write whole numbers, such as --from 32 --to 1024")),
    }
}

/// In a second so many.
fn rate(&(size, time): &Tried) -> f64 {
    size as f64 / time.as_secs_f64().max(1e-9)
}

fn answer(tried: &[Tried], key: &str, what: &str) -> Result<Answer> {
    let highest = tried.iter().map(rate).fold(0.0, f64::max);
    let Some(suggested) = tried.iter().find(|one| rate(one) >= ENOUGH * highest).map(|(size, _)| *size)
    else {
        let why = "no step of any size could be made";
        return Err(Failure::new(Code::Diverged, why).hint("look at what `manytask train` says of it"));
    };
    let mut rows = vec![["batch", "a step", ""].map(str::to_owned).to_vec()];
    if let Some(last) = rows.first_mut().and_then(|head| head.last_mut()) {
        *last = format!("{what}/s");
    }
    rows.extend(tried.iter().map(|one| {
        let milliseconds = format!("{} ms", number(1e3 * one.1.as_secs_f64()));
        vec![one.0.to_string(), milliseconds, format!("{:.0}", rate(one))]
    }));
    let text = format!(
        "{}\nthe smallest with {:.0} % of the most {what} a second is suggested: {suggested}\n\
         a larger batch makes fewer steps of the same {what}: find a learning rate for it with `tune lr`\n",
        aligned(&rows),
        100.0 * ENOUGH
    );
    let place = |one: &Tried| ((one.0 as f64).log2(), rate(one));
    let chosen = tried.iter().filter(|one| one.0 == suggested).map(place).collect();
    let chart = Chart::new("batch sizes", "batch size, as the exponent of 2", &format!("{what} a second"))
        .with(Series::line("tried", tried.iter().map(place).collect()).drawn(Mark::Dotted))
        .with(Series::line("suggested", chosen).drawn(Mark::Dotted));
    let seconds: Vec<(u64, f64)> = tried.iter().map(|(size, time)| (*size, time.as_secs_f64())).collect();
    let json = json!({ "tried": seconds, "suggested": suggested });
    Ok(Answer { text, json, chart, change: format!("{key}={suggested}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_batch_that_is_nearly_the_fastest_is_suggested() {
        let tried = |milliseconds: &[u64]| -> Vec<Tried> {
            let sizes = (0..).map(|power| 16 << power);
            sizes.zip(milliseconds).map(|(size, time)| (size, Duration::from_millis(*time))).collect()
        };
        let suggested = |milliseconds: &[u64]| answer(&tried(milliseconds), "k", "rows").unwrap().change;
        assert_eq!(
            suggested(&[10, 10, 10, 19, 40]),
            "k=64",
            "from there on a step takes as long as its rows"
        );
        assert_eq!(suggested(&[10, 20, 40]), "k=16");
        assert!(answer(&[], "k", "rows").is_err());
        let text = answer(&tried(&[10, 20]), "k", "rows").unwrap().text;
        assert!(text.contains("rows/s") && text.contains("10.00 ms") && text.contains("1600"), "{text}");
    }
}
