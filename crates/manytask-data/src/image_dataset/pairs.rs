use manytask_tensor::ShownPath as _;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::read::Labelled;
use super::rows_of;
use crate::picture::check_size;
use crate::{Error, Note, Result};

/// Two images in one: the first in the upper left corner of a canvas, the second in the lower right one, and where they overlap
/// the larger value of each pixel (`MultiMNIST` of Sabour et al. 2017, arXiv:1710.09829, as two tasks in Sener & Koltun 2018,
/// arXiv:1810.04650).
///
/// Pairs are made within each split, as many as it has images: each image is once the first and once the second, drawn by a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pairs {
    /// The side of the canvas in pixels.
    pub canvas: usize,
}

impl Default for Pairs {
    fn default() -> Self {
        Self { canvas: 36 }
    }
}

impl Pairs {
    pub(super) fn check(self) -> Result<()> {
        check_size(self.canvas).map_err(|_| {
            Error::config(
                "canvas",
                format!("pairs: `canvas` is {}, it must be a side of 1 to 1024 pixels", self.canvas),
            )
        })
    }

    pub(super) fn note(self) -> Note {
        Note(format!(
            "two images of a split make one of {0} x {0} pixels, each is once the upper left (`left`) and once the lower right (`right`) one",
            self.canvas
        ))
    }

    /// The canvases of a split, with the labels of both images one after the other.
    pub(super) fn make(self, of: Labelled, seed: u64, split: &str) -> Result<Labelled> {
        let &[count, channels, height, width] = of.images.size().as_slice() else {
            return Err(Error::config(WHOLE, "images to be paired must be [N, C, H, W]"));
        };
        let side = self.canvas as i64;
        if side < height || side < width {
            return Err(Error::config(
                "canvas",
                format!(
                    "pairs: `canvas` is {side}, but the images of {} are {height} x {width} pixels; take a larger one",
                    of.path.shown()
                ),
            ));
        }
        let second = Key::new(seed, &format!("pairs, {split}")).permutation(count as usize);
        let images = Tensor::f_zeros([count, channels, side, side], (Kind::Uint8, Device::Cpu))?;
        let corner = |start: (i64, i64)| -> Result<Tensor> {
            Ok(images.f_narrow(2, start.0, height)?.f_narrow(3, start.1, width)?)
        };
        corner((0, 0))?.f_copy_(&of.images)?;
        let mut below = corner((side - height, side - width))?;
        let larger = below.f_maximum(&rows_of(&of.images, &second)?)?;
        below.f_copy_(&larger)?;
        let second = of.columns.iter().map(|column| {
            second.iter().filter_map(|row| column.get(*row as usize).copied()).collect::<Vec<u8>>()
        });
        let second = second.collect();
        Ok(Labelled { images, second: Some(second), ..of })
    }
}
