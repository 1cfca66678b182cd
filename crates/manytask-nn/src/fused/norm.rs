//! Batch-norm, relu and pooling of one channel, in as few runs through memory as there can be.

use manytask_tensor::dense::Real;

use super::planes::Planes;

/// No pixel of a square is above zero, so that nothing comes back.
pub(super) const NONE: u8 = 4;

/// A channel's mean, and one over its standard deviation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Statistics<T> {
    pub(super) mean: T,
    pub(super) inverse: T,
}

/// A channel's weights: `γ x̂ + β`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine<T> {
    pub(super) scale: T,
    pub(super) shift: T,
}

impl<T: Real> Statistics<T> {
    pub(super) fn of(planes: Planes, y: &[T], eps: f64) -> Self {
        let (mut sum, mut squares) = (0.0, 0.0);
        let first = y.get(planes.row(0, 0)).copied().unwrap_or_default();
        for row in planes.rows(y) {
            // About a number that occurs, so that the squares of a large mean cancel nothing.
            let (s, q) = row.iter().fold((T::zero(), T::zero()), |(s, q), y| {
                let gap = *y - first;
                (s + gap, q + gap * gap)
            });
            sum += s.wide();
            squares += q.wide();
        }
        let count = planes.pixels() as f64;
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        Self { mean: first + T::of(mean), inverse: T::of((variance + eps).sqrt().recip()) }
    }
}

/// The larger of each 2 × 2 pixels of `max(γ x̂ + β, 0)`, and which it was: the first of equals, [`NONE`] where it is 0.
pub(super) fn pool<T: Real>(
    planes: Planes,
    y: &[T],
    (statistics, affine): (Statistics<T>, Affine<T>),
    out: &mut [T],
    chosen: &mut [u8],
) {
    let a = affine.scale * statistics.inverse;
    let b = affine.shift - statistics.mean * a;
    let half = planes.halved();
    let (mut upper, mut lower) = (vec![T::zero(); 2 * half.width], vec![0_u8; 2 * half.width]);
    let rows = out.chunks_exact_mut(half.width.max(1)).zip(chosen.chunks_exact_mut(half.width.max(1)));
    for (number, (out, chosen)) in rows.enumerate() {
        let (picture, row) = (number / half.height.max(1), number % half.height.max(1));
        let line = |which: usize| {
            let start = planes.row(picture, 2 * row + which);
            y.get(start..start + 2 * half.width).unwrap_or_default()
        };
        // Above each other first: neighbours in memory, so that several are compared at once.
        for (((best, below), top), bottom) in upper.iter_mut().zip(&mut lower).zip(line(0)).zip(line(1)) {
            let (top, bottom) = (a * *top + b, a * *bottom + b);
            let second = bottom > top;
            *best = if second { bottom } else { top };
            *below = u8::from(second);
        }
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        for ((best, below), (out, chosen)) in pairs.zip(out.iter_mut().zip(chosen)) {
            let (&[left, right], &[left_below, right_below]) = (best, below) else { continue };
            // The first of equals, in the order of reading.
            let second = right > left || (right == left && right_below < left_below);
            let (best, place) = if second { (right, 2 * right_below + 1) } else { (left, 2 * left_below) };
            let none = best <= T::zero();
            *out = if none { T::zero() } else { best };
            *chosen = if none { NONE } else { place };
        }
        // A NaN goes through, so that it is seen.
        if line(0).iter().chain(line(1)).any(|y| y.is_nan()) {
            out.fill(T::nan());
        }
    }
}

/// Shows each square whose largest pixel is above 0: the square's number, and where in the channel that pixel is.
pub(super) fn each_chosen(planes: Planes, chosen: &[u8], mut see: impl FnMut(usize, usize)) {
    let half = planes.halved();
    for (number, row) in chosen.chunks_exact(half.width.max(1)).enumerate() {
        let (picture, y) = (number / half.height.max(1), number % half.height.max(1));
        let starts = [planes.row(picture, 2 * y), planes.row(picture, 2 * y + 1)];
        for (x, chosen) in row.iter().enumerate() {
            if *chosen != NONE {
                let start = if *chosen < 2 { starts[0] } else { starts[1] };
                see(number * half.width + x, start + 2 * x + usize::from(chosen % 2 == 1));
            }
        }
    }
}

/// What came back to a channel, and how it changes along a direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums<T> {
    /// The gradient of β, `Σ g`.
    pub(super) shift: T,
    /// The gradient of γ, `Σ g x̂`.
    pub(super) scale: T,
}

/// The cotangent of what went into batch-norm, `γ s (g − mean(g) − x̂ mean(g x̂))`, written over `out`, for cotangents `g` of
/// the pooled squares.
pub(super) fn normalised_back<T: Real>(
    planes: Planes,
    y: &[T],
    (statistics, affine): (Statistics<T>, Affine<T>),
    (chosen, g): (&[u8], &[T]),
    out: &mut [T],
) -> Sums<T> {
    let Statistics { mean, inverse } = statistics;
    let mut sums = (0.0, 0.0);
    each_chosen(planes, chosen, |square, place| {
        if let (Some(g), Some(y)) = (g.get(square), y.get(place)) {
            sums.0 += g.wide();
            sums.1 += (*g * (*y - mean) * inverse).wide();
        }
    });
    let count = planes.pixels() as f64;
    let (a, b) = (T::of(sums.0 / count), T::of(sums.1 / count));
    let k = affine.scale * inverse;
    // −k (a + x̂ b) = c y + d.
    let c = -k * b * inverse;
    let d = -k * a - c * mean;
    out.fill(T::zero());
    let mut rows = planes.rows(y);
    planes.each_row(out, |out| {
        for (out, y) in out.iter_mut().zip(rows.next().unwrap_or_default()) {
            *out = c * *y + d;
        }
    });
    each_chosen(planes, chosen, |square, place| {
        if let (Some(g), Some(out)) = (g.get(square), out.get_mut(place)) {
            *out += k * *g;
        }
    });
    Sums { shift: T::of(sums.0), scale: T::of(sums.1) }
}

