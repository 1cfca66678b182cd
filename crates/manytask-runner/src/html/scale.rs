//! From numbers to places, with round numbers at the ticks.

/// A range of numbers along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// The range of finite numbers, a little wider where it is a single one.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let spread = high - low;
        if spread > 1e-9 * low.abs().max(high.abs()) && spread.is_finite() {
            return Self { low, high };
        }
        let around = if low == 0.0 { 1.0 } else { (low.abs() * 0.1).min(f64::MAX / 4.0) };
        Self { low: low / 2.0 + high / 2.0 - around, high: low / 2.0 + high / 2.0 + around }
    }

    /// A fixed range.
    pub(super) fn between(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    /// Where a number lies in it, 0 at its low and 1 at its high end; numbers outside are at the nearer end.
    pub(super) fn share(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round numbers inside, about so many, with their texts.
    pub(super) fn ticks(self, about: usize) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / about.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough * 0.999);
        let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else { return Vec::new() };
        let first = (self.low / step - 1e-9).ceil();
        let values = (0..=2 * about + 2).map(|number| (first + number as f64) * step);
        values
            .take_while(|value| *value <= self.high + 1e-9 * step)
            .map(|value| (value, tick(value, step)))
            .collect()
    }
}

/// A tick's text: as many digits as its step needs.
fn tick(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 1e6 { 0.0 } else { value };
    let size = value.abs().max(step);
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.0e}").replace("0e0", "0");
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high| -> Vec<String> {
            Scale::between(low, high).ticks(5).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.0, 1269.0), ["0", "500", "1000"]);
        assert_eq!(texts(-0.3, 0.31), ["-0.2", "0.0", "0.2"]);
        for (low, high) in [(0.0, 1e-9), (-1e300, 1e300), (0.094, 0.0941), (5.0, 5.0 + 1e-7)] {
            let ticks = Scale::of([low, high].into_iter()).ticks(5);
            assert!(ticks.len() < 13, "{ticks:?}");
        }
    }

    #[test]
    fn a_range_has_a_width_whatever_is_in_it() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![3.0],
            vec![0.0, 0.0],
            vec![f64::MAX, f64::MAX],
            vec![1.0, f64::INFINITY],
        ] {
            let scale = Scale::of(values.iter().copied());
            assert!((0.0..=1.0).contains(&scale.share(1.0)), "{values:?} {scale:?}");
        }
    }
}
