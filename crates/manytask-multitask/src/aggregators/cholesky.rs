//! Positive definite systems of equations that grow and shrink by one row at a time.

use crate::gramian::dot;

/// Rounding of what is left of a diagonal element, relative to the square of the sum of the terms that were taken away.
const ROUNDING: f64 = 4.0 * f64::EPSILON;
/// What is left of a diagonal element, relative to it, from which on rounding need not be looked at.
const CLEAR: f64 = 1e-5;

/// `M = L Lᵀ` of the rows that were pushed and not removed.
#[derive(Debug, Clone)]
pub(super) struct Cholesky {
    /// Between the starts of rows.
    stride: usize,
    order: usize,
    /// The rows of L; of row i the first i + 1 numbers, the last of them inverted: products are faster than quotients.
    rows: Vec<f64>,
}

impl Cholesky {
    /// No rows, and space for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self { stride: capacity, order: 0, rows: vec![0.0; capacity * capacity] }
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self) {
        self.order = 0;
    }

    /// Adds a row and column: its elements beside the rows that are there, in their order, and on the diagonal. `false`, and
    /// nothing is added, where it depends on the others within rounding, or there is no more space.
    pub(super) fn push(&mut self, beside: impl IntoIterator<Item = f64>, diagonal: f64) -> bool {
        if self.order >= self.stride {
            return false;
        }
        let (done, rest) = self.rows.split_at_mut(self.order * self.stride);
        let Some(new) = rest.get_mut(..=self.order) else { return false };
        let mut left = diagonal;
        let rows = done.chunks_exact(self.stride.max(1));
        for (place, (row, value)) in rows.zip(beside).enumerate() {
            let Some((known, [next, ..])) = new.split_at_mut_checked(place) else { return false };
            let Some((own, [inverse, ..])) = row.split_at_checked(place) else { return false };
            *next = (value - dot(own, known)) * inverse;
            left -= *next * *next;
        }
        if left.is_nan() || left <= 0.0 {
            return false;
        }
        if let Some(pivot) = new.last_mut() {
            *pivot = left.sqrt().recip();
        }
        if left <= CLEAR * diagonal {
            // The row is this combination of the others but for what is left.
            let mut combination = new.get(..self.order).unwrap_or(&[]).to_vec();
            self.solve_transposed(&mut combination);
            let terms = 1.0 + combination.iter().map(|x| x.abs()).sum::<f64>();
            if left <= ROUNDING * terms * terms * diagonal {
                return false;
            }
        }
        self.order += 1;
        true
    }

    /// Removes the row at this place; those after it move up.
    pub(super) fn remove(&mut self, place: usize) {
        if place >= self.order {
            return;
        }
        self.rows.copy_within((place + 1) * self.stride..self.order * self.stride, place * self.stride);
        self.order -= 1;
        // The rows from here on have one number too many: rotations of two columns each bring it to zero.
        for column in place..self.order {
            let mut rows = self.rows.chunks_exact_mut(self.stride).take(self.order).skip(column);
            let Some([a, b]) = rows.next().and_then(|row| pair(row, column)) else { return };
            let pivot = b.recip();
            let inverse = (*a * *a + pivot * pivot).sqrt().recip();
            let (cosine, sine) = (*a * inverse, pivot * inverse);
            *a = inverse;
            for row in rows {
                if let Some([a, b]) = pair(row, column) {
                    (*a, *b) = (cosine * *a + sine * *b, cosine * *b - sine * *a);
                }
            }
        }
    }

    /// Replaces the right-hand side by the solution.
    pub(super) fn solve(&self, x: &mut [f64]) {
        for (place, row) in self.rows().enumerate() {
            let (Some((known, [next, ..])), Some((own, [inverse, ..]))) =
                (x.split_at_mut_checked(place), row.split_at_checked(place))
            else {
                return;
            };
            *next = (*next - dot(own, known)) * inverse;
        }
        self.solve_transposed(x);
    }

    /// `Lᵀ x = b`.
    fn solve_transposed(&self, x: &mut [f64]) {
        for (place, row) in self.rows().enumerate().rev() {
            let (Some((before, [next, ..])), Some((own, [inverse, ..]))) =
                (x.split_at_mut_checked(place), row.split_at_checked(place))
            else {
                return;
            };
            *next *= inverse;
            for (x, l) in before.iter_mut().zip(own) {
                *x -= *next * l;
            }
        }
    }

    fn rows(&self) -> impl DoubleEndedIterator<Item = &[f64]> + ExactSizeIterator {
        self.rows.chunks_exact(self.stride.max(1)).take(self.order)
    }
}

/// Two neighbours in a row.
fn pair(row: &mut [f64], column: usize) -> Option<&mut [f64; 2]> {
    row.get_mut(column..column + 2)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A positive definite matrix without pattern.
    fn matrix(size: usize) -> Vec<Vec<f64>> {
        let element = |i: usize, j: usize| {
            let (i, j) = (i.min(j) as f64, i.max(j) as f64);
            if i == j { 3.0 + i } else { (1.7 * i + 0.9 * j + i * j).sin() }
        };
        (0..size).map(|i| (0..size).map(|j| element(i, j)).collect()).collect()
    }

    fn push(factor: &mut Cholesky, matrix: &[Vec<f64>], there: &[usize], new: usize) -> bool {
        factor.push(there.iter().map(|i| matrix[new][*i]), matrix[new][new])
    }

    /// The largest element of `M x − b`.
    fn residual(factor: &Cholesky, matrix: &[Vec<f64>], there: &[usize]) -> f64 {
        let right: Vec<f64> = there.iter().map(|i| 1.0 + *i as f64).collect();
        let mut x = right.clone();
        factor.solve(&mut x);
        let product = |i: &usize| there.iter().zip(&x).map(|(j, x)| matrix[*i][*j] * x).sum::<f64>();
        there.iter().zip(right).map(|(i, b)| (product(i) - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn rows_come_and_go() {
        let matrix = matrix(9);
        let mut factor = Cholesky::new(9);
        let mut there = Vec::new();
        for new in [3, 0, 8, 5, 1, 7] {
            assert!(push(&mut factor, &matrix, &there, new));
            there.push(new);
            assert!(residual(&factor, &matrix, &there) < 1e-13);
        }
        for place in [5, 0, 2] {
            factor.remove(place);
            there.remove(place);
            assert_eq!(factor.order, there.len());
            assert!(residual(&factor, &matrix, &there) < 1e-13, "{there:?}");
        }
        for new in [2, 4] {
            assert!(push(&mut factor, &matrix, &there, new));
            there.push(new);
        }
        assert!(residual(&factor, &matrix, &there) < 1e-13);
    }

    #[test]
    fn dependent_rows_and_what_is_no_number_are_refused() {
        let mut factor = Cholesky::new(3);
        assert!(factor.push([], 4.0));
        assert!(!factor.push([2.0], 1.0), "the same direction");
        assert!(!factor.push([f64::NAN], 1.0) && !factor.push([0.0], f64::NAN));
        assert!(!factor.push([0.0], 0.0), "nothing at all");
        assert!(factor.push([1.0], 1.0));
        factor.remove(7);
        assert_eq!(factor.order, 2);
        factor.clear();
        assert!(factor.push([], 1.0) && factor.order == 1);
        assert!(!Cholesky::new(0).push([], 1.0), "no space");
    }
}
