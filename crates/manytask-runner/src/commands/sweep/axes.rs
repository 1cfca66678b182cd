//! The values that a sweep goes through.

use manytask_tensor::random::Key;

/// A key with several values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// The key as it was written.
    key: String,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Listed(Vec<String>),
    /// From the lower to the higher number.
    Between(f64, f64),
    /// From the lower to the higher whole number, both of them included.
    Whole(i64, i64),
}

/// One training of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// What it is called: its values by the ends of their keys.
    pub(super) name: String,
    /// What it changes.
    pub(super) overrides: Vec<String>,
}

impl Axis {
    /// The key.
    pub(super) fn key(&self) -> String {
        self.key.clone()
    }

    /// How many values there are, where they can be counted.
    pub(super) fn count(&self) -> Option<usize> {
        match &self.values {
            Values::Listed(values) => Some(values.len()),
            Values::Whole(low, high) => usize::try_from(high.checked_sub(*low)?.checked_add(1)?).ok(),
            Values::Between(..) => None,
        }
    }

    /// What of it makes no sense, in words: a value that stands there twice, or a range whose ends are not in order.
    pub(super) fn mistake(&self) -> Option<String> {
        match &self.values {
            Values::Between(low, high) => {
                (low >= high).then(|| format!("`{}` is a range from {low} to {high}", self.shown()))
            }
            Values::Whole(low, high) => {
                (low >= high).then(|| format!("`{}` is a range from {low} to {high}", self.shown()))
            }
            Values::Listed(values) => {
                let mut rest = values.iter().enumerate();
                let twice =
                    rest.find(|(place, value)| values.iter().take(*place).any(|other| other == *value));
                twice.map(|(_, value)| format!("`{}` has the value {value} twice", self.shown()))
            }
        }
    }

    /// Whether it is a range of numbers.
    pub(super) fn is_range(&self) -> bool {
        matches!(self.values, Values::Between(..) | Values::Whole(..))
    }

    /// Whether it is a range of whole numbers.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.values, Values::Whole(..))
    }

    /// As it was written.
    pub(super) fn shown(&self) -> String {
        match &self.values {
            Values::Listed(values) => format!("{}={}", self.key, values.join(",")),
            Values::Between(low, high) => format!("{}={low}..{high}", self.key),
            Values::Whole(low, high) => format!("{}={low}..{high}", self.key),
        }
    }

    /// A value for a number in [0, 1): of a range that spans a factor of ten or more, evenly by its logarithm.
    fn at(&self, share: f64) -> String {
        match &self.values {
            Values::Listed(values) => {
                let place = ((share * values.len() as f64) as usize).min(values.len().saturating_sub(1));
                values.get(place).cloned().unwrap_or_default()
            }
            Values::Between(low, high) => format!("{:.4e}", between(*low, *high, share)),
            // Each number has the same share of what is up to the one behind the last.
            Values::Whole(low, high) => {
                let drawn = between(*low as f64, *high as f64 + 1.0, share).floor() as i64;
                drawn.clamp(*low, *high).to_string()
            }
        }
    }
}

/// The number that has this share of a range below it.
fn between(low: f64, high: f64, share: f64) -> f64 {
    if low > 0.0 && high / low >= 10.0 { low * (high / low).powf(share) } else { low + (high - low) * share }
}

/// The changes that have one value, and the keys that have several: values with commas between, outside of quotes and brackets,
/// or two numbers with `..` between. Numbers without a point or an exponent are whole ones, and so is what is drawn between them.
pub(super) fn of(overrides: &[String]) -> (Vec<String>, Vec<Axis>) {
    let (mut plain, mut axes) = (Vec::new(), Vec::new());
    for change in overrides {
        match axis(change) {
            Some(axis) => axes.push(axis),
            None => plain.push(change.clone()),
        }
    }
    (plain, axes)
}

fn axis(change: &str) -> Option<Axis> {
    let (key, value) = change.split_once('=')?;
    if let Some((low, high)) = value.split_once("..") {
        let (low, high) = (low.trim(), high.trim());
        let whole = |text: &str| text.parse::<i64>().ok();
        let values = match (whole(low), whole(high)) {
            (Some(low), Some(high)) => Values::Whole(low, high),
            _ => Values::Between(low.parse().ok()?, high.parse().ok()?),
        };
        let spans = |low: f64, high: f64| (high - low).is_finite();
        let sane = !matches!(values, Values::Between(low, high) if !spans(low, high));
        return sane.then(|| Axis { key: key.to_owned(), values });
    }
    let values = alternatives(value);
    (values.len() > 1 && values.iter().all(|value| !value.is_empty()))
        .then(|| Axis { key: key.to_owned(), values: Values::Listed(values) })
}

/// The pieces between commas that stand in no quotes and no brackets.
fn alternatives(text: &str) -> Vec<String> {
    let (mut pieces, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, character) in text.char_indices() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            ('[' | '{', None) => depth += 1,
            (']' | '}', None) => depth = depth.saturating_sub(1),
            (',', None) if depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or_default().trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default().trim().to_owned());
    pieces
}

/// All combinations, the last key going first.
pub(super) fn grid(axes: &[Axis]) -> Vec<Point> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for axis in axes {
        let Values::Listed(values) = &axis.values else { continue };
        all = all
            .into_iter()
            .flat_map(|before| {
                values.iter().map(move |value| [before.as_slice(), std::slice::from_ref(value)].concat())
            })
            .collect();
    }
    all.into_iter().map(|values| point(axes, &values)).collect()
}

