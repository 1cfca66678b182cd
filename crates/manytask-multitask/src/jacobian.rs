use std::ops::Range;

use manytask_tensor::dense::{Accumulate, Matrix, Real, inner_product, product, uninit_with, values};
use manytask_tensor::{Device, Kind, OpContext, Tensor, send, threads};
use rayon::prelude::*;

use crate::Result;
use crate::gramian::Gramian;

/// Numbers that are multiplied at once: half a mebibyte in f64.
const NUMBERS: usize = 65_536;
/// Pieces that a thread multiplies before all are summed.
const EACH: usize = 8;
/// So many rows are multiplied pair by pair: more are turned into f64 once, and not for each pair.
const FEW: usize = 4;
/// Columns that are combined at once.
const COLUMNS: usize = 8192;
/// Numbers that are multiplied at once on another device: 128 mebibytes in f64.
const ON_DEVICE: usize = 1 << 24;

/// The gradients of K tasks as the rows of a matrix `[K, P]`, on the device and in the element type of the network.
#[derive(Debug)]
pub struct Jacobian {
    rows: Tensor,
}

impl Jacobian {
    /// Wraps a matrix `[K, P]`.
    pub fn new(rows: &Tensor) -> Result<Self> {
        if rows.dim() != 2 {
            return Err(manytask_tensor::Error::Shape {
                what: "Jacobian".into(),
                expected: vec![-1, -1],
                found: rows.size(),
            }
            .into());
        }
        Ok(Self { rows: rows.f_detach()? })
    }

    /// The matrix `[K, P]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Some of its rows.
    ///
    /// # Errors
    /// When one is not there.
    pub fn of_rows(&self, rows: &[usize]) -> Result<Self> {
        let rows: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.rows.device())?;
        Ok(Self { rows: self.rows.f_index_select(0, &rows)? })
    }

    /// Some of its columns, which follow each other.
    ///
    /// # Errors
    /// When one is not there.
    pub fn of_columns(&self, columns: &[Range<usize>]) -> Result<Self> {
        let one = |range: &Range<usize>| self.rows.f_narrow(1, range.start as i64, range.len() as i64);
        Ok(match columns {
            [range] => Self { rows: one(range)?.f_contiguous()? },
            ranges => {
                let parts = ranges.iter().map(one).collect::<std::result::Result<Vec<_>, _>>()?;
                Self { rows: Tensor::f_cat(&parts, 1)? }
            }
        })
    }

    /// `J Jᵀ` in f64.
    pub fn gramian(&self) -> Result<Gramian> {
        self.cross_gramian(self)
    }

    /// `J₁ J₂ᵀ` in f64, for methods that draw independent batches.
    pub fn cross_gramian(&self, other: &Self) -> Result<Gramian> {
        let (a, b) = (&self.rows, &other.rows);
        if a.size() != b.size() {
            return Err(manytask_tensor::Error::Shape {
                what: "second Jacobian".into(),
                expected: a.size(),
                found: b.size(),
            }
            .into());
        }
        let count = a.size().first().copied().unwrap_or(0) as usize;
        // In f64 from the start: badly scaled gradients lose their small ones in f32.
        let values = match (a.device(), a.kind()) {
            (Device::Cpu, Kind::Float) => products::<f32>(a, b, count)?,
            (Device::Cpu, Kind::Double) => products::<f64>(a, b, count)?,
            _ => products_on_device(a, b, ON_DEVICE)?,
        };
        Ok(Gramian::of(count, values))
    }

    /// `Jᵀ w`, a vector `[P]`.
    pub fn combine(&self, weights: &[f64]) -> Result<Tensor> {
        let rows = &self.rows;
        if rows.device() == Device::Cpu && rows.is_contiguous() {
            match rows.kind() {
                Kind::Float => return combined::<f32>(rows, weights),
                Kind::Double => return combined::<f64>(rows, weights),
                _ => {}
            }
        }
        let w = send(&Tensor::f_from_slice(weights)?.f_to_kind(rows.kind())?, rows.device())?;
        Ok(rows.f_tr()?.f_mv(&w).op("combination of gradients", &[rows, &w])?)
    }
}

/// The inner products of the rows of two matrices where they are, of any device and element type: only these come back.
fn products_on_device(a: &Tensor, b: &Tensor, numbers: usize) -> Result<Vec<f64>> {
    let (count, width) = a.size2()?;
    let length = (numbers as i64 / count.max(1)).max(1);
    let mut sum = Tensor::f_zeros([count, count], (Kind::Double, a.device()))?;
    let mut start = 0;
    while start < width {
        let columns =
            |rows: &Tensor| rows.f_narrow(1, start, length.min(width - start))?.f_to_kind(Kind::Double);
        let left = columns(a)?;
        let right = if std::ptr::eq(a, b) { left.shallow_clone() } else { columns(b)? };
        sum = sum.f_addmm(&left, &right.f_tr()?)?;
        start += length;
    }
    Ok(Vec::<f64>::try_from(sum.f_reshape([-1])?)?)
}

