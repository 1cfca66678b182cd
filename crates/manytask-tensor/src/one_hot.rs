//! Rows of which most numbers are zero, kept as the indices of their ones.

mod rows;

use tch::{Device, Kind, Tensor};

pub use self::rows::OneHotRows;
use crate::{Error, Result};

/// The matrix `[N, F + width]` of numbers `[N, F]`, followed by ones at the `indices` `[N, C]` (int16 or int32, counted from
/// 0, negative for none) and zeros elsewhere.
///
/// ```
/// use manytask_tensor::{one_hot, Tensor};
/// let numbers = Tensor::from_slice(&[0.5_f32, 0.25]).reshape([2, 1]);
/// let indices = Tensor::from_slice(&[0_i16, 2, 1, -1]).reshape([2, 2]);
/// let matrix = one_hot::expand(&numbers, &indices, 3)?;
/// assert_eq!(matrix, Tensor::from_slice(&[0.5_f32, 1.0, 0.0, 1.0, 0.25, 0.0, 1.0, 0.0]).reshape([2, 4]));
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When shapes or kinds do not fit, or a place is not below `width`.
pub fn expand(numbers: &Tensor, indices: &Tensor, width: i64) -> Result<Tensor> {
    let fits = match (numbers.size().as_slice(), indices.size().as_slice()) {
        (&[rows, _], &[same, _]) => rows == same && matches!(indices.kind(), Kind::Int16 | Kind::Int),
        _ => false,
    };
    if !fits || width < 0 {
        let message = format!("the indices must be [N, C] of int16 or int32, and {width} at least 0");
        return Err(refused(numbers, indices, message));
    }
    let plain =
        [numbers, indices].iter().all(|tensor| tensor.device() == Device::Cpu && tensor.is_contiguous());
    if plain && numbers.kind() == Kind::Float {
        return match indices.kind() {
            Kind::Int16 => written::<i16>(numbers, indices, width as usize),
            _ => written::<i32>(numbers, indices, width as usize),
        };
    }
    scattered(numbers, indices, width)
}

fn refused(numbers: &Tensor, indices: &Tensor, message: String) -> Error {
    Error::Op { op: "one-hot".into(), shapes: vec![numbers.size(), indices.size()], message }
}

/// By operations, on any device.
fn scattered(numbers: &Tensor, indices: &Tensor, width: i64) -> Result<Tensor> {
    let rows = numbers.size().first().copied().unwrap_or_default();
    let ones = indices.f_ge(0)?.f_to_kind(numbers.kind())?;
    let indices = indices.f_to_kind(Kind::Int64)?.f_clamp_min(0)?;
    let zeros = Tensor::f_zeros([rows, width], (numbers.kind(), numbers.device()))?;
    // Those that are none add a zero at the first place.
    let block = if width == 0 { zeros } else { zeros.f_scatter_add(1, &indices, &ones)? };
    Ok(Tensor::f_cat(&[numbers, &block], 1)?)
}

/// Straight into the memory of the result.
fn written<P: Copy + TryInto<usize>>(numbers: &Tensor, indices: &Tensor, width: usize) -> Result<Tensor> {
    let columns = |tensor: &Tensor| tensor.size().get(1).copied().unwrap_or_default() as usize;
    let (rows, each, of_indices) =
        (numbers.size().first().copied().unwrap_or_default(), columns(numbers), columns(indices));
    let all = each + width;
    let matrix = Tensor::f_empty([rows, all as i64], (Kind::Float, Device::Cpu))?;
    if matrix.numel() == 0 {
        return Ok(matrix);
    }
    #[expect(unsafe_code, reason = "the binding gives the memory of a tensor as a pointer only")]
    // SAFETY: all three are contiguous on the processor, of the kinds that the slices have and of as many elements, and
    // alive to the end of this function; nobody else has a handle to the new matrix, which is
    // filled before there is a slice of it. The slice of a tensor without elements
    // is not made from its pointer, which is null.
    let (from, at, to) = unsafe {
        let from: &[f32] = slice(numbers.data_ptr().cast(), numbers.numel());
        let at: &[P] = slice(indices.data_ptr().cast(), indices.numel());
        // Zeros by libtorch would wake its threads for each batch.
        std::ptr::write_bytes(matrix.data_ptr().cast::<f32>(), 0, matrix.numel());
        (from, at, std::slice::from_raw_parts_mut(matrix.data_ptr().cast::<f32>(), matrix.numel()))
    };
    for (number, row) in to.chunks_exact_mut(all).enumerate() {
        if let (Some(to), Some(from)) = (row.get_mut(..each), from.get(number * each..(number + 1) * each)) {
            to.copy_from_slice(from);
        }
        for place in at.iter().skip(number * of_indices).take(of_indices) {
            let Ok(place) = (*place).try_into() else { continue };
            match row.get_mut(each + place) {
                Some(cell) => *cell = 1.0,
                None => return Err(refused(numbers, indices, format!("a place is not below {width}"))),
            }
        }
    }
    Ok(matrix)
}

#[expect(unsafe_code, reason = "called with the memory of a tensor")]
/// As `from_raw_parts`, but for no elements the pointer may be anything.
unsafe fn slice<'a, T>(start: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: what the caller promises.
    unsafe { std::slice::from_raw_parts(start, count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    #[test]
    fn memory_and_operations_give_the_same() {
        for (rows, each, kind) in [(5, 3, Kind::Int16), (4, 0, Kind::Int), (0, 2, Kind::Int16)] {
            let numbers = Key::new(1, "x").normal(&[rows, each], Kind::Float, Device::Cpu).unwrap();
            // Of two columns the first has the indices 0 and 1, the second 2 and 3.
            let indices = Key::new(2, "p").normal(&[rows, 2], Kind::Float, Device::Cpu).unwrap();
            let indices = (indices.sign() - 1.0) / 2.0 + Tensor::from_slice(&[0.0_f32, 3.0]);
            let indices = indices.to_kind(kind);
            let matrix = expand(&numbers, &indices, 4).unwrap();
            assert_eq!(matrix.size(), [rows, each + 4]);
            assert_eq!(matrix, scattered(&numbers, &indices, 4).unwrap());
            let double = expand(&numbers.to_kind(Kind::Double), &indices, 4).unwrap();
            assert_eq!(double, matrix.to_kind(Kind::Double));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let numbers = Tensor::zeros([2, 1], (Kind::Float, Device::Cpu));
        let indices = Tensor::from_slice(&[0_i16, 2]).reshape([2, 1]);
        assert!(expand(&numbers, &indices, 2).unwrap_err().to_string().contains("below 2"));
        assert!(expand(&numbers, &indices.to_kind(Kind::Int64), 3).is_err());
        assert!(expand(&numbers, &indices.narrow(0, 0, 1), 3).is_err());
    }
}
