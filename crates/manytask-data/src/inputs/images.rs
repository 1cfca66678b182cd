use manytask_tensor::{Kind, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::is_float;
use crate::{Error, Result};

/// Images of one shape, kept as bytes where they are such.
#[derive(Debug)]
pub struct Images {
    pixels: Tensor,
    normalisation: Normalisation,
    /// What pixels are multiplied by, and what is added then, `[C, 1, 1]` float64 each; absent where nothing is done.
    affine: Option<(Tensor, Tensor)>,
}

/// What is done to the values of pixels, for each channel: `(value − mean) / std`. Bytes are taken for values in `[0, 1]`,
/// `byte / 255`, first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalisation {
    /// What is subtracted: one number for each channel, one for all, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// What the rest is divided by: one number for each channel, one for all, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
}

impl Normalisation {
    /// Refuses numbers that no image of so many channels can be normalised by.
    ///
    /// # Errors
    /// With the numbers and the remedy.
    pub fn check(&self, channels: usize) -> Result<()> {
        for (what, numbers) in [("mean", &self.mean), ("std", &self.std)] {
            if numbers.len() > 1 && numbers.len() != channels {
                return Err(Error::config(
                    what,
                    format!(
                        "normalisation: {} numbers under `{what}` for {channels} channels; give one for each, or one for all",
                        numbers.len()
                    ),
                ));
            }
            let odd = |x: &&f64| !x.is_finite() || (what == "std" && **x <= 0.0);
            if let Some(number) = numbers.iter().find(odd) {
                return Err(Error::config(
                    what,
                    format!("normalisation: `{what}` is {number}; means are finite, deviations above 0"),
                ));
            }
        }
        Ok(())
    }

    /// What brings each channel of images `[N, C, H, W]` of bytes to mean 0 and standard deviation 1 over all their pixels. A
    /// channel that never varies is only shifted.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn of(images: &Tensor) -> Result<Self> {
        let channels = images.size().get(1).copied().unwrap_or_default();
        let mut normalisation = Self::default();
        for channel in 0..channels {
            // How often each value occurs gives exact sums of any number of pixels.
            let pixels = images.f_select(1, channel)?.f_reshape([-1])?;
            let counts = Vec::<i64>::try_from(pixels.f_bincount(None::<&Tensor>, 256)?)?;
            let total: f64 = counts.iter().map(|count| *count as f64).sum();
            let mean_of = |f: &dyn Fn(f64) -> f64| {
                let sum: f64 =
                    counts.iter().zip(0..).map(|(n, byte)| *n as f64 * f(f64::from(byte) / 255.0)).sum();
                sum / total.max(1.0)
            };
            let mean = mean_of(&|x| x);
            let std = mean_of(&|x| (x - mean).powi(2)).sqrt();
            normalisation.mean.push(mean);
            normalisation.std.push(if std > 0.0 { std } else { 1.0 });
        }
        Ok(normalisation)
    }

    /// The mean and the deviation of a channel.
    fn channel(&self, channel: usize) -> (f64, f64) {
        let of = |numbers: &[f64]| numbers.get(channel).or(numbers.first()).copied();
        (of(&self.mean).unwrap_or(0.0), of(&self.std).unwrap_or(1.0))
    }
}

impl Images {
    /// Images `[N, C, H, W]`, of bytes or of floating-point numbers.
    ///
    /// # Errors
    /// When the tensor has another form, or the normalisation is not for its channels.
    pub fn new(pixels: Tensor, normalisation: Normalisation) -> Result<Self> {
        let (shape, kind) = (pixels.size(), pixels.kind());
        let &[_, channels, _, _] = shape.as_slice() else {
            return Err(Error::config(WHOLE, format!("images must be [N, C, H, W], these are {shape:?}")));
        };
        if kind != Kind::Uint8 && !is_float(kind) {
            return Err(Error::config(
                WHOLE,
                format!("images must be of unsigned bytes or floating-point numbers, these are of {kind:?}"),
            ));
        }
        let channels = usize::try_from(channels).unwrap_or_default();
        normalisation.check(channels)?;
        let unit = if kind == Kind::Uint8 { 255.0 } else { 1.0 };
        let plain = kind != Kind::Uint8 && normalisation == Normalisation::default();
        let affine = (!plain).then(|| -> Result<_> {
            let of = |f: &dyn Fn((f64, f64)) -> f64| -> Result<Tensor> {
                let numbers: Vec<f64> =
                    (0..channels).map(|channel| f(normalisation.channel(channel))).collect();
                Ok(Tensor::f_from_slice(&numbers)?.f_reshape([-1, 1, 1])?.f_to_device(pixels.device())?)
            };
            Ok((of(&|(_, std)| 1.0 / (unit * std))?, of(&|(mean, std)| -mean / std)?))
        });
        Ok(Self { affine: affine.transpose()?, pixels, normalisation })
    }

