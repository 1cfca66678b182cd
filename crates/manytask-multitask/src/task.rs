use manytask_data::{TargetEncoder, TargetKind, WeightIn};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::{Metric, Output};
use manytask_tensor::{Device, KeyPath, Kind, Tensor, Within as _};

use crate::{Error, Result, TaskEvaluation, TaskOutputs};

/// One task: what is predicted, what is minimised, and what is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// What its head's numbers mean.
    pub output: Output,
    /// How many numbers its head gives.
    pub outputs: i64,
    /// What has a label of its own.
    pub labelled: Labelled,
    /// What is minimised.
    pub loss: Loss,
    /// What is reported, the primary metric first.
    pub metrics: Vec<Metric>,
    /// Labels of a regression are `(y − mean) / std`; its metrics are reported in the units of y.
    pub mean_std: (f64, f64),
    /// The mean of a regression's labels in the training split, in their units, where it is known.
    pub label_mean: Option<f64>,
    /// Where the weights of rows count.
    pub weight_in: WeightIn,
}

/// What of an input has a label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Labelled {
    /// The row as a whole: labels are `[N]` or `[N, outputs]`.
    #[default]
    Row,
    /// Each pixel of a picture: labels are `[N, H, W]` or `[N, H, W, outputs]`, and the network gives a row of outputs for each pixel.
    Pixel,
}