/// The inner products of the rows of two matrices, by pieces that stay in the cache. Pieces are summed in order, so that the
/// number of threads changes nothing.
fn products<T: Real>(a: &Tensor, b: &Tensor, count: usize) -> Result<Vec<f64>> {
    let here = |rows: &Tensor| Ok::<_, crate::Error>(rows.f_to_device(Device::Cpu)?.f_contiguous()?);
    let same = std::ptr::eq(a, b);
    let (a, b) = (here(a)?, here(b)?);
    let (left, right) = (values::<T>(&a)?, values::<T>(&b)?);
    let width = left.len() / count.max(1);
    let length = (NUMBERS / count.max(1)).clamp(256, 4096);
    let piece = |number: usize| -> Result<Vec<f64>> {
        let columns = number * length..((number + 1) * length).min(width);
        if count <= FEW {
            return Ok(few(left, right, width, &columns));
        }
        let wide = |all: &[T]| -> Vec<f64> {
            let mut wide = Vec::with_capacity(count * columns.len());
            for row in all.chunks_exact(width.max(1)) {
                wide.extend(row.get(columns.clone()).unwrap_or_default().iter().map(|x| x.wide()));
            }
            wide
        };
        let left = wide(left);
        let right = if same { Vec::new() } else { wide(right) };
        let left = Matrix::new(&left, count, columns.len())?;
        let right = if same { left } else { Matrix::new(&right, count, columns.len())? };
        let mut out = vec![0.0; count * count];
        product(&mut out, Accumulate::No, 1.0, left, right.transposed(), 1)?;
        Ok(out)
    };
    let pieces = width.div_ceil(length);
    let shared = threads::get() > 1 && left.len() > NUMBERS;
    let mut sum = vec![0.0; count * count];
    // A few at a time: all of them would be as many Gramians.
    let together = if shared { threads::get() * EACH } else { 1 };
    for first in (0..pieces).step_by(together) {
        let some = first..(first + together).min(pieces);
        let found: Vec<Vec<f64>> = if shared {
            some.into_par_iter().map(piece).collect::<Result<_>>()?
        } else {
            some.map(piece).collect::<Result<_>>()?
        };
        for part in found {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
    }
    Ok(sum)
}

/// The inner products of some columns, pair by pair.
fn few<T: Real>(left: &[T], right: &[T], width: usize, columns: &Range<usize>) -> Vec<f64> {
    let part = |row| <[T]>::get(row, columns.clone()).unwrap_or_default();
    let (same, width) = (std::ptr::eq(left, right), width.max(1));
    let count = left.len() / width;
    let mut out = Vec::with_capacity(count * count);
    for (i, a) in left.chunks_exact(width).enumerate() {
        for (j, b) in right.chunks_exact(width).enumerate() {
            let known = out.get(j * count + i).copied().filter(|_| same && j < i);
            out.push(known.unwrap_or_else(|| inner_product(part(a), part(b))));
        }
    }
    out
}

/// `Σ wᵢ rᵢ` by pieces that stay in the cache.
fn combined<T: Real>(rows: &Tensor, weights: &[f64]) -> Result<Tensor> {
    let [count, width] = rows.size()[..] else { return Ok(rows.shallow_clone()) };
    if count != weights.len() as i64 {
        let (what, expected) = ("weights of a combination".into(), vec![count]);
        let found = vec![weights.len() as i64];
        return Err(manytask_tensor::Error::Shape { what, expected, found }.into());
    }
    let all = values::<T>(rows)?;
    let one = |(number, out): (usize, &mut [T])| {
        let start = number * COLUMNS;
        for (task, (row, weight)) in all.chunks_exact(width.max(1) as usize).zip(weights).enumerate() {
            let weight = T::of(*weight);
            let part = row.get(start..start + out.len()).unwrap_or_default();
            if task == 0 {
                out.iter_mut().zip(part).for_each(|(sum, x)| *sum = weight * *x);
            } else {
                out.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * *x);
            }
        }
    };
    if weights.is_empty() {
        return Ok(Tensor::f_zeros([width], (T::KIND, Device::Cpu))?);
    }
    uninit_with(&[width], |out: &mut [T]| {
        if threads::get() > 1 && all.len() > NUMBERS {
            out.par_chunks_mut(COLUMNS).enumerate().for_each(one);
        } else {
            out.chunks_mut(COLUMNS).enumerate().for_each(one);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;

    use super::*;

    /// Rows (1, 2, 0), (−1, 0, 3): inner products 5, −1, 10.
    fn jacobian(kind: Kind) -> Jacobian {
        let rows = Tensor::from_slice(&[1.0, 2.0, 0.0, -1.0, 0.0, 3.0]).reshape([2, 3]).to_kind(kind);
        Jacobian::new(&rows).unwrap()
    }

    #[test]
    fn gramian_is_the_matrix_of_inner_products() {
        for kind in [Kind::Float, Kind::Double] {
            let gramian = jacobian(kind).gramian().unwrap();
            assert_eq!(gramian.values(), [5.0, -1.0, -1.0, 10.0]);
            assert_eq!(gramian.squared_norms(), [5.0, 10.0]);
            assert_eq!(gramian.row(1), [-1.0, 10.0]);
        }
    }

    #[test]
    fn quadratic_is_the_squared_norm_of_the_combination() {
        let (jacobian, weights) = (jacobian(Kind::Double), [0.25, 2.0]);
        let direction = Vec::<f64>::try_from(jacobian.combine(&weights).unwrap()).unwrap();
        assert_eq!(direction, [-1.75, 0.5, 6.0]);
        let norm: f64 = direction.iter().map(|d| d * d).sum();
        assert!((jacobian.gramian().unwrap().quadratic(&weights) - norm).abs() < 1e-12);
    }

    #[test]
    fn scaling_rows_scales_the_gramian_on_both_sides() {
        let jacobian = jacobian(Kind::Double);
        let scaled = jacobian.gramian().unwrap().scaled(&[2.0, 0.1]);
        let factors = Tensor::from_slice(&[2.0, 0.1]).unsqueeze(1);
        let expected = Jacobian::new(&(jacobian.rows() * factors)).unwrap().gramian().unwrap();
        for (a, b) in scaled.values().iter().zip(expected.values()) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
    }

    #[test]
    fn small_gradients_survive_beside_large_ones() {
        let rows = Tensor::from_slice(&[1e6_f32, 0.0, 1e-6, 1e-6]).reshape([2, 2]);
        let gramian = Jacobian::new(&rows).unwrap().gramian().unwrap();
        assert!((gramian.at(1, 1) / 2e-12 - 1.0).abs() < 1e-6, "{}", gramian.at(1, 1));
    }

    #[test]
    fn cross_gramian_is_of_two_batches() {
        let (a, b) = (jacobian(Kind::Double), Jacobian::new(&(jacobian(Kind::Double).rows() * 3.0)).unwrap());
        assert_eq!(a.cross_gramian(&b).unwrap().values(), [15.0, -3.0, -3.0, 30.0]);
    }

    #[test]
    fn few_rows_many_rows_and_another_device_give_the_same() {
        for rows in [1, FEW as i64, FEW as i64 + 3] {
            let of = |name| Key::new(1, name).normal(&[rows, 5000], Kind::Float, Device::Cpu).unwrap();
            let (a, b) = (of("a"), of("b"));
            for (a, b) in [(&a, &a), (&a, &b)] {
                let wide = a.to_kind(Kind::Double).matmul(&b.to_kind(Kind::Double).tr());
                let expected = Vec::<f64>::try_from(wide.reshape([-1])).unwrap();
                let here = products::<f32>(a, b, rows as usize).unwrap();
                // All columns at once, a shorter last piece, and few columns at a time.
                let there = [1 << 20, 7 * 300, 50].map(|numbers| products_on_device(a, b, numbers).unwrap());
                for found in there.iter().chain([&here]) {
                    let gap = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                    assert!(found.len() == expected.len() && gap < 1e-9, "{rows}: {gap}");
                }
            }
        }
        let half = Key::new(1, "half").normal(&[3, 1000], Kind::BFloat16, Device::Cpu).unwrap();
        let (half, near) =
            (Jacobian::new(&half).unwrap(), Jacobian::new(&half.to_kind(Kind::Double)).unwrap());
        let (half, near) = (half.gramian().unwrap(), near.gramian().unwrap());
        assert!(half.values().iter().zip(near.values()).all(|(x, y)| (x - y).abs() < 1e-9));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let rows = Key::new(1, "rows");
        // More pieces than are multiplied at once, and a last one that is shorter.
        let rows = rows.normal(&[300, 256 * 40 + 17], Kind::Float, Device::Cpu).unwrap();
        let (jacobian, before) = (Jacobian::new(&rows).unwrap(), threads::get());
        let of = |count| {
            threads::set(count).unwrap();
            jacobian.gramian().unwrap()
        };
        let (one, two, three) = (of(1), of(2), of(3));
        threads::set(before).unwrap();
        assert!(one == two && one == three);
        let expected = rows.to_kind(Kind::Double);
        let expected = Vec::<f64>::try_from(expected.matmul(&expected.tr()).reshape([-1])).unwrap();
        assert!(one.values().iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7));
    }

    #[test]
    fn a_vector_is_no_jacobian() {
        assert!(Jacobian::new(&Tensor::from_slice(&[1.0, 2.0])).is_err());
    }
}
