//! Features of pixels as rows of features, as heads take them.

use manytask_tensor::Tensor;

use super::Rows;
use super::features::Features;
use crate::{Error, Result};

/// Features of pictures, where a trunk gave such, with a row for each pixel.
pub(super) enum PixelRows {
    All(Tensor),
    Stacked(Tensor),
    Each(Vec<Tensor>),
}

impl PixelRows {
    /// `None` where features are rows already.
    ///
    /// # Errors
    /// When tasks have pictures of their own.
    pub(super) fn of(features: &Features<'_>) -> Result<Option<Self>> {
        Ok(match features {
            Features::All(all, Rows::Shared) if all.dim() == 4 => Some(Self::All(rows(all)?)),
            Features::All(all, Rows::Own(_)) if all.dim() == 4 => {
                return Err(Error::setting(
                    "trunk",
                    "predictions of pixels, but each task has pictures of its own",
                    "give all tasks the same pictures, with missing labels where a task has none",
                ));
            }
            Features::Stacked(all) if all.dim() == 5 => {
                let tasks = all.size().first().copied().unwrap_or_default();
                let rows = rows(&all.f_flatten(0, 1)?)?;
                let features = rows.size().last().copied().unwrap_or_default();
                Some(Self::Stacked(rows.f_reshape([tasks, -1, features])?))
            }
            Features::Each(each) if each.iter().any(|own| own.dim() == 4) => {
                Some(Self::Each(each.iter().map(rows).collect::<Result<_>>()?))
            }
            _ => None,
        })
    }

    pub(super) fn features(&self) -> Features<'_> {
        match self {
            Self::All(all) => Features::All(all, &Rows::Shared),
            Self::Stacked(all) => Features::Stacked(all),
            Self::Each(each) => Features::Each(each),
        }
    }
}

/// What is no picture stays; `[B, F, H, W]` to `[B · H · W, F]`, the rows of a picture one after the other: a linear head is then a convolution of 1 × 1.
pub(crate) fn rows(pictures: &Tensor) -> Result<Tensor> {
    if pictures.dim() != 4 {
        return Ok(pictures.shallow_clone());
    }
    let features = pictures.size().get(1).copied().unwrap_or_default();
    Ok(pictures.f_movedim_int(1, -1)?.f_reshape([-1, features])?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn pixels_are_rows_in_the_order_of_their_labels() {
        let x = Tensor::arange(2 * 3 * 4 * 5, (Kind::Double, Device::Cpu)).reshape([2, 3, 4, 5]);
        let found = rows(&x).unwrap();
        assert_eq!(found.size(), [40, 3]);
        for (picture, row, column) in [(0, 0, 0), (1, 2, 3), (1, 3, 4)] {
            for channel in 0..3 {
                let at = (picture * 4 + row) * 5 + column;
                let expected = x.double_value(&[picture, channel, row, column]);
                assert_eq!(found.double_value(&[at, channel]), expected);
            }
        }
        let both = Tensor::stack(&[&x, &(&x * 2.0)], 0);
        let of = |features: &Features<'_>| PixelRows::of(features).unwrap();
        let Some(PixelRows::Stacked(stacked)) = of(&Features::Stacked(&both)) else { panic!("rows") };
        assert_eq!((stacked.size(), stacked.get(1)), (vec![2, 40, 3], &found * 2.0));
        assert!(of(&Features::All(&found, &Rows::Shared)).is_none());
        assert!(PixelRows::of(&Features::All(&x, &Rows::Own(vec![(0, 1), (1, 1)]))).is_err());
    }
}
