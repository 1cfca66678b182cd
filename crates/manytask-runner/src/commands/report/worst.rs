//! The rows that are predicted worst.

use manytask_multitask::{Split, TaskOutputs};
use manytask_nn::calibration::plain;
use manytask_nn::metrics::Output;

use super::Judged;
use super::outputs::words_of;
use crate::failure::Result;
use crate::html::Page;
use crate::report::number;
use crate::schema::InputSchema;

/// Tasks, rows of each, and columns of a row that are shown.
const TASKS: usize = 4;
const ROWS: usize = 5;
const COLUMNS: usize = 6;

/// A table of the worst rows of each of the first tasks, where all tasks are on the same rows of a table.
pub(super) fn of_tasks(page: &mut Page, judged: &Judged) -> Result<()> {
    let Some(InputSchema::Table(schema)) = &judged.experiment.schema else { return Ok(()) };
    if schema.tasks_by().is_some() {
        return Ok(());
    }
    let Some((table, indices)) = judged.experiment.rows()? else { return Ok(()) };
    let rows = match judged.split {
        Split::Train => indices.train,
        Split::Validation => indices.validation,
        Split::Test => indices.test,
    };
    let columns: Vec<&str> = schema.inputs().columns().into_iter().take(COLUMNS).collect();
    page.subheading("Rows that are predicted worst");
    for outputs in judged.outputs.iter().take(TASKS) {
        let words = words_of(judged, &outputs.name);
        let head = ["row", "truth", "predicted"].into_iter().chain(columns.iter().copied());
        let mut lines = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        for (place, truth, predicted) in worst(outputs, &words) {
            let Some(row) = rows.get(place) else { continue };
            let cell = |name: &&str| {
                let text = table.column(name).ok().and_then(|column| column.text(*row));
                crate::html::shortened(text.unwrap_or("-"), 24)
            };
            let mut line = vec![short(&table.row_name(*row)), truth, predicted];
            line.extend(columns.iter().map(cell));
            lines.push(line);
        }
        page.paragraph(&outputs.name);
        page.table(&lines);
    }
    Ok(())
}

/// A row's name with the name of its file alone.
fn short(row: &str) -> String {
    match row.split_once(" of ") {
        None => row.to_owned(),
        Some((row, path)) => {
            let file = std::path::Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            format!("{row} of {}", file.unwrap_or_else(|| path.to_owned()))
        }
    }
}

/// The places of the rows with the largest losses, the worst first, with truth and prediction in words.
fn worst(outputs: &TaskOutputs, words: &[String]) -> Vec<(usize, String, String)> {
    let columns = outputs.columns.max(1);
    let word = |class: usize| words.get(class).cloned().unwrap_or_else(|| class.to_string());
    let mut all: Vec<(f64, usize, String, String)> = Vec::new();
    for (place, own) in outputs.prediction.chunks(columns).enumerate() {
        let first = outputs.target.get(place).copied().filter(|label| !label.is_nan());
        let judged = match (outputs.output, own, first) {
            (Output::Regression, [value], Some(truth)) => {
                Some(((value - truth).abs(), number(truth), number(*value)))
            }
            (Output::Binary, [_], Some(truth)) => {
                let p = plain(Output::Binary, own).first().copied().unwrap_or_default();
                let of_truth = if truth > 0.5 { p } else { 1.0 - p };
                Some((
                    -of_truth.ln(),
                    word(usize::from(truth > 0.5)),
                    format!("{} for {}", number(p), word(1)),
                ))
            }
            (Output::Multiclass, _, Some(truth)) => {
                let p = plain(Output::Multiclass, own);
                let best = manytask_nn::calibration::likeliest(&p);
                let of = |class: usize| p.get(class).copied().unwrap_or_default();
                Some((
                    -of(truth as usize).ln(),
                    word(truth as usize),
                    format!("{} for {}", number(of(best)), word(best)),
                ))
            }
            _ => None,
        };
        all.extend(judged.map(|(loss, truth, predicted)| (loss, place, truth, predicted)));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(ROWS).map(|(_, place, truth, predicted)| (place, truth, predicted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_row_is_the_surest_mistake() {
        let outputs = TaskOutputs {
            name: "y".into(),
            output: Output::Binary,
            columns: 1,
            prediction: vec![3.0, -4.0, 9.0],
            target: vec![0.0, 1.0, f64::NAN],
            weight: None,
            train_mean: None,
        };
        let words = ["no", "yes"].map(str::to_owned);
        let worst = worst(&outputs, &words);
        assert_eq!(worst.len(), 2);
        assert_eq!(
            (short("row 3").as_str(), short("row 3 of /a/b.csv").as_str()),
            ("row 3", "row 3 of b.csv")
        );
        assert_eq!((worst[0].0, worst[0].1.as_str(), worst[0].2.as_str()), (1, "yes", "0.01799 for yes"));
    }
}
