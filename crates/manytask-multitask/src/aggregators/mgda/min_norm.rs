//! The shortest vector in the convex hull of vectors that are known by their inner products alone.

use crate::Gramian;
use crate::aggregators::cholesky::Cholesky;
use crate::gramian::dot;

/// Rounding of a product of two vectors, relative to their lengths.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// From so many vectors on the search begins with most of them, in place of one: gradients of many tasks are nearly orthogonal, so that
/// most have a weight, and one round for each would cost T⁴.
const MANY: usize = 16;
/// How often vectors without a positive weight are taken out of that beginning.
const CUTS: usize = 8;

/// The convex weights of the shortest vector in the hull: Wolfe's algorithm (1976).
pub(super) fn point(gramian: &Gramian) -> Vec<f64> {
    search(gramian).0
}

/// The weights, and the number of rounds that they took.
///
/// A round adds the vector that promises most, goes to the shortest vector of the corral's affine hull, and drops those whose
/// weight would become negative. It ends when no vector promises more than rounding: near a Pareto-stationary point the
/// inner products with a vector of length almost 0 are nothing else, and would keep it busy for ever.
fn search(gramian: &Gramian) -> (Vec<f64>, usize) {
    let (lengths, cosines) = gramian.cosines();
    let count = lengths.len();
    let Some(start) = (0..count).min_by(|a, b| at(&lengths, *a).total_cmp(&at(&lengths, *b))) else {
        return (Vec::new(), 0);
    };
    let mut corral = Corral::new(&lengths, &cosines);
    let mut weights = vec![0.0; count];
    if count < MANY || !corral.of_many(&mut weights) {
        corral.rebuild(vec![start]);
        weights.fill(0.0);
        set(&mut weights, start, 1.0);
    }
    let mut products = gramian.apply(&weights);
    let mut now = dot(&products, &weights);
    let mut in_vain = vec![false; count];
    let mut rounds = 0;
    // Each round shortens the vector, so no corral comes twice; the bound is a second guard.
    while rounds < 10 * count + 20 {
        let terms = dot(&lengths, &weights);
        let gain = |j: usize| now - at(&products, j);
        let candidates = (0..count).filter(|j| {
            let rounding = ROUNDING * terms * (terms + at(&lengths, *j));
            gain(*j) > rounding && in_vain.get(*j) == Some(&false) && !corral.members.contains(j)
        });
        let Some(best) = candidates.max_by(|a, b| gain(*a).total_cmp(&gain(*b))) else { break };
        rounds += 1;
        let before = corral.members.clone();
        if let Some(next) = with(&mut corral, &weights, best) {
            let longer = gramian.apply(&next);
            let squared = dot(&longer, &next);
            if squared < now {
                (weights, products, now) = (next, longer, squared);
                in_vain.fill(false);
                continue;
            }
        }
        corral.rebuild(before);
        set(&mut in_vain, best, true);
    }
    let sum: f64 = weights.iter().sum();
    (weights.iter().map(|w| w / sum).collect(), rounds)
}

/// The shortest vector of the hull of a corral and one more, from the corral's own; `None` where they are dependent within
/// rounding.
fn with(corral: &mut Corral<'_>, weights: &[f64], added: usize) -> Option<Vec<f64>> {
    let mut weights = weights.to_vec();
    if !corral.join(added) {
        return None;
    }
    loop {
        let target = corral.affine_minimum()?;
        if target.iter().all(|w| *w > 0.0) {
            weights.fill(0.0);
            for (task, weight) in corral.members.iter().zip(target) {
                set(&mut weights, *task, weight);
            }
            return Some(weights);
        }
        // As far as all stay at least zero, and drop who gets there.
        let now: Vec<f64> = corral.members.iter().map(|task| at(&weights, *task)).collect();
        let stops = now.iter().zip(&target).filter(|(_, v)| **v <= 0.0);
        let reach = stops.map(|(w, v)| w / (w - v).max(f64::MIN_POSITIVE)).fold(1.0, f64::min);
        let moved: Vec<f64> = now.iter().zip(&target).map(|(w, v)| w + reach * (v - w)).collect();
        let shrinking = moved.iter().zip(&target).filter(|(_, v)| **v <= 0.0).map(|(w, _)| *w);
        let least = shrinking.fold(f64::INFINITY, f64::min).max(0.0);
        weights.fill(0.0);
        for ((task, weight), v) in corral.members.clone().into_iter().zip(moved).zip(target) {
            if v > 0.0 || weight > least {
                set(&mut weights, task, weight.max(0.0));
            } else {
                corral.leave(task)?;
            }
        }
    }
}

