//! Functions of a symmetric matrix, `f(G) x = V f(Λ) Vᵀ x`, without its eigenvectors.

use crate::Gramian;
use crate::gramian::dot;

/// Steps of the QL algorithm for one eigenvalue; with its shift three are many.
const STEPS: usize = 60;

/// `G = Q T Qᵀ` by reflections to a tridiagonal T, and `T = Z Λ Zᵀ` by rotations (the QL algorithm with implicit shifts).
///
/// Reflections and rotations are kept as they are and applied to vectors, which takes K² operations each; Q and Z themselves
/// would take several K³. The rows are taken from the longest to the shortest, and the tridiagonal matrix from its end: in
/// this order small eigenvalues of badly scaled gradients lose least.
#[derive(Debug)]
pub(super) struct Spectrum {
    values: Vec<f64>,
    /// The rows from the longest to the shortest.
    order: Vec<usize>,
    /// Of the vectors after the first `place + 1` numbers: `I − v vᵀ`.
    reflections: Vec<Vec<f64>>,
    rotations: Vec<Rotation>,
}

/// Of the numbers at `place` and after it.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    place: usize,
    cosine: f64,
    sine: f64,
}

/// The largest singular value of the matrix whose Gramian this is through the smallest; infinite where that is rounding.
pub(crate) fn condition_number(gramian: &Gramian) -> f64 {
    let Some(spectrum) = Spectrum::new(gramian) else { return f64::NAN };
    let largest = spectrum.values().iter().copied().fold(0.0, f64::max);
    let smallest = spectrum.values().iter().copied().fold(f64::INFINITY, f64::min);
    let rounding = gramian.size() as f64 * f64::EPSILON * largest;
    if smallest > rounding { (largest / smallest).sqrt() } else { f64::INFINITY }
}

impl Spectrum {
    /// `None` where the QL algorithm does not end.
    pub(super) fn new(gramian: &Gramian) -> Option<Self> {
        let size = gramian.values().iter().fold(0.0_f64, |size, value| size.max(value.abs()));
        let unit = if size > 0.0 { size } else { 1.0 };
        let mut order: Vec<usize> = (0..gramian.size()).collect();
        order.sort_by(|a, b| gramian.at(*b, *b).total_cmp(&gramian.at(*a, *a)));
        let row = |(place, i): (usize, &usize)| {
            order.iter().take(place + 1).map(|j| gramian.at(*i, *j) / unit).collect()
        };
        let rows = order.iter().enumerate().map(row).collect();
        let (mut values, mut beside, reflections) = tridiagonal(rows);
        // The last one is no element: it stays where it is.
        if let Some((_, elements)) = beside.split_last_mut() {
            elements.reverse();
        }
        values.reverse();
        let rotations = ql(&mut values, beside)?;
        for value in &mut values {
            *value *= unit;
        }
        Some(Self { values, order, reflections, rotations })
    }

    /// The eigenvalues, in no order.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// `G⁺ x`: without the eigenvalues that are nothing but rounding, `λ ≤ K ε λ_max`.
    pub(super) fn inverse(&self, x: &[f64]) -> Vec<f64> {
        let largest = self.values.iter().copied().fold(0.0, f64::max);
        let rounding = largest * self.values.len() as f64 * f64::EPSILON;
        let mut x = x.to_vec();
        self.apply(&mut x, |value| if value > rounding { value.recip() } else { 0.0 });
        x
    }

