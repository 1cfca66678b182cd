use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, normalised, one_hot};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::Scaled;
use crate::shape::{EpisodeShape, NetworkShape};

/// Meta-Baseline (Chen et al. 2021, arXiv:2003.04390): a query's logits are `τ cos(f(q), w_c)` with the mean embedding `w_c` of
/// class c (equations 1 and 2) and τ learned; a network that was pretrained on all training classes goes on learning on tasks.
///
/// The pretraining is the section `[pretraining]`: without it, it is a prototypical network with cosines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaBaseline {
    /// τ to begin with; 10 in the authors' code.
    pub scale: f64,
}

impl Default for MetaBaseline {
    fn default() -> Self {
        Self { scale: 10.0 }
    }
}

/// What [`MetaBaseline`] builds: fitted are the mean embeddings of length 1, `[T, C, D]`.
#[derive(Debug)]
struct Cosines {
    classes: i64,
    scale: Scaled,
}

impl Method for MetaBaseline {
    const NAME: &'static str = "meta_baseline";
    const SUMMARY: &'static str = "cosines to the classes' mean embeddings, after a pretraining";
    const ABOUT: &'static str = "\
        Chen et al. 2021, arXiv:2003.04390: τ cos(f(q), w_c) with τ learned; [pretraining] first trains the \
        network on all classes.";
}

impl LearnerSpec for MetaBaseline {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        backbone.trained(self.name())?;
        let classes = classes(self.name(), shape)?;
        Ok(Box::new(Embedding(Cosines { classes, scale: Scaled::new(b, self.scale)? })))
    }
}

impl Head for Cosines {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let members =
            one_hot(MetaBaseline::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        normalised(&centroids(embeddings, &members)?)
    }

    fn predict(
        &self,
        points: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        self.scale.apply(&normalised(queries)?.f_matmul(&points.f_transpose(1, 2)?)?, params)
    }
}
