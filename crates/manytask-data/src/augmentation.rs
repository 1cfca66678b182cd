//! Training rows that are changed at random, anew each time they are seen.

mod mixup;
mod pictures;

use manytask_tensor::random::Key;
use manytask_tensor::{Kind, Tensor, masked_fill};
use serde::{Deserialize, Serialize};

use crate::{Batch, Encoded, Error, Images, Inputs, OneHot, Result};

/// How the rows of training batches are changed. What is not set changes nothing; splits that are judged by are never changed.
///
/// Every draw is keyed, so a batch that is made again is changed in the same way. Labels stay as they are, but for `mixup`: whoever turns
/// pictures decides that their labels do not depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Of tables and vectors: the deviation of normal noise that is added to numbers, in units of the encoded columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// Of tables and vectors: the share of values that are taken away, at random: numbers become 0, their mean where they are standardised, one-hot
    /// categories none. Embedded categories stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_dropout: Option<f64>,
    /// Of pictures: mirrored with the probability 1/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip: Option<Flip>,
    /// Of pictures: shifted by up to so many whole pixels in either direction, as a crop of a picture with a black border of that width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<u32>,
    /// Of pictures: turned by up to so many degrees to either side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<f64>,
    /// Of pictures: made larger or smaller by up to this share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom: Option<f64>,
    /// Of pictures: a square with sides of so many pixels becomes black (`DeVries` & Taylor 2017, arXiv:1708.04552).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutout: Option<u32>,
    /// Of all inputs: rows are mixed with others in proportions λ and 1 − λ, λ from the beta distribution of α and α for each batch, and the
    /// losses for both rows' labels count by λ and 1 − λ (Zhang et al. 2018, arXiv:1710.09412). A step costs as much as one of twice the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// The same of activations, before a layer of the trunk or behind the last that is drawn for each batch (manifold mixup: Verma et al.
    /// 2019, arXiv:1806.05236).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifold_mixup: Option<f64>,
}

/// Which way pictures are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Left and right.
    Horizontal,
    /// Above and below.
    Vertical,
    /// Both, each for itself.
    Both,
}

