//! Mean and deviation in double precision.

/// Of numbers that are there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    /// How many they are.
    pub(crate) count: usize,
    /// The smallest.
    pub(crate) low: f64,
    /// The largest.
    pub(crate) high: f64,
    /// Their mean.
    pub(crate) mean: f64,
    /// Their standard deviation; exactly 0 where all are equal, and only there unless it is below the smallest number.
    pub(crate) std: f64,
}

impl Moments {
    /// By the corrected two-pass method, which loses nothing where the mean is large beside the deviation; NaN is left out.
    /// `None` without a number. Mean and deviation are not finite where numbers are too large for their squares.
    pub(crate) fn of(numbers: &(impl Iterator<Item = f64> + Clone)) -> Option<Self> {
        let numbers = || numbers.clone().filter(|number| !number.is_nan());
        let (mut count, mut sum, mut low, mut high) = (0_usize, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for number in numbers() {
            count += 1;
            sum += number;
            low = low.min(number);
            high = high.max(number);
        }
        if count == 0 {
            return None;
        }
        if low == high {
            return Some(Self { count, low, high, mean: low, std: 0.0 });
        }
        let n = count as f64;
        let near = sum / n;
        let (mut first, mut second) = (0.0, 0.0);
        for number in numbers() {
            first += number - near;
            second += (number - near).powi(2);
        }
        let mean = near + first / n;
        let std = ((second - first * first / n) / n).max(0.0).sqrt();
        Some(Self { count, low, high, mean, std: if second.is_finite() { std } else { f64::INFINITY } })
    }

    /// `1 / std`, or 0 where the numbers do not vary.
    pub(crate) fn inverse_std(&self) -> f64 {
        let inverse = self.std.recip();
        if self.std > 0.0 && inverse.is_finite() { inverse } else { 0.0 }
    }

    /// Whether squares of these numbers are beyond double precision.
    pub(crate) fn overflows(&self) -> bool {
        !(self.mean.is_finite() && self.std.is_finite())
    }
}

/// The row of the number that lies so far from all others that they hardly differ beside it.
pub(crate) fn dwarfing(rows: &[usize], number: impl Fn(usize) -> f64) -> Option<usize> {
    let numbers = || rows.iter().map(|row| number(*row));
    let all = Moments::of(&numbers()).filter(|all| all.low < all.high)?;
    let extreme = if all.high - all.mean > all.mean - all.low { all.high } else { all.low };
    let others = Moments::of(&numbers().filter(|number| *number != extreme))?;
    let dwarfs = others.std > 0.0 && (extreme - others.mean).abs() > DWARFS * others.std;
    rows.iter().copied().find(|row| dwarfs && number(*row) == extreme)
}

/// How many deviations of the others a number lies off that dwarfs them.
const DWARFS: f64 = 1e3;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Moments {
        Moments::of(&numbers.iter().copied()).unwrap()
    }

    #[test]
    fn nothing_is_lost_far_from_zero() {
        for offset in [0.0, 1e6, 1.7e12, 9.007e15, -1e15] {
            let moments = of(&[offset + 1.0, offset + 3.0, f64::NAN, offset + 3.0, offset + 1.0]);
            assert_eq!((moments.count, moments.mean - offset, moments.std), (4, 2.0, 1.0), "{offset}");
        }
    }

    #[test]
    fn equal_numbers_have_no_deviation_and_unequal_ones_have() {
        let equal = of(&[0.1; 7]);
        assert_eq!((equal.mean, equal.std, equal.inverse_std()), (0.1, 0.0, 0.0));
        assert!(of(&[1e12, 1e12 + 0.001]).inverse_std() > 0.0);
        assert!(Moments::of(&[f64::NAN].into_iter()).is_none());
    }

    #[test]
    fn a_number_that_dwarfs_the_others_is_found() {
        let find = |numbers: &[f64]| {
            let rows: Vec<usize> = (0..numbers.len()).collect();
            dwarfing(&rows, |row| numbers.get(row).copied().unwrap_or(f64::NAN))
        };
        assert_eq!(find(&[1.0, 2.0, f64::NAN, -1e9, 3.0]), Some(3));
        assert_eq!(find(&[1.0, 2.0, 100.0, 3.0]), None);
        // A mark that is rare is no outlier: the others do not vary.
        assert_eq!(find(&[0.0, 0.0, 0.0, 1e9]), None);
    }

    #[test]
    fn squares_beyond_double_precision_are_seen() {
        assert!(of(&[1.0, 1e308]).overflows());
        assert!(of(&[-1e308, 1e308]).overflows());
        assert!(!of(&[1.0, 1e150]).overflows());
    }
}
