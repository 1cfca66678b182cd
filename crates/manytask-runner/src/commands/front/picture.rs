//! The fronts as a picture.

use super::answer::Answer;
use crate::html::{Chart, Mark, Series};

/// The losses of the first two tasks, a line through the front of each method in the order of the first, a dot for each of its points.
pub(super) fn svg(answer: &Answer) -> String {
    let name = |task: usize| answer.tasks.get(task).map_or("", String::as_str);
    let title = format!("loss of {} over that of {}", name(1), name(0));
    let mut chart = Chart::new(&title, &format!("loss of {}", name(0)), "");
    for method in &answer.methods {
        let on_front = method.points.iter().filter(|point| point.on_front);
        let mut points: Vec<(f64, f64)> =
            on_front.filter_map(|point| Some((*point.losses.first()?, *point.losses.get(1)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart = chart.with(Series::line(&method.name, points).drawn(Mark::Dotted));
    }
    chart.document()
}