/// How many combinations there are, where they can be counted.
pub(super) fn combinations(axes: &[Axis]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.count()?))
}

/// Different combinations drawn at random, keyed by the seed: fewer where there are no more.
pub(super) fn drawn(axes: &[Axis], count: u64, seed: u64) -> Vec<Point> {
    const TRIES: u64 = 50;
    let every = axes.iter().all(|axis| !axis.is_range());
    if every && combinations(axes).is_some_and(|all| all as u64 <= count) {
        return grid(axes);
    }
    let mut points: Vec<Point> = Vec::new();
    for trial in 0..count * TRIES {
        if points.len() as u64 == count {
            break;
        }
        let value = |(number, axis): (usize, &Axis)| {
            let draw = Key::new(seed, "sweep").step(trial).task(number as u64).number();
            axis.at((draw >> 11) as f64 / (1_u64 << 53) as f64)
        };
        let values: Vec<String> = axes.iter().enumerate().map(value).collect();
        let drawn = point(axes, &values);
        if !points.contains(&drawn) {
            points.push(drawn);
        }
    }
    points
}

fn point(axes: &[Axis], values: &[String]) -> Point {
    let last = |axis: &Axis| axis.key.rsplit('.').next().unwrap_or_default().to_owned();
    let named = |axis: &Axis| {
        let alike = axes.iter().filter(|other| last(other) == last(axis)).count();
        if alike > 1 { axis.key.clone() } else { last(axis) }
    };
    let pairs = || axes.iter().zip(values);
    Point {
        name: pairs().map(|(axis, value)| format!("{}={value}", named(axis))).collect::<Vec<_>>().join(" "),
        overrides: pairs().map(|(axis, value)| format!("{}={value}", axis.key)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(changes: &[&str]) -> Vec<Axis> {
        of(&changes.iter().map(|change| (*change).to_owned()).collect::<Vec<_>>()).1
    }

    #[test]
    fn commas_outside_of_quotes_and_brackets_are_between_values() {
        for plain in ["a.b=[1, 2]", "a={ x = 1, y = 2 }", "a='x,y'", "a=\"x,y\"", "a=1", "a=../b..", "a=x,"] {
            assert_eq!(axes(&[plain]), [], "{plain}");
        }
        let names = |changes: &[&str]| -> Vec<String> {
            grid(&axes(changes)).into_iter().map(|point| point.name).collect()
        };
        assert_eq!(
            names(&["t.hidden=[8],[8, 4]", "o.rate=1,2"]),
            ["hidden=[8] rate=1", "hidden=[8] rate=2", "hidden=[8, 4] rate=1", "hidden=[8, 4] rate=2"]
        );
        assert_eq!(names(&["a.kind=x,y", "b.kind=z,w"])[0], "a.kind=x b.kind=z");
        assert_eq!(grid(&axes(&["a.kind=x,y"]))[1].overrides, ["a.kind=y"]);
    }

    #[test]
    fn values_that_repeat_and_ranges_backwards_are_mistakes() {
        let mistakes = |change: &str| axes(&[change]).first().and_then(Axis::mistake);
        assert!(mistakes("a=1,2,1").is_some_and(|what| what.contains("the value 1 twice")));
        assert!(mistakes("a=0.1..0.01").is_some_and(|what| what.contains("from 0.1 to 0.01")));
        assert_eq!(mistakes("a=1,2"), None);
        assert_eq!(mistakes("a=0.01..0.1"), None);
    }

    #[test]
    fn random_points_differ_and_lie_in_their_ranges() {
        let axes = axes(&["rate=1e-4..1e-1", "drop=0..0.5", "kind=a,b"]);
        let points = drawn(&axes, 40, 3);
        assert_eq!((points.len(), &points), (40, &drawn(&axes, 40, 3)));
        assert_ne!(points, drawn(&axes, 40, 4));
        let value = |point: &Point, place: usize| -> f64 {
            point.overrides[place].split_once('=').unwrap().1.parse().unwrap()
        };
        assert!(points.iter().all(|point| (1e-4..=1e-1).contains(&value(point, 0))));
        // Half of them are below the geometric middle.
        let low = points.iter().filter(|point| value(point, 0) < 10_f64.powf(-2.5)).count();
        assert!((10..=30).contains(&low), "{low}");
        assert!(points.iter().all(|point| (0.0..=0.5).contains(&value(point, 1))));
        assert_eq!(drawn(&axes[2..], 10, 0).len(), 2, "there are no more");
    }

    #[test]
    fn ranges_of_whole_numbers_give_whole_numbers_up_to_both_ends() {
        let few = axes(&["layers=1..3"]);
        assert_eq!((combinations(&few), few[0].is_whole()), (Some(3), true));
        let mut names: Vec<String> = drawn(&few, 3, 7).into_iter().map(|point| point.name).collect();
        names.sort();
        assert_eq!(names, ["layers=1", "layers=2", "layers=3"]);
        let wide = axes(&["batch_size=1..1024"]);
        let drawn = drawn(&wide, 60, 7);
        let sizes: Vec<i64> = drawn
            .iter()
            .map(|point| point.overrides[0].split_once('=').unwrap().1.parse().unwrap())
            .collect();
        assert!(sizes.iter().all(|size| (1..=1024).contains(size)), "{sizes:?}");
        let low = sizes.iter().filter(|size| **size <= 32).count();
        assert!((15..=45).contains(&low), "half of them are below the geometric middle: {sizes:?}");
        assert!(!axes(&["drop=0..0.5"])[0].is_whole() && !axes(&["rate=0.0..1.0"])[0].is_whole());
    }
}
