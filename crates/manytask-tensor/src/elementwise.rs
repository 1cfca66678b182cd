//! Many operations on the elements of some tensors in one pass over their memory.
//!
//! An optimizer's step is ten operations for each parameter; for small networks the calls cost more than the arithmetic,
//! for large ones each is a pass over memory of its own.

use std::ops::{Add, Div, Mul, Neg, Sub};

use tch::{Device, Kind, Tensor};

use crate::{Result, threads};

/// Elements that are taken up at once: two vectors of AVX2, so that the compiler makes vector code of the rule.
const BLOCK: usize = 16;
/// Elements below which a second thread costs more than it gives.
const FOR_A_THREAD: usize = 1 << 18;

/// A number that tensors hold and Rust computes with: `f32` or `f64`.
pub trait Element:
    Copy
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + sealed::Sealed
{
    /// The tensors' kind.
    const KIND: Kind;

    /// The nearest such number.
    fn of(value: f64) -> Self;

    /// The square root.
    #[must_use]
    fn sqrt(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element {
    ($number:ty, $kind:expr) => {
        impl sealed::Sealed for $number {}
        impl Element for $number {
            const KIND: Kind = $kind;

            #[inline]
            fn of(value: f64) -> Self {
                value as Self
            }

            #[inline]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
        }
    };
}

element!(f32, Kind::Float);
element!(f64, Kind::Double);

/// Whether [`in_one_pass`] can reach the memory of this tensor: on the processor, of this kind, without gaps.
fn is_plain<T: Element>(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.defined()
        && tensor.device() == Device::Cpu
        && tensor.kind() == T::KIND
        && !tensor.is_sparse()
        && !tensor.is_mkldnn()
        && tensor.is_contiguous()
        && !tensor.f_is_neg()?)
}

/// Overwrites the elements of `written` by a rule of their old values and those of `read`, all in one pass:
/// `[w₁ᵢ, w₂ᵢ, …] ← rule([w₁ᵢ, w₂ᵢ, …], rᵢ)`. It is in place for libtorch too: a graph that needs the old values says so.
///
/// The answer is `false`, and nothing is changed, where the tensors are not all of kind `T`, on the processor, contiguous
/// and of the same number of elements, or share memory: then use operations on tensors. The result does not depend on the
/// number of threads or the processor's instructions.
///
/// ```
/// use manytask_tensor::elementwise::in_one_pass;
/// use manytask_tensor::Tensor;
/// let mut mean = Tensor::from_slice(&[0.0_f32, 2.0]);
/// let gradient = Tensor::from_slice(&[1.0_f32, 4.0]);
/// assert!(in_one_pass([&mut mean], &gradient, |[m], g: f32| [0.5 * m + 0.5 * g])?);
/// assert_eq!(mean, Tensor::from_slice(&[0.5_f32, 3.0]));
/// assert!(!in_one_pass([&mut mean], &gradient, |m, _: f64| m)?); // of another kind
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When libtorch refuses that a tensor is overwritten: a leaf that requires a gradient, outside of [`no_grad`](crate::no_grad).
pub fn in_one_pass<T: Element, const N: usize>(
    mut written: [&mut Tensor; N],
    read: &Tensor,
    rule: impl Fn([T; N], T) -> [T; N] + Sync,
) -> Result<bool> {
    let count = read.numel();
    let mut plain = is_plain::<T>(read)?;
    for tensor in &written {
        plain = plain && is_plain::<T>(tensor)? && tensor.numel() == count;
    }
    if !plain {
        return Ok(false);
    }
    let starts: Vec<usize> =
        written.iter().map(|tensor| &**tensor).chain([read]).map(|t| t.data_ptr() as usize).collect();
    let bytes = count * size_of::<T>();
    let apart = |(i, a): (usize, &usize)| starts.iter().skip(i + 1).all(|b| a.abs_diff(*b) >= bytes);
    if count == 0 || !starts.iter().enumerate().all(apart) {
        return Ok(count == 0);
    }
    for tensor in &mut written {
        // Changes nothing, and counts as a change in place.
        let _ = tensor.f_transpose_(0, 0)?;
    }
    #[expect(unsafe_code, reason = "the binding gives the memory of a tensor as a pointer only")]
    // SAFETY: `is_plain` says that each pointer leads to `count` initialised elements of type T without gaps, which the
    // borrowed tensors keep alive; a `Tensor` is not `Sync`, and the ranges were found to be apart, so that no slice
    // overlaps another. Who holds another handle to the memory in another thread must not use it meanwhile, as with every
    // operation in place of libtorch.
    let (slices, read) = unsafe {
        let slices =
            written.map(|tensor| std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<T>(), count));
        (slices, std::slice::from_raw_parts(read.data_ptr().cast::<T>(), count))
    };
    over(slices, read, &rule);
    Ok(true)
}

/// In as many threads as kernels may use, where that is worth it.
fn over<T: Element, const N: usize>(
    mut written: [&mut [T]; N],
    mut read: &[T],
    rule: &(impl Fn([T; N], T) -> [T; N] + Sync),
) {
    let parts = (read.len() / FOR_A_THREAD).clamp(1, threads::get());
    let each = read.len().div_ceil(parts).next_multiple_of(BLOCK);
    rayon::in_place_scope(|scope| {
        while read.len() > each {
            let (head, tail) = read.split_at(each);
            read = tail;
            let mut heads: [&mut [T]; N] = std::array::from_fn(|_| &mut [][..]);
            for (slice, head) in written.iter_mut().zip(&mut heads) {
                let (first, rest) = std::mem::take(slice).split_at_mut(each);
                (*head, *slice) = (first, rest);
            }
            scope.spawn(move |_| fastest(heads, head, rule));
        }
        fastest(written, read, rule);
    });
}