impl Task {
    /// A task with the usual loss and metrics of its kind: mean squared error and RMSE, MAE, R² for a regression; binary
    /// cross-entropy and ROC-AUC, accuracy, average precision for a binary task, and without accuracy for several labels;
    /// cross-entropy and accuracy, balanced accuracy for classes.
    pub fn new(name: impl Into<String>, output: Output, outputs: i64) -> Self {
        let (loss, metrics) = match output {
            Output::Regression => (Loss::Mse, vec![Metric::Rmse, Metric::Mae, Metric::R2]),
            Output::Binary => (
                Loss::BinaryCrossEntropy { positive_weight: None },
                vec![Metric::RocAuc, Metric::Accuracy, Metric::AveragePrecision],
            ),
            Output::Multilabel => (
                Loss::BinaryCrossEntropy { positive_weight: None },
                vec![Metric::RocAuc, Metric::AveragePrecision],
            ),
            Output::Multiclass => (
                Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 },
                vec![Metric::Accuracy, Metric::BalancedAccuracy],
            ),
        };
        Self {
            name: name.into(),
            output,
            outputs,
            labelled: Labelled::Row,
            loss,
            metrics,
            mean_std: (0.0, 1.0),
            label_mean: None,
            weight_in: WeightIn::Loss,
        }
    }

    /// The task of a column of labels.
    pub fn of(name: impl Into<String>, target: &TargetEncoder) -> Self {
        let output = match target.kind() {
            TargetKind::Regression => Output::Regression,
            TargetKind::Binary => Output::Binary,
            TargetKind::Multiclass => Output::Multiclass,
            TargetKind::Multilabel => Output::Multilabel,
        };
        let (mean_std, label_mean) = (target.mean_std(), target.label_mean());
        Self { mean_std, label_mean, ..Self::new(name, output, target.outputs()) }
    }

    /// Refuses a loss or a metric that is not for this kind of output.
    ///
    /// # Errors
    /// With the task's name and what fits.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: KeyPath, what: String, remedy: &str| {
            Err(Error::setting(key, format!("task `{}`: {what}", self.name), remedy))
        };
        let fits = match self.loss {
            Loss::Mse | Loss::L1 | Loss::Huber { .. } | Loss::Cosine => self.output == Output::Regression,
            Loss::BinaryCrossEntropy { .. } | Loss::Focal { .. } => {
                matches!(self.output, Output::Binary | Output::Multilabel)
            }
            Loss::CrossEntropy { .. } => self.output == Output::Multiclass,
        };
        if !fits {
            return refuse(
                "loss".into(),
                format!("the loss `{}` is not for {} targets", self.loss.name(), self.output.name()),
                "take mse, l1, huber or (of vectors) cosine for a regression, binary_cross_entropy or focal for binary labels, cross_entropy for classes",
            );
        }
        if let Some((number, metric)) =
            self.metrics.iter().enumerate().find(|(_, metric)| !metric.fits(self.output))
        {
            return refuse(
                ("metrics", number).into(),
                format!("the metric `{}` is not for {} targets", metric.name(), self.output.name()),
                "leave it out, or take another kind of target",
            );
        }
        for (number, metric) in self.metrics.iter().enumerate() {
            metric.check().within(("metrics", number))?;
            if let Metric::TopKAccuracy(k) = metric
                && self.outputs > 0
                && *k as i64 >= self.outputs
            {
                return refuse(
                    ("metrics", number).into(),
                    format!("`top_k_accuracy = {k}` of {} classes", self.outputs),
                    "all answers are right then: take fewer than there are classes",
                );
            }
        }
        if self.output == Output::Regression && self.outputs == 1 {
            let one = "a single number has no direction: take it for targets that are vectors";
            if self.loss == Loss::Cosine {
                return refuse("loss".into(), "the loss `cosine` of one number".into(), one);
            }
            if let Some((number, metric)) =
                self.metrics.iter().enumerate().find(|(_, metric)| metric.is_of_directions())
            {
                let what = format!("the metric `{}` of one number", metric.name());
                return refuse(("metrics", number).into(), what, one);
            }
        }
        if self.metrics.is_empty() {
            return refuse(
                "metrics".into(),
                "no metric is named".into(),
                "name one at least: the first is the task's primary metric",
            );
        }
        if let Loss::CrossEntropy { class_weights: Some(weights), .. } = &self.loss
            && weights.len() as i64 != self.outputs
        {
            return refuse(
                ["loss", "cross_entropy", "class_weights"].into(),
                format!("{} `class_weights` for {} classes", weights.len(), self.outputs),
                "write one for each class, in the order of the classes",
            );
        }
        self.loss.check().within("loss")?;
        Ok(())
    }

    /// Whether the loss compares labels with all outputs of the head, `[B, outputs]`, and not with its one number, `[B]`.
    pub(crate) fn is_wide(&self) -> bool {
        matches!(self.output, Output::Multiclass | Output::Multilabel)
    }

    /// Labels as rows of what the head predicts: `[B]` or `[B, outputs]`, those of pixels one after the other.
    ///
    /// # Errors
    /// When memory runs out.
    pub(crate) fn label_rows(&self, target: &Tensor) -> Result<Tensor> {
        let own =
            self.output == Output::Multilabel || (self.output == Output::Regression && self.outputs > 1);
        Ok(match self.labelled {
            Labelled::Row => target.shallow_clone(),
            Labelled::Pixel if own => target.f_reshape([-1, self.outputs])?,
            Labelled::Pixel => target.f_reshape([-1])?,
        })
    }

    /// The weights of rows as those of what the head predicts: a pixel's is its picture's.
    pub(crate) fn weight_rows(&self, weight: &Tensor, target: &Tensor) -> Result<Tensor> {
        if self.labelled == Labelled::Row {
            return Ok(weight.shallow_clone());
        }
        let pixels: i64 = target.size().iter().skip(1).take(2).product();
        Ok(weight.f_unsqueeze(1)?.f_expand([-1, pixels], false)?.f_reshape([-1])?)
    }

    /// The head's output `[B, outputs]` in the shape that the loss compares with labels: `[B]` where there is one number.
    pub(crate) fn squeeze(&self, prediction: &Tensor) -> Result<Tensor> {
        Ok(match self.output {
            Output::Regression | Output::Binary => prediction.f_squeeze_dim(-1)?,
            Output::Multiclass | Output::Multilabel => prediction.shallow_clone(),
        })
    }

    /// The mean loss over the labels that are there, one element.
    pub(crate) fn mean_loss(
        &self,
        prediction: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<Tensor> {
        Ok(self.loss.mean(&self.squeeze(prediction)?, target, weight, None)?)
    }

    /// An evaluation of it without values.
    pub fn evaluation_schema(&self) -> TaskEvaluation {
        TaskEvaluation {
            name: self.name.clone(),
            loss: None,
            metrics: self.metrics.iter().map(|metric| (metric.name(), None)).collect(),
            higher_is_better: self.metrics.first().is_some_and(|metric| metric.higher_is_better()),
        }
    }

    /// The loss and the metrics over a whole split. In metrics rows count alike, or by their weight if
    /// [`Task::weight_in`] says so.
    pub(crate) fn evaluate(
        &self,
        logits: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<TaskEvaluation> {
        let weight = weight.map(|weight| self.weight_rows(weight, target)).transpose()?;
        let (weight, target) = (weight.as_ref(), &self.label_rows(target)?);
        let prediction = self.squeeze(logits)?;
        let labelled = manytask_nn::loss::present(target)?.f_any()?.f_int64_value(&[])? != 0;
        let loss = if labelled {
            let loss = self.loss.mean(&prediction, target, weight, None)?.f_double_value(&[])?;
            Some(loss)
        } else {
            None
        };
        let (prediction, target) = match self.output {
            Output::Regression => (self.in_units(&prediction)?, self.in_units(target)?),
            _ => (prediction, target.shallow_clone()),
        };
        let weight = weight.filter(|_| self.weight_in == WeightIn::LossAndMetrics);
        let metrics = self.metrics.iter().map(|metric| {
            let value =
                metric.evaluate_against(self.output, &prediction, &target, weight, self.label_mean)?;
            Ok((metric.name(), value))
        });
        Ok(TaskEvaluation { loss, metrics: metrics.collect::<Result<_>>()?, ..self.evaluation_schema() })
    }

    /// Predictions and labels of rows, as the metrics see them.
    pub(crate) fn outputs_beside(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<TaskOutputs> {
        let numbers = |tensor: &Tensor| -> Result<Vec<f64>> {
            let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
            Ok(Vec::<f64>::try_from(flat.f_reshape([-1])?)?)
        };
        let (prediction, target) = match self.output {
            Output::Regression => (numbers(&self.in_units(logits)?)?, numbers(&self.in_units(labels)?)?),
            Output::Multiclass => {
                let missing = |class: f64| if class < 0.0 { f64::NAN } else { class };
                (numbers(logits)?, numbers(labels)?.into_iter().map(missing).collect())
            }
            _ => (numbers(logits)?, numbers(labels)?),
        };
        let weight = weight.filter(|_| self.weight_in == WeightIn::LossAndMetrics);
        let weight = weight.map(|weight| self.weight_rows(weight, labels)).transpose()?;
        Ok(TaskOutputs {
            name: self.name.clone(),
            output: self.output,
            columns: self.outputs.max(1) as usize,
            prediction,
            target,
            weight: weight.as_ref().map(numbers).transpose()?,
            train_mean: self.label_mean,
        })
    }

    /// What is shown to a user, in double precision: values in the units of y, probabilities `[B]`, or probabilities of each
    /// class `[B, C]`.
    pub fn present(&self, logits: &Tensor) -> Result<Tensor> {
        let prediction = self.squeeze(logits)?;
        let precise = || prediction.f_to_kind(Kind::Double);
        Ok(match self.output {
            Output::Regression => self.in_units(&prediction)?,
            Output::Binary | Output::Multilabel => precise()?.f_sigmoid()?,
            Output::Multiclass => precise()?.f_softmax(-1, Kind::Double)?,
        })
    }

    /// Standardised values in the units of y. In single precision a mean far from 0 would swallow them.
    fn in_units(&self, values: &Tensor) -> Result<Tensor> {
        let (mean, std) = self.mean_std;
        Ok(values.f_to_kind(Kind::Double)?.f_mul_scalar(std)?.f_add_scalar(mean)?)
    }
}
