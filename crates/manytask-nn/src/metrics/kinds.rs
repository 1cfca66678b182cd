//! The metrics that there are: their names, and what they are for.

use serde::{Deserialize, Serialize};

use super::Output;
use crate::{Error, Result};

/// A metric over a whole split of the data. Missing labels (NaN, or −100 for classes) do not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// √(mean squared error).
    Rmse,
    /// The mean absolute error.
    Mae,
    /// The mean squared error.
    Mse,
    /// 1 − Σ(y − ŷ)² / Σ(y − ȳ)².
    R2,
    /// 1 − Var(y − ŷ) / Var(y).
    ExplainedVariance,
    /// √(Σ(y − ŷ)² / Σ(y − ȳ)²) with the mean ȳ of the training labels (Spyromitros-Xioufis et al. 2016); its mean over tasks is
    /// the aRRMSE.
    RelativeRmse,
    /// The mean of `max(q (y − ŷ), (q − 1) (y − ŷ))` for a quantile q in (0, 1), also called pinball loss (Koenker & Bassett 1978).
    QuantileLoss(f64),
    /// The mean of `|y − ŷ| / |y|` over labels that are not 0, such as depths.
    RelativeError,
    /// The mean angle in degrees between vectors that are predicted and true, such as normals of surfaces.
    MeanAngle,
    /// The median of these angles.
    MedianAngle,
    /// The share of vectors whose angle is below so many degrees; 11.25, 22.5 and 30 are usual for normals.
    WithinAngle(f64),
    /// The share of right answers; of binary outputs those on the right side of 0.5.
    Accuracy,
    /// The mean over the true classes of the share of right answers.
    BalancedAccuracy,
    /// The share of rows whose class is among the k with the largest logits; of equal logits the first classes count.
    TopKAccuracy(usize),
    /// 2 TP / (2 TP + FP + FN) of the positive class; the mean over classes or labels where there are several.
    F1,
    /// The same as the mean over classes also where there are two, or over labels.
    MacroF1,
    /// TP / (TP + FP + FN), the Jaccard index, as the mean over the classes that occur in labels or answers, scikit-learn's
    /// `jaccard_score` with `average = "macro"`. Counts are summed over the whole split first, so of pixels it is the mIoU of the confusion
    /// matrix, and not the mean over pictures, which is larger.
    MeanIou,
    /// The same with TP, FP and FN summed over classes or labels first. Of classes this is the accuracy.
    MicroF1,
    /// The share of wrong answers; of several labels over all rows and labels together.
    HammingLoss,
    /// (p − e) / (1 − e) with the share p of right answers and that of chance e (Cohen 1960); the mean over labels.
    CohenKappa,
    /// The same where being wrong by d classes counts d² (Cohen 1968), for classes in an order.
    QuadraticKappa,
    /// Matthews' correlation coefficient, over several classes the `R_K` of Gorodkin (2004); the mean over labels.
    Matthews,
    /// The area under the ROC curve: the probability that a positive row stands above a negative one; the mean over classes
    /// (one against the rest) or labels where there are several.
    RocAuc,
    /// Σ (Rₙ − Rₙ₋₁) Pₙ over the precision-recall curve.
    AveragePrecision,
    /// −ln of the probability given to the truth, on average.
    LogLoss,
    /// (p − y)² on average (Brier 1950); of classes summed over them.
    BrierScore,
    /// `Σ |accuracy − confidence| · share` over 15 bins of equal width (Guo et al. 2017).
    CalibrationError,
}

/// All that there are, those with a parameter with a usual one.
pub const METRICS: [Metric; 27] = [
    Metric::Rmse,
    Metric::Mae,
    Metric::Mse,
    Metric::R2,
    Metric::ExplainedVariance,
    Metric::RelativeRmse,
    Metric::QuantileLoss(0.9),
    Metric::RelativeError,
    Metric::MeanAngle,
    Metric::MedianAngle,
    Metric::WithinAngle(11.25),
    Metric::Accuracy,
    Metric::BalancedAccuracy,
    Metric::TopKAccuracy(5),
    Metric::F1,
    Metric::MacroF1,
    Metric::MeanIou,
    Metric::MicroF1,
    Metric::HammingLoss,
    Metric::CohenKappa,
    Metric::QuadraticKappa,
    Metric::Matthews,
    Metric::RocAuc,
    Metric::AveragePrecision,
    Metric::LogLoss,
    Metric::BrierScore,
    Metric::CalibrationError,
];

