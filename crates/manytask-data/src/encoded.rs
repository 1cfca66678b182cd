//! Inputs as tensors.

use manytask_tensor::{Device, Kind, Tensor, one_hot};

use crate::Result;

/// Inputs as a network takes them.
///
/// One-hot categories are kept as indices: a row of Census-Income takes 94 bytes, as a matrix of float32 it takes 1.6 kB.
/// [`Encoded::matrix`] makes the matrix of those rows that are at hand.
#[derive(Debug)]
pub struct Encoded {
    /// Numbers, `[N, F]` float32.
    pub dense: Tensor,
    /// One-hot categories, if there are any: they follow the numbers.
    pub one_hot: Option<OneHot>,
    /// Numbers of categories for embedding layers, `[N, C]` int64, if there are any such columns.
    pub categorical: Option<Tensor>,
}

/// Columns of one-hot categories, without their zeros.
#[derive(Debug)]
pub struct OneHot {
    /// The place of each column's one, `[N, C]`, int16 or, for more than 32,767 indices, int32. Indices are counted from 0
    /// through all columns, so that they are also rows of a weight matrix; negative: the row has no one in this column.
    pub indices: Tensor,
    /// The number of indices.
    pub width: i64,
}

impl OneHot {
    /// The place of a value that was not seen in the training split.
    pub const NONE: i32 = -1;

    /// From the indices of rows, one row after the other, in so many columns.
    pub(crate) fn new(indices: &[i32], columns: i64, width: i64) -> Result<Self> {
        let indices = if width <= i64::from(i16::MAX) {
            Tensor::f_from_slice(&indices.iter().map(|place| *place as i16).collect::<Vec<_>>())?
        } else {
            Tensor::f_from_slice(indices)?
        };
        Ok(Self { indices: indices.f_reshape([-1, columns])?, width })
    }

    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { indices: f(&self.indices)?, width: self.width })
    }
}

impl Encoded {
    /// Numbers alone, `[N, F]` float32.
    pub fn numbers(dense: Tensor) -> Self {
        Self { dense, one_hot: None, categorical: None }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.dense.size().first().copied().unwrap_or_default() as usize
    }

    /// Numbers and one-hot categories as one matrix, `[N, D]` float32.
    ///
    /// # Errors
    /// When a place is not below the width, or memory runs out.
    pub fn matrix(&self) -> Result<Tensor> {
        match &self.one_hot {
            None => Ok(self.dense.shallow_clone()),
            Some(categories) => Ok(one_hot::expand(&self.dense, &categories.indices, categories.width)?),
        }
    }

    /// The rows with these numbers, `[B]` int64 on the same device.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        self.map(|tensor| Ok(manytask_tensor::rows::select(tensor, rows)?))
    }

    /// So many rows from one on, in the same memory.
    pub fn narrow(&self, start: i64, length: i64) -> Result<Self> {
        self.map(|tensor| Ok(tensor.f_narrow(0, start, length)?))
    }

    /// The rows of several, one after the other. Forms and widths are those of the first.
    ///
    /// # Errors
    /// When there is none, or their forms differ.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        let joined = |of: &dyn Fn(&Self) -> Option<Tensor>| -> Result<Option<Tensor>> {
            let tensors: Vec<Tensor> = parts.iter().filter_map(|part| of(part)).collect();
            if tensors.is_empty() { Ok(None) } else { Ok(Some(Tensor::f_cat(&tensors, 0)?)) }
        };
        let dense = joined(&|part| Some(part.dense.shallow_clone()))?;
        let indices = joined(&|part| part.one_hot.as_ref().map(|one_hot| one_hot.indices.shallow_clone()))?;
        let width = parts.iter().find_map(|part| part.one_hot.as_ref()).map(|one_hot| one_hot.width);
        Ok(Self {
            dense: dense.unwrap_or_else(|| Tensor::zeros([0, 0], (Kind::Float, Device::Cpu))),
            one_hot: indices.zip(width).map(|(indices, width)| OneHot { indices, width }),
            categorical: joined(&|part| part.categorical.as_ref().map(Tensor::shallow_clone))?,
        })
    }

    /// The same rows on a device.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        self.map(|tensor| Ok(tensor.f_to_device(device)?))
    }

    /// A second handle to the same memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let own =
            |one_hot: &OneHot| OneHot { indices: one_hot.indices.shallow_clone(), width: one_hot.width };
        Self {
            dense: self.dense.shallow_clone(),
            one_hot: self.one_hot.as_ref().map(own),
            categorical: self.categorical.as_ref().map(Tensor::shallow_clone),
        }
    }

    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            dense: f(&self.dense)?,
            one_hot: self.one_hot.as_ref().map(|one_hot| one_hot.map(&f)).transpose()?,
            categorical: self.categorical.as_ref().map(&f).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> Encoded {
        let dense = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).reshape([3, 1]);
        let one_hot = OneHot::new(&[0, 2, 1, OneHot::NONE, 0, 3], 2, 4).unwrap();
        let categorical = Some(Tensor::from_slice(&[5_i64, 6, 7]).reshape([3, 1]));
        Encoded { dense, one_hot: Some(one_hot), categorical }
    }

    fn rows(encoded: &Encoded) -> Vec<f32> {
        Vec::try_from(encoded.matrix().unwrap().reshape([-1])).unwrap()
    }

    const MATRIX: [[f32; 5]; 3] =
        [[1.0, 1.0, 0.0, 1.0, 0.0], [2.0, 0.0, 1.0, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0, 1.0]];

    #[test]
    fn rows_are_the_same_whenever_the_matrix_is_made() {
        let all = encoded();
        assert_eq!(rows(&all), MATRIX.concat());
        let some = all.select(&Tensor::from_slice(&[2_i64, 0])).unwrap();
        assert_eq!(rows(&some), [MATRIX[2], MATRIX[0]].concat());
        assert_eq!(some.categorical.as_ref().unwrap().int64_value(&[0, 0]), 7);
        let middle = all.narrow(1, 1).unwrap();
        assert_eq!(rows(&middle), MATRIX[1]);
        let both = Encoded::cat(&[&middle, &some]).unwrap();
        assert_eq!(rows(&both), [MATRIX[1], MATRIX[2], MATRIX[0]].concat());
        assert_eq!(both.categorical.unwrap().size(), [3, 1]);
    }

    #[test]
    fn many_places_take_wider_numbers() {
        let wide = OneHot::new(&[40_000], 1, 40_001).unwrap();
        assert_eq!((wide.indices.kind(), wide.indices.int64_value(&[0, 0])), (Kind::Int, 40_000));
        assert_eq!(encoded().one_hot.unwrap().indices.kind(), Kind::Int16);
    }
}
