//! The vector of a ball with the largest least inner product with a gradient.

use crate::Gramian;
use crate::aggregators::dual_cone::DualCone;
use crate::gramian::dot;

/// Rounding of a squared length, relative to the square of the sum of its terms' lengths.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// How near to the radius the length must come, relative to it.
const NEAR: f64 = 4.0 * f64::EPSILON;

/// The weights of the gradients in d.
///
/// For a fixed v let `d = g₀ + Σ uᵢ gᵢ` with `u ≥ 0` be the nearest vector to g₀ for which all `⟨gᵢ, d⟩ ≥ v`. The squared
/// distance is a convex function of v, and v is sought for which it is `c² ‖g₀‖²`. As long as the same tasks have `u > 0` it
/// is a polynomial of degree two, whose root is exact; that of one v leads to the next.
pub(super) fn weights(gramian: &Gramian, c: f64) -> Vec<f64> {
    let count = gramian.size();
    let mean = vec![1.0 / count as f64; count];
    let (lengths, cosines) = gramian.cosines();
    let scaled: Vec<f64> = mean.iter().zip(&lengths).map(|(w, length)| w * length).collect();
    let products = cosines.apply(&scaled);
    let (squared, spread) = (dot(&products, &scaled), scaled.iter().sum::<f64>());
    if squared <= ROUNDING * spread * spread || c <= 0.0 {
        return mean;
    }
    let inverse = lengths.iter().map(|length| if *length > 0.0 { length.recip() } else { 0.0 }).collect();
    let mut ball = Ball {
        cone: DualCone::new(&cosines),
        radius: c * squared.sqrt(),
        spread,
        products,
        inverse,
        lengths: &lengths,
    };
    let u = ball.search();
    let added = u.iter().zip(&ball.inverse).map(|(u, inverse)| u * inverse);
    mean.iter().zip(added).map(|(mean, added)| mean + added).collect()
}

struct Ball<'g> {
    cone: DualCone<'g>,
    radius: f64,
    /// The mean length of gradients.
    spread: f64,
    /// Of unit gradients with g₀.
    products: Vec<f64>,
    /// One by the length of each gradient; 0 for one of zero.
    inverse: Vec<f64>,
    lengths: &'g [f64],
}

impl Ball<'_> {
    /// u of unit gradients.
    fn search(&mut self) -> Vec<f64> {
        let radius = self.radius;
        let smallest = |added: f64| {
            let values =
                self.products.iter().zip(self.lengths).map(|(product, length)| (product + added) * length);
            values.fold(f64::INFINITY, f64::min)
        };
        // At the least inner product with g₀ and below it the distance is 0; no v is above what the dual has anywhere.
        let (least, most) = (smallest(0.0), smallest(radius));
        let (_, distance) = self.at(0.0);
        let nearest = self.cone.weights().to_vec();
        let (mut low, mut high) =
            if distance > radius { (least.min(0.0), 0.0) } else { (least.max(0.0), most) };
        if low >= high {
            return nearest;
        }
        let mut found = (nearest.clone(), distance);
        // Each round takes a part of the interval; most searches end after three.
        for _ in 0..100 {
            let gap = |distance: f64| (distance - radius).abs();
            if gap(found.1) <= NEAR * radius {
                break;
            }
            let middle = low + (high - low) / 2.0;
            let root = self.root().filter(|root| low < *root && *root < high);
            let v = root.unwrap_or(middle);
            let before = self.cone.active().to_vec();
            let (solved, distance) = self.at(v);
            if !solved && v > 0.0 {
                // Zero lies in the hull of the gradients, so none can be followed by all.
                return nearest;
            }
            if gap(distance) <= gap(found.1) {
                found = (self.cone.weights().to_vec(), distance);
            }
            let same = before.len() == self.cone.active().len()
                && before.iter().all(|task| self.cone.active().contains(task));
            if root.is_some() && same {
                break;
            }
            if distance > radius {
                high = v;
            } else {
                low = v;
            }
        }
        let (u, distance) = found;
        let scale = if distance > 0.0 { radius / distance } else { 1.0 };
        u.into_iter().map(|u| u * scale).collect()
    }

    /// Solves for a v: whether there is a solution, and its distance from g₀.
    fn at(&mut self, v: f64) -> (bool, f64) {
        let q: Vec<f64> =
            self.products.iter().zip(&self.inverse).map(|(product, inverse)| product - v * inverse).collect();
        let solved = self.cone.solve(&q, self.spread);
        (solved, self.cone.squared_length().sqrt())
    }

    /// The v at which the tasks that are active now would take d to the radius.
    fn root(&self) -> Option<f64> {
        let over = |values: &[f64], x: &[f64]| -> f64 {
            let active = self.cone.active().iter();
            active.zip(x).map(|(task, x)| values.get(*task).copied().unwrap_or_default() * x).sum()
        };
        let (ones, own) = (self.cone.inverse(&self.inverse), self.cone.inverse(&self.products));
        // The squared distance is a v² − 2 b v + e.
        let (a, b, e) = (over(&self.inverse, &ones), over(&self.inverse, &own), over(&self.products, &own));
        let missing = self.radius * self.radius - e;
        let root = (b * b + a * missing).sqrt();
        // The larger root, without a difference of what is nearly equal.
        let v = if b >= 0.0 { (b + root) / a } else { missing / (root - b) };
        v.is_finite().then_some(v)
    }
}