impl Metric {
    /// Its name in results and tables, with its parameter: `top_5_accuracy`, `quantile_loss_0.9`.
    pub fn name(self) -> String {
        let name = match self {
            Self::QuantileLoss(quantile) => return format!("quantile_loss_{quantile}"),
            Self::TopKAccuracy(k) => return format!("top_{k}_accuracy"),
            Self::WithinAngle(most) => return format!("within_angle_{most}"),
            Self::RelativeError => "relative_error",
            Self::MeanAngle => "mean_angle",
            Self::MedianAngle => "median_angle",
            Self::MeanIou => "mean_iou",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::Mse => "mse",
            Self::R2 => "r2",
            Self::ExplainedVariance => "explained_variance",
            Self::RelativeRmse => "relative_rmse",
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::F1 => "f1",
            Self::MacroF1 => "macro_f1",
            Self::MicroF1 => "micro_f1",
            Self::HammingLoss => "hamming_loss",
            Self::CohenKappa => "cohen_kappa",
            Self::QuadraticKappa => "quadratic_kappa",
            Self::Matthews => "matthews",
            Self::RocAuc => "roc_auc",
            Self::AveragePrecision => "average_precision",
            Self::LogLoss => "log_loss",
            Self::BrierScore => "brier_score",
            Self::CalibrationError => "calibration_error",
        };
        name.to_owned()
    }

    /// The metric of a name in results.
    pub fn named(name: &str) -> Option<Self> {
        if let Some(quantile) = name.strip_prefix("quantile_loss_") {
            return quantile.parse().ok().map(Self::QuantileLoss);
        }
        if let Some(most) = name.strip_prefix("within_angle_") {
            return most.parse().ok().map(Self::WithinAngle);
        }
        if let Some(k) = name.strip_prefix("top_").and_then(|rest| rest.strip_suffix("_accuracy")) {
            return k.parse().ok().map(Self::TopKAccuracy);
        }
        METRICS.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether more of it is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(
            self,
            Self::Rmse
                | Self::Mae
                | Self::Mse
                | Self::RelativeRmse
                | Self::QuantileLoss(_)
                | Self::RelativeError
                | Self::MeanAngle
                | Self::MedianAngle
                | Self::HammingLoss
                | Self::LogLoss
                | Self::BrierScore
                | Self::CalibrationError
        )
    }

    /// Whether it is defined for an output.
    pub fn fits(self, output: Output) -> bool {
        match self {
            Self::Rmse
            | Self::Mae
            | Self::Mse
            | Self::R2
            | Self::ExplainedVariance
            | Self::RelativeRmse
            | Self::QuantileLoss(_)
            | Self::RelativeError
            | Self::MeanAngle
            | Self::MedianAngle
            | Self::WithinAngle(_) => output == Output::Regression,
            Self::TopKAccuracy(_) | Self::QuadraticKappa | Self::MeanIou => output == Output::Multiclass,
            _ => output != Output::Regression,
        }
    }

    /// Refuses a parameter out of range.
    ///
    /// # Errors
    /// With the parameter and its range.
    pub fn check(self) -> Result<()> {
        match self {
            Self::QuantileLoss(quantile) if !(quantile > 0.0 && quantile < 1.0) => {
                Err(Error::setting("quantile_loss", &quantile, "a quantile is above 0 and below 1"))
            }
            Self::WithinAngle(most) if !(most > 0.0 && most <= 180.0) => {
                Err(Error::setting("within_angle", &most, "an angle is above 0 and at most 180 degrees"))
            }
            Self::TopKAccuracy(0) => {
                Err(Error::setting("top_k_accuracy", &0, "at least the first class counts: write 1 or more"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it compares vectors as a whole, and not number by number.
    pub fn is_of_directions(self) -> bool {
        matches!(self, Self::MeanAngle | Self::MedianAngle | Self::WithinAngle(_))
    }

    /// Whether it is over the rows of all labels together, and not a mean over labels.
    pub(super) fn pools_labels(self) -> bool {
        matches!(self, Self::MicroF1 | Self::HammingLoss)
    }
}
