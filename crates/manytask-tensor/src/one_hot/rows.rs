mod kernels;

use rayon::prelude::*;
use tch::{Kind, Tensor};

use self::kernels::{Gradients, LANES, OfIndices, Sums};
use super::refused;
use crate::dense::{Accumulate, Matrix, Real, integers, product, product_into, values};
use crate::{Error, Result};

/// Additions that a thread of its own must have.
const FOR_A_THREAD: usize = 1 << 21;

/// Rows of numbers `[N, F]` followed by one-hot categories with the `indices` `[N, C]` in `width` columns, as
/// [`expand`](super::expand) makes a matrix of, with products that never see the zeros. No row has two ones at one place.
///
/// ```
/// use manytask_tensor::{Tensor, one_hot::OneHotRows};
/// let numbers = Tensor::from_slice(&[0.5_f32, 0.25]).reshape([2, 1]);
/// let indices = Tensor::from_slice(&[0_i16, 2]).reshape([2, 1]);
/// let rows = OneHotRows::<f32>::new(&numbers, &indices, 3)?;
/// let mut out = [0.0; 2];
/// rows.add_product(&[2.0, 10.0, 20.0, 30.0], 1, &mut out, 1)?; // one output, weights of four inputs
/// assert_eq!(out, [11.0, 30.5]);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OneHotRows<'a, T> {
    numbers: &'a [T],
    each: usize,
    indices: Indices<'a>,
    columns: usize,
    width: usize,
    rows: usize,
}

