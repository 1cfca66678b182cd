use serde::{Deserialize, Serialize};

use crate::Module;
use crate::layers::{Flatten, GlobalAvgPool};

/// What becomes of a network's last feature map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// All numbers, channel by channel.
    #[default]
    Flatten,
    /// The mean of each channel.
    Mean,
}

impl Pooling {
    /// The layer that does it.
    pub(super) fn layer(self) -> Box<dyn Module> {
        match self {
            Self::Flatten => Box::new(Flatten),
            Self::Mean => Box::new(GlobalAvgPool),
        }
    }

    /// How many numbers are left of `[C, H, W]`.
    pub(super) fn features(self, shape: [i64; 3]) -> i64 {
        match self {
            Self::Flatten => shape.iter().product(),
            Self::Mean => shape[0],
        }
    }
}
