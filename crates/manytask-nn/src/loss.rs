//! Losses, with missing labels, weights of rows, and a leading task dimension.

mod directions;

use manytask_tensor::{Device, KeyPath, Kind, Reduction, Tensor, WHOLE, masked_fill};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The label of a row without one, where labels are numbers of classes.
pub const MISSING_CLASS: i64 = -100;

/// What is minimised.
///
/// Predictions and labels have one shape, `[B]` or `[B, D]`, with a missing label as NaN; for cross-entropy predictions are
/// logits `[B, C]` and labels int64 `[B]`, a missing one [`MISSING_CLASS`]. Binary predictions are logits. With a task
/// dimension all have a leading `T`.
///
/// ```
/// use manytask_nn::loss::Loss;
/// use manytask_tensor::Tensor;
/// let prediction = Tensor::from_slice(&[1.0, 2.0, 9.0]);
/// let target = Tensor::from_slice(&[0.0, 4.0, f64::NAN]); // the last label is missing
/// let loss = Loss::Mse.mean(&prediction, &target, None, None)?;
/// assert_eq!(loss.double_value(&[]), 2.5); // (1 + 4) / 2
/// # Ok::<(), manytask_nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// `(ŷ − y)²`.
    Mse,
    /// `|ŷ − y|`.
    L1,
    /// `(ŷ − y)²/2` up to `|ŷ − y| = delta`, beyond it `delta (|ŷ − y| − delta/2)`.
    Huber {
        /// Where it becomes linear, above 0.
        #[serde(default = "one")]
        delta: f64,
    },
    /// `−p y ln σ(ŷ) − (1 − y) ln(1 − σ(ŷ))`.
    BinaryCrossEntropy {
        /// The weight p of positive labels.
        #[serde(default)]
        positive_weight: Option<f64>,
    },
    /// `−Σ_c q_c w_c ln softmax(ŷ)_c` with the label's distribution q, smoothed to `(1 − ε) 1[c = y] + ε/C`. The mean
    /// is divided by the sum of the labels' class weights, as PyTorch does.
    CrossEntropy {
        /// The weight of each class, w.
        #[serde(default)]
        class_weights: Option<Vec<f64>>,
        /// ε in `[0, 1)`.
        #[serde(default)]
        label_smoothing: f64,
    },
    /// `1 − cos` of the angle between vectors, such as normals of surfaces; predictions and labels are `[B, D]` of any length, and a
    /// label of which a number is missing is missing as a whole.
    Cosine,
    /// `α_y (1 − p_y)^γ (−ln p_y)` with the probability `p_y` of the true label (Lin et al. 2017).
    Focal {
        /// How much easy rows are discounted, γ, at least 0.
        #[serde(default = "two")]
        gamma: f64,
        /// The weight α of positive labels, with 1 − α for negative ones; absent: both count alike.
        #[serde(default)]
        alpha: Option<f64>,
    },
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

/// Where labels are there: a tensor of truth values of the labels' shape.
pub fn present(target: &Tensor) -> Result<Tensor> {
    Ok(if target.kind() == Kind::Int64 {
        target.f_ne(MISSING_CLASS)?
    } else {
        target.f_isnan()?.f_logical_not()?
    })
}

