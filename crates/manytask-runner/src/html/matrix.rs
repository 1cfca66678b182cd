//! Tables of shades and rows of bars, as SVG.

use std::fmt::Write as _;

use super::scale::Scale;
use super::{escape, shortened};
use crate::report::number;

const WIDTH: f64 = 480.0;
const LEFT: f64 = 120.0;
const TOP: f64 = 30.0;

/// What the shades of a matrix mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shades {
    /// Counts, each as a share of its row.
    Counts,
    /// Numbers from −1 to 1, in two colours.
    Signed,
}

/// A matrix, row by row, with names of rows and columns.
pub(crate) fn matrix(
    title: &str,
    rows: &[String],
    columns: &[String],
    values: &[f64],
    shades: Shades,
) -> String {
    // Beyond so many the numbers in the cells cannot be read.
    const WRITTEN: usize = 10;
    let count = columns.len().max(1);
    let cell = ((WIDTH - LEFT - 10.0) / count as f64).min(64.0);
    let tall = cell.clamp(6.0, 30.0);
    let bottom = TOP + tall * rows.len() as f64;
    let height = bottom + 40.0;
    let letters = (cell / 6.4) as usize;
    let title = escape(&shortened(title, 62));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.1}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"10\" y=\"16\">{title}</text>"
    );
    for (row, name) in rows.iter().enumerate() {
        let y = TOP + tall * row as f64;
        let own: Vec<f64> = values.iter().skip(row * count).take(count).copied().collect();
        let sum: f64 = own.iter().sum();
        if tall >= 10.0 {
            let name = escape(&shortened(name, 17));
            let _ = write!(
                svg,
                "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{name}</text>",
                LEFT - 6.0,
                y + tall / 2.0 + 4.0
            );
        }
        for (column, value) in own.iter().enumerate() {
            let x = LEFT + cell * column as f64;
            let share = match shades {
                Shades::Counts if sum > 0.0 => value / sum,
                Shades::Counts => 0.0,
                Shades::Signed => value.clamp(-1.0, 1.0),
            };
            let colour = u8::from(share < 0.0);
            let _ = write!(
                svg,
                "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill-opacity=\"{:.3}\"/>",
                (cell - 1.0).max(0.5),
                (tall - 1.0).max(0.5),
                if share.is_finite() { 0.04 + 0.76 * share.abs() } else { 0.0 }
            );
            if count <= WRITTEN && value.is_finite() {
                let text = match shades {
                    Shades::Counts => format!("{value:.0}"),
                    Shades::Signed => format!("{value:.2}"),
                };
                let _ = write!(
                    svg,
                    "<text class=\"middle strong\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                    x + cell / 2.0,
                    y + tall / 2.0 + 4.0
                );
            }
        }
    }
    for (column, name) in columns.iter().enumerate().filter(|_| letters > 1) {
        let x = LEFT + cell * (column as f64 + 0.5);
        let name = escape(&shortened(name, letters));
        let _ = write!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>", bottom + 14.0);
    }
    if shades == Shades::Counts {
        let _ = write!(
            svg,
            "<text class=\"end\" x=\"{}\" y=\"{:.1}\">truth ↓ pred. →</text>",
            LEFT - 6.0,
            bottom + 14.0
        );
    }
    svg.push_str("</svg>");
    svg
}

/// A bar with an interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) interval: (f64, f64),
}

/// Bars below each other, with their intervals.
pub(crate) fn bars(title: &str, label: &str, bars: &[Bar]) -> String {
    const STEP: f64 = 20.0;
    let right = WIDTH - 74.0;
    let bottom = TOP + STEP * bars.len() as f64;
    let height = bottom + 26.0;
    let ends = bars.iter().flat_map(|bar| [bar.value, bar.interval.0, bar.interval.1]);
    let scale = Scale::of(ends.chain([0.0]));
    let at = |value: f64| LEFT + (right - LEFT) * scale.share(value);
    let title = escape(&shortened(title, 62));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.1}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"10\" y=\"16\">{title}</text>"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + STEP * row as f64;
        let (zero, end) = (at(0.0), at(bar.value));
        let name = escape(&shortened(&bar.name, 17));
        let _ = write!(
            svg,
            "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{name}</text>\
             <rect class=\"f0\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\" fill-opacity=\"0.75\"/>\
             <line class=\"s1 line\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 13.0,
            zero.min(end),
            y + 3.0,
            (end - zero).abs(),
            at(bar.interval.0),
            y + 9.0,
            at(bar.interval.1),
            y + 9.0,
            right + 6.0,
            y + 13.0,
            number(bar.value)
        );
    }
    let zero = at(0.0);
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{zero:.1}\" y1=\"{TOP}\" x2=\"{zero:.1}\" y2=\"{bottom:.1}\"/>\
         <text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text></svg>",
        f64::midpoint(LEFT, right),
        bottom + 18.0,
        escape(&shortened(label, 60))
    );
    svg
}