    /// `[N, C, H, W]`, as they are kept.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }

    /// What [`Images::tensor`] does to them.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    /// The images as numbers of this kind, `[N, C, H, W]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn tensor(&self, kind: Kind) -> Result<Tensor> {
        let Some((scale, shift)) = &self.affine else { return Ok(self.pixels.f_to_kind(kind)?) };
        let pixels = self.pixels.f_to_kind(kind)?.f_mul(&scale.f_to_kind(kind)?)?;
        if self.normalisation.mean.is_empty() {
            return Ok(pixels);
        }
        Ok(pixels.f_add(&shift.f_to_kind(kind)?)?)
    }

    /// The same images after a change of their tensor that keeps channels and kind.
    pub(super) fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let pixels = f(&self.pixels)?;
        let device = pixels.device();
        let affine = self.affine.as_ref().map(|(scale, shift)| -> Result<_> {
            Ok((scale.f_to_device(device)?, shift.f_to_device(device)?))
        });
        Ok(Self { pixels, normalisation: self.normalisation.clone(), affine: affine.transpose()? })
    }

    /// A second handle to the same memory.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let affine = self.affine.as_ref();
        Self {
            pixels: self.pixels.shallow_clone(),
            normalisation: self.normalisation.clone(),
            affine: affine.map(|(scale, shift)| (scale.shallow_clone(), shift.shallow_clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;

    use super::*;

    fn image(values: &[u8], channels: i64) -> Tensor {
        Tensor::from_slice(values).reshape([1, channels, 1, -1])
    }

    fn numbers(images: &Images) -> Vec<f64> {
        Vec::try_from(images.tensor(Kind::Double).unwrap().reshape([-1])).unwrap()
    }

    #[test]
    fn bytes_are_values_up_to_1_and_normalised_by_channel() {
        let plain = Images::new(image(&[0, 51, 255], 1), Normalisation::default()).unwrap();
        let expected = [0.0, 0.2, 1.0];
        assert!(numbers(&plain).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
        assert_eq!(plain.tensor(Kind::Float).unwrap().kind(), Kind::Float);
        let normalisation = Normalisation { mean: vec![0.5, 0.2], std: vec![0.5] };
        let two = Images::new(image(&[0, 255, 51, 255], 2), normalisation.clone()).unwrap();
        let expected = [-1.0, 1.0, 0.0, 1.6];
        assert!(
            numbers(&two).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15),
            "{:?}",
            numbers(&two)
        );
        let floats = Images::new(two.pixels().to_kind(Kind::Float) / 255.0, normalisation).unwrap();
        assert!(numbers(&floats).iter().zip(numbers(&two)).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn numbers_without_normalisation_are_left_as_they_are() {
        let pixels = Tensor::from_slice(&[3.5_f64, -2.0]).reshape([1, 1, 1, 2]);
        let images = Images::new(pixels.shallow_clone(), Normalisation::default()).unwrap();
        assert_eq!(images.tensor(Kind::Double).unwrap(), pixels);
    }

    #[test]
    fn what_is_no_image_or_no_normalisation_of_it_is_refused() {
        let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
        let refused = |pixels: Tensor, mean: &[f64], std: &[f64]| {
            let normalisation = Normalisation { mean: mean.to_vec(), std: std.to_vec() };
            Images::new(pixels, normalisation).unwrap_err().to_string()
        };
        assert!(refused(zeros(&[2, 3], Kind::Float), &[], &[]).contains("[N, C, H, W]"));
        assert!(refused(zeros(&[1, 1, 2, 2], Kind::Int64), &[], &[]).contains("Int64"));
        let bytes = || zeros(&[1, 3, 2, 2], Kind::Uint8);
        assert!(refused(bytes(), &[0.1, 0.2], &[]).contains("2 numbers under `mean` for 3 channels"));
        assert!(refused(bytes(), &[], &[0.0]).contains("`std` is 0"));
        assert!(refused(bytes(), &[f64::NAN], &[]).contains("`mean` is NaN"));
    }
}
