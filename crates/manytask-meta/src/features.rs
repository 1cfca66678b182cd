//! What is done to features before they are compared.

use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Init, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::normalised;

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

/// What is done to features, with what it takes.
#[derive(Debug)]
pub(crate) enum Transform {
    /// Nothing.
    Nothing,
    /// Each is scaled to length 1.
    Scaled,
    /// With the mean feature of the training classes, a buffer `[D]`.
    CentredAndScaled(Slot),
}

impl FeatureTransform {
    /// Adds the buffer `base_mean` where features are centred by it.
    pub(crate) fn build(self, b: &mut Builder<'_>, backbone: &Backbone<'_>) -> Result<Transform> {
        Ok(match self {
            Self::None => Transform::Nothing,
            Self::L2n => Transform::Scaled,
            Self::Cl2n => {
                let shape = [backbone.feature_count()?];
                Transform::CentredAndScaled(b.parameter("base_mean", &shape, Init::Zeros, Role::Buffer)?)
            }
        })
    }
}

impl Transform {
    /// Of features `[T, N, D]`.
    pub(crate) fn apply(&self, features: &Tensor, params: &Params) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(features.shallow_clone()),
            Self::Scaled => normalised(features),
            Self::CentredAndScaled(slot) => {
                let width = features.size().last().copied().unwrap_or_default();
                normalised(&features.f_sub(&params.get(*slot)?.f_reshape([-1, 1, width])?)?)
            }
        }
    }

    /// As [`Learner::base_mean`](crate::Learner::base_mean).
    pub(crate) fn base_mean(&self) -> Option<Slot> {
        match self {
            Self::CentredAndScaled(slot) => Some(*slot),
            Self::Nothing | Self::Scaled => None,
        }
    }
}
