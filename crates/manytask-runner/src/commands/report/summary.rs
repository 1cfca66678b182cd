//! What was asked and found, in words and tables.

use std::time::Duration;

use toml::{Table, Value};

use super::Shown;
use crate::failure::Result;
use crate::html::Page;
use crate::invocation::{program, quoted};
use crate::report::number;
use crate::run::CONFIG;
use crate::study::span;

/// Tasks that are named.
const NAMED: usize = 6;

/// What the configuration asks for.
pub(super) fn asked(run: &Shown) -> Result<String> {
    let config = run.opened.source.effective()?;
    let text = |keys: &[&str]| at(&config, keys).map(plain);
    let of = |keys: &[&str]| text(keys).unwrap_or_else(|| "?".to_owned());
    let tasks: Vec<&str> =
        run.results.iter().flat_map(|results| &results.tasks).map(|task| task.name.as_str()).collect();
    let what = if let Some(learner) = text(&["learner", "kind"]) {
        format!(
            "The learner {learner} was trained on tasks of {}, each with a few examples",
            of(&["data", "kind"])
        )
    } else {
        let network = text(&["network", "kind"]).unwrap_or_else(|| "hard_sharing".to_owned());
        let count = if tasks.is_empty() { "its tasks".to_owned() } else { listed(&tasks) };
        format!("One network, {network}, was trained on {count}")
    };
    let length = match (text(&["training", "epochs"]), text(&["training", "steps"])) {
        (Some(epochs), _) => format!("up to {epochs} epochs"),
        (None, Some(steps)) => format!("up to {steps} steps"),
        (None, None) => "as long as its configuration says".to_owned(),
    };
    let rate = text(&["optimizer", "learning_rate"])
        .map_or(String::new(), |rate| format!(" at a learning rate of {rate}"));
    Ok(format!(
        "{what}, for {length}, with the aggregator {} and the optimizer {}{rate}, seed {}.",
        of(&["aggregator", "kind"]),
        of(&["optimizer", "kind"]),
        text(&["seed"]).unwrap_or_else(|| "0".to_owned()),
    ))
}

/// What came of it.
pub(super) fn found(run: &Shown) -> Vec<String> {
    let Some(results) = &run.results else {
        return vec!["It has no result yet: what follows is as far as it went.".to_owned()];
    };
    let rows = results.rows.get(&results.split).map_or(String::new(), |rows| format!(" ({rows} rows)"));
    let metric = |task: &manytask_multitask::TaskEvaluation| {
        let (name, value) = task.metrics.first()?;
        Some(format!("{name} {} of {}", value.map_or("without a value".to_owned(), number), task.name))
    };
    let mut each: Vec<String> = results.tasks.iter().take(NAMED).filter_map(metric).collect();
    if results.tasks.len() > NAMED {
        each.push(format!("and {} more tasks", results.tasks.len() - NAMED));
    }
    let ended = run.opened.manifest.as_ref().and_then(|manifest| manifest.exit.clone());
    let ended = ended.map_or(String::new(), |exit| format!(" The training ended as: {exit}."));
    let first = format!(
        "On the {} split{rows} its best parameters, those of step {}, have {}.{ended}",
        results.split,
        results.step,
        each.join(", ")
    );
    std::iter::once(first).chain(doubts(run)).collect()
}

/// What a reader should be wary of.
fn doubts(run: &Shown) -> Vec<String> {
    let Some(judged) = &run.judged else { return Vec::new() };
    let notes = judged.experiment.report.all_notes();
    let shown = notes.iter().take(NAMED).map(|note| format!("About the data: {note}."));
    shown.collect()
}