/// A channel along a direction: `ẏ` of what went into batch-norm, and `γ̇`, `β̇`.
pub(super) struct Tangent<'a, T> {
    pub(super) y: &'a [T],
    pub(super) affine: Affine<T>,
}

/// `mean(ẏ)` and `mean(x̂ (ẏ − mean(ẏ)))`: with them `d x̂/dt = s (ẏ − m₀ − x̂ m₁)`.
pub(super) fn means_jvp<T: Real>(planes: Planes, y: &[T], statistics: Statistics<T>, along: &[T]) -> (T, T) {
    let Statistics { mean, inverse } = statistics;
    let (mut first, mut second) = (0.0, 0.0);
    for (y, along) in planes.rows(y).zip(planes.rows(along)) {
        let (s, q) = y.iter().zip(along).fold((T::zero(), T::zero()), |(s, q), (y, along)| {
            (s + *along, q + (*y - mean) * inverse * *along)
        });
        first += s.wide();
        second += q.wide();
    }
    let count = planes.pixels() as f64;
    // x̂ has mean 0, so that mean(x̂ ẏ) needs no correction.
    (T::of(first / count), T::of(second / count))
}

/// How the pooled squares change along a direction.
pub(super) fn pool_jvp<T: Real>(
    planes: Planes,
    y: &[T],
    (statistics, affine): (Statistics<T>, Affine<T>),
    chosen: &[u8],
    along: &Tangent<'_, T>,
    out: &mut [T],
) -> (T, T) {
    let Statistics { mean, inverse } = statistics;
    let means = means_jvp(planes, y, statistics, along.y);
    out.fill(T::zero());
    each_chosen(planes, chosen, |square, place| {
        if let (Some(out), Some(y), Some(moved)) = (out.get_mut(square), y.get(place), along.y.get(place)) {
            let x = (*y - mean) * inverse;
            let x_moved = inverse * (*moved - means.0 - x * means.1);
            *out = along.affine.scale * x + affine.scale * x_moved + along.affine.shift;
        }
    });
    means
}

/// How what [`normalised_back`] gives changes along a direction, `means` being [`pool_jvp`]'s: for `g` and how they change.
pub(super) fn normalised_back_jvp<T: Real>(
    planes: Planes,
    y: &[T],
    (statistics, affine): (Statistics<T>, Affine<T>),
    (chosen, g, g_moved): (&[u8], &[T], &[T]),
    (along, means): (&Tangent<'_, T>, (T, T)),
    out: &mut [T],
) -> Sums<T> {
    let Statistics { mean, inverse } = statistics;
    let at = |place: usize| {
        let (y, moved) = (y.get(place).copied().unwrap_or_default(), along.y.get(place).copied());
        let x = (y - mean) * inverse;
        (x, inverse * (moved.unwrap_or_default() - means.0 - x * means.1))
    };
    let (mut sums, mut moved) = ((0.0, 0.0), (0.0, 0.0));
    each_chosen(planes, chosen, |square, place| {
        if let (Some(g), Some(change)) = (g.get(square), g_moved.get(square)) {
            let (x, x_moved) = at(place);
            sums.0 += g.wide();
            sums.1 += (*g * x).wide();
            moved.0 += change.wide();
            moved.1 += (*change * x + *g * x_moved).wide();
        }
    });
    let count = planes.pixels() as f64;
    let (a, b) = (T::of(sums.0 / count), T::of(sums.1 / count));
    let (a_moved, b_moved) = (T::of(moved.0 / count), T::of(moved.1 / count));
    let k = affine.scale * inverse;
    // ds/dt = −s m₁ · s, from d x̂/dt above.
    let k_moved = along.affine.scale * inverse - affine.scale * inverse * inverse * means.1;
    out.fill(T::zero());
    let mut rows = planes.rows(y).zip(planes.rows(along.y));
    planes.each_row(out, |out| {
        let Some((y, along)) = rows.next() else { return };
        for ((out, y), along) in out.iter_mut().zip(y).zip(along) {
            let x = (*y - mean) * inverse;
            let x_moved = inverse * (*along - means.0 - x * means.1);
            *out = -k_moved * (a + x * b) - k * (a_moved + x_moved * b + x * b_moved);
        }
    });
    each_chosen(planes, chosen, |square, place| {
        if let (Some(g), Some(change), Some(out)) = (g.get(square), g_moved.get(square), out.get_mut(place)) {
            *out += k_moved * *g + k * *change;
        }
    });
    Sums { shift: T::of(moved.0), scale: T::of(moved.1) }
}