impl Loss {
    /// Its name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::L1 => "l1",
            Self::Huber { .. } => "huber",
            Self::BinaryCrossEntropy { .. } => "binary_cross_entropy",
            Self::CrossEntropy { .. } => "cross_entropy",
            Self::Cosine => "cosine",
            Self::Focal { .. } => "focal",
        }
    }

    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        let at_least = |(key, what): (KeyPath, &str), value: f64, lowest: f64| {
            if value.is_finite() && value >= lowest {
                return Ok(());
            }
            Err(Error::named_setting(key, what, &value, format!("it must be finite and at least {lowest}")))
        };
        let of = |key: &str| KeyPath::from([self.name(), key]);
        match self {
            Self::Mse | Self::L1 | Self::Cosine | Self::BinaryCrossEntropy { positive_weight: None } => {
                Ok(())
            }
            Self::Huber { delta } if *delta > 0.0 && delta.is_finite() => Ok(()),
            Self::Huber { delta } => {
                Err(Error::named_setting(of("delta"), "huber's delta", delta, "it must be above 0"))
            }
            Self::BinaryCrossEntropy { positive_weight: Some(weight) } => {
                at_least((of("positive_weight"), "positive_weight"), *weight, 0.0)
            }
            Self::CrossEntropy { class_weights, label_smoothing } => {
                if !(0.0..1.0).contains(label_smoothing) {
                    return Err(Error::setting(
                        of("label_smoothing"),
                        label_smoothing,
                        "it must be in [0, 1)",
                    ));
                }
                let weights = class_weights.iter().flatten().enumerate();
                let key = |i: usize| (of("class_weights").then(i), "a class weight");
                weights.into_iter().try_for_each(|(i, weight)| at_least(key(i), *weight, 0.0))
            }
            Self::Focal { gamma, alpha } => {
                if let Some(alpha) = alpha.filter(|alpha| !(0.0..=1.0).contains(alpha)) {
                    return Err(Error::named_setting(
                        of("alpha"),
                        "focal's alpha",
                        &alpha,
                        "it must be in [0, 1]",
                    ));
                }
                at_least((of("gamma"), "focal's gamma"), *gamma, 0.0)
            }
        }
    }

    /// The mean over the labels that are there, one element; with `tasks == Some(T)` one for each task, `[T]`.
    ///
    /// `weight` `[B]` (or `[T, B]`) says how much each row counts: `Σ w l / Σ w`. Without any label the loss is 0, and so is
    /// its gradient.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn mean(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
        tasks: Option<i64>,
    ) -> Result<Tensor> {
        self.check_shapes(prediction, target)?;
        if let Some(fused) = self.fused(prediction, target, weight, tasks)? {
            return Ok(fused);
        }
        let present = self.present(target)?;
        let losses = self.unreduced(prediction, target, &present)?;
        let mut counts = self.row_weights(target, &present, losses.kind())?;
        if let Some(weight) = weight {
            counts = counts.f_mul(&align(weight, &counts)?)?;
        }
        let weighted = match (weight, self) {
            // Class weights are in the losses already; other counts are 0 and 1.
            (None, _) => losses,
            (Some(weight), _) => losses.f_mul(&align(weight, &losses)?)?,
        };
        let (sum, count) = match tasks {
            None => (weighted.f_sum(weighted.kind())?, counts.f_sum(counts.kind())?),
            Some(tasks) => (per_task(&weighted, tasks)?, per_task(&counts, tasks)?),
        };
        // Without a label the sum is 0 as well: 0 / 1.
        let empty = count.f_eq(0.0)?.f_to_kind(count.kind())?;
        Ok(sum.f_div(&count.f_add(&empty)?)?)
    }

    /// The loss of each label, zero where it is missing; class weights included. Of the labels' shape; of vectors without the last
    /// dimension.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn per_sample(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
        self.check_shapes(prediction, target)?;
        self.unreduced(prediction, target, &self.present(target)?)
    }

    /// Where there is a label: of the losses' shape.
    fn present(&self, target: &Tensor) -> Result<Tensor> {
        if *self == Self::Cosine { directions::present(target) } else { present(target) }
    }

    fn check_shapes(&self, prediction: &Tensor, target: &Tensor) -> Result<()> {
        let (shape, labels) = (prediction.size(), target.size());
        let fits = match self {
            Self::CrossEntropy { class_weights, .. } => {
                let classes = shape.last().copied().unwrap_or_default();
                let weights = class_weights.as_ref().map_or(classes, |weights| weights.len() as i64);
                if weights != classes {
                    return Err(Error::setting(
                        ["cross_entropy", "class_weights"],
                        &format!("{weights} numbers"),
                        format!("{classes} are needed"),
                    ));
                }
                target.kind() == Kind::Int64 && shape.split_last().is_some_and(|(_, rows)| rows == labels)
            }
            Self::Cosine if target.dim() < 2 => false,
            _ => shape == labels && target.kind() == prediction.kind(),
        };
        if fits {
            return Ok(());
        }
        Err(Error::Input {
            layer: "loss".into(),
            expected: format!("predictions that fit labels {labels:?} of {:?}", target.kind()),
            found: shape,
        })
    }

    /// One operation, where nothing is missing and rows count alike.
    fn fused(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
        tasks: Option<i64>,
    ) -> Result<Option<Tensor>> {
        if weight.is_some() || target.numel() == 0 {
            return Ok(None);
        }
        if let (Self::CrossEntropy { class_weights, label_smoothing }, None, [_, _]) =
            (self, tasks, prediction.size().as_slice())
        {
            // It leaves the missing out itself; without any label it gives NaN, which takes a look.
            if prediction.device() == Device::Cpu && target.f_max()?.f_int64_value(&[])? == MISSING_CLASS {
                return Ok(None);
            }
            if prediction.device() != Device::Cpu {
                return Ok(None);
            }
            let weights =
                class_weights.as_ref().map(|weights| class_tensor(weights, prediction)).transpose()?;
            return Ok(Some(prediction.f_cross_entropy_loss(
                target,
                weights.as_ref(),
                Reduction::Mean,
                MISSING_CLASS,
                *label_smoothing,
            )?));
        }
        // A look at the sum is cheap here, on an accelerator it would wait for all work in flight.
        let whole = target.kind() != Kind::Int64
            && target.device() == Device::Cpu
            && target.f_sum(Kind::Double)?.f_double_value(&[])?.is_finite();
        if !whole || matches!(self, Self::CrossEntropy { .. } | Self::Focal { .. } | Self::Cosine) {
            return Ok(None);
        }
        Ok(Some(match tasks {
            None => self.elementwise(prediction, target, Reduction::Mean)?,
            Some(tasks) => {
                let losses = self.elementwise(prediction, target, Reduction::None)?;
                losses.f_reshape([tasks, -1])?.f_mean_dim([1].as_slice(), false, losses.kind())?
            }
        }))
    }

    /// The losses with one number for each label.
    fn elementwise(&self, prediction: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        Ok(match self {
            Self::Mse => prediction.f_mse_loss(target, reduction)?,
            Self::L1 => prediction.f_l1_loss(target, reduction)?,
            Self::Huber { delta } => prediction.f_huber_loss(target, reduction, *delta)?,
            Self::BinaryCrossEntropy { positive_weight } => {
                let weight = positive_weight.map(|weight| class_tensor(&[weight], prediction)).transpose()?;
                prediction.f_binary_cross_entropy_with_logits(
                    target,
                    None::<&Tensor>,
                    weight.as_ref(),
                    reduction,
                )?
            }
            Self::Focal { gamma, alpha } => {
                let entropy = prediction.f_binary_cross_entropy_with_logits(
                    target,
                    None::<&Tensor>,
                    None::<&Tensor>,
                    Reduction::None,
                )?;
                // 1 − p_y = σ(−s ŷ) with the sign s of the label.
                let sign = target.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
                let miss =
                    prediction.f_mul(&sign)?.f_neg()?.f_log_sigmoid()?.f_mul_scalar(*gamma)?.f_exp()?;
                let losses = miss.f_mul(&entropy)?;
                match alpha {
                    None => losses,
                    Some(alpha) => {
                        let balance = target.f_mul_scalar(2.0 * alpha - 1.0)?.f_add_scalar(1.0 - alpha)?;
                        losses.f_mul(&balance)?
                    }
                }
            }
            Self::CrossEntropy { .. } | Self::Cosine => {
                return Err(Error::named_setting(
                    WHOLE,
                    self.name(),
                    "one number for each row",
                    "it takes logits of each class, or vectors",
                ));
            }
        })
    }

    fn unreduced(&self, prediction: &Tensor, target: &Tensor, present: &Tensor) -> Result<Tensor> {
        let missing = present.f_logical_not()?;
        let losses = match self {
            Self::CrossEntropy { class_weights, label_smoothing } => {
                let log = prediction.f_log_softmax(-1, prediction.kind())?;
                let safe = masked_fill(target, &missing, 0.0)?;
                let weights =
                    class_weights.as_ref().map(|weights| class_tensor(weights, prediction)).transpose()?;
                let mut own = log.f_gather(-1, &safe.f_unsqueeze(-1)?, false)?.f_squeeze_dim(-1)?.f_neg()?;
                if let Some(weights) = &weights {
                    own = own.f_mul(&of_classes(weights, &safe)?)?;
                }
                if *label_smoothing > 0.0 {
                    let all = match &weights {
                        None => log,
                        Some(weights) => log.f_mul(weights)?,
                    };
                    let classes = prediction.size().last().copied().unwrap_or(1) as f64;
                    let all = all.f_sum_dim_intlist([-1].as_slice(), false, prediction.kind())?;
                    own = own
                        .f_mul_scalar(1.0 - label_smoothing)?
                        .f_sub(&all.f_mul_scalar(label_smoothing / classes)?)?;
                }
                own
            }
            Self::Cosine => directions::cosine_distance(prediction, target, &missing)?,
            _ => self.elementwise(prediction, &masked_fill(target, &missing, 0.0)?, Reduction::None)?,
        };
        Ok(masked_fill(&losses, &missing, 0.0)?)
    }

    /// How much each label counts in the mean.
    fn row_weights(&self, target: &Tensor, present: &Tensor, kind: Kind) -> Result<Tensor> {
        let counts = present.f_to_kind(kind)?;
        let Self::CrossEntropy { class_weights: Some(weights), .. } = self else { return Ok(counts) };
        let safe = masked_fill(target, &present.f_logical_not()?, 0.0)?;
        Ok(of_classes(&class_tensor(weights, &counts)?, &safe)?.f_mul(&counts)?)
    }
}

