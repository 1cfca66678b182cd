//! The networks of learners.

use std::fmt::Debug;

use manytask_nn::layers::{Flatten, Linear, Sequential};
use manytask_nn::nets::{
    Conv4, Conv4Config, ConvR2d2, ConvR2d2Config, Mlp, MlpConfig, ResNet, ResNet12, ResNet12Config,
    ResNetConfig, VisionTransformer, VitConfig, WideResNet, WideResNetConfig,
};
use manytask_nn::{Builder, Error, Module};
use serde::{Deserialize, Serialize};

/// The settings of a network for examples of a shape.
pub trait BackboneSettings: Debug + Send + Sync {
    /// Adds its parameters; with `outputs` it ends in a layer `head` of that size.
    ///
    /// # Errors
    /// When a size is impossible, or examples of this shape are not for it.
    fn build(
        &self,
        b: &mut Builder<'_>,
        input: &[i64],
        outputs: Option<i64>,
    ) -> manytask_nn::Result<Box<dyn Module>>;
}

/// `[network]` of examples as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySection {}

impl BackboneSettings for IdentitySection {
    fn build(
        &self,
        b: &mut Builder<'_>,
        input: &[i64],
        outputs: Option<i64>,
    ) -> manytask_nn::Result<Box<dyn Module>> {
        let mut layers: Vec<Box<dyn Module>> = Vec::new();
        if input.len() > 1 {
            layers.push(Box::new(Flatten));
        }
        if let Some(outputs) = outputs {
            layers.push(Box::new(Linear::new(&mut b.scope("head"), input.iter().product(), outputs)?));
        }
        Ok(Box::new(Sequential(layers)))
    }
}

impl BackboneSettings for MlpConfig {
    fn build(
        &self,
        b: &mut Builder<'_>,
        input: &[i64],
        outputs: Option<i64>,
    ) -> manytask_nn::Result<Box<dyn Module>> {
        let config = Self { output: own_output(self.output, outputs)?, ..self.clone() };
        let net = Mlp::new(b, input.iter().product(), &config)?;
        Ok(if input.len() == 1 {
            Box::new(net)
        } else {
            Box::new(Sequential(vec![Box::new(Flatten), Box::new(net)]))
        })
    }
}

impl BackboneSettings for Conv4Config {
    fn build(
        &self,
        b: &mut Builder<'_>,
        input: &[i64],
        outputs: Option<i64>,
    ) -> manytask_nn::Result<Box<dyn Module>> {
        let config = Self { output: own_output(self.output, outputs)?, ..self.clone() };
        Ok(Box::new(Conv4::for_images(b, input, &config)?))
    }
}

/// `[network]` of a residual network with so many blocks in each stage.
#[derive(Debug, Clone)]
pub(crate) struct ResNetOf(pub(crate) [usize; 4], pub(crate) ResNetConfig);

impl BackboneSettings for ResNetOf {
    fn build(
        &self,
        b: &mut Builder<'_>,
        input: &[i64],
        outputs: Option<i64>,
    ) -> manytask_nn::Result<Box<dyn Module>> {
        let config = ResNetConfig { output: own_output(self.1.output, outputs)?, ..self.1.clone() };
        Ok(Box::new(ResNet::new(b, input, self.0, &config)?))
    }
}

macro_rules! of_images {
    ($($config:ident, $network:ident;)*) => {$(
        impl BackboneSettings for $config {
            fn build(
                &self,
                b: &mut Builder<'_>,
                input: &[i64],
                outputs: Option<i64>,
            ) -> manytask_nn::Result<Box<dyn Module>> {
                let config = Self { output: own_output(self.output, outputs)?, ..self.clone() };
                Ok(Box::new($network::new(b, input, &config)?))
            }
        }
    )*};
}

of_images! {
    ConvR2d2Config, ConvR2d2;
    ResNet12Config, ResNet12;
    WideResNetConfig, WideResNet;
    VitConfig, VisionTransformer;
}

/// The size of a network's last layer: the data's where the learner needs a head, otherwise the configuration's.
fn own_output(written: Option<i64>, needed: Option<i64>) -> manytask_nn::Result<Option<i64>> {
    match (written, needed) {
        (Some(written), Some(needed)) => Err(Error::setting(
            "output",
            &written,
            format!("the tasks decide the size of the head, {needed}; leave it out"),
        )),
        _ => Ok(written.or(needed)),
    }
}
