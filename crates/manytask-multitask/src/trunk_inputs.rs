use manytask_data::{Encoded, Inputs};
use manytask_nn::dense::{DenseChain, Input};
use manytask_tensor::dense::{Real, values};
use manytask_tensor::one_hot::OneHotRows;
use manytask_tensor::{Kind, Tensor};

use crate::Result;

/// What comes into a trunk that is a chain: as a matrix, or without its zeros where that is faster.
#[derive(Debug)]
pub(crate) struct TrunkInputs {
    encoded: Encoded,
    matrix: Option<Tensor>,
}

impl TrunkInputs {
    /// Images and vectors become rows of numbers of this kind; numbers of a table stay of theirs.
    ///
    /// # Errors
    /// When they are not as wide as the chain is.
    pub(crate) fn new(inputs: &Inputs, chain: &DenseChain, kind: Kind) -> Result<Self> {
        let encoded = match inputs {
            Inputs::Features(features) => features.shallow_clone(),
            Inputs::Images(_) | Inputs::Vectors(_) => {
                let rows = inputs.tensor(kind)?;
                Encoded::numbers(if rows.dim() > 2 { rows.f_flatten(1, -1)? } else { rows })
            }
        };
        let width = encoded.dense.size().get(1).copied().unwrap_or_default()
            + encoded.one_hot.as_ref().map_or(0, |one_hot| one_hot.width);
        if encoded.dense.dim() != 2 || width != chain.inputs() as i64 {
            let (what, found) = ("inputs of the trunk".into(), vec![encoded.rows() as i64, width]);
            let expected = vec![-1, chain.inputs() as i64];
            return Err(manytask_tensor::Error::Shape { what, expected, found }.into());
        }
        let matrix = if sparse_is_cheaper(&encoded) { None } else { Some(encoded.matrix()?.f_contiguous()?) };
        Ok(Self { encoded, matrix })
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.encoded.rows()
    }

    /// As a matrix in any case.
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        match &self.matrix {
            Some(matrix) => Ok(matrix.shallow_clone()),
            None => Ok(self.encoded.matrix()?.f_contiguous()?),
        }
    }

    /// As a layer takes them.
    pub(crate) fn borrow<T: Real>(&self) -> Result<Input<'_, T>> {
        match (&self.matrix, &self.encoded) {
            (None, Encoded { dense, one_hot: Some(one_hot), .. }) => {
                Ok(Input::OneHot(OneHotRows::new(dense, &one_hot.indices, one_hot.width as usize)?))
            }
            (matrix, Encoded { dense, .. }) => Ok(Input::Full(values(matrix.as_ref().unwrap_or(dense))?)),
        }
    }
}

/// Whether sums of the weights' columns at the ones take less time than products with a matrix.
///
/// Columns are turned into rows first, which takes as long as 35 rows of a product; an addition takes as long as three of the
/// product's multiplications (measured for 7 numbers and 33 categories in 492 indices, 128 outputs). Counted twice: a product
/// has use for a second thread sooner.
fn sparse_is_cheaper(encoded: &Encoded) -> bool {
    let Some(one_hot) = &encoded.one_hot else { return false };
    let columns = one_hot.indices.size().get(1).copied().unwrap_or_default();
    let (rows, width) = (encoded.rows() as i64, one_hot.width);
    encoded.dense.is_contiguous()
        && one_hot.indices.is_contiguous()
        && rows * width > 2 * (35 * width + 3 * rows * columns)
}
