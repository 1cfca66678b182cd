//! Curves, points and columns in a frame with axes, as SVG.

use std::fmt::Write as _;

use super::scale::Scale;
use super::{escape, shortened};

/// The view box, and the frame in it.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// Colours, which come again after so many.
const COLOURS: usize = 6;
/// Points of a curve that can be told apart.
const MOST_POINTS: usize = 600;

/// A chart that is being made.
#[derive(Debug)]
pub(crate) struct Chart {
    title: String,
    x_label: String,
    y_label: String,
    series: Vec<Series>,
    x: Option<Scale>,
    y: Option<Scale>,
    guide: Guide,
}

/// Numbers with a name.
#[derive(Debug)]
pub(crate) struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    mark: Mark,
}

/// A line to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guide {
    None,
    /// From the lower left corner to the upper right one.
    Diagonal,
}

/// How numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Joined by a line.
    Line,
    /// Joined by a line with a dot at each.
    Dotted,
    /// A small dot at each.
    Dots,
    /// A column from zero at each.
    Columns,
}

impl Series {
    /// A curve.
    pub(crate) fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, mark: Mark::Line }
    }

    /// The same drawn otherwise.
    pub(crate) fn drawn(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }
}

impl Chart {
    /// An empty chart.
    pub(crate) fn new(title: &str, x_label: &str, y_label: &str) -> Self {
        let [title, x_label, y_label] = [title, x_label, y_label].map(str::to_owned);
        Self { title, x_label, y_label, series: Vec::new(), x: None, y: None, guide: Guide::None }
    }

    /// The same with further numbers; those that are not finite are left out.
    pub(crate) fn with(mut self, mut series: Series) -> Self {
        series.points.retain(|(x, y)| x.is_finite() && y.is_finite());
        if matches!(series.mark, Mark::Line) {
            series.points = thinned(series.points);
        }
        self.series.push(series);
        self
    }

    /// The same on the unit square, with its diagonal.
    pub(crate) fn on_unit_square(self) -> Self {
        let unit = Some(Scale::between(0.0, 1.0));
        Self { x: unit, y: unit, guide: Guide::Diagonal, ..self }
    }

    /// The same with one range for both axes, and the line where they are equal.
    pub(crate) fn with_equal_axes(self) -> Self {
        let both =
            Scale::of(self.series.iter().flat_map(|series| &series.points).flat_map(|(x, y)| [*x, *y]));
        Self { x: Some(both), y: Some(both), guide: Guide::Diagonal, ..self }
    }

    /// The drawing.
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let columns = self.series.iter().any(|series| series.mark == Mark::Columns);
        let zero = columns.then_some(0.0);
        let x = self.x.unwrap_or_else(|| Scale::of(points().map(|(x, _)| *x)));
        let y = self.y.unwrap_or_else(|| Scale::of(points().map(|(_, y)| *y).chain(zero)));
        let title = escape(&shortened(&self.title, 56));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
             <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>"
        );
        axes(&mut svg, x, y);
        let middle = f64::midpoint(LEFT, RIGHT);
        let _ = write!(
            svg,
            "<text class=\"middle\" x=\"{middle}\" y=\"{}\">{}</text>",
            HEIGHT - 8.0,
            escape(&shortened(&self.x_label, 60))
        );
        if self.guide == Guide::Diagonal {
            let _ = write!(
                svg,
                "<line class=\"guide\" x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{TOP}\"/>"
            );
        }
        for (number, series) in self.series.iter().enumerate() {
            draw(&mut svg, series, number % COLOURS, (x, y));
        }
        self.legend(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    /// The drawing as a file of its own, which has its colours with it.
    pub(crate) fn document(&self) -> String {
        let svg = self.svg();
        let (head, body) = svg.split_once('>').unwrap_or((svg.as_str(), ""));
        format!(
            "{head}><style>{}</style><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" style=\"fill: var(--back)\"/>{body}\n",
            super::STYLE
        )
    }

    /// What the axis is of, or the names of the series, in one line above the frame.
    fn legend(&self, svg: &mut String) {
        const LETTER: f64 = 6.2;
        let named: Vec<&Series> = self.series.iter().filter(|series| !series.name.is_empty()).collect();
        let mut at = LEFT;
        if !self.y_label.is_empty() && (named.is_empty() || named.len() <= 2) {
            let text = shortened(&self.y_label, 24);
            let _ = write!(svg, "<text x=\"{at}\" y=\"34\">{}</text>", escape(&text));
            at += text.chars().count() as f64 * LETTER + 16.0;
        }
        for (number, series) in named.iter().enumerate() {
            let text = shortened(&series.name, 18);
            let width = text.chars().count() as f64 * LETTER + 24.0;
            if at + width > WIDTH {
                let _ = write!(svg, "<text x=\"{}\" y=\"34\">…</text>", at.min(WIDTH - 12.0));
                break;
            }
            let colour = number % COLOURS;
            let _ = write!(
                svg,
                "<rect class=\"f{colour}\" x=\"{at}\" y=\"26\" width=\"9\" height=\"9\"/><text x=\"{}\" y=\"34\">{}</text>",
                at + 13.0,
                escape(&text)
            );
            at += width;
        }
    }
}

