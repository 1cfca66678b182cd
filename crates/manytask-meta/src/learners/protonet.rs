use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, negative_squared_distances, one_hot};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::shape::{EpisodeShape, NetworkShape};

/// Prototypical networks (Snell et al. 2017): class c's prototype is the mean of the support set's embeddings of c, and a
/// query's logits are the negative squared Euclidean distances of its embedding to the prototypes.
///
/// The network is an embedding, without a classifying head. Classes are numbered from 0 in the support set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtoNet {}

/// What [`ProtoNet`] builds: its prototypes are `[T, C, D]`.
#[derive(Debug)]
struct Prototypes {
    classes: i64,
}

impl Method for ProtoNet {
    const NAME: &'static str = "protonet";
    const SUMMARY: &'static str = "classes by the mean of their embeddings";
    const ABOUT: &'static str = "\
        Snell et al. 2017, arXiv:1703.05175: logits are negative squared distances to the classes' means.";
}

impl LearnerSpec for ProtoNet {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        backbone.trained(self.name())?;
        Ok(Box::new(Embedding(Prototypes { classes: classes(self.name(), shape)? })))
    }
}

impl Head for Prototypes {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let members = one_hot(ProtoNet::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        centroids(embeddings, &members)
    }

    fn predict(
        &self,
        prototypes: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        negative_squared_distances(queries, prototypes)
    }
}
