//! Points with many coordinates: an axis beside the other for each, and a line through all of them for each point.

use std::fmt::Write as _;

use super::scale::Scale;
use super::{escape, shortened};
use crate::report::number;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = WIDTH - 60.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// Letters of 11 pixels are so wide.
const LETTER: f64 = 6.4;

/// One coordinate of all points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    name: String,
    /// Of each point where it lies, from 0 at the bottom to 1 at the top; `None` of one that has no value.
    places: Vec<Option<f64>>,
    marks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis of texts: of numbers, by their logarithm where they are positive and span a factor of ten or more, if all are such;
    /// otherwise of words, evenly spread in the order in which they come first.
    pub(crate) fn of_texts(name: &str, texts: &[String]) -> Self {
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| text.parse().ok()).collect();
        if let Some(numbers) = numbers.filter(|numbers| numbers.iter().all(|number| number.is_finite())) {
            let numbers: Vec<Option<f64>> = numbers.into_iter().map(Some).collect();
            return Self::of_numbers(name, &numbers);
        }
        let mut words: Vec<&String> = Vec::new();
        for text in texts {
            if !words.contains(&text) {
                words.push(text);
            }
        }
        let last = words.len().saturating_sub(1).max(1) as f64;
        let place =
            |text: &String| words.iter().position(|word| *word == text).map(|place| place as f64 / last);
        let marks = words.iter().enumerate().map(|(place, word)| (place as f64 / last, (*word).clone()));
        Self { name: name.to_owned(), places: texts.iter().map(place).collect(), marks: marks.collect() }
    }

    /// An axis of numbers.
    pub(crate) fn of_numbers(name: &str, numbers: &[Option<f64>]) -> Self {
        let known = || numbers.iter().copied().flatten().filter(|number| number.is_finite());
        let (low, high) = known()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), own| (low.min(own), high.max(own)));
        let logarithmic = low > 0.0 && high / low >= 10.0;
        let on_axis = |number: f64| if logarithmic { number.log10() } else { number };
        let scale = Scale::of(known().map(on_axis));
        let place = |number: &Option<f64>| {
            number.filter(|number| number.is_finite()).map(|number| scale.share(on_axis(number)))
        };
        let ends = if low < high { vec![low, high] } else { known().take(1).collect() };
        let marks = ends.into_iter().map(|end| (scale.share(on_axis(end)), number(end)));
        Self { name: name.to_owned(), places: numbers.iter().map(place).collect(), marks: marks.collect() }
    }
}

/// The points on these axes, the best first, which stands out.
pub(crate) fn parallel(title: &str, axes: &[Axis]) -> String {
    let title = escape(&shortened(title, 56));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>"
    );
    let gap = (RIGHT - LEFT) / axes.len().saturating_sub(1).max(1) as f64;
    let x = |axis: usize| LEFT + gap * axis as f64;
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    let points = axes.iter().map(|axis| axis.places.len()).max().unwrap_or_default();
    // The best is drawn last, above the others.
    for point in (0..points).rev() {
        let places = axes.iter().enumerate().filter_map(|(number, axis)| {
            let share = axis.places.get(point).copied().flatten()?;
            Some(format!("{:.1},{:.1}", x(number), y(share)))
        });
        let places: Vec<String> = places.collect();
        if places.len() < 2 {
            continue;
        }
        let (colour, opacity) = if point == 0 { (1, 1.0) } else { (0, 0.35) };
        let places = places.join(" ");
        let _ = write!(
            svg,
            "<polyline class=\"line s{colour}\" stroke-opacity=\"{opacity}\" points=\"{places}\"/>"
        );
    }
    let letters = ((gap - 8.0) / LETTER).clamp(3.0, 16.0) as usize;
    for (number, axis) in axes.iter().enumerate() {
        draw(&mut svg, axis, (x(number), letters), y);
    }
    svg.push_str("</svg>");
    svg
}

/// An axis with its name below and its marks beside it.
fn draw(svg: &mut String, axis: &Axis, (x, letters): (f64, usize), y: impl Fn(f64) -> f64) {
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\"/>\
         <text class=\"middle strong\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        HEIGHT - 10.0,
        escape(&shortened(&axis.name, letters))
    );
    let mut last = f64::INFINITY;
    for (share, text) in &axis.marks {
        // The ends stand outside of the frame; marks between that would lie over another are left out.
        let at = match *share {
            share if share <= 0.0 => BOTTOM + 14.0,
            share if share >= 1.0 => TOP - 6.0,
            share => y(share) + 4.0,
        };
        if last - at < 12.0 {
            continue;
        }
        last = at;
        let text = escape(&shortened(text, letters));
        let _ = write!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{at:.1}\">{text}</text>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_by_their_size_and_words_in_their_order() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let rates = Axis::of_texts("rate", &texts(&["1e-4", "1e-2", "1e-3"]));
        let places: Vec<f64> = rates.places.iter().map(|place| place.unwrap()).collect();
        assert!((places[0], places[1]) == (0.0, 1.0) && (places[2] - 0.5).abs() < 1e-12, "{places:?}");
        let drops = Axis::of_texts("drop", &texts(&["0.0", "0.5", "0.25"]));
        assert_eq!(drops.places[2], Some(0.5));
        let kinds = Axis::of_texts("kind", &texts(&["mlp", "tabm", "mlp", "lenet"]));
        assert_eq!(kinds.places, [Some(0.0), Some(0.5), Some(0.0), Some(1.0)]);
        assert_eq!(kinds.marks[1], (0.5, "tabm".to_owned()));
        let one = Axis::of_numbers("auc", &[Some(0.5), None]);
        assert_eq!((one.places[1], one.marks.len()), (None, 1));
        let svg = parallel("a < b", &[rates, drops]);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("a &lt; b"));
    }
}