fn axes(svg: &mut String, x: Scale, y: Scale) {
    for (value, text) in y.ticks(5) {
        let at = place(TOP, BOTTOM, 1.0 - y.share(value));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\"/>\
             <text class=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (value, text) in x.ticks(6) {
        let at = place(LEFT, RIGHT, x.share(value));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{BOTTOM}\" x2=\"{at:.1}\" y2=\"{}\"/>\
             <text class=\"middle\" x=\"{:.1}\" y=\"{}\">{text}</text>",
            BOTTOM + 4.0,
            at.min(WIDTH - 18.0),
            BOTTOM + 18.0
        );
    }
}

fn draw(svg: &mut String, series: &Series, colour: usize, (x, y): (Scale, Scale)) {
    let at = |point: &(f64, f64)| {
        (place(LEFT, RIGHT, x.share(point.0)), place(TOP, BOTTOM, 1.0 - y.share(point.1)))
    };
    if matches!(series.mark, Mark::Line | Mark::Dotted) && series.points.len() > 1 {
        let places = series.points.iter().map(|point| {
            let (x, y) = at(point);
            format!("{x:.1},{y:.1}")
        });
        let points = places.collect::<Vec<_>>().join(" ");
        let _ = write!(svg, "<polyline class=\"line s{colour}\" points=\"{points}\"/>");
    }
    match series.mark {
        Mark::Line if series.points.len() > 1 => {}
        Mark::Columns => {
            let wide = ((RIGHT - LEFT) / series.points.len().max(1) as f64 * 0.9).max(1.0);
            let zero = place(TOP, BOTTOM, 1.0 - y.share(0.0));
            for point in &series.points {
                let (x, y) = at(point);
                let left = (x - wide / 2.0).clamp(LEFT, RIGHT - wide);
                let _ = write!(
                    svg,
                    "<rect class=\"f{colour}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" fill-opacity=\"0.75\"/>",
                    y.min(zero),
                    (y - zero).abs()
                );
            }
        }
        mark => {
            // So many lie over each other.
            const MANY: usize = 100;
            let crowded = mark == Mark::Dots && series.points.len() > MANY;
            let (radius, opacity) = if crowded { (1.8, 0.5) } else { (3.0, 1.0) };
            for point in &series.points {
                let (x, y) = at(point);
                let _ = write!(
                    svg,
                    "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill-opacity=\"{opacity}\"/>"
                );
            }
        }
    }
}

fn place(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// Points spread evenly over a curve, the last among them.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let every = points.len().div_ceil(MOST_POINTS);
    let last = points.len() - 1;
    points
        .into_iter()
        .enumerate()
        .filter(|(number, _)| number % every == 0 || *number == last)
        .map(|of| of.1)
        .collect()
}
