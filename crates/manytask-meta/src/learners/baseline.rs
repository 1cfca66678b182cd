use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::random::Key;
use manytask_tensor::{Method, Params, Tensor, Within as _, no_grad};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::classifier::{Classifier, cross_entropy_gradient};
use crate::embedding::targets;
use crate::episode::Support;
use crate::head::Head;
use crate::logits::{named_not_negative, named_positive, positive};

/// Baseline (Chen et al. 2019, arXiv:1904.04232, section 3.1): the network is pretrained on all training classes and kept as it is; a task's
/// classifier is a linear layer that is trained on the support set's features.
///
/// The layer starts at 0, so that a classifier does not depend on the order of the classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baseline {
    /// How the layer is trained in a task.
    pub fine_tuning: FineTuning,
}

/// Baseline++ (Chen et al. 2019, section 3.1): as [`Baseline`] with a classifier of cosines, `scale · g_c cos(x, v_c)`, whose class vectors
/// are weight-normalised with a learned length g as in the authors' code: not cosines alone.
///
/// Class vectors start alike, along a fixed draw, with length 1. It wants a pretraining with `classifier = { cosine = … }` too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselinePlusPlus {
    /// What cosines are multiplied by; 2 in the authors' code for up to 200 classes.
    pub scale: f64,
    /// How the layer is trained in a task.
    pub fine_tuning: FineTuning,
}

/// Stochastic gradient descent with momentum on a support set; as it stands here the published settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FineTuning {
    /// How often every example is seen.
    pub epochs: u32,
    /// Examples in a step.
    pub batch_size: usize,
    /// The rate of a step.
    pub learning_rate: f64,
    /// The share of the last step's direction that is kept.
    pub momentum: f64,
    /// The share of a gradient that is left out of the direction.
    pub dampening: f64,
    /// The pull of parameters towards 0.
    pub weight_decay: f64,
}

impl Default for FineTuning {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 4,
            learning_rate: 0.01,
            momentum: 0.9,
            dampening: 0.9,
            weight_decay: 1e-3,
        }
    }
}

impl Default for BaselinePlusPlus {
    fn default() -> Self {
        Self { scale: 2.0, fine_tuning: FineTuning::default() }
    }
}

/// What either builds.
#[derive(Debug)]
struct FineTuned {
    name: &'static str,
    classes: i64,
    classifier: Classifier,
    settings: FineTuning,
}

impl FineTuning {
    fn check(&self) -> Result<()> {
        const MOST: u32 = 100_000;
        if !(1..=MOST).contains(&self.epochs) || self.batch_size == 0 {
            let key = if self.batch_size == 0 { "batch_size" } else { "epochs" };
            return Err(Error::setting(
                key,
                format!("fine_tuning has {} epochs with batches of {}", self.epochs, self.batch_size),
                format!("take 1 to {MOST} epochs, and a batch_size of 1 or more"),
            ));
        }
        named_positive("learning_rate", "fine_tuning.learning_rate", self.learning_rate)?;
        named_not_negative("weight_decay", "fine_tuning.weight_decay", self.weight_decay)?;
        for (name, share) in [("momentum", self.momentum), ("dampening", self.dampening)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::setting(
                    name,
                    format!("fine_tuning.{name} is {share}"),
                    "take 0 to below 1",
                ));
            }
        }
        Ok(())
    }

    fn head(self, name: &'static str, classes: i64, classifier: Classifier) -> Result<FineTuned> {
        self.check().within("fine_tuning")?;
        Ok(FineTuned { name, classes, classifier, settings: self })
    }
}

impl Method for Baseline {
    const NAME: &'static str = "baseline";
    const SUMMARY: &'static str = "a linear layer trained in each task on pretrained features";
    const ABOUT: &'static str = "\
        Chen et al. 2019, arXiv:1904.04232: stochastic gradient descent on the support set (`fine_tuning`). \
        The network learns in [pretraining] alone, which takes all steps of [training]; it wants batch_norm \
        = \"running\".";
}

pretrained!(Baseline);

impl Baseline {
    fn head(self, _b: &mut Builder<'_>, _backbone: &Backbone<'_>, classes: i64) -> Result<FineTuned> {
        self.fine_tuning.head(Self::NAME, classes, Classifier::Linear)
    }
}