/// Affinely independent vectors, with the factor of `M = C + a aᵀ`: C are the cosines of their angles and `a` is the length of
/// the shortest by that of each.
///
/// The weights, of sum 1, of the shortest vector in their affine hull are `u/d` for vectors of lengths d with `C u = μ a`, and
/// so `M u` is a multiple of `a` as well. M has an inverse also where the affine hull goes through zero and C has none, and
/// with the lengths taken out badly scaled gradients lose nothing.
#[derive(Debug)]
struct Corral<'g> {
    lengths: &'g [f64],
    cosines: &'g Gramian,
    members: Vec<usize>,
    factor: Cholesky,
    /// Of the shortest member.
    shortest: f64,
}

impl<'g> Corral<'g> {
    fn new(lengths: &'g [f64], cosines: &'g Gramian) -> Self {
        let factor = Cholesky::new(lengths.len());
        Self { lengths, cosines, members: Vec::new(), factor, shortest: f64::INFINITY }
    }

    /// `a` by vector.
    fn ratio(&self) -> impl Fn(usize) -> f64 + use<'g> {
        let (lengths, shortest) = (self.lengths, self.shortest);
        move |task| {
            let length = at(lengths, task);
            if length > 0.0 { shortest / length } else { 1.0 }
        }
    }

    /// Of all vectors that are independent those whose weights in the shortest vector of their affine hull are positive: the others are taken
    /// out until all are. `false` where that does not come to an end soon.
    fn of_many(&mut self, weights: &mut [f64]) -> bool {
        let mut members: Vec<usize> = (0..self.lengths.len()).collect();
        for _ in 0..CUTS {
            self.factor.clear();
            self.members.clear();
            self.shortest = members.iter().map(|task| at(self.lengths, *task)).fold(f64::INFINITY, f64::min);
            for task in members {
                self.join(task);
            }
            let Some(target) = self.affine_minimum() else { return false };
            let positive = self.members.iter().zip(&target).filter(|(_, weight)| **weight > 0.0);
            members = positive.map(|(task, _)| *task).collect();
            if members.len() == self.members.len() {
                members.iter().zip(target).for_each(|(task, weight)| set(weights, *task, weight));
                return true;
            }
        }
        false
    }

    /// `false`, and nothing is known of the corral, where the vectors would be dependent.
    fn join(&mut self, task: usize) -> bool {
        let length = at(self.lengths, task);
        if length < self.shortest {
            let mut members = std::mem::take(&mut self.members);
            members.push(task);
            return self.rebuild(members);
        }
        let ratio = self.ratio();
        let (row, own) = (self.cosines.row(task), ratio(task));
        let beside = self.members.iter().map(|other| at(row, *other) + own * ratio(*other));
        let joined = self.factor.push(beside, at(row, task) + own * own);
        if joined {
            self.members.push(task);
        }
        joined
    }

    fn leave(&mut self, task: usize) -> Option<()> {
        let place = self.members.iter().position(|other| *other == task)?;
        self.members.remove(place);
        if at(self.lengths, task) > self.shortest {
            self.factor.remove(place);
            return Some(());
        }
        let members = std::mem::take(&mut self.members);
        self.rebuild(members).then_some(())
    }

    fn rebuild(&mut self, members: Vec<usize>) -> bool {
        self.factor.clear();
        self.members.clear();
        self.shortest = members.iter().map(|task| at(self.lengths, *task)).fold(f64::INFINITY, f64::min);
        members.into_iter().all(|task| self.join(task))
    }

    fn affine_minimum(&self) -> Option<Vec<f64>> {
        let ratio = self.ratio();
        let ratios: Vec<f64> = self.members.iter().map(|task| ratio(*task)).collect();
        let mut weights = ratios.clone();
        self.factor.solve(&mut weights);
        // u/d, but for a factor that they share.
        weights.iter_mut().zip(ratios).for_each(|(u, ratio)| *u *= ratio);
        let sum: f64 = weights.iter().sum();
        (weights.iter().all(|w| w.is_finite()) && sum > 0.0)
            .then(|| weights.iter().map(|w| w / sum).collect())
    }
}

fn at(values: &[f64], place: usize) -> f64 {
    values.get(place).copied().unwrap_or_default()
}

fn set<T>(values: &mut [T], at: usize, value: T) {
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
    fn a_search_among_many_begins_with_most_of_them() {
        let gramian = gramian(&normal(100, 200, 1));
        let (weights, rounds) = search(&gramian);
        let length = gramian.quadratic(&weights);
        let nearest = gramian.apply(&weights).into_iter().fold(f64::INFINITY, f64::min);
        assert!(length - nearest < 1e-12 * length, "{length} {nearest}");
        assert!(weights.iter().all(|weight| *weight >= 0.0));
        assert!(rounds < 20, "{rounds} rounds, of one vector each there would be some 80");
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
