use manytask_tensor::dense::Real;

use super::activation::sigmoid;
use crate::loss::{Loss, MISSING_CLASS};

/// A mean loss of rows that all count alike, with its first and second derivative by the predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainLoss {
    /// [`Loss::Mse`].
    Mse,
    /// [`Loss::BinaryCrossEntropy`] without a weight.
    BinaryCrossEntropy,
    /// [`Loss::CrossEntropy`] without weights and smoothing.
    CrossEntropy,
}

/// Labels: as many numbers as predictions, a missing one NaN, or a class for each row, a missing one [`MISSING_CLASS`].
#[derive(Debug, Clone, Copy)]
pub enum Target<'a, T> {
    /// Numbers.
    Values(&'a [T]),
    /// Classes, each below the number of outputs.
    Classes(&'a [i64]),
}

impl<T: Real> Target<'_, T> {
    /// One over the number of labels that are there; 1 without any.
    fn share(self) -> f64 {
        let count = match self {
            Self::Values(values) => values.iter().filter(|value| !value.is_nan()).count(),
            Self::Classes(classes) => classes.iter().filter(|class| **class != MISSING_CLASS).count(),
        };
        (count.max(1) as f64).recip()
    }
}

impl PlainLoss {
    /// The plain form of a loss, where it has one.
    pub fn of(loss: &Loss) -> Option<Self> {
        match loss {
            Loss::Mse => Some(Self::Mse),
            Loss::BinaryCrossEntropy { positive_weight: None } => Some(Self::BinaryCrossEntropy),
            Loss::CrossEntropy { class_weights: None, label_smoothing } if *label_smoothing == 0.0 => {
                Some(Self::CrossEntropy)
            }
            _ => None,
        }
    }

    /// Whether labels are of the kind that it takes, as many as there are rows, and classes in range.
    pub fn fits<T: Real>(self, target: Target<'_, T>, rows: usize, outputs: usize) -> bool {
        match (self, target) {
            (Self::CrossEntropy, Target::Classes(classes)) => {
                let known = |class: i64| class == MISSING_CLASS || (0..outputs as i64).contains(&class);
                classes.len() == rows && classes.iter().copied().all(known)
            }
            (Self::Mse | Self::BinaryCrossEntropy, Target::Values(values)) => values.len() == rows * outputs,
            _ => false,
        }
    }

    /// The loss of predictions row by row, `outputs` in each; its gradient is written over `cotangents`.
    ///
    /// The mean is over the labels that are there; without any it is 0, and so is the gradient.
    pub fn value<T: Real>(
        self,
        predictions: &[T],
        target: Target<'_, T>,
        outputs: usize,
        cotangents: &mut [T],
    ) -> f64 {
        let mut sum = 0.0;
        let share = target.share();
        let scale = T::of(share);
        match target {
            Target::Classes(classes) => {
                let rows = predictions.chunks_exact(outputs).zip(cotangents.chunks_exact_mut(outputs));
                for ((row, cotangents), class) in rows.zip(classes) {
                    let Ok(class) = usize::try_from(*class) else {
                        cotangents.fill(T::zero());
                        continue;
                    };
                    let logarithm = softmax(row, cotangents);
                    sum += logarithm - row.get(class).map_or(0.0, |x| x.wide());
                    if let Some(own) = cotangents.get_mut(class) {
                        *own -= T::one();
                    }
                    for cotangent in cotangents {
                        *cotangent *= scale;
                    }
                }
            }
            Target::Values(values) => {
                for ((x, y), cotangent) in predictions.iter().zip(values).zip(cotangents) {
                    let (loss, slope) = if y.is_nan() { (T::zero(), T::zero()) } else { self.one(*x, *y) };
                    sum += loss.wide();
                    *cotangent = scale * slope;
                }
            }
        }
        sum * share
    }

    /// How the gradient changes when predictions change by `along`: the Hessian's product with it.
    pub fn curvature<T: Real>(
        self,
        predictions: &[T],
        target: Target<'_, T>,
        outputs: usize,
        along: &[T],
        out: &mut [T],
    ) {
        let scale = T::of(target.share());
        match target {
            Target::Values(values) => {
                for (((out, along), x), y) in out.iter_mut().zip(along).zip(predictions).zip(values) {
                    let bend = match self {
                        _ if y.is_nan() => T::zero(),
                        Self::Mse => T::one() + T::one(),
                        Self::BinaryCrossEntropy | Self::CrossEntropy => {
                            let p = sigmoid(*x);
                            p * (T::one() - p)
                        }
                    };
                    *out = scale * bend * *along;
                }
            }
            Target::Classes(classes) => {
                let rows = predictions.chunks_exact(outputs).zip(along.chunks_exact(outputs));
                for (((row, along), out), class) in rows.zip(out.chunks_exact_mut(outputs)).zip(classes) {
                    if *class == MISSING_CLASS {
                        out.fill(T::zero());
                        continue;
                    }
                    softmax(row, out);
                    let mean = out.iter().zip(along).fold(T::zero(), |sum, (p, along)| sum + *p * *along);
                    out.iter_mut().zip(along).for_each(|(p, along)| *p *= scale * (*along - mean));
                }
            }
        }
    }

    fn one<T: Real>(self, x: T, y: T) -> (T, T) {
        if self == Self::Mse {
            let gap = x - y;
            return (gap * gap, gap + gap);
        }
        // max(x, 0) − x y + ln(1 + e^−|x|).
        (x.max(T::zero()) - x * y + (-x.abs()).exp().ln_1p(), sigmoid(x) - y)
    }
}

/// Writes the softmax of a row; gives the logarithm of the sum of its exponentials.
fn softmax<T: Real>(row: &[T], out: &mut [T]) -> f64 {
    let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
    let mut sum = T::zero();
    for (out, x) in out.iter_mut().zip(row) {
        *out = (*x - largest).exp();
        sum += *out;
    }
    let scale = sum.recip();
    for p in out {
        *p *= scale;
    }
    largest.wide() + sum.wide().ln()
}