/// Numbers as a tensor of the kind and device of another.
fn class_tensor(weights: &[f64], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(weights)?.f_to_kind(like.kind())?.f_to_device(like.device())?)
}

/// `weights[target]`, of the target's shape.
fn of_classes(weights: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(weights.f_index_select(0, &target.f_reshape([-1])?)?.f_reshape(target.size())?)
}

/// Weights of rows in the shape of losses, which may have several numbers in a row.
fn align(weight: &Tensor, losses: &Tensor) -> Result<Tensor> {
    let (rows, all) = (weight.size(), losses.size());
    let fits = all.len() >= rows.len() && all.iter().zip(&rows).all(|(a, b)| a == b);
    if !fits {
        return Err(Error::Input {
            layer: "loss".into(),
            expected: format!("weights of rows of {all:?}"),
            found: rows,
        });
    }
    let mut weight = weight.f_to_kind(losses.kind())?;
    for _ in rows.len()..all.len() {
        weight = weight.f_unsqueeze(-1)?;
    }
    Ok(weight)
}

fn per_task(values: &Tensor, tasks: i64) -> Result<Tensor> {
    if values.size().first() != Some(&tasks) {
        return Err(Error::Input {
            layer: "loss".into(),
            expected: format!("a leading task dimension of {tasks}"),
            found: values.size(),
        });
    }
    Ok(values.f_reshape([tasks, -1])?.f_sum_dim_intlist([1].as_slice(), false, values.kind())?)
}
