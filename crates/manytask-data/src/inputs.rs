//! Inputs of a network as tensors: features, images or vectors.

mod images;

use std::mem::discriminant;

use manytask_tensor::{Device, Kind, Tensor, WHOLE};

pub use self::images::{Images, Normalisation};
use crate::{Encoded, Error, Result};

/// Rows of inputs, in one of the forms that a network takes. Each is kept as small as it is: a network makes numbers of the
/// rows at hand only, with [`Inputs::tensor`].
///
/// ```
/// use manytask_data::{Images, Inputs, Normalisation};
/// use manytask_tensor::{Device, Kind, Tensor};
/// let pixels = Tensor::full([60, 1, 28, 28], 51, (Kind::Uint8, Device::Cpu));
/// let inputs = Inputs::Images(Images::new(pixels, Normalisation::default())?);
/// let batch = inputs.select(&Tensor::from_slice(&[3_i64, 7]))?; // still bytes
/// assert_eq!((batch.rows(), batch.row_shape()), (2, vec![1, 28, 28]));
/// assert_eq!(batch.tensor(Kind::Double)?.double_value(&[0, 0, 0, 0]), 51.0 / 255.0);
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug)]
pub enum Inputs {
    /// Columns of a table: numbers, one-hot categories and categories for embedding layers.
    Features(Encoded),
    /// Images `[N, C, H, W]`.
    Images(Images),
    /// Vectors `[N, D]` of any floating-point kind, such as embeddings that another network made.
    Vectors(Tensor),
}

impl Inputs {
    /// Features that are numbers alone, `[N, F]`.
    pub fn numbers(dense: Tensor) -> Self {
        Self::Features(Encoded::numbers(dense))
    }

    /// Vectors `[N, D]`.
    ///
    /// # Errors
    /// When the tensor has not two dimensions or is not of a floating-point kind.
    pub fn vectors(vectors: Tensor) -> Result<Self> {
        if vectors.dim() == 2 && is_float(vectors.kind()) {
            return Ok(Self::Vectors(vectors));
        }
        Err(Error::config(
            WHOLE,
            format!(
                "vectors must be [N, D] of floating-point numbers, these are {:?} of {:?}",
                vectors.size(),
                vectors.kind()
            ),
        ))
    }

    /// The columns of a table, where the inputs are such.
    pub fn features(&self) -> Option<&Encoded> {
        match self {
            Self::Features(features) => Some(features),
            Self::Images(_) | Self::Vectors(_) => None,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.leading().size().first().copied().unwrap_or_default() as usize
    }

    /// The shape of a row of [`Inputs::tensor`]: `[D]`, or `[C, H, W]`. Categories for embedding layers are not in it.
    pub fn row_shape(&self) -> Vec<i64> {
        let shape = || self.leading().size().into_iter().skip(1);
        match self {
            Self::Features(Encoded { one_hot: Some(one_hot), .. }) => {
                vec![shape().sum::<i64>() + one_hot.width]
            }
            _ => shape().collect(),
        }
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.leading().device()
    }

    /// The rows as one tensor of this kind, `[N, D]` or `[N, C, H, W]`. Categories for embedding layers are not in it.
    ///
    /// # Errors
    /// When memory runs out, or a one-hot index is not below the width.
    pub fn tensor(&self, kind: Kind) -> Result<Tensor> {
        match self {
            Self::Features(features) => Ok(features.matrix()?.f_to_kind(kind)?),
            Self::Images(images) => images.tensor(kind),
            Self::Vectors(vectors) => Ok(vectors.f_to_kind(kind)?),
        }
    }

    /// The rows with these numbers, `[B]` int64 on the same device.
    ///
    /// # Errors
    /// When a number is not one of a row's.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        let select = |tensor: &Tensor| Ok(manytask_tensor::rows::select(tensor, rows)?);
        match self {
            Self::Features(features) => Ok(Self::Features(features.select(rows)?)),
            Self::Images(images) => Ok(Self::Images(images.map(select)?)),
            Self::Vectors(vectors) => Ok(Self::Vectors(select(vectors)?)),
        }
    }

