//! The rows and the pictures that are predicted worst.

use manytask_data::{Images, Schema};
use manytask_multitask::{Split, TaskOutputs};
use manytask_nn::calibration::plain;
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind};

use super::Judged;
use super::outputs::words_of;
use crate::failure::Result;
use crate::html::{Page, Picture};
use crate::report::number;
use crate::schema::InputSchema;

/// Tasks, rows of each, and columns of a row that are shown.
const TASKS: usize = 4;
const ROWS: usize = 5;
const COLUMNS: usize = 6;
/// Pictures of each task that are shown.
const PICTURES: usize = 12;

/// The worst rows of each of the first tasks, where all tasks are on the same rows of a table or on the same pictures.
pub(super) fn of_tasks(page: &mut Page, judged: &Judged) -> Result<()> {
    match &judged.experiment.schema {
        Some(InputSchema::Table(schema)) if schema.tasks_by().is_none() => rows(page, judged, schema),
        Some(InputSchema::Images(_)) => pictures(page, judged),
        _ => Ok(()),
    }
}

/// The pictures themselves.
fn pictures(page: &mut Page, judged: &Judged) -> Result<()> {
    let Some(images) = judged.experiment.pictures(judged.split)? else { return Ok(()) };
    page.subheading("Pictures that are predicted worst");
    for outputs in judged.outputs.iter().take(TASKS) {
        let words = words_of(judged, &outputs.name);
        let shown = worst(outputs, &words, PICTURES).into_iter().map(|(place, truth, predicted)| {
            picture(&images, place, format!("{truth}, predicted {predicted}"))
        });
        page.paragraph(&outputs.name);
        page.pictures(&shown.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}

/// One of the images: bytes as they are, other numbers spread from the least to the largest; where there are neither one nor three
/// channels, the first.
fn picture(images: &Images, row: usize, caption: String) -> Result<Picture> {
    let pixels = images.pixels().f_get(row as i64)?;
    let pixels = if pixels.kind() == Kind::Uint8 {
        pixels
    } else {
        let low = pixels.f_min()?;
        let range = pixels.f_max()?.f_sub(&low)?.f_clamp_min(1e-12)?;
        pixels.f_sub(&low)?.f_div(&range)?.f_mul_scalar(255.0)?.f_round()?.f_to_kind(Kind::Uint8)?
    };
    let channels = pixels.size().first().copied().unwrap_or_default();
    let pixels = if channels == 3 { pixels } else { pixels.f_narrow(0, 0, 1)? };
    let &[_, height, width] = pixels.size().as_slice() else {
        return Ok(Picture { caption, width: 0, height: 0, bytes: Vec::new() });
    };
    let pixels = pixels.f_permute([1, 2, 0])?.f_contiguous()?.f_reshape([-1])?;
    let bytes = Vec::<u8>::try_from(pixels.f_to_device(Device::Cpu)?)?;
    let [width, height] = [width, height].map(|size| u32::try_from(size).unwrap_or_default());
    Ok(Picture { caption, width, height, bytes })
}

/// A table of the worst rows of each task.
fn rows(page: &mut Page, judged: &Judged, schema: &Schema) -> Result<()> {
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
        for (place, truth, predicted) in worst(outputs, &words, ROWS) {
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
fn worst(outputs: &TaskOutputs, words: &[String], most: usize) -> Vec<(usize, String, String)> {
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
    all.into_iter().take(most).map(|(_, place, truth, predicted)| (place, truth, predicted)).collect()
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
        let worst = worst(&outputs, &words, ROWS);
        assert_eq!(worst.len(), 2);
        assert_eq!(
            (short("row 3").as_str(), short("row 3 of /a/b.csv").as_str()),
            ("row 3", "row 3 of b.csv")
        );
        assert_eq!((worst[0].0, worst[0].1.as_str(), worst[0].2.as_str()), (1, "yes", "0.01799 for yes"));
    }
}