impl Augmentation {
    /// Whether it changes anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        let numbers = [
            ("noise", self.noise, 0.0..=f64::MAX, "at least 0"),
            ("feature_dropout", self.feature_dropout, 0.0..=1.0 - f64::EPSILON, "at least 0 and below 1"),
            ("rotation", self.rotation, 0.0..=180.0, "from 0 to 180, in degrees"),
            ("zoom", self.zoom, 0.0..=0.9, "from 0 to 0.9"),
            ("mixup", self.mixup, 1e-3..=1e3, "from 0.001 to 1000"),
            ("manifold_mixup", self.manifold_mixup, 1e-3..=1e3, "from 0.001 to 1000"),
        ];
        for (key, value, range, says) in numbers {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                return Err(Error::config(key, format!("augment: {key} is {value}; it must be {says}")));
            }
        }
        if self.mixup.is_some() && self.manifold_mixup.is_some() {
            let what = "augment: rows are mixed by `mixup` and by `manifold_mixup`, which mixes inputs too; leave one out";
            return Err(Error::config("manifold_mixup", what));
        }
        Ok(())
    }

    /// Refuses what has no effect on inputs of these forms, or is not known of them.
    ///
    /// # Errors
    /// With the setting and the remedy.
    pub fn check_inputs(&self, inputs: &[Inputs]) -> Result<()> {
        self.check()?;
        let pictures = inputs.iter().any(|inputs| matches!(inputs, Inputs::Images(_)));
        let of_rows = [("noise", self.noise.is_some()), ("feature_dropout", self.feature_dropout.is_some())];
        let of_pictures = [
            ("flip", self.flip.is_some()),
            ("crop", self.crop.is_some()),
            ("rotation", self.rotation.is_some()),
            ("zoom", self.zoom.is_some()),
            ("cutout", self.cutout.is_some()),
        ];
        let (wrong, kind) = if pictures { (&of_rows[..], "tables") } else { (&of_pictures[..], "pictures") };
        if let Some((key, _)) = wrong.iter().find(|(_, is_set)| *is_set) {
            return Err(Error::config(
                *key,
                format!("augment: `{key}` is for {kind}, which these inputs are not; leave it out"),
            ));
        }
        let embedded =
            |inputs: &Inputs| inputs.features().is_some_and(|features| features.categorical.is_some());
        if self.mixup.is_some() && inputs.iter().any(embedded) {
            let what = "augment: embedded categories cannot be mixed; name these columns under `one_hot`, or leave mixup out";
            return Err(Error::config("mixup", what));
        }
        Ok(())
    }

    /// A changed batch; the draws are keyed by `key`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn apply(&self, batch: Batch, key: Key) -> Result<Batch> {
        let inputs =
            batch.inputs.iter().zip(0..).map(|(inputs, stream)| self.inputs(inputs, key.task(stream)));
        let batch = Batch { inputs: inputs.collect::<Result<_>>()?, ..batch };
        match (self.mixup, self.manifold_mixup) {
            (Some(alpha), _) => mixup::mixed(&batch, mixup::share(alpha, mix_key(key)), mix_key(key)),
            (None, Some(alpha)) => mixup::twice(&batch, mixup::share(alpha, mix_key(key)), mix_key(key)),
            (None, None) => Ok(batch),
        }
    }

    /// With `manifold_mixup`, the share λ of a row itself in what it is mixed to, and the key by which the batch that was changed with `key`
    /// is in order: the other row of each has the place that it has in a permutation drawn by it.
    pub fn hidden_mix(&self, key: Key) -> Option<(f64, Key)> {
        self.manifold_mixup.map(|alpha| (mixup::share(alpha, mix_key(key)), mix_key(key).task(0)))
    }

    fn inputs(&self, inputs: &Inputs, key: Key) -> Result<Inputs> {
        Ok(match inputs {
            Inputs::Features(features) => Inputs::Features(self.features(features, key)?),
            Inputs::Vectors(vectors) => Inputs::Vectors(self.numbers(vectors, key)?),
            Inputs::Images(images) if self.moves() || self.cutout.is_some() => {
                let unit = if images.pixels().kind() == Kind::Uint8 { 255.0 } else { 1.0 };
                let pixels = images.pixels().f_to_kind(Kind::Float)?.f_div_scalar(unit)?;
                let pixels =
                    if self.moves() { pictures::moved(self, &pixels, key.within(3))? } else { pixels };
                let pixels = match self.cutout {
                    None => pixels,
                    Some(side) => pictures::cut(&pixels, i64::from(side), key.within(4))?,
                };
                Inputs::Images(Images::new(pixels, images.normalisation().clone())?)
            }
            Inputs::Images(images) => Inputs::Images(images.shallow_clone()),
        })
    }

    fn moves(&self) -> bool {
        self.flip.is_some() || self.crop.is_some() || self.rotation.is_some() || self.zoom.is_some()
    }

    /// Numbers with noise, some of them taken away.
    fn numbers(&self, numbers: &Tensor, key: Key) -> Result<Tensor> {
        let mut changed = numbers.shallow_clone();
        if let Some(deviation) = self.noise {
            let noise = key.within(0).normal(&numbers.size(), numbers.kind(), numbers.device())?;
            changed = changed.f_add(&noise.f_mul_scalar(deviation)?)?;
        }
        if let Some(share) = self.feature_dropout {
            changed = masked_fill(&changed, &taken(&changed, share, key.within(1))?, 0.0)?;
        }
        Ok(changed)
    }

    fn features(&self, features: &Encoded, key: Key) -> Result<Encoded> {
        let dense = self.numbers(&features.dense, key)?;
        let one_hot = match (&features.one_hot, self.feature_dropout) {
            (Some(OneHot { indices, width }), Some(share)) => {
                let taken = taken(indices, share, key.within(2))?;
                Some(OneHot {
                    indices: masked_fill(indices, &taken, f64::from(OneHot::NONE))?,
                    width: *width,
                })
            }
            _ => features.shallow_clone().one_hot,
        };
        Ok(Encoded { dense, one_hot, categorical: features.shallow_clone().categorical })
    }
}

/// Which values are taken away, true with the probability `share`.
fn taken(like: &Tensor, share: f64, key: Key) -> Result<Tensor> {
    let drawn = key.uniform(0.0, 1.0, &like.size(), Kind::Float, like.device())?;
    Ok(drawn.f_lt(share)?)
}

#[cfg(test)]
mod tests;

/// By what rows are mixed, of what a batch is changed by.
fn mix_key(key: Key) -> Key {
    key.within(9)
}
