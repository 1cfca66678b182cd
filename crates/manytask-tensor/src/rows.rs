//! Rows of a tensor by their numbers, copied without libtorch's threads.
//!
//! libtorch shares out a gather of more than 32,768 numbers among its own threads. These go on spinning for a while when they are
//! done, and take the cores from what comes next; copying alone is faster.

use tch::{Device, Kind, Tensor};

use crate::dense::from_fn;
use crate::{Error, OpContext, Result};

/// The rows of `tensor` `[N, …]` with these numbers, `[B]` int64 on the same device: `[B, …]`.
///
/// ```
/// use manytask_tensor::{Tensor, rows};
/// let table = Tensor::from_slice(&[1_i64, 2, 3, 4, 5, 6]).reshape([3, 2]);
/// let some = rows::select(&table, &Tensor::from_slice(&[2_i64, 0]))?;
/// assert_eq!(some, Tensor::from_slice(&[5_i64, 6, 1, 2]).reshape([2, 2]));
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When a number is not one of a row's.
pub fn select(tensor: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let plain = tensor.device() == Device::Cpu && tensor.is_contiguous() && !tensor.requires_grad();
    let Some((count, shape)) = shape_of(tensor).filter(|_| plain && rows.kind() == Kind::Int64) else {
        return tensor.f_index_select(0, rows).op("rows", &[tensor, rows]);
    };
    let numbers = Vec::<i64>::try_from(rows.f_reshape([-1])?)?;
    checked(tensor, rows, &numbers, count)?;
    let all: Vec<i64> = std::iter::once(numbers.len() as i64).chain(shape).collect();
    let out = Tensor::f_empty(&all, (tensor.kind(), Device::Cpu))?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let each = tensor.numel() / count * tensor.kind().elt_size_in_bytes();
    #[expect(unsafe_code, reason = "the binding gives the memory of a tensor as a pointer only")]
    // SAFETY: both are contiguous on the processor, of one kind and with rows of `each` bytes; the numbers are of rows that are
    // there, as was checked, `out` has one row for each, and is known to nobody else.
    unsafe {
        let (from, mut to) = (tensor.data_ptr().cast::<u8>(), out.data_ptr().cast::<u8>());
        for number in numbers {
            std::ptr::copy_nonoverlapping(from.add(number as usize * each), to, each);
            to = to.add(each);
        }
    }
    Ok(out)
}

/// The same of bytes, as float32 and divided by a number.
///
/// # Errors
/// As [`select`], and when it is not of bytes.
pub fn select_scaled(tensor: &Tensor, rows: &Tensor, divisor: f32) -> Result<Tensor> {
    if tensor.kind() != Kind::Uint8 || tensor.device() != Device::Cpu {
        let some = select(tensor, rows)?.f_to_kind(Kind::Float)?;
        return Ok(some.f_div(&Tensor::from(divisor).f_to_device(some.device())?)?);
    }
    let bytes = select(tensor, rows)?;
    let numbers = crate::dense::integers::<u8>(&bytes)?;
    from_fn::<f32, Error>(&bytes.size(), |out| {
        out.iter_mut().zip(numbers).for_each(|(out, byte)| *out = f32::from(*byte) / divisor);
        Ok(())
    })
}

/// The number of rows, and their shape; `None` of a tensor without dimension.
fn shape_of(tensor: &Tensor) -> Option<(usize, Vec<i64>)> {
    let shape = tensor.size();
    let (count, rest) = shape.split_first()?;
    Some((usize::try_from(*count).ok().filter(|count| *count > 0)?, rest.to_vec()))
}

fn checked(tensor: &Tensor, rows: &Tensor, numbers: &[i64], count: usize) -> Result<()> {
    match numbers.iter().find(|number| usize::try_from(**number).map_or(true, |number| number >= count)) {
        None => Ok(()),
        Some(number) => Err(Error::Op {
            op: "rows".into(),
            shapes: vec![tensor.size(), rows.size()],
            message: format!("there is no row {number}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    #[test]
    fn rows_are_those_of_index_select_in_every_kind() {
        let rows = Tensor::from_slice(&[4_i64, 0, 4, 2]);
        for shape in [vec![5], vec![5, 3], vec![5, 2, 3, 1], vec![5, 0]] {
            let table = Key::new(1, "x").normal(&shape, Kind::Double, Device::Cpu).unwrap() * 50.0;
            for kind in [Kind::Double, Kind::Float, Kind::Int64, Kind::Int16, Kind::Uint8, Kind::Bool] {
                let table = table.abs().to_kind(kind);
                assert_eq!(select(&table, &rows).unwrap(), table.index_select(0, &rows), "{kind:?}");
                let scaled = select_scaled(&table, &rows, 255.0).unwrap();
                assert_eq!(scaled, table.index_select(0, &rows).to_kind(Kind::Float) / 255.0, "{kind:?}");
            }
        }
        let turned = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]).tr();
        let rows = Tensor::from_slice(&[1_i64]);
        assert_eq!(select(&turned, &rows).unwrap(), turned.index_select(0, &rows));
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        let table = Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
        for number in [2_i64, -1] {
            let error = select(&table, &Tensor::from_slice(&[number])).unwrap_err().to_string();
            assert!(error.contains(&format!("no row {number}")), "{error}");
        }
    }
}
