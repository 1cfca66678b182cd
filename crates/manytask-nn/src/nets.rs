//! Networks: multi-layer perceptrons, and the trunks of few-shot learning on images.

mod conv4;
mod conv_r2d2;
mod dilated;
mod lenet;
mod mlp;
mod pictures;
mod pooling;
mod residual_mlp;
mod resnet;
mod resnet12;
mod sizes;
mod vit;
mod wide_resnet;

pub use conv_r2d2::{ConvR2d2, ConvR2d2Config};
pub use conv4::{Conv4, Conv4Config, Downsampling};
pub use dilated::{Dilated, DilatedConfig};
pub use lenet::{LeNet, LeNetConfig};
pub use mlp::{Init, Mlp, MlpConfig, Norm};
pub use pooling::Pooling;
pub use residual_mlp::{ResidualMlp, ResidualMlpConfig};
pub use resnet::{ResNet, ResNetConfig, Stem};
pub use resnet12::{ResNet12, ResNet12Config};
pub use vit::{VisionTransformer, VitConfig};
pub use wide_resnet::{WideResNet, WideResNetConfig};