/// With the widest vectors that this processor has; without fused operations, so that the bits are the same on all.
fn fastest<T: Element, const N: usize>(
    written: [&mut [T]; N],
    read: &[T],
    rule: &impl Fn([T; N], T) -> [T; N],
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn with_avx2<T: Element, const N: usize>(
            written: [&mut [T]; N],
            read: &[T],
            rule: &impl Fn([T; N], T) -> [T; N],
        ) {
            blocks(written, read, rule);
        }
        #[expect(unsafe_code, reason = "a function for AVX2 is called where AVX2 was found")]
        // SAFETY: the processor was asked just now.
        unsafe {
            with_avx2(written, read, rule);
        }
        return;
    }
    blocks(written, read, rule);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it must be compiled for the instructions of its caller")]
fn blocks<T: Element, const N: usize>(
    mut written: [&mut [T]; N],
    read: &[T],
    rule: &impl Fn([T; N], T) -> [T; N],
) {
    let (whole, rest) = read.as_chunks::<BLOCK>();
    for (number, read) in whole.iter().enumerate() {
        let start = number * BLOCK;
        let mut block = [[T::default(); BLOCK]; N];
        for (block, slice) in block.iter_mut().zip(&written) {
            if let Some(from) = slice.get(start..start + BLOCK) {
                block.copy_from_slice(from);
            }
        }
        for i in 0..BLOCK {
            let new = rule(std::array::from_fn(|n| block[n][i]), read[i]);
            for (block, new) in block.iter_mut().zip(new) {
                block[i] = new;
            }
        }
        for (block, slice) in block.iter().zip(&mut written) {
            if let Some(to) = slice.get_mut(start..start + BLOCK) {
                to.copy_from_slice(block);
            }
        }
    }
    let start = whole.len() * BLOCK;
    for (i, read) in rest.iter().enumerate() {
        let old = std::array::from_fn(|n| written[n].get(start + i).copied().unwrap_or_default());
        for (slice, new) in written.iter_mut().zip(rule(old, *read)) {
            if let Some(to) = slice.get_mut(start + i) {
                *to = new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;
    use crate::{Graph, gradients};

    fn numbers(count: i64, of: &str) -> Tensor {
        Key::new(3, of).normal(&[count], Kind::Float, Device::Cpu).unwrap()
    }

    #[test]
    fn every_element_is_reached_once_whatever_the_length_and_the_threads() {
        for count in [1, 15, 16, 17, 1000, 3 * FOR_A_THREAD as i64 + 5] {
            let (mut a, mut b, r) = (numbers(count, "a"), numbers(count, "b"), numbers(count, "r"));
            let expected = (&a + &r * 2.0, &b * &r);
            for count_of_threads in [1, 3] {
                let (mut a, mut b) = (a.copy(), b.copy());
                threads::set(count_of_threads).unwrap();
                assert!(in_one_pass([&mut a, &mut b], &r, |[a, b], r: f32| [a + r * 2.0, b * r]).unwrap());
                assert_eq!(
                    (&a, &b),
                    (&expected.0, &expected.1),
                    "{count} elements, {count_of_threads} threads"
                );
            }
            assert!(in_one_pass([&mut a, &mut b], &r, |[_, _], _: f32| [0.0, 1.0]).unwrap());
            assert_eq!(a.abs().max().double_value(&[]), 0.0);
        }
    }

    #[test]
    fn what_is_not_plain_memory_is_left_alone() {
        let mut a = numbers(12, "a");
        let before = a.copy();
        let same = a.shallow_clone();
        let mut columns = numbers(12, "c").reshape([3, 4]).transpose(0, 1);
        let r = numbers(12, "r");
        let rule = |[w]: [f32; 1], _: f32| [w + 1.0];
        assert!(!in_one_pass([&mut columns], &r, rule).unwrap(), "a transposed matrix");
        assert!(!in_one_pass([&mut a], &same, rule).unwrap(), "the same memory");
        assert!(!in_one_pass([&mut a.narrow(0, 0, 6)], &same.narrow(0, 3, 6), rule).unwrap(), "overlapping");
        assert!(!in_one_pass([&mut a], &numbers(11, "r"), rule).unwrap(), "another length");
        assert!(!in_one_pass([&mut a], &r.to_kind(Kind::Double), rule).unwrap(), "another kind");
        assert_eq!(a, before);
        assert!(in_one_pass([&mut a.narrow(0, 0, 6)], &same.narrow(0, 6, 6), rule).unwrap(), "side by side");
    }

    #[test]
    fn a_graph_that_needs_the_old_values_says_so() {
        let x = numbers(4, "x").set_requires_grad(true);
        let mut y = &x * 2.0;
        let loss = y.square().sum(Kind::Float);
        let ones = Tensor::ones([4], (Kind::Float, Device::Cpu));
        let off = crate::no_grad();
        assert!(in_one_pass([&mut y], &ones, |[w], r: f32| [w + r]).unwrap());
        drop(off);
        assert!(gradients(&loss, &[&x], Graph::Free).is_err());
    }
}
