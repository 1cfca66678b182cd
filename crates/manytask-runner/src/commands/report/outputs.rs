//! Plots of what is predicted beside what is true.

use manytask_multitask::TaskOutputs;
use manytask_nn::calibration::plain;
use manytask_nn::metrics::Output;

use super::Judged;
use crate::html::{Chart, Mark, Page, Series, Shades, matrix};
use crate::postprocessing::FittedTask;

/// Tasks that are plotted.
const TASKS: usize = 8;
/// Dots of a scatter plot.
const DOTS: usize = 1000;

/// The plots of all tasks.
pub(super) fn of_tasks(page: &mut Page, judged: &Judged) {
    let usual = FittedTask::default();
    for outputs in judged.outputs.iter().take(TASKS) {
        let fitted = judged.fitted.as_ref().and_then(|fitted| fitted.tasks.get(&outputs.name));
        let words = words_of(judged, &outputs.name);
        let figures = match outputs.output {
            Output::Regression => of_values(outputs),
            Output::Binary => of_binary(outputs, fitted.unwrap_or(&usual), &words),
            Output::Multilabel => of_labels(outputs, &words),
            Output::Multiclass => of_classes(outputs, &words),
        };
        page.figures(&figures);
    }
    if judged.outputs.len() > TASKS {
        page.remark(&format!("{} of {} tasks are plotted.", TASKS, judged.outputs.len()));
    }
}

/// The classes or labels of a task in words, or what means no and yes.
pub(super) fn words_of(judged: &Judged, task: &str) -> Vec<String> {
    let Some(schema) = &judged.experiment.schema else {
        let target = judged.experiment.report.targets.iter().find(|target| target.name == task);
        return target.map(|target| target.classes.clone()).unwrap_or_default();
    };
    let place = schema.tasks().iter().position(|own| own.name == task);
    place.map(|place| schema.words(place)).unwrap_or_default()
}

fn of_binary(outputs: &TaskOutputs, fitted: &FittedTask, words: &[String]) -> Vec<String> {
    let name = &outputs.name;
    let raw: Vec<f64> = plain(Output::Binary, &outputs.prediction);
    let fitted_to = fitted.probabilities(outputs);
    let mut calibration = Chart::new(&format!("calibration of {name}"), "probability", "share of yes")
        .with(Series::line("as predicted", reliability(&raw, &outputs.target)).drawn(Mark::Dotted));
    if raw != fitted_to {
        let points = reliability(&fitted_to, &outputs.target);
        calibration = calibration.with(Series::line("calibrated", points).drawn(Mark::Dotted));
    }
    let mut counts = vec![0.0; 4];
    for (p, label) in fitted_to.iter().zip(&outputs.target).filter(|(_, label)| !label.is_nan()) {
        let decided = fitted.decide(Output::Binary, &[*p]).first().copied().unwrap_or_default();
        if let Some(count) = counts.get_mut(2 * usize::from(*label > 0.5) + decided) {
            *count += 1.0;
        }
    }
    vec![
        Chart::new(&format!("ROC curve of {name}"), "false positives", "true positives")
            .with(Series::line("", roc(&outputs.prediction, &outputs.target)))
            .on_unit_square()
            .svg(),
        calibration.on_unit_square().svg(),
        matrix(&format!("decisions of {name}"), words, words, &counts, Shades::Counts),
    ]
}

fn of_labels(outputs: &TaskOutputs, words: &[String]) -> Vec<String> {
    const LABELS: usize = 6;
    let column = |values: &[f64], label: usize| -> Vec<f64> {
        values.iter().skip(label).step_by(outputs.columns.max(1)).copied().collect()
    };
    let mut chart =
        Chart::new(&format!("ROC curves of {}", outputs.name), "false positives", "true positives");
    for (label, word) in words.iter().enumerate().take(LABELS) {
        chart = chart.with(Series::line(
            word,
            roc(&column(&outputs.prediction, label), &column(&outputs.target, label)),
        ));
    }
    vec![chart.on_unit_square().svg()]
}

fn of_classes(outputs: &TaskOutputs, words: &[String]) -> Vec<String> {
    const CLASSES: usize = 30;
    let classes = outputs.columns.max(1);
    let (mut confidence, mut right) = (Vec::new(), Vec::new());
    let mut counts = vec![0.0; classes * classes];
    for (logits, label) in
        outputs.prediction.chunks(classes).zip(&outputs.target).filter(|(_, label)| !label.is_nan())
    {
        let p = plain(Output::Multiclass, logits);
        let decided = manytask_nn::calibration::likeliest(&p);
        confidence.push(p.get(decided).copied().unwrap_or_default());
        right.push(f64::from(u8::from(decided == *label as usize)));
        if let Some(count) = counts.get_mut(*label as usize * classes + decided) {
            *count += 1.0;
        }
    }
    let mut figures = vec![
        Chart::new(&format!("calibration of {}", outputs.name), "confidence", "share that is right")
            .with(Series::line("", reliability(&confidence, &right)).drawn(Mark::Dotted))
            .on_unit_square()
            .svg(),
    ];
    if classes <= CLASSES {
        figures.push(matrix(&format!("classes of {}", outputs.name), words, words, &counts, Shades::Counts));
    }
    figures
}

