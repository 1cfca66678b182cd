//! The shortest vector in the convex hull of vectors that are known by their inner products alone.

use crate::Gramian;

/// Rounding of a product of two vectors, relative to their lengths.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// The convex weights of the shortest vector in the hull: Wolfe's algorithm (1976).
pub(super) fn point(gramian: &Gramian) -> Vec<f64> {
    search(gramian).0
}

/// A point of the hull, as a positive combination of affinely independent vectors.
#[derive(Debug, Clone)]
struct Point {
    corral: Vec<usize>,
    weights: Vec<f64>,
}

/// The weights, and the number of rounds that they took.
///
/// A round adds the vector that promises most, goes to the shortest vector of the corral's affine hull, and drops those whose
/// weight would become negative. It ends when no vector promises more than rounding: near a Pareto-stationary point the
/// inner products with a vector of length almost 0 are nothing else, and would keep it busy for ever.
fn search(gramian: &Gramian) -> (Vec<f64>, usize) {
    let lengths: Vec<f64> = gramian.squared_norms().iter().map(|squared| squared.max(0.0).sqrt()).collect();
    let Some(start) = (0..lengths.len()).min_by(|a, b| at(&lengths, *a).total_cmp(&at(&lengths, *b))) else {
        return (Vec::new(), 0);
    };
    let mut point = Point { corral: vec![start], weights: vec![0.0; lengths.len()] };
    set(&mut point.weights, start, 1.0);
    let mut in_vain = Vec::new();
    let mut rounds = 0;
    // Each round shortens the vector, so no corral comes twice; the bound is a second guard.
    while rounds < 10 * lengths.len() + 20 {
        let products = gramian.apply(&point.weights);
        let now: f64 = products.iter().zip(&point.weights).map(|(p, w)| p * w).sum();
        let terms: f64 = lengths.iter().zip(&point.weights).map(|(length, w)| length * w).sum();
        let gain = |j: usize| now - at(&products, j);
        let candidates = (0..lengths.len()).filter(|j| {
            let rounding = ROUNDING * terms * (terms + at(&lengths, *j));
            gain(*j) > rounding && !point.corral.contains(j) && !in_vain.contains(j)
        });
        let Some(best) = candidates.max_by(|a, b| gain(*a).total_cmp(&gain(*b))) else { break };
        rounds += 1;
        match with(gramian, &point, best) {
            Some(next) if gramian.quadratic(&next.weights) < now => {
                point = next;
                in_vain.clear();
            }
            _ => in_vain.push(best),
        }
    }
    let sum: f64 = point.weights.iter().sum();
    (point.weights.iter().map(|w| w / sum).collect(), rounds)
}

/// The shortest vector of the hull of a point's corral and one more; `None` where they are dependent within rounding.
fn with(gramian: &Gramian, point: &Point, added: usize) -> Option<Point> {
    let Point { mut corral, mut weights } = point.clone();
    corral.push(added);
    loop {
        let target = affine_minimum(gramian, &corral)?;
        if target.iter().all(|w| *w > 0.0) {
            weights.fill(0.0);
            for (task, weight) in corral.iter().zip(target) {
                set(&mut weights, *task, weight);
            }
            return Some(Point { corral, weights });
        }
        // As far as all stay at least zero, and drop who gets there.
        let now: Vec<f64> = corral.iter().map(|task| at(&weights, *task)).collect();
        let stops = now.iter().zip(&target).filter(|(_, v)| **v <= 0.0);
        let reach = stops.map(|(w, v)| w / (w - v).max(f64::MIN_POSITIVE)).fold(1.0, f64::min);
        let moved: Vec<f64> = now.iter().zip(&target).map(|(w, v)| w + reach * (v - w)).collect();
        let shrinking = moved.iter().zip(&target).filter(|(_, v)| **v <= 0.0).map(|(w, _)| *w);
        let least = shrinking.fold(f64::INFINITY, f64::min).max(0.0);
        let mut kept = Vec::with_capacity(corral.len());
        weights.fill(0.0);
        for ((task, weight), v) in corral.iter().zip(moved).zip(target) {
            if v > 0.0 || weight > least {
                set(&mut weights, *task, weight.max(0.0));
                kept.push(*task);
            }
        }
        corral = kept;
    }
}

/// The weights, of sum 1, of the shortest vector in the affine hull: `[C a; aᵀ 0] [u; μ] = [0; 1]` with the vectors brought
/// to length 1, `C = D⁻¹ G D⁻¹`, `a = 1/d`, `w = u/d`, so that badly scaled gradients lose nothing.
fn affine_minimum(gramian: &Gramian, corral: &[usize]) -> Option<Vec<f64>> {
    let n = corral.len();
    let longest = corral.iter().map(|i| gramian.at(*i, *i)).fold(0.0, f64::max).sqrt();
    let lengths: Vec<f64> = corral
        .iter()
        .map(|i| gramian.at(*i, *i).max(0.0).sqrt())
        .map(|length| if length > 0.0 { length } else { longest.max(1.0) })
        .collect();
    // The last row is scaled to the size of the others.
    let unit = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n + 1);
    for (i, a) in corral.iter().zip(&lengths) {
        let mut row: Vec<f64> =
            corral.iter().zip(&lengths).map(|(j, b)| gramian.at(*i, *j) / (a * b)).collect();
        row.extend([unit / a, 0.0]);
        rows.push(row);
    }
    let mut last: Vec<f64> = lengths.iter().map(|length| unit / length).collect();
    last.extend([0.0, unit]);
    rows.push(last);
    let solved = solve(rows)?;
    let weights: Vec<f64> = solved.iter().zip(&lengths).map(|(u, length)| u / length).collect();
    let sum: f64 = weights.iter().sum();
    (weights.iter().all(|w| w.is_finite()) && sum > 0.0).then(|| weights.iter().map(|w| w / sum).collect())
}

