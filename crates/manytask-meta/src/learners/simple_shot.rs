use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, negative_squared_distances, normalised, one_hot};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec, LearnsFrom};
use crate::shape::{EpisodeShape, NetworkShape};

/// `SimpleShot` (Wang et al. 2019, arXiv:1911.04623): a query is of the class with the nearest mean of features, of a network that was
/// pretrained on all training classes (`[pretraining]`); nothing is trained in a task.
///
/// Features are transformed first (section 3): centred by their mean over the examples of all training classes, then scaled to length
/// 1 (CL2N). The mean is that of the parameters that are judged, computed for each evaluation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleShot {
    /// What is done to features.
    pub transform: FeatureTransform,
}

/// What is done to features before they are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureTransform {
    /// Nothing (UN).
    None,
    /// Each is scaled to length 1 (L2N).
    L2n,
    /// Each is centred by the mean over the training classes, then scaled to length 1 (CL2N).
    #[default]
    Cl2n,
}

/// What [`SimpleShot`] builds: fitted are the mean features of classes, `[T, C, D]`.
#[derive(Debug)]
struct NearestMean {
    classes: i64,
    transform: Transform,
}

/// What is done to features, with what it takes.
#[derive(Debug)]
enum Transform {
    Nothing,
    Scaled,
    /// With the mean feature of the training classes, a buffer `[D]`.
    CentredAndScaled(Slot),
}

impl Method for SimpleShot {
    const NAME: &'static str = "simple_shot";
    const SUMMARY: &'static str = "the nearest mean of pretrained features, centred and of length 1";
    const ABOUT: &'static str = "\
        Wang et al. 2019, arXiv:1911.04623: features are centred by their mean over all training classes, \
        then scaled (`transform`). The network learns in [pretraining] alone, which takes all steps of \
        [training]; it wants batch_norm = \"running\".";
}

impl LearnerSpec for SimpleShot {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn learns_from(&self) -> LearnsFrom {
        LearnsFrom::BaseClasses
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        let classes = classes(self.name(), shape)?;
        let transform = match self.transform {
            FeatureTransform::None => Transform::Nothing,
            FeatureTransform::L2n => Transform::Scaled,
            FeatureTransform::Cl2n => {
                let shape = [backbone.feature_count()?];
                Transform::CentredAndScaled(b.parameter("base_mean", &shape, Init::Zeros, Role::Buffer)?)
            }
        };
        Ok(Box::new(Embedding(NearestMean { classes, transform })))
    }
}

impl NearestMean {
    fn transformed(&self, features: &Tensor, params: &Params) -> Result<Tensor> {
        match self.transform {
            Transform::Nothing => Ok(features.shallow_clone()),
            Transform::Scaled => normalised(features),
            Transform::CentredAndScaled(slot) => {
                let width = features.size().last().copied().unwrap_or_default();
                normalised(&features.f_sub(&params.get(slot)?.f_reshape([-1, 1, width])?)?)
            }
        }
    }
}

impl Head for NearestMean {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let members = one_hot(SimpleShot::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        centroids(&self.transformed(embeddings, params)?, &members)
    }

    fn predict(
        &self,
        means: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        negative_squared_distances(&self.transformed(queries, params)?, means)
    }

    fn base_mean(&self) -> Option<Slot> {
        match self.transform {
            Transform::CentredAndScaled(slot) => Some(slot),
            Transform::Nothing | Transform::Scaled => None,
        }
    }
}
