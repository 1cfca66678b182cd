//! What a learner is: settings that build it, an objective, and predictions after adaptation.

use std::fmt::Debug;

use manytask_multitask::Result;
use manytask_nn::fused::NotFused;
use manytask_nn::{Builder, Module};
use manytask_tensor::{Layout, Params, SettingError, Slot, Tensor};

use crate::backbone::Backbone;
use crate::descent::Descent;
use crate::episode::{Episode, Support};
use crate::outer_gradient::{GradientMode, OuterGradient};
use crate::prediction::{Prediction, Predicts};
use crate::shape::{EpisodeShape, NetworkShape};

/// The settings of a learner, which build it.
///
/// One file and one line in a registry are a method: its settings implement this trait, and what they build implements
/// [`Learner`].
pub trait LearnerSpec: Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Refuses settings as soon as they are read.
    ///
    /// # Errors
    /// With the key, what is wrong and the remedy.
    fn check(&self) -> std::result::Result<(), SettingError> {
        Ok(())
    }

    /// What goes into the network and what comes out of it; as it stands here: the tasks' examples, and a layer `head` with an
    /// output for each class, or each number that is predicted.
    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape { input: shape.input.clone(), outputs: Some(shape.outputs) }
    }

    /// What its network learns from.
    fn learns_from(&self) -> LearnsFrom {
        LearnsFrom::Episodes
    }

    /// Adds the learner's own parameters, named within `learner`, and its state as entries of [`Role::Buffer`], to the layout
    /// beside those of the network; refuses a network or tasks that it cannot work with, and settings out of range.
    ///
    /// [`Role::Buffer`]: manytask_tensor::Role::Buffer
    ///
    /// # Errors
    /// With what is missing, and the remedy.
    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>>;
}

/// What becomes of a network in a task: from its meta-parameters and a support set to predictions for queries, and the
/// objective of the meta-training.
///
/// Parameters may have a task dimension: then examples and predictions have it too, and task t's are what it alone would
/// give. No learner writes parameters or buffers; new values of buffers are recorded in the [`Support`].
pub trait Learner: Debug + Send + Sync {
    /// The predictor for a support set, before any step of adaptation. `mode` says how far it is differentiated by `params`.
    ///
    /// # Errors
    /// When examples or labels are of a form that it cannot take, or memory runs out.
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>>;

    /// What is minimised by the meta-parameters, with a graph to `params`; it sees the labels of the queries. As it stands
    /// here: [`Learner::query_losses`] after all steps of adaptation.
    ///
    /// # Errors
    /// As [`Learner::adapt`].
    fn objective(&self, episode: &Episode<'_>, params: &Params, mode: GradientMode) -> Result<Objective> {
        let predictor = adapted(self, &episode.support, params, mode)?;
        let prediction = predictor.predict(&episode.query_x)?;
        Ok(Objective::new(self.query_losses(&prediction, episode)?))
    }

    /// The loss of predictions for the queries: one element, or `[T]` where there is a task dimension. Training minimises it
    /// unless [`Learner::objective`] says otherwise, and evaluation reports it.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn query_losses(&self, prediction: &Prediction, episode: &Episode<'_>) -> Result<Tensor> {
        prediction.losses(episode.support.loss, &episode.query_y, episode.support.tasks)
    }

    /// The objective with its gradient by `params`, each task's own where there is a task dimension, from a learner that has
    /// another way to it than through the graph of [`Learner::objective`].
    ///
    /// # Errors
    /// As [`Learner::adapt`].
    fn gradient(&self, _episode: &Episode<'_>, _params: &Params) -> Result<Option<(Objective, Params)>> {
        Ok(None)
    }

    /// Whether [`Learner::gradient`] is fused with such a network.
    ///
    /// # Errors
    /// With what prevents it.
    fn fused(&self, network: &dyn Module, layout: &Layout) -> std::result::Result<(), NotFused> {
        let _ = (network, layout);
        Err(NotFused::because("a learner that is not plain gradient descent"))
    }

    /// How many steps it adapts by in training; `None` if it does not adapt step by step.
    fn steps(&self) -> Option<u32> {
        None
    }

    /// How the meta-gradient sees the adaptation.
    fn outer_gradient(&self) -> OuterGradient {
        OuterGradient::SecondOrder
    }

    /// What its predictions are.
    fn predicts(&self) -> Predicts {
        Predicts::Values
    }

    /// Whether the network does nothing but embed examples, one by one, and is not adapted: then embeddings of images that are in
    /// several tasks may be computed once.
    fn embeds(&self) -> bool {
        false
    }

    /// The buffer `[D]` that holds the mean embedding of the examples of all training classes, where it has one. Whoever judges
    /// parameters computes it for these; training does not read it.
    fn base_mean(&self) -> Option<Slot> {
        None
    }

    /// Whether a prediction depends on the other queries of the task.
    fn is_transductive(&self) -> bool {
        false
    }

    /// Whether its objective depends on the step of the training, so that a recording of one is not that of another.
    fn changes_with_steps(&self) -> bool {
        false
    }

    /// The gradient descent that it is, where it is nothing else: then a step of training may be fused.
    fn descent(&self, _layout: &Layout) -> Option<Descent> {
        None
    }
}

/// What a network learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnsFrom {
    /// Tasks, before which a [`Pretraining`](crate::Pretraining) may come.
    Episodes,
    /// A pretraining alone: nothing has a gradient in a task.
    BaseClasses,
}

/// A network with its support set behind it.
pub trait Predictor {
    /// One more step of adaptation; nothing where there are no steps.
    ///
    /// # Errors
    /// When memory runs out.
    fn advance(&mut self) -> Result<()> {
        Ok(())
    }

    /// The predictions for examples `[T?, M, …]` at this point of the adaptation.
    ///
    /// # Errors
    /// When examples are of another form, or memory runs out.
    fn predict(&self, x: &Tensor) -> Result<Prediction>;

    /// The parameters as they are now, where adapting is changing them.
    fn adapted(&self) -> Option<&Params> {
        None
    }
}

/// What a step of the meta-training minimises.
#[derive(Debug)]
pub struct Objective {
    /// One element, or `[T]` where there is a task dimension.
    pub losses: Tensor,
    /// Further numbers for the log, of the form of the losses, by name.
    pub terms: Vec<(&'static str, Tensor)>,
}

impl Objective {
    /// Losses and nothing to log beside them.
    pub fn new(losses: Tensor) -> Self {
        Self { losses, terms: Vec::new() }
    }
}

/// The predictor after all steps of adaptation of a training.
pub(crate) fn adapted<'a, L: Learner + ?Sized>(
    learner: &'a L,
    support: &'a Support<'a>,
    params: &Params,
    mode: GradientMode,
) -> Result<Box<dyn Predictor + 'a>> {
    let mut predictor = learner.adapt(support, params, mode)?;
    for _ in 0..learner.steps().unwrap_or(0) {
        predictor.advance()?;
    }
    Ok(predictor)
}
