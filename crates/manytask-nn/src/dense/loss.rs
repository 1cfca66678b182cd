use manytask_tensor::dense::Real;

use super::curve::sigmoid;
use crate::loss::Loss;

/// A mean loss of rows that all count alike and miss no label, with its first and second derivative by the predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainLoss {
    /// [`Loss::Mse`].
    Mse,
    /// [`Loss::BinaryCrossEntropy`] without a weight.
    BinaryCrossEntropy,
    /// [`Loss::CrossEntropy`] without weights and smoothing.
    CrossEntropy,
}

/// Labels: as many numbers as predictions, or a class for each row.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a, T> {
    /// Numbers.
    Values(&'a [T]),
    /// Classes, each below the number of outputs.
    Classes(&'a [i64]),
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

    /// Whether labels can be had in full: none missing, classes in range.
    pub fn fits<T: Real>(self, target: Target<'_, T>, outputs: usize) -> bool {
        match (self, target) {
            (Self::CrossEntropy, Target::Classes(classes)) => {
                classes.iter().all(|class| (0..outputs as i64).contains(class))
            }
            (Self::Mse | Self::BinaryCrossEntropy, Target::Values(values)) => {
                values.iter().all(|value| value.is_finite())
            }
            _ => false,
        }
    }

    /// The loss of predictions row by row, `outputs` in each; its gradient is written over `cotangents`.
    pub fn value<T: Real>(
        self,
        predictions: &[T],
        target: Target<'_, T>,
        outputs: usize,
        cotangents: &mut [T],
    ) -> f64 {
        let mut sum = 0.0;
        let share = self.share(predictions.len(), outputs);
        let scale = T::of(share);
        match (self, target) {
            (Self::CrossEntropy, Target::Classes(classes)) => {
                let rows = predictions.chunks_exact(outputs).zip(cotangents.chunks_exact_mut(outputs));
                for ((row, cotangents), class) in rows.zip(classes) {
                    let class = *class as usize;
                    let logarithm = softmax(row, cotangents);
                    sum += logarithm - row.get(class).map_or(0.0, |x| x.wide());
                    if let Some(own) = cotangents.get_mut(class) {
                        *own -= T::one();
                    }
                    cotangents.iter_mut().for_each(|c| *c *= scale);
                }
            }
            (_, Target::Values(values)) => {
                for ((x, y), cotangent) in predictions.iter().zip(values).zip(cotangents) {
                    let (loss, slope) = self.one(*x, *y);
                    sum += loss.wide();
                    *cotangent = scale * slope;
                }
            }
            (_, Target::Classes(_)) => {}
        }
        sum * share
    }

    /// How the gradient changes when predictions change by `along`: the Hessian's product with it.
    pub fn curvature<T: Real>(self, predictions: &[T], outputs: usize, along: &[T], out: &mut [T]) {
        let scale = T::of(self.share(predictions.len(), outputs));
        match self {
            Self::Mse => {
                let twice = scale + scale;
                out.iter_mut().zip(along).for_each(|(out, along)| *out = twice * *along);
            }
            Self::BinaryCrossEntropy => {
                for ((out, along), x) in out.iter_mut().zip(along).zip(predictions) {
                    let p = sigmoid(*x);
                    *out = scale * p * (T::one() - p) * *along;
                }
            }
            Self::CrossEntropy => {
                let rows = predictions.chunks_exact(outputs).zip(along.chunks_exact(outputs));
                for ((row, along), out) in rows.zip(out.chunks_exact_mut(outputs)) {
                    softmax(row, out);
                    let mean = out.iter().zip(along).fold(T::zero(), |sum, (p, along)| sum + *p * *along);
                    out.iter_mut().zip(along).for_each(|(p, along)| *p *= scale * (*along - mean));
                }
            }
        }
    }

    /// One over the number of what the mean is of.
    fn share(self, numbers: usize, outputs: usize) -> f64 {
        let count = if self == Self::CrossEntropy { numbers / outputs.max(1) } else { numbers };
        (count.max(1) as f64).recip()
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
    out.iter_mut().for_each(|p| *p *= scale);
    largest.wide() + sum.wide().ln()
}
