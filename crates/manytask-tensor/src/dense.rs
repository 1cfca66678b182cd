//! Matrix products on memory, without a graph: what passes that know their derivatives are made of.
//!
//! On processors with AVX-512 a product here takes less than half of what libtorch's takes, which goes through MKL's path for
//! unknown processors, and a small one has next to no overhead (`benches/RESULTS.md`).

mod inner;
mod product;

use std::cell::RefCell;
use std::thread::LocalKey;

use num_traits::{Float, NumAssign};
use tch::{Device, Kind, Tensor};

pub use self::inner::inner_product;
pub use self::product::{Accumulate, product, product_into};
use crate::{Error, Result};

/// The element types that passes compute in: `f32` and `f64`.
pub trait Real:
    Float + NumAssign + Default + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// libtorch's name of it.
    const KIND: Kind;

    /// The nearest number of this type.
    fn of(value: f64) -> Self;

    /// The same number.
    fn wide(self) -> f64;
}

mod sealed {
    use super::{LocalKey, RefCell};

    pub trait Sealed: Sized + 'static {
        /// A thread's memory for what a product copies.
        fn spare() -> &'static LocalKey<RefCell<Vec<Self>>>;
    }

    macro_rules! sealed {
        ($number:ty) => {
            impl Sealed for $number {
                fn spare() -> &'static LocalKey<RefCell<Vec<Self>>> {
                    thread_local!(static SPARE: RefCell<Vec<$number>> = const { RefCell::new(Vec::new()) });
                    &SPARE
                }
            }
        };
    }

    sealed!(f32);
    sealed!(f64);
}

impl Real for f32 {
    const KIND: Kind = Kind::Float;

    fn of(value: f64) -> Self {
        value as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const KIND: Kind = Kind::Double;

    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

/// A matrix in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// The numbers of a matrix row by row.
    ///
    /// # Errors
    /// When there are not `rows · columns` of them.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Result<Self> {
        if data.len() != rows * columns {
            return Err(shape("matrix", &[rows, columns], &[data.len()]));
        }
        Ok(Self { data, rows, columns, row_stride: columns, column_stride: 1 })
    }

    /// A matrix whose number of row i and column j is at `i · strides.0 + j · strides.1`.
    ///
    /// # Errors
    /// When it reaches beyond the memory.
    pub fn strided(data: &'a [T], rows: usize, columns: usize, strides: (usize, usize)) -> Result<Self> {
        let (row_stride, column_stride) = strides;
        if rows > 0 && columns > 0 && (rows - 1) * row_stride + (columns - 1) * column_stride >= data.len() {
            return Err(shape(
                "matrix with strides",
                &[rows, row_stride, columns, column_stride],
                &[data.len()],
            ));
        }
        Ok(Self { data, rows, columns, row_stride, column_stride })
    }