impl Method for BaselinePlusPlus {
    const NAME: &'static str = "baseline_pp";
    const SUMMARY: &'static str = "a layer of cosines trained in each task on pretrained features";
    const ABOUT: &'static str = "\
        Chen et al. 2019, arXiv:1904.04232, Baseline++: weight-normalised class vectors with learned \
        lengths; [pretraining] wants classifier = { cosine = { scale = 2.0 } } (10.0 for more than 200 \
        classes). The network learns in [pretraining] alone, which takes all steps of [training]; it wants \
        batch_norm = \"running\".";
}

pretrained!(BaselinePlusPlus);

impl BaselinePlusPlus {
    fn head(self, _b: &mut Builder<'_>, _backbone: &Backbone<'_>, classes: i64) -> Result<FineTuned> {
        positive("scale", self.scale)?;
        self.fine_tuning.head(Self::NAME, classes, Classifier::Cosine { scale: self.scale })
    }
}

impl FineTuned {
    /// Parameters to begin with, alike for all tasks and classes.
    fn start(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (tasks, _, width) = x.size3()?;
        let on = (x.kind(), x.device());
        Ok(match self.classifier {
            Classifier::Linear => (
                Tensor::f_zeros([tasks, self.classes, width], on)?,
                Tensor::f_zeros([tasks, self.classes], on)?,
            ),
            Classifier::Cosine { .. } => {
                let edge = 1.0 / (width as f64).sqrt();
                let drawn = Key::new(0, "class vectors").uniform(-edge, edge, &[width], on.0, on.1)?;
                let length = drawn.f_norm()?;
                let vectors = drawn.f_expand([tasks, self.classes, width], false)?;
                (vectors.f_contiguous()?, length.f_expand([tasks, self.classes], false)?.f_contiguous()?)
            }
        })
    }
}

impl Head for FineTuned {
    /// Matrix and vector of the classifier.
    type Fitted = (Tensor, Tensor);

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<(Tensor, Tensor)> {
        let _off = no_grad();
        let x = embeddings.f_detach()?;
        let (y, _) = targets(self.name, support, Some(self.classes), x.kind())?;
        let FineTuning { epochs, batch_size, learning_rate, momentum, dampening, weight_decay } =
            self.settings;
        let (mut matrix, mut vector) = self.start(&x)?;
        let mut direction: Option<(Tensor, Tensor)> = None;
        let count = x.size3()?.1;
        for epoch in 0..epochs {
            // The same order in every task, so that a task is judged alike whenever it is.
            let order = Key::new(0, "fine tuning").step(u64::from(epoch)).permutation(count as usize);
            for rows in order.chunks(batch_size) {
                let rows = Tensor::f_from_slice(rows)?.f_to_device(x.device())?;
                let (x, y) = (x.f_index_select(1, &rows)?, y.f_index_select(1, &rows)?);
                let logits = self.classifier.logits((&matrix, &vector), &x)?;
                let by_logits = cross_entropy_gradient(&logits, &y)?;
                let found = self.classifier.backward((&matrix, &vector), &x, &by_logits)?;
                let decayed = |gradient: Tensor, of: &Tensor| gradient.f_add(&of.f_mul_scalar(weight_decay)?);
                let found = (decayed(found.0, &matrix)?, decayed(found.1, &vector)?);
                let next = |old: &Tensor, new: &Tensor| {
                    old.f_mul_scalar(momentum)?.f_add(&new.f_mul_scalar(1.0 - dampening)?)
                };
                let step = match &direction {
                    // As PyTorch: the first direction is the gradient, undampened.
                    None => found,
                    Some(old) => (next(&old.0, &found.0)?, next(&old.1, &found.1)?),
                };
                matrix = matrix.f_sub(&step.0.f_mul_scalar(learning_rate)?)?;
                vector = vector.f_sub(&step.1.f_mul_scalar(learning_rate)?)?;
                direction = Some(step);
            }
        }
        Ok((matrix, vector))
    }

    fn predict(
        &self,
        (matrix, vector): &(Tensor, Tensor),
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        self.classifier.logits((matrix, vector), queries)
    }
}