    /// So many rows from one on, in the same memory.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn narrow(&self, start: i64, length: i64) -> Result<Self> {
        let narrow = |tensor: &Tensor| Ok(tensor.f_narrow(0, start, length)?);
        match self {
            Self::Features(features) => Ok(Self::Features(features.narrow(start, length)?)),
            Self::Images(images) => Ok(Self::Images(images.map(narrow)?)),
            Self::Vectors(vectors) => Ok(Self::Vectors(narrow(vectors)?)),
        }
    }

    /// The rows of several, one after the other. Widths and normalisation are those of the first.
    ///
    /// # Errors
    /// When there is none, or their forms or shapes differ.
    pub fn cat(all: &[&Self]) -> Result<Self> {
        let Some(first) = all.first() else {
            return Err(Error::config(WHOLE, "there are no inputs to join"));
        };
        if all.iter().any(|inputs| discriminant(*inputs) != discriminant(*first)) {
            return Err(Error::config(WHOLE, "inputs of different forms cannot be joined"));
        }
        let joined = || -> Result<Tensor> {
            let tensors: Vec<&Tensor> = all.iter().map(|inputs| inputs.leading()).collect();
            Ok(Tensor::f_cat(&tensors, 0)?)
        };
        match first {
            Self::Features(_) => {
                let features: Vec<&Encoded> = all.iter().filter_map(|inputs| inputs.features()).collect();
                Ok(Self::Features(Encoded::cat(&features)?))
            }
            Self::Images(images) => Ok(Self::Images(images.map(|_| joined())?)),
            Self::Vectors(_) => Ok(Self::Vectors(joined()?)),
        }
    }

    /// The same rows on a device.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        let to = |tensor: &Tensor| Ok(tensor.f_to_device(device)?);
        match self {
            Self::Features(features) => Ok(Self::Features(features.to_device(device)?)),
            Self::Images(images) => Ok(Self::Images(images.map(to)?)),
            Self::Vectors(vectors) => Ok(Self::Vectors(to(vectors)?)),
        }
    }

    /// A second handle to the same memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Features(features) => Self::Features(features.shallow_clone()),
            Self::Images(images) => Self::Images(images.shallow_clone()),
            Self::Vectors(vectors) => Self::Vectors(vectors.shallow_clone()),
        }
    }

    /// The tensor that has every row.
    fn leading(&self) -> &Tensor {
        match self {
            Self::Features(features) => &features.dense,
            Self::Images(images) => images.pixels(),
            Self::Vectors(vectors) => vectors,
        }
    }
}

impl From<Encoded> for Inputs {
    fn from(features: Encoded) -> Self {
        Self::Features(features)
    }
}

impl From<Images> for Inputs {
    fn from(images: Images) -> Self {
        Self::Images(images)
    }
}

/// Whether tensors of this kind hold floating-point numbers.
fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OneHot;

    /// Three rows of each form, each row with its number in it.
    fn forms() -> [Inputs; 3] {
        let numbers = || Tensor::arange(3, (Kind::Float, Device::Cpu));
        let one_hot = OneHot::new(&[0, 1, 0], 1, 2).unwrap();
        let features =
            Encoded { dense: numbers().reshape([3, 1]), one_hot: Some(one_hot), categorical: None };
        let pixels = numbers().to_kind(Kind::Uint8).reshape([3, 1, 1, 1]).repeat([1, 1, 2, 2]);
        let vectors = numbers().to_kind(Kind::Half).reshape([3, 1]).repeat([1, 4]);
        [
            Inputs::from(features),
            Inputs::from(Images::new(pixels, Normalisation::default()).unwrap()),
            Inputs::vectors(vectors).unwrap(),
        ]
    }

    /// The first number of each row.
    fn firsts(inputs: &Inputs) -> Vec<f64> {
        let numbers = inputs.tensor(Kind::Double).unwrap().to_kind(Kind::Double);
        Vec::try_from(numbers.reshape([inputs.rows() as i64, -1]).select(1, 0).contiguous()).unwrap()
    }

    #[test]
    fn every_form_is_gathered_narrowed_and_joined_alike() {
        let shapes = [vec![3], vec![1, 2, 2], vec![4]];
        for (inputs, shape) in forms().into_iter().zip(shapes) {
            let unit = firsts(&inputs)[1];
            let numbers = |inputs: &Inputs| firsts(inputs).iter().map(|x| x / unit).collect::<Vec<_>>();
            assert_eq!((inputs.rows(), inputs.row_shape()), (3, shape.clone()));
            assert_eq!(inputs.tensor(Kind::Float).unwrap().size()[1..], shape);
            let some = inputs.select(&Tensor::from_slice(&[2_i64, 0])).unwrap();
            let middle = inputs.narrow(1, 1).unwrap().to_device(Device::Cpu).unwrap();
            assert_eq!((numbers(&some), numbers(&middle)), (vec![2.0, 0.0], vec![1.0]));
            let both = Inputs::cat(&[&middle, &some.shallow_clone()]).unwrap();
            assert_eq!(numbers(&both), [1.0, 2.0, 0.0]);
            assert!(inputs.select(&Tensor::from_slice(&[3_i64])).is_err());
        }
    }

    #[test]
    fn images_and_vectors_stay_as_small_as_they_are() {
        let [features, images, vectors] = forms();
        let kinds = [&features, &images, &vectors].map(|inputs| {
            let some = inputs.select(&Tensor::from_slice(&[1_i64])).unwrap();
            some.leading().kind()
        });
        assert_eq!(kinds, [Kind::Float, Kind::Uint8, Kind::Half]);
        assert_eq!(vectors.tensor(Kind::Float).unwrap().kind(), Kind::Float);
    }

    #[test]
    fn forms_are_not_mixed_and_vectors_are_numbers() {
        let [features, images, vectors] = forms();
        assert!(Inputs::cat(&[]).is_err());
        for (a, b) in [(&features, &images), (&images, &vectors), (&vectors, &features)] {
            let error = Inputs::cat(&[a, b]).unwrap_err().to_string();
            assert!(error.contains("different forms"), "{error}");
        }
        let numbers = |shape: &[i64], kind| Inputs::vectors(Tensor::zeros(shape, (kind, Device::Cpu)));
        assert!(numbers(&[2, 3], Kind::Int64).is_err() && numbers(&[2], Kind::Float).is_err());
        assert!(numbers(&[2, 3], Kind::BFloat16).is_ok());
    }
}