    /// Its transpose, in the same memory.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// At most so many of its rows, from one on.
    fn some_rows(self, first: usize, count: usize) -> Self {
        let first = first.min(self.rows);
        let data = self.data.get(first * self.row_stride..).unwrap_or_default();
        Self { data, rows: count.min(self.rows - first), ..self }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// The numbers of a contiguous tensor on the processor, in its own memory.
///
/// Nothing may write into the tensor's memory while they are borrowed; in this workspace only optimizers and buffers are written
/// in place, between passes.
///
/// # Errors
/// When it is on another device, of another type, or not contiguous.
pub fn values<T: Real>(tensor: &Tensor) -> Result<&[T]> {
    let (pointer, length) = memory::<T>(tensor)?;
    #[expect(unsafe_code, reason = "tch lends no slice of a tensor")]
    // SAFETY: the type, the device and the layout were checked, the tensor keeps the memory for the lifetime of the borrow, and
    // nobody writes meanwhile, as is asked above.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// The whole numbers of a contiguous tensor on the processor, as [`values`].
pub(crate) fn integers<N: kind::Integer>(tensor: &Tensor) -> Result<&[N]> {
    let (pointer, length) = lent::<N>(tensor, N::KIND)?;
    #[expect(unsafe_code, reason = "tch lends no slice of a tensor")]
    // SAFETY: as in `values`.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

mod kind {
    use tch::Kind;

    /// A type of whole numbers that tensors hold.
    pub(crate) trait Integer {
        const KIND: Kind;
    }

    impl Integer for u8 {
        const KIND: Kind = Kind::Uint8;
    }

    impl Integer for i16 {
        const KIND: Kind = Kind::Int16;
    }

    impl Integer for i32 {
        const KIND: Kind = Kind::Int;
    }
}

/// A new tensor of a shape, filled by `fill`, which is given its numbers, all zero, row by row.
///
/// # Errors
/// When memory runs out, or `fill` fails.
pub fn from_fn<T: Real, E: From<Error>>(
    shape: &[i64],
    fill: impl FnOnce(&mut [T]) -> Result<(), E>,
) -> Result<Tensor, E> {
    uninit_with(shape, |numbers: &mut [T]| {
        // libtorch's own zeros would wake its threads, which then stand in the way of ours.
        numbers.fill(T::zero());
        fill(numbers)
    })
}

/// A new tensor of a shape, written by `write`, which is given its numbers as memory held them before and has to overwrite each.
///
/// In a build with debug assertions they are NaN, so that a number that is read before it is written shows.
///
/// ```
/// use manytask_tensor::{Error, dense::uninit_with};
/// let x = uninit_with(&[2, 3], |numbers: &mut [f32]| {
///     numbers.fill(1.0);
///     Ok::<_, Error>(())
/// })?;
/// assert_eq!((x.size(), x.double_value(&[1, 2])), (vec![2, 3], 1.0));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// When memory runs out, or `write` fails.
pub fn uninit_with<T: Real, E: From<Error>>(
    shape: &[i64],
    write: impl FnOnce(&mut [T]) -> Result<(), E>,
) -> Result<Tensor, E> {
    let tensor = Tensor::f_empty(shape, (T::KIND, Device::Cpu)).map_err(Error::from)?;
    let (pointer, length) = memory::<T>(&tensor)?;
    #[expect(unsafe_code, reason = "tch lends no slice of a tensor")]
    // SAFETY: as in `values`; the tensor was made here, so that nobody else knows its memory. It came from libtorch, of which the
    // compiler knows nothing, and whatever bytes are in it are numbers.
    let numbers = unsafe { std::slice::from_raw_parts_mut(pointer, length) };
    if cfg!(debug_assertions) {
        numbers.fill(T::of(f64::NAN));
    }
    write(numbers)?;
    Ok(tensor)
}

fn memory<T: Real>(tensor: &Tensor) -> Result<(*mut T, usize)> {
    lent(tensor, T::KIND)
}

fn lent<N>(tensor: &Tensor, kind: Kind) -> Result<(*mut N, usize)> {
    if tensor.device() != Device::Cpu || tensor.kind() != kind || !tensor.is_contiguous() {
        return Err(Error::Memory { expected: kind, found: tensor.kind(), device: tensor.device() });
    }
    let length = tensor.numel();
    // An empty tensor may have no memory, a slice must have an address.
    let pointer = if length == 0 { std::ptr::NonNull::dangling().as_ptr() } else { tensor.data_ptr().cast() };
    Ok((pointer, length))
}

fn shape(what: &str, expected: &[usize], found: &[usize]) -> Error {
    let of = |shape: &[usize]| shape.iter().map(|n| *n as i64).collect();
    Error::Shape { what: what.into(), expected: of(expected), found: of(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    fn some(shape: [i64; 2], kind: Kind) -> Tensor {
        Key::new(1, "matrix").within(shape[0] as u64).normal(&shape, kind, Device::Cpu).unwrap()
    }

    fn agrees<T: Real>(tolerance: f64) {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (10, 40, 40), (70, 33, 129), (130, 256, 260), (40, 256, 1000)]
        {
            let (a, b) = (some([m, k], T::KIND), some([k, n], T::KIND));
            let (at, bt) = (a.tr().contiguous(), b.tr().contiguous());
            let of = |t: &'static str, x: &Tensor| (t, x.shallow_clone());
            for ((_, left), turned_left) in [(of("a", &a), false), (of("at", &at), true)] {
                for ((_, right), turned_right) in [(of("b", &b), false), (of("bt", &bt), true)] {
                    let matrix = |x: &Tensor, turned: bool| {
                        let [rows, columns] = x.size()[..] else { panic!("a matrix") };
                        let values: &[T] = values(x).unwrap();
                        let values: &'static [T] = values.to_vec().leak();
                        let matrix = Matrix::new(values, rows as usize, columns as usize).unwrap();
                        if turned { matrix.transposed() } else { matrix }
                    };
                    let found = from_fn::<T, Error>(&[m, n], |out| {
                        let (a, b) = (matrix(&left, turned_left), matrix(&right, turned_right));
                        product(out, Accumulate::No, T::of(2.0), a, b, 2)?;
                        product(out, Accumulate::Yes, T::of(-0.5), a, b, 1)
                    });
                    let gap = (found.unwrap() - a.matmul(&b) * 1.5).abs().max().double_value(&[]);
                    assert!(gap < tolerance, "{m} {k} {n}: {gap}");
                }
            }
        }
    }

    #[test]
    fn products_are_libtorchs_whichever_way_matrices_are_turned() {
        agrees::<f32>(1e-4);
        agrees::<f64>(1e-12);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let data = [0.0_f32; 6];
        assert!(Matrix::new(&data, 2, 2).is_err());
        let a = Matrix::new(&data, 2, 3).unwrap();
        let mut out = [0.0; 4];
        assert!(product(&mut out, Accumulate::No, 1.0, a, a, 1).is_err());
        assert!(product(&mut out[..3], Accumulate::No, 1.0, a, a.transposed(), 1).is_err());
    }

    #[test]
    fn only_plain_memory_is_lent() {
        let x = some([2, 3], Kind::Float);
        assert_eq!(values::<f32>(&x).unwrap().len(), 6);
        let error = values::<f64>(&x).unwrap_err().to_string();
        assert!(error.contains("Double") && error.contains("Float"), "{error}");
        assert!(values::<f32>(&x.tr()).is_err());
        assert!(values::<f32>(&Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))).unwrap().is_empty());
    }
}