    /// Replaces the weights x by `V f(Λ) Vᵀ x`.
    pub(super) fn apply(&self, weights: &mut [f64], f: impl Fn(f64) -> f64) {
        let mut ordered: Vec<f64> = self.order.iter().map(|place| at(weights, *place)).collect();
        let x = ordered.as_mut_slice();
        for (place, vector) in self.reflections.iter().enumerate() {
            reflect(x, place, vector);
        }
        x.reverse();
        for Rotation { place, cosine, sine } in &self.rotations {
            if let Some([a, b]) = pair(x, *place) {
                (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
            }
        }
        for (x, value) in x.iter_mut().zip(&self.values) {
            *x *= f(*value);
        }
        for Rotation { place, cosine, sine } in self.rotations.iter().rev() {
            if let Some([a, b]) = pair(x, *place) {
                (*a, *b) = (cosine * *a + sine * *b, cosine * *b - sine * *a);
            }
        }
        x.reverse();
        for (place, vector) in self.reflections.iter().enumerate().rev() {
            reflect(x, place, vector);
        }
        for (place, x) in self.order.iter().zip(ordered) {
            set(weights, *place, x);
        }
    }
}

fn reflect(x: &mut [f64], place: usize, vector: &[f64]) {
    if let Some(x) = x.get_mut(place + 1..) {
        let along = dot(x, vector);
        x.iter_mut().zip(vector).for_each(|(x, v)| *x -= along * v);
    }
}

/// Two neighbours.
fn pair(x: &mut [f64], place: usize) -> Option<&mut [f64; 2]> {
    x.get_mut(place..place + 2)?.try_into().ok()
}

/// Householder's reduction of a symmetric matrix, of which the rows up to the diagonal are given: the diagonal, the elements
/// below it with a last 0, and the reflections.
fn tridiagonal(mut rows: Vec<Vec<f64>>) -> (Vec<f64>, Vec<f64>, Vec<Vec<f64>>) {
    let count = rows.len();
    let (mut diagonal, mut beside, mut reflections) = (Vec::new(), Vec::new(), Vec::new());
    for place in 0..count {
        let (done, rest) = rows.split_at_mut(place + 1);
        diagonal.push(done.last().and_then(|row| row.get(place)).copied().unwrap_or_default());
        let mut v: Vec<f64> = rest.iter().filter_map(|row| row.get(place)).copied().collect();
        let length = dot(&v, &v).sqrt();
        let Some(first) = v.first_mut() else {
            beside.push(0.0);
            break;
        };
        let to = if *first > 0.0 { -length } else { length };
        beside.push(to);
        // `v vᵀ (v₀ − to)` is positive, so that nothing cancels.
        let squared = length * (length + first.abs());
        *first -= to;
        let scale = if squared > 0.0 { squared.sqrt().recip() } else { 0.0 };
        for v in &mut v {
            *v *= scale;
        }
        // A ← (I − v vᵀ) A (I − v vᵀ) = A − v wᵀ − w vᵀ with w = A v − ½ (vᵀ A v) v.
        let mut w = vec![0.0; v.len()];
        for (i, row) in rest.iter().enumerate() {
            let Some((own, [pivot, ..])) = row.get(place + 1..).and_then(|row| row.split_at_checked(i))
            else {
                continue;
            };
            let (before, here) = w.split_at_mut(i);
            let (known, next) = v.split_at(i);
            if let (Some(w), Some(v)) = (here.first_mut(), next.first()) {
                *w += dot(own, known) + pivot * v;
                before.iter_mut().zip(own).for_each(|(w, a)| *w += a * v);
            }
        }
        let half = dot(&w, &v) / 2.0;
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= half * v);
        for (row, (a, b)) in rest.iter_mut().zip(v.iter().zip(&w)) {
            let elements = row.get_mut(place + 1..).unwrap_or(&mut []);
            for (x, (v, w)) in elements.iter_mut().zip(v.iter().zip(&w)) {
                *x -= a * w + b * v;
            }
        }
        reflections.push(v);
    }
    (diagonal, beside, reflections)
}

/// Brings a tridiagonal matrix to its eigenvalues, and says by which rotations.
fn ql(diagonal: &mut [f64], mut beside: Vec<f64>) -> Option<Vec<Rotation>> {
    let count = diagonal.len();
    let mut rotations = Vec::with_capacity(count * count);
    for first in 0..count {
        for step in 0.. {
            let small = |place: &usize| {
                let size = at(diagonal, *place).abs() + at(diagonal, *place + 1).abs();
                at(&beside, *place).abs() <= f64::EPSILON * size
            };
            let last = (first..count - 1).find(small).unwrap_or(count - 1);
            if last == first {
                break;
            }
            if step == STEPS {
                return None;
            }
            chase(diagonal, &mut beside, first, last, &mut rotations);
        }
    }
    Some(rotations)
}

/// One step with the shift of Wilkinson on the block from `first` to `last`.
fn chase(diagonal: &mut [f64], beside: &mut [f64], first: usize, last: usize, rotations: &mut Vec<Rotation>) {
    let (corner, element) = (at(diagonal, first), at(beside, first));
    let ratio = (at(diagonal, first + 1) - corner) / (2.0 * element);
    let root = ratio.hypot(1.0).copysign(ratio);
    let mut g = at(diagonal, last) - corner + element / (ratio + root);
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for place in (first..last).rev() {
        let (f, b) = (sine * at(beside, place), cosine * at(beside, place));
        let length = (f * f + g * g).sqrt();
        set(beside, place + 1, length);
        if length == 0.0 {
            // The block falls apart.
            set(diagonal, place + 1, at(diagonal, place + 1) - shift);
            set(beside, last, 0.0);
            return;
        }
        (sine, cosine) = (f / length, g / length);
        let moved = at(diagonal, place + 1) - shift;
        let along = (at(diagonal, place) - moved) * sine + 2.0 * cosine * b;
        shift = sine * along;
        set(diagonal, place + 1, moved + shift);
        g = cosine * along - b;
        rotations.push(Rotation { place, cosine, sine });
    }
    set(diagonal, first, at(diagonal, first) - shift);
    set(beside, first, g);
    set(beside, last, 0.0);
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn set(values: &mut [f64], place: usize, value: f64) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
    }
}
