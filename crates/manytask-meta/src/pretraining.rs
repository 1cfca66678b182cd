//! Steps on all training classes, before the first task.

use manytask_data::{ClassPool, Episodes};
use manytask_multitask::{Draw, Error, Result, Split};
use manytask_nn::Builder;
use manytask_nn::loss::Loss;
use manytask_tensor::{Init, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::classifier::Classifier;
use crate::embedding::flat;
use crate::episode::Randomness;
use crate::learner::Objective;
use crate::logits::named_positive;
use crate::query_objective::QueryObjective;
use crate::recorded::Recorded;

/// A phase before the tasks: the network learns to classify single examples of all training classes, by cross-entropy behind a
/// classifier of its own, `pretraining.classifier`. The tasks go on from the parameters that it ends with.
///
/// Its steps are the first ones of the training, so checkpoints, schedules and resumption hold in it as in the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// How many of the training's steps it takes.
    pub steps: u64,
    /// Examples in a step, drawn uniformly with replacement.
    pub batch_size: usize,
    /// The form of the classifier.
    pub classifier: Classifier,
}

/// What of it is in a model.
#[derive(Debug)]
pub(crate) struct BaseClasses {
    settings: Pretraining,
    matrix: Slot,
    vector: Slot,
}

impl Pretraining {
    /// Refuses numbers that are out of range.
    ///
    /// # Errors
    /// With the number and its range.
    pub fn check(&self) -> Result<()> {
        const MOST: usize = 1 << 20;
        if !(2..=MOST).contains(&self.batch_size) {
            let what = format!("`batch_size` of [pretraining] is {}", self.batch_size);
            return Err(Error::setting("batch_size", what, format!("take 2 to {MOST}")));
        }
        if self.steps == 0 {
            return Err(Error::setting(
                "steps",
                "`steps` of [pretraining] is 0",
                "take 1 at least, or leave [pretraining] out",
            ));
        }
        if let Classifier::Cosine { scale } = self.classifier {
            named_positive(["classifier", "cosine", "scale"], "the classifier's scale", scale)?;
        }
        Ok(())
    }
}

impl BaseClasses {
    /// Adds the classifier of so many classes.
    pub(crate) fn build(
        settings: Pretraining,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        classes: i64,
    ) -> Result<Self> {
        settings.check()?;
        let features = backbone.feature_count()?;
        let edge = 1.0 / (features.max(1) as f64).sqrt();
        let drawn = Init::Uniform { low: -edge, high: edge };
        let mut b = b.scope("classifier");
        let matrix = b.parameter("weight", &[classes, features], drawn, Role::Weight)?;
        let vector = match settings.classifier {
            Classifier::Linear => b.parameter("bias", &[classes], drawn, Role::Bias)?,
            // The expected length of such a draw.
            Classifier::Cosine { .. } => {
                b.parameter("length", &[classes], Init::Constant(3_f64.sqrt().recip()), Role::Scale)?
            }
        };
        Ok(Self { settings, matrix, vector })
    }

    /// How many of the training's steps it takes.
    pub(crate) fn steps(&self) -> u64 {
        self.settings.steps
    }

    /// Whether a draw is one of its steps.
    pub(crate) fn holds(&self, draw: Draw) -> bool {
        draw.step < self.settings.steps && draw.split == Split::Train
    }

    /// The objective of a step on images of all training classes with a graph to `params`, and new values of buffers.
    pub(crate) fn objective(
        &self,
        pool: &ClassPool,
        objective: &QueryObjective,
        params: &Params,
        draw: Draw,
    ) -> Result<(Objective, Recorded)> {
        // Replicas are other batches: they are numbered behind all that the steps can reach.
        let number = draw.step.wrapping_add(u64::from(draw.replica) << 48);
        let (x, y) = pool.batch(self.settings.batch_size, draw.seed, number)?;
        let (x, own) = (x.f_to_kind(params.kind())?, Tensor::shallow_clone);
        let batch = Episodes { support_x: own(&x), support_y: own(&y), query_x: x, query_y: y };
        let episode = objective.episode(&batch, None, Some(Randomness::of(draw, vec![0])));
        let support = &episode.support;
        let features = support.forward(support.network, params, &support.x, 0)?;
        let features = flat(&features, None)?.f_squeeze_dim(0)?;
        let weights = (params.get(self.matrix)?, params.get(self.vector)?);
        let logits = self.settings.classifier.logits(weights, &features)?;
        let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
        let losses = loss.mean(&logits, &support.y, None, None)?;
        let right = logits.f_argmax(-1, false)?.f_eq_tensor(&support.y)?.f_to_kind(losses.kind())?;
        let accuracy = right.f_mean(losses.kind())?;
        let terms = vec![("base_accuracy", accuracy)];
        Ok((Objective { losses, terms }, support.take_recorded()))
    }
}
