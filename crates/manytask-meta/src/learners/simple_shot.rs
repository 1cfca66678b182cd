use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use super::pretrained::pretrained;
use crate::backbone::Backbone;
use crate::embedding::{centroids, negative_squared_distances, one_hot};
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::Head;
use crate::logits::positive;

/// `SimpleShot` (Wang et al. 2019, arXiv:1911.04623): a query is of the class with the nearest mean of features, of a network that was
/// pretrained on all training classes (`[pretraining]`); nothing is trained in a task.
///
/// Features are transformed first (section 3): centred by their mean over the examples of all training classes, then scaled to length
/// 1 (CL2N). The mean is that of the parameters that are judged, computed for each evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleShot {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// What squared distances are multiplied by, above 0: the larger, the surer are probabilities; which class is the likeliest stays.
    pub temperature: f64,
}

impl Default for SimpleShot {
    fn default() -> Self {
        Self { transform: FeatureTransform::Cl2n, temperature: 1.0 }
    }
}

/// What [`SimpleShot`] builds: fitted are the mean features of classes, `[T, C, D]`.
#[derive(Debug)]
struct NearestMean {
    classes: i64,
    transform: Transform,
    temperature: f64,
}

impl Method for SimpleShot {
    const NAME: &'static str = "simple_shot";
    const SUMMARY: &'static str = "the nearest mean of pretrained features, centred and of length 1";
    const ABOUT: &'static str = "\
        Wang et al. 2019, arXiv:1911.04623: features are centred by their mean over all training classes, \
        then scaled (`transform`); logits are −temperature · distance². The network learns in [pretraining] alone, which takes all steps of \
        [training]; it wants batch_norm = \"running\".";
}

pretrained!(SimpleShot);

impl SimpleShot {
    fn head(self, b: &mut Builder<'_>, backbone: &Backbone<'_>, classes: i64) -> Result<NearestMean> {
        positive("temperature", self.temperature)?;
        let (transform, temperature) = (self.transform.build(b, backbone)?, self.temperature);
        Ok(NearestMean { classes, transform, temperature })
    }
}

impl Head for NearestMean {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let members = one_hot(SimpleShot::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        centroids(&self.transform.apply(embeddings, params)?, &members)
    }

    fn predict(
        &self,
        means: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let distances = negative_squared_distances(&self.transform.apply(queries, params)?, means)?;
        Ok(distances.f_mul_scalar(self.temperature)?)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }
}
