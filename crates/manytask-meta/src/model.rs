//! A network and a learner on it, with the layout of the parameters of both.

use std::sync::Arc;

use manytask_multitask::Result;
use manytask_nn::{Builder, Module};
use manytask_tensor::{Layout, LayoutBuilder};

use crate::backbone::Backbone;
use crate::learner::{Learner, LearnerSpec, LearnsFrom};
use crate::pretraining::{BaseClasses, Pretraining};
use crate::shape::EpisodeShape;

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