/// All metrics of all tasks.
pub(super) fn results(page: &mut Page, run: &Shown) {
    let Some(results) = &run.results else { return };
    let mut names = vec!["loss".to_owned()];
    for (name, _) in results.tasks.iter().flat_map(|task| &task.metrics) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let mut rows = vec![std::iter::once("task".to_owned()).chain(names.iter().cloned()).collect::<Vec<_>>()];
    for task in &results.tasks {
        rows.push(
            std::iter::once(task.name.clone())
                .chain(names.iter().map(|name| cell(task.metric(name))))
                .collect(),
        );
    }
    if results.tasks.len() > 1 {
        let evaluation = results.evaluation();
        let mean =
            |name: &String| if name == "loss" { evaluation.mean_loss() } else { evaluation.mean(name) };
        rows.push(
            std::iter::once("mean".to_owned()).chain(names.iter().map(|name| cell(mean(name)))).collect(),
        );
    }
    page.table(&rows);
}

/// All runs in one table.
pub(super) fn compare(page: &mut Page, runs: &[Shown]) {
    let mut columns: Vec<(String, String)> = Vec::new();
    for task in runs.iter().filter_map(|run| run.results.as_ref()).flat_map(|results| &results.tasks) {
        let Some((metric, _)) = task.metrics.first() else { continue };
        let column = (task.name.clone(), metric.clone());
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let more = columns.len().saturating_sub(NAMED);
    columns.truncate(NAMED);
    let head = columns.iter().map(|(task, metric)| format!("{task} {metric}"));
    let mut rows = vec![
        ["run".to_owned()]
            .into_iter()
            .chain(head)
            .chain(["mean loss".to_owned(), "time".to_owned()])
            .collect(),
    ];
    for run in runs {
        let results = run.results.as_ref();
        let value =
            |task: &str, metric: &str| results?.tasks.iter().find(|own| own.name == task)?.metric(metric);
        let cell = |value: Option<f64>| value.map_or("-".to_owned(), number);
        let mut row: Vec<String> = vec![run.name.clone()];
        row.extend(columns.iter().map(|(task, metric)| cell(value(task, metric))));
        row.push(cell(results.and_then(|results| results.evaluation().mean_loss())));
        let seconds = run.opened.manifest.as_ref().map(|manifest| manifest.seconds);
        row.push(seconds.map_or("-".to_owned(), |seconds| span(Duration::from_secs_f64(seconds.max(0.0)))));
        rows.push(row);
    }
    page.table(&rows);
    if more > 0 {
        page.remark(&format!("{more} further tasks are in the runs' own tables."));
    }
}

/// Versions, machine and the command that makes the run again.
pub(super) fn environment(page: &mut Page, run: &Shown) -> Result<()> {
    let path = run.opened.folder.path();
    if let Some(manifest) = &run.opened.manifest {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let memory = manifest.peak_memory.map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        page.table(&[
            row("", String::new()),
            row("manytask", format!("{} ({})", manifest.version, manifest.revision)),
            row("machine", format!("{}, {}, {} threads", manifest.host, manifest.device, manifest.threads)),
            row("time", span(Duration::from_secs_f64(manifest.seconds.max(0.0)))),
            row("memory", memory),
            row("seed", manifest.seed.to_string()),
            row("resumed", format!("{} times", manifest.resumed)),
            row("data", manifest.data_digest.chars().take(16).collect()),
        ]);
    }
    page.paragraph("The same training again, with the same result:");
    page.verbatim(&format!("{} train {}", program(), quoted(&path.join(CONFIG))));
    page.folded("The whole configuration", &fs_err::read_to_string(path.join(CONFIG))?);
    Ok(())
}

fn listed(tasks: &[&str]) -> String {
    let named = tasks.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match tasks.len() {
        1 => format!("one task, {named}"),
        count if count > NAMED => format!("{count} tasks, {named} and others"),
        count => format!("{count} tasks, {named}"),
    }
}

fn at<'t>(table: &'t Table, keys: &[&str]) -> Option<&'t Value> {
    let (last, before) = keys.split_last()?;
    let table = before.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?;
    table.get(*last)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
