//! Embeddings as positions of a feature map: what heads share that compare parts of images.

use manytask_multitask::{Error, Result};
use manytask_tensor::Tensor;

/// Embeddings `[T, N, D]`, channel by channel, as `count` positions of `channels` numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positions {
    pub(crate) channels: i64,
    pub(crate) count: i64,
}

impl Positions {
    /// Of embeddings of so many numbers; without `channels` they are a single position.
    ///
    /// # Errors
    /// When `channels` does not divide them.
    pub(crate) fn new(channels: Option<i64>, features: i64) -> Result<Self> {
        let channels = channels.unwrap_or(features);
        if channels < 1 || features % channels != 0 {
            return Err(Error::setting(
                "channels",
                format!("`channels` is {channels}, and an embedding has {features} numbers"),
                "take the channels of the network's last feature map, or leave it out",
            ));
        }
        Ok(Self { channels, count: features / channels })
    }

    /// `[T, N, count, channels]`.
    pub(crate) fn of(self, embeddings: &Tensor) -> Result<Tensor> {
        let (tasks, count, _) = embeddings.size3()?;
        Ok(embeddings.f_reshape([tasks, count, self.channels, self.count])?.f_transpose(2, 3)?)
    }
}