/// Gaussian elimination with row pivots of the augmented rows; `None` where singular.
fn solve(mut rows: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let n = rows.len();
    for column in 0..n {
        let size = |row: &Vec<f64>| row.get(column).copied().unwrap_or_default().abs();
        let pivot = (column..n).max_by(|a, b| {
            let size = |i: usize| rows.get(i).map_or(0.0, size);
            size(*a).total_cmp(&size(*b))
        })?;
        rows.swap(column, pivot);
        let (done, rest) = rows.split_at_mut(column + 1);
        let top = done.last()?;
        let head = *top.get(column)?;
        if head.abs() < 1e-15 {
            return None;
        }
        for row in rest {
            let factor = row.get(column)? / head;
            for (x, t) in row.iter_mut().zip(top).skip(column) {
                *x -= factor * t;
            }
        }
    }
    let mut x = vec![0.0; n];
    for i in (0..n).rev() {
        let row = rows.get(i)?;
        let known: f64 = row.iter().zip(&x).skip(i + 1).map(|(a, x)| a * x).sum();
        set(&mut x, i, (row.last()? - known) / row.get(i)?);
    }
    Some(x)
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn set(values: &mut [f64], at: usize, value: f64) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind, Tensor};

    use super::*;
    use crate::Jacobian;

    fn normal(count: i64, width: i64, seed: u64) -> Tensor {
        Key::new(seed, "rows").normal(&[count, width], Kind::Double, Device::Cpu).unwrap()
    }

    fn gramian(rows: &Tensor) -> Gramian {
        Jacobian::new(rows).unwrap().gramian().unwrap()
    }

    #[test]
    fn a_length_that_is_nothing_but_rounding_ends_the_search() {
        for seed in 0..20 {
            let (count, rows) = (20, normal(20, 12, seed));
            // Twenty vectors in twelve dimensions, and ones that point against their sum: the hull holds the origin.
            let against = -rows.sum_dim_intlist([0_i64].as_slice(), true, Kind::Double);
            let scales = Tensor::from_slice(&(0..count).map(|i| 10_f64.powi(i % 7 - 3)).collect::<Vec<_>>());
            let scaled = &rows * scales.unsqueeze(1);
            for rows in [Tensor::cat(&[&rows, &against], 0), Tensor::cat(&[&scaled, &against], 0)] {
                let gramian = gramian(&rows);
                let (weights, rounds) = search(&gramian);
                assert!(rounds <= 4 * gramian.size(), "{rounds} rounds, seed {seed}");
                let lengths: Vec<f64> = gramian.squared_norms().iter().map(|g| g.sqrt()).collect();
                let terms: f64 = lengths.iter().zip(&weights).map(|(length, w)| length * w).sum();
                assert!(gramian.quadratic(&weights) <= 1e-13 * terms * terms, "seed {seed}");
            }
        }
    }

    #[test]
    fn no_vector_lies_before_the_point() {
        for (seed, width) in [(1, 3), (2, 10), (3, 100)] {
            let gramian = gramian(&(normal(12, width, seed) + 0.3));
            let (weights, rounds) = search(&gramian);
            let length = gramian.quadratic(&weights);
            let nearest = gramian.apply(&weights).into_iter().fold(f64::INFINITY, f64::min);
            assert!(length - nearest < 1e-12 * length.max(1.0), "{length} {nearest}");
            assert!(rounds <= 48, "{rounds}");
        }
    }

    #[test]
    fn zeros_doubles_and_nothing_are_no_obstacle() {
        assert!(point(&Gramian::new(0, Vec::new()).unwrap()).is_empty());
        assert_eq!(point(&Gramian::new(2, vec![0.0; 4]).unwrap()).iter().sum::<f64>(), 1.0);
        let double = Gramian::new(2, vec![4.0; 4]).unwrap();
        assert_eq!(double.quadratic(&point(&double)), 4.0);
        let zero = Gramian::new(2, vec![0.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(point(&zero), [1.0, 0.0]);
        let opposite = Gramian::new(2, vec![1.0, -2.0, -2.0, 4.0]).unwrap();
        assert!(point(&opposite).iter().zip([2.0 / 3.0, 1.0 / 3.0]).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn what_is_not_a_number_ends_the_search() {
        let weights = point(&Gramian::new(2, vec![f64::NAN, 1.0, 1.0, f64::INFINITY]).unwrap());
        assert_eq!(weights.len(), 2);
    }
}
