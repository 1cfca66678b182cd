use super::{Matrix, Real, shape};
use crate::Result;

/// Multiplications that a thread of its own must have: what they take is about what waking it takes.
const FOR_A_THREAD: usize = 1 << 22;
/// How many multiplications take as long as bringing one number into the order in which the kernel reads it.
const COPIED: usize = 8;
/// What the kernel makes at once, in rows and columns.
const TILE: (usize, usize) = (6, 64);
/// Rows so many bytes apart, or a multiple of it, fall into so few sets of the cache that they drive each other out.
const SAME_SETS: usize = 1024;

/// What becomes of what stood in the place of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accumulate {
    /// It is overwritten.
    No,
    /// The product is added to it.
    Yes,
}

/// `out = scale · a b`, or `out += scale · a b`, with `out` row by row, by at most `threads` threads.
///
/// ```
/// use manytask_tensor::dense::{Matrix, Accumulate, product};
/// let (a, mut out) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 4]);
/// let a = Matrix::new(&a, 2, 3)?;
/// product(&mut out, Accumulate::No, 1.0, a, a.transposed(), 1)?;
/// assert_eq!(out, [14.0, 32.0, 32.0, 77.0]);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn product<T: Real>(
    out: &mut [T],
    accumulate: Accumulate,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: usize,
) -> Result<()> {
    if out.len() != a.rows * b.columns {
        return Err(shape("matrix product", &[a.rows, b.columns], &[out.len()]));
    }
    product_into(out, b.columns, accumulate, scale, a, b, threads)
}

/// The same with rows of `out` that begin `stride` numbers apart; what lies between is left alone.
///
/// # Errors
/// When the shapes do not fit.
pub fn product_into<T: Real>(
    out: &mut [T],
    stride: usize,
    accumulate: Accumulate,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: usize,
) -> Result<()> {
    // Of no row, such as those of a task that a split has none of, there is nothing to be made.
    let reach = if a.rows == 0 { 0 } else { (a.rows - 1) * stride + b.columns };
    if a.columns != b.rows || stride < b.columns || out.len() < reach {
        return Err(shape("matrix product", &[a.rows, a.columns, b.columns], &[b.rows, stride, out.len()]));
    }
    let (of_rows, of_columns) = cut(a.rows, b.columns, a.columns, threads);
    let (rows, columns) = (a.rows.div_ceil(of_rows), b.columns.div_ceil(of_columns));
    let out = Place(out.as_mut_ptr());
    let part = |number: usize| {
        let (row, column) = (number / of_columns * rows, number % of_columns * columns);
        let (a, b) = (a.some_rows(row, rows), b.transposed().some_rows(column, columns).transposed());
        if a.rows > 0 && b.columns > 0 {
            #[expect(unsafe_code, reason = "the product takes pointers")]
            // SAFETY: the part is within the product, which `out` has room for, as was just checked; a mutable borrow overlaps no
            // other, and the parts do not overlap each other.
            unsafe {
                multiply(out.get().add(row * stride + column), stride, accumulate, scale, a, b);
            }
        }
    };
    let others = 1..of_rows * of_columns;
    if others.is_empty() {
        part(0);
    } else {
        rayon::in_place_scope(|scope| {
            let part = &part;
            others.for_each(|number| scope.spawn(move |_| part(number)));
            part(0);
        });
    }
    Ok(())
}

/// Into how many parts the rows and the columns of a product `[rows, inner] [inner, columns]` are cut for so many threads.
///
/// Each part reorders what it needs of both factors; that cut is taken whose largest part takes the least time.
fn cut(rows: usize, columns: usize, inner: usize, threads: usize) -> (usize, usize) {
    let work = rows.saturating_mul(columns).saturating_mul(inner);
    let threads = (work / FOR_A_THREAD).clamp(1, threads.max(1));
    let time = |&(of_rows, of_columns): &(usize, usize)| {
        let rows = rows.div_ceil(of_rows).next_multiple_of(TILE.0);
        let columns = columns.div_ceil(of_columns).next_multiple_of(TILE.1);
        rows * columns + COPIED * (rows + columns)
    };
    (1..=threads).map(|of_rows| (of_rows, threads / of_rows)).min_by_key(time).unwrap_or((1, 1))
}

/// Where a product goes; threads write to parts of it.
struct Place<T>(*mut T);

#[expect(unsafe_code, reason = "a pointer is not `Sync` by itself")]
// SAFETY: the parts that threads write to do not overlap.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    // A method, so that closures borrow the whole and not the pointer in it.
    fn get(&self) -> *mut T {
        self.0
    }
}

/// # Safety
/// `out` must have room for rows of the product that begin `stride` numbers apart, and overlap neither factor.
#[expect(unsafe_code, reason = "the product takes pointers")]
unsafe fn multiply<T: Real>(
    out: *mut T,
    stride: usize,
    accumulate: Accumulate,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    // The columns of b are what the kernel has in its vectors. Where they are rows in memory, as a layer's weights are, it goes
    // down all of them at once.
    if b.row_stride == 1
        && b.column_stride != 1
        && (b.column_stride * size_of::<T>()).is_multiple_of(SAME_SETS)
    {
        return T::spare().with_borrow_mut(|spare| {
            let apart = b.rows.next_multiple_of(16) + 16;
            spare.resize(spare.len().max(b.columns * apart), T::zero());
            for (to, from) in
                spare.chunks_exact_mut(apart).zip(b.data.chunks(b.column_stride)).take(b.columns)
            {
                to.iter_mut().zip(from).take(b.rows).for_each(|(to, from)| *to = *from);
            }
            // SAFETY: as for this one; the copy reaches as far as its strides say.
            unsafe {
                kernel(out, stride, accumulate, scale, a, Matrix { data: spare, column_stride: apart, ..b });
            }
        });
    }
    // SAFETY: as for this one.
    unsafe { kernel(out, stride, accumulate, scale, a, b) }
}

/// # Safety
/// As `multiply`.
#[expect(unsafe_code, reason = "the product takes pointers")]
unsafe fn kernel<T: Real>(
    out: *mut T,
    stride: usize,
    accumulate: Accumulate,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    // SAFETY: `Matrix` reaches no further than its slice with its strides, whichever way it is turned; of `out` the caller says so.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            stride as isize,
            accumulate == Accumulate::Yes,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::one(),
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_row_nothing_is_made() {
        let b = [1.0; 6];
        let (a, b) = (Matrix::new(&[], 0, 2).unwrap(), Matrix::new(&b, 2, 3).unwrap());
        product(&mut [], Accumulate::No, 1.0, a, b, 1).unwrap();
        product_into(&mut [], 5, Accumulate::No, 1.0, a, b, 2).unwrap();
        assert!(product(&mut [], Accumulate::No, 1.0, b.transposed(), b, 1).is_err());
    }
}
