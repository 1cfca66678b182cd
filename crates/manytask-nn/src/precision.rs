use manytask_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::Result;

/// What linear layers and convolutions compute in (Micikevicius et al. 2018, with bfloat16: Kalamkar et al. 2019).
///
/// Parameters, their gradients, fast weights, optimizer and losses keep their own element type in either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The element type of the parameters.
    #[default]
    Full,
    /// That of the parameters, which are float32, and on a CUDA device TF32 for what is multiplied: 11 significant bits, sums in float32. It
    /// is a choice for the whole process, see [`capture::allow_tf32`](manytask_tensor::capture::allow_tf32).
    Tf32,
    /// Bfloat16, with the range of float32 and 8 significant bits: inputs, weights and what comes out are rounded to it, sums
    /// are made in float32. Normalisations make their statistics in float32.
    Bfloat16,
}

impl Precision {
    /// A factor of a product, as it goes into it.
    pub(crate) fn operand(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Full | Self::Tf32 => x.shallow_clone(),
            Self::Bfloat16 => x.f_to_kind(Kind::BFloat16)?,
        })
    }
}
