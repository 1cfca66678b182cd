//! Layers.

mod activation;
mod conv;
mod conv1d;
mod drop_block;
mod dropout;
mod embedding;
mod leaky_relu;
mod linear;
mod norm;
mod periodic;
mod pool;
mod residual;
mod restored;
mod sequential;
mod stages;

pub use conv::Conv2d;
pub use conv1d::Conv1d;
pub use drop_block::DropBlock;
pub use dropout::{ChannelDropout, Dropout};
pub use embedding::Embedding;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use norm::{BatchNorm, GroupNorm, LayerNorm};
pub use periodic::{Periodic, PeriodicConfig};
pub use pool::{AvgPool2d, Flatten, GlobalAvgPool, MaxPool2d};
pub use residual::Residual;
pub use restored::Restored;
pub use sequential::Sequential;
pub use stages::Stages;

pub use crate::primitive::{Activation, ConvConfig};