#[derive(Debug, Clone, Copy)]
enum Indices<'a> {
    Short(&'a [i16]),
    Long(&'a [i32]),
}

impl<'a, T: Real> OneHotRows<'a, T> {
    /// Borrows the memory of both tensors; indices are int16 or int32, negative for none.
    ///
    /// # Errors
    /// When shapes or kinds do not fit, a tensor is not contiguous on the processor, or a place is not below `width`.
    pub fn new(numbers: &'a Tensor, indices: &'a Tensor, width: usize) -> Result<Self> {
        let (&[rows, each], &[same, columns]) = (numbers.size().as_slice(), indices.size().as_slice()) else {
            return Err(refused(numbers, indices, "both must be matrices".into()));
        };
        if rows != same {
            return Err(refused(numbers, indices, "they differ in rows".into()));
        }
        let kept = match indices.kind() {
            Kind::Int16 => Indices::Short(integers(indices)?),
            _ => Indices::Long(integers(indices)?),
        };
        let largest = match kept {
            Indices::Short(indices) => indices.iter().max().map(|place| i64::from(*place)),
            Indices::Long(indices) => indices.iter().max().map(|place| i64::from(*place)),
        };
        if largest.is_some_and(|largest| largest >= width as i64) {
            return Err(refused(numbers, indices, format!("a place is not below {width}")));
        }
        let (rows, each, columns) = (rows as usize, each as usize, columns as usize);
        Ok(Self { numbers: values(numbers)?, each, indices: kept, columns, width, rows })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The numbers of a row with its zeros, `F + width`.
    pub fn inputs(&self) -> usize {
        self.each + self.width
    }

    /// At most so many of the rows, from one on.
    #[must_use]
    pub fn some(self, first: usize, count: usize) -> Self {
        let first = first.min(self.rows);
        let rows = count.min(self.rows - first);
        let of_indices = first * self.columns..(first + rows) * self.columns;
        let indices = match self.indices {
            Indices::Short(all) => Indices::Short(all.get(of_indices).unwrap_or_default()),
            Indices::Long(all) => Indices::Long(all.get(of_indices).unwrap_or_default()),
        };
        let numbers = self.numbers.get(first * self.each..(first + rows) * self.each).unwrap_or_default();
        Self { numbers, indices, rows, ..self }
    }

    /// `out += X Wᵀ` with W `[outputs, F + width]`, by at most `threads` threads.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn add_product(self, weight: &[T], outputs: usize, out: &mut [T], threads: usize) -> Result<()> {
        self.fits(weight.len(), out.len(), outputs)?;
        if out.is_empty() {
            return Ok(());
        }
        if self.each > 0 {
            let x = Matrix::new(self.numbers, self.rows, self.each)?;
            let w = Matrix::strided(weight, outputs, self.each, (self.inputs(), 1))?;
            product(out, Accumulate::Yes, T::one(), x, w.transposed(), threads)?;
        }
        let each = self.rows.div_ceil(self.parts(outputs, threads));
        let run = |(part, out): (usize, &mut [T])| {
            pulp::Arch::new().dispatch(Sums { rows: self.some(part * each, each), weight, outputs, out });
        };
        if each == self.rows {
            run((0, out));
        } else {
            out.par_chunks_mut(each * outputs).enumerate().for_each(run);
        }
        Ok(())
    }

    /// `out = δᵀ X` with δ `[N, outputs]`, by at most `threads` threads.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn gradient(self, delta: &[T], outputs: usize, out: &mut [T], threads: usize) -> Result<()> {
        self.fits(out.len(), delta.len(), outputs)?;
        let inputs = self.inputs();
        if out.is_empty() {
            return Ok(());
        }
        if self.each > 0 {
            let d = Matrix::new(delta, self.rows, outputs)?.transposed();
            let x = Matrix::new(self.numbers, self.rows, self.each)?;
            product_into(out, inputs, Accumulate::No, T::one(), d, x, threads)?;
        }
        let of_indices = self.of_indices();
        let each = outputs.div_ceil(LANES).div_ceil(self.parts(outputs, threads)) * LANES;
        let run = |(part, out): (usize, &mut [T])| {
            let first = part * each;
            let of_indices = &of_indices;
            pulp::Arch::new().dispatch(Gradients { rows: self, of_indices, delta, outputs, first, out });
        };
        if each >= outputs {
            run((0, out));
        } else {
            out.par_chunks_mut(each * inputs).enumerate().for_each(run);
        }
        Ok(())
    }

    fn fits(&self, weight: usize, product: usize, outputs: usize) -> Result<()> {
        let expected = (self.inputs() * outputs, self.rows * outputs);
        if (weight, product) == expected {
            return Ok(());
        }
        Err(Error::Shape {
            what: "product with one-hot rows".into(),
            expected: vec![expected.0 as i64, expected.1 as i64],
            found: vec![weight as i64, product as i64],
        })
    }

    /// Into how many parts the work is cut.
    fn parts(&self, outputs: usize, threads: usize) -> usize {
        (self.rows * self.columns * outputs / FOR_A_THREAD).clamp(1, threads.max(1))
    }

    /// The rows that have each place.
    fn of_indices(&self) -> OfIndices {
        match self.indices {
            Indices::Short(indices) => OfIndices::new(indices, self.columns, self.width),
            Indices::Long(indices) => OfIndices::new(indices, self.columns, self.width),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::one_hot::expand;
    use crate::random::Key;

    fn normal(what: &str, shape: [i64; 2], kind: Kind) -> Tensor {
        Key::new(1, what).normal(&shape, kind, Device::Cpu).unwrap()
    }

    fn agrees<T: Real>(tolerance: f64) {
        for (rows, each, columns, width, outputs) in [
            (5_i64, 2_i64, 3_i64, 6_i64, 1_i64),
            (40, 0, 2, 34, 33),
            (300, 3, 20, 80, 130),
            (2000, 1, 40, 120, 70),
            (7, 2, 0, 0, 3),
            (0, 2, 2, 5, 3),
        ] {
            let numbers = normal("numbers", [rows, each], T::KIND);
            // Each column has indices of its own, and some rows have none.
            let own = (width / columns.max(1)) as f64;
            let value =
                (normal("indices", [rows, columns], Kind::Double) * 1000.0).remainder(own + 1.0).floor();
            let first = Tensor::arange(columns, (Kind::Double, Device::Cpu)) * own;
            let indices = value.where_self(&value.lt(own), &(-1.0 - &first)) + first;
            for kind in [Kind::Int16, Kind::Int] {
                let indices = indices.to_kind(kind);
                let matrix = expand(&numbers, &indices, width).unwrap();
                let sparse = OneHotRows::<T>::new(&numbers, &indices, width as usize).unwrap();
                let (weight, delta) = (
                    normal("weight", [outputs, each + width], T::KIND),
                    normal("delta", [rows, outputs], T::KIND),
                );
                for threads in [1, 3] {
                    let mut sums = values::<T>(&delta).unwrap().to_vec();
                    sparse
                        .add_product(values(&weight).unwrap(), outputs as usize, &mut sums, threads)
                        .unwrap();
                    let mut gradient = vec![T::one(); weight.numel()];
                    sparse
                        .gradient(values(&delta).unwrap(), outputs as usize, &mut gradient, threads)
                        .unwrap();
                    for (found, expected) in
                        [(sums, &delta + matrix.matmul(&weight.tr())), (gradient, delta.tr().matmul(&matrix))]
                    {
                        let expected: Vec<f64> =
                            expected.to_kind(Kind::Double).reshape([-1]).try_into().unwrap();
                        assert_eq!(found.len(), expected.len());
                        for (found, expected) in found.iter().zip(expected) {
                            let gap = (found.wide() - expected).abs();
                            assert!(gap < tolerance, "{rows} rows, {width} indices, {threads}: {gap}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_those_of_the_matrix() {
        agrees::<f32>(2e-4);
        agrees::<f64>(1e-11);
    }

    #[test]
    fn some_rows_are_those_of_the_whole() {
        let (numbers, indices) =
            (normal("x", [6, 2], Kind::Double), Tensor::from_slice(&[0_i16, 2, 1, -1, 2, 0]));
        let indices = indices.reshape([6, 1]);
        let all = OneHotRows::<f64>::new(&numbers, &indices, 3).unwrap();
        let weight = [1.0, 2.0, 3.0, 4.0, 5.0];
        let (mut whole, mut part) = ([0.0; 6], [0.0; 3]);
        all.add_product(&weight, 1, &mut whole, 1).unwrap();
        all.some(2, 3).add_product(&weight, 1, &mut part, 1).unwrap();
        assert_eq!(part, whole[2..5]);
        assert_eq!((all.some(5, 9).rows(), all.some(9, 1).rows()), (1, 0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let numbers = Tensor::zeros([2, 1], (Kind::Float, Device::Cpu));
        let indices = Tensor::from_slice(&[0_i16, 2]).reshape([2, 1]);
        let error = OneHotRows::<f32>::new(&numbers, &indices, 2).unwrap_err().to_string();
        assert!(error.contains("below 2"), "{error}");
        assert!(OneHotRows::<f64>::new(&numbers, &indices, 3).is_err(), "another type");
        assert!(OneHotRows::<f32>::new(&numbers, &indices.narrow(0, 0, 1), 3).is_err(), "other rows");
        assert!(OneHotRows::<f32>::new(&numbers, &indices.to_kind(Kind::Int64), 3).is_err(), "wide indices");
        let rows = OneHotRows::<f32>::new(&numbers, &indices, 3).unwrap();
        assert!(rows.add_product(&[0.0; 3], 1, &mut [0.0; 2], 1).is_err());
        assert!(rows.gradient(&[0.0; 2], 1, &mut [0.0; 3], 1).is_err());
    }
}
