#![expect(
    clippy::inline_always,
    reason = "loops must be compiled for the instructions that their caller found"
)]

use super::Real;

/// Sums that are made at once: two vectors of AVX-512.
const LANES: usize = 16;

/// `⟨a, b⟩`, multiplied and summed in f64; what one of them has beyond the other's length is left out.
///
/// ```
/// use manytask_tensor::dense::inner_product;
/// assert_eq!(inner_product(&[1e8_f32, 1.0], &[1.0, 0.5]), 1e8 + 0.5);
/// ```
pub fn inner_product<T: Real>(a: &[T], b: &[T]) -> f64 {
    pulp::Arch::new().dispatch(InnerProduct { a, b })
}

struct InnerProduct<'a, T> {
    a: &'a [T],
    b: &'a [T],
}

impl<T: Real> pulp::NullaryFnOnce for InnerProduct<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let length = self.a.len().min(self.b.len());
        let (a, b) = (self.a.get(..length).unwrap_or_default(), self.b.get(..length).unwrap_or_default());
        let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x.wide() * y.wide()).sum();
        let mut sums = [0.0; LANES];
        for (a, b) in a.zip(b) {
            for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
                *sum += x.wide() * y.wide();
            }
        }
        sums.iter().sum::<f64>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_multiplied_once() {
        for length in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..length).map(|n| n as f32 + 1.0).collect();
            let expected: f64 = a.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert_eq!(inner_product(&a, &a), expected, "{length}");
            let longer = [a.as_slice(), &[7.0]].concat();
            assert_eq!(inner_product(&a, &longer), expected, "{length}");
        }
    }
}
