//! Affinities as a picture.

use std::fmt::Write as _;

use manytask_multitask::{Grouping, TaskAffinity};

/// The side of a cell, in pixels.
const CELL: usize = 44;
/// The width of a character, about.
const CHARACTER: usize = 7;

/// A square for each pair of tasks, blue where a step for the row's task lowers the column's loss and red where it raises it; tasks of one group stand
/// together in a frame.
pub(super) fn svg(affinity: &TaskAffinity, grouping: &Grouping) -> String {
    let order: Vec<usize> = grouping.groups.iter().flatten().copied().collect();
    let name = |task: usize| affinity.tasks.get(task).map_or("", String::as_str);
    let longest = order.iter().map(|task| name(*task).chars().count()).max().unwrap_or_default();
    let (margin, side) = (longest * CHARACTER + 16, order.len() * CELL);
    let value = |one: usize, other: usize| affinity.matrix.get(one)?.get(other).copied().flatten();
    let others = order
        .iter()
        .flat_map(|one| order.iter().filter(move |other| *other != one).map(move |other| (*one, *other)));
    let largest =
        others.filter_map(|(one, other)| value(one, other)).fold(0.0_f64, |most, x| most.max(x.abs()));
    let size = margin + side + 16;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (row, one) in order.iter().enumerate() {
        let (y, middle) = (margin + row * CELL, margin + row * CELL + CELL / 2);
        let label = escaped(name(*one));
        // A write into a text cannot fail.
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
            margin - 6,
            middle + 4
        );
        let _ = writeln!(
            text,
            "<text transform=\"translate({},{}) rotate(-90)\">{label}</text>",
            middle + 4,
            margin - 6
        );
        for (column, other) in order.iter().enumerate() {
            let found = value(*one, *other).filter(|_| one != other);
            let x = margin + column * CELL;
            let fill =
                found.map_or("#eeeeee".to_owned(), |found| colour(found / largest.max(f64::MIN_POSITIVE)));
            let _ = writeln!(
                text,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{fill}\"/>"
            );
            if let Some(found) = found {
                let (x, percent) = (x + CELL / 2, 100.0 * found);
                let _ = writeln!(
                    text,
                    "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\">{percent:+.2}</text>",
                    middle + 3
                );
            }
        }
    }
    let mut first = 0;
    for group in &grouping.groups {
        let (place, width) = (margin + first * CELL, group.len() * CELL);
        let _ = writeln!(
            text,
            "<rect x=\"{place}\" y=\"{place}\" width=\"{width}\" height=\"{width}\" fill=\"none\" stroke=\"black\" stroke-width=\"2\"/>"
        );
        first += group.len();
    }
    text + "</svg>\n"
}

/// White at 0, blue at 1, red at −1.
fn colour(share: f64) -> String {
    let faded = (255.0 * (1.0 - share.abs().min(1.0) * 0.8)).round() as u8;
    if share >= 0.0 { format!("#{faded:02x}{faded:02x}ff") } else { format!("#ff{faded:02x}{faded:02x}") }
}

fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
