//! A network and a learner on it, with the layout of the parameters of both.

use std::sync::Arc;

use manytask_multitask::{Error, Result};
use manytask_nn::metrics::Output;
use manytask_nn::{BatchNormPolicy, Builder, Context, Module};
use manytask_tensor::{Device, Kind, Layout, LayoutBuilder, Tensor, no_grad};

use crate::learner::{Learner, LearnerSpec, LearnsFrom};
use crate::pretraining::{BaseClasses, Pretraining};

/// The form of what tasks are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeShape {
    /// The shape of one example, `[D]` or `[C, H, W]`.
    pub input: Vec<i64>,
    /// What predictions mean.
    pub output: Output,
    /// Classes, or numbers that are predicted.
    pub outputs: i64,
}

/// What a learner wants of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkShape {
    /// The shape of one row that goes into it.
    pub input: Vec<i64>,
    /// The size of its last layer, `head`; `None`: there is none, and what comes out is as the network's settings say.
    pub outputs: Option<i64>,
}

/// The network that a learner is built on.
#[derive(Debug)]
pub struct Backbone<'a> {
    /// The definition.
    pub network: &'a dyn Module,
    /// Its parameters.
    pub layout: Arc<Layout>,
    /// The shape of one row that goes into it.
    pub input: Vec<i64>,
}

/// A network and a learner on it.
#[derive(Debug)]
pub struct MetaModel {
    pub(crate) layout: Arc<Layout>,
    pub(crate) network: Box<dyn Module>,
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) learns_from: LearnsFrom,
    pub(crate) base_classes: Option<BaseClasses>,
    pub(crate) shape: EpisodeShape,
    pub(crate) input: Vec<i64>,
}

impl EpisodeShape {
    /// Numbers `[inputs]` of which `outputs` numbers are predicted.
    pub fn regression(inputs: i64, outputs: i64) -> Self {
        Self { input: vec![inputs], output: Output::Regression, outputs }
    }

    /// Examples of one of `ways` classes.
    pub fn classes(input: &[i64], ways: i64) -> Self {
        Self { input: input.to_vec(), output: Output::Multiclass, outputs: ways }
    }
}

impl NetworkShape {
    /// The tasks' examples, and no layer `head`: the network embeds them.
    pub fn embedding(shape: &EpisodeShape) -> Self {
        Self { input: shape.input.clone(), outputs: None }
    }
}

impl MetaModel {
    /// Builds a learner on a network whose parameters are in `layout`, which gets the learner's own beside them.
    ///
    /// # Errors
    /// When the learner cannot work with the network or such tasks, or its settings are out of range.
    pub fn build(
        layout: LayoutBuilder,
        network: Box<dyn Module>,
        spec: &dyn LearnerSpec,
        shape: EpisodeShape,
    ) -> Result<Self> {
        Self::build_pretrained(layout, network, spec, shape, None)
    }

    /// The same with a pretraining on so many training classes, whose classifier is an entry `pretraining.…` of the layout.
    ///
    /// # Errors
    /// As [`MetaModel::build`]; also when a number of the pretraining is out of range.
    pub fn build_pretrained(
        mut layout: LayoutBuilder,
        network: Box<dyn Module>,
        spec: &dyn LearnerSpec,
        shape: EpisodeShape,
        pretraining: Option<(Pretraining, i64)>,
    ) -> Result<Self> {
        let input = spec.network(&shape).input;
        let backbone = Backbone { network: &network, layout: layout.snapshot(), input: input.clone() };
        let learner = spec.build(&mut Builder::new(&mut layout).scope("learner"), &backbone, &shape)?;
        let base_classes = pretraining.map(|(settings, classes)| {
            let b = &mut Builder::new(&mut layout);
            BaseClasses::build(settings, &mut b.scope("pretraining"), &backbone, classes)
        });
        let base_classes = base_classes.transpose()?;
        Ok(Self {
            layout: layout.build(),
            network,
            learner,
            learns_from: spec.learns_from(),
            base_classes,
            shape,
            input,
        })
    }

    /// The parameters of both.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }
}

impl Backbone<'_> {
    /// Refuses a network without parameters, for a learner that has none of its own.
    ///
    /// # Errors
    /// With the learner's name.
    pub(crate) fn trained(&self, learner: &str) -> Result<()> {
        if !self.layout.trained().is_empty() {
            return Ok(());
        }
        Err(Error::setting(
            format!("`{learner}` with a network that has no parameters: there is nothing to learn"),
            "give it a layer, with `hidden` or `output`",
        ))
    }

    /// How many numbers come out of it for one row.
    ///
    /// # Errors
    /// As [`Backbone::features`].
    pub fn feature_count(&self) -> Result<i64> {
        Ok(self.features()?.iter().product())
    }

    /// The shape of what comes out of it for one row: a pass of two rows of zeros.
    ///
    /// # Errors
    /// When such rows are not for it.
    pub fn features(&self) -> Result<Vec<i64>> {
        let _off = no_grad();
        let on = (Kind::Float, Device::Cpu);
        let rows = Tensor::f_zeros([&[2], self.input.as_slice()].concat(), on)?;
        let params = self.layout.zeros(on.0, on.1)?;
        let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Batch);
        Ok(self.network.forward(&params, &rows, &mut cx)?.size().split_off(1))
    }
}
