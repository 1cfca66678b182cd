//! Networks: multi-layer perceptrons and the convolutional trunks of few-shot learning.

mod conv4;
mod lenet;
mod mlp;
mod residual_mlp;
mod sizes;

pub use conv4::{Conv4, Conv4Config};
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Init, Mlp, MlpConfig, Norm};
pub use residual_mlp::{ResidualMlp, ResidualMlpConfig};