fn of_values(outputs: &TaskOutputs) -> Vec<String> {
    const BINS: usize = 30;
    let known: Vec<(f64, f64)> = outputs
        .target
        .iter()
        .zip(&outputs.prediction)
        .filter(|(truth, value)| truth.is_finite() && value.is_finite())
        .map(|(truth, value)| (*truth, *value))
        .collect();
    let every = known.len().div_ceil(DOTS).max(1);
    let dots: Vec<(f64, f64)> = known.iter().copied().step_by(every).collect();
    let residuals: Vec<f64> = known.iter().map(|(truth, value)| value - truth).collect();
    vec![
        Chart::new(&format!("predictions of {}", outputs.name), "truth", "predicted")
            .with(Series::line("", dots).drawn(Mark::Dots))
            .with_equal_axes()
            .svg(),
        Chart::new(&format!("errors of {}", outputs.name), "predicted − truth", "rows")
            .with(Series::line("", histogram(&residuals, BINS)).drawn(Mark::Columns))
            .svg(),
    ]
}

/// (false positive rate, true positive rate) from the highest score down; rows of one score are one step.
fn roc(scores: &[f64], labels: &[f64]) -> Vec<(f64, f64)> {
    let mut rows: Vec<(f64, bool)> = scores
        .iter()
        .zip(labels)
        .filter(|(_, label)| !label.is_nan())
        .map(|(score, label)| (*score, *label > 0.5))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = rows.iter().filter(|row| row.1).count() as f64;
    let negatives = rows.len() as f64 - positives;
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    for (number, (score, label)) in rows.iter().enumerate() {
        if *label {
            hits += 1.0;
        } else {
            alarms += 1.0;
        }
        if rows.get(number + 1).map(|next| next.0) != Some(*score) {
            points.push((alarms / negatives, hits / positives));
        }
    }
    points
}

/// (mean probability, share of yes) of ten bins of equal width, those without a row left out.
fn reliability(probabilities: &[f64], labels: &[f64]) -> Vec<(f64, f64)> {
    const BINS: usize = 10;
    let mut bins = [(0.0, 0.0, 0.0); BINS];
    for (p, label) in probabilities.iter().zip(labels).filter(|(_, label)| !label.is_nan()) {
        let bin = ((p * BINS as f64) as usize).min(BINS - 1);
        if let Some((sum, yes, count)) = bins.get_mut(bin) {
            *sum += p;
            *yes += f64::from(u8::from(*label > 0.5));
            *count += 1.0;
        }
    }
    bins.into_iter().filter(|bin| bin.2 > 0.0).map(|(sum, yes, count)| (sum / count, yes / count)).collect()
}

/// (middle, rows) of bins of equal width.
fn histogram(values: &[f64], bins: usize) -> Vec<(f64, f64)> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / bins as f64;
    if !(width.is_finite() && width > 0.0) {
        return values.first().map(|value| (*value, values.len() as f64)).into_iter().collect();
    }
    let mut counts = vec![0.0; bins];
    for value in values {
        if let Some(count) = counts.get_mut((((value - low) / width) as usize).min(bins - 1)) {
            *count += 1.0;
        }
    }
    counts.into_iter().enumerate().map(|(bin, count)| (low + width * (bin as f64 + 0.5), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_is_the_metric() {
        let (scores, labels) = ([0.9, 0.8, 0.8, 0.4, 0.3, 0.1], [1.0, 1.0, 0.0, f64::NAN, 1.0, 0.0]);
        let area: f64 = roc(&scores, &labels)
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) * f64::midpoint(pair[0].1, pair[1].1))
            .sum();
        // Of 3 × 2 pairs 4 stand right, and one is level.
        assert!((area - 4.5 / 6.0).abs() < 1e-12, "{area}");
    }

    #[test]
    fn bins_hold_all_rows() {
        assert_eq!(
            reliability(&[0.05, 0.15, 0.12, 1.0], &[0.0, 1.0, 0.0, 1.0]),
            [(0.05, 0.0), (0.135, 0.5), (1.0, 1.0)]
        );
        assert_eq!(histogram(&[0.0, 0.1, 1.0], 2), [(0.25, 2.0), (0.75, 1.0)]);
        assert_eq!(histogram(&[2.0, 2.0], 30), [(2.0, 2.0)]);
        assert_eq!(histogram(&[], 30), []);
    }
}
