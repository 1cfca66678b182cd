use manytask_tensor::Within as _;
use std::collections::BTreeMap;
use std::fmt::Debug;

use manytask_nn::layers::{Flatten, Linear, Restored, Sequential};
use manytask_nn::nets::{
    Conv4, Conv4Config, Dilated, DilatedConfig, LeNet, LeNetConfig, Mlp, MlpConfig, ResidualMlp,
    ResidualMlpConfig,
};
use manytask_nn::{Builder, Module, Precision};

use super::{Architecture, Encoding, Heads, InputEncoder, InputSizes};
use crate::{Error, Result, Task};

/// What a part of a network is built by: it adds its parameters and gives its definition, with the size of what it gives.
pub type Built = (Box<dyn Module>, i64);

/// The settings of a part of a network that turns rows into a representation.
pub trait TrunkSettings: Debug + Send + Sync {
    /// Adds its parameters for rows of this shape, `[D]` or `[C, H, W]`; answers with the definition and the size of its output.
    ///
    /// # Errors
    /// When a size is impossible.
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built>;

    /// Whether it gives a row for each pixel of a picture, and not one for the picture.
    fn is_of_pixels(&self) -> bool {
        false
    }
}

impl TrunkSettings for DilatedConfig {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = Dilated::new(b, inputs, self)?;
        let features = net.features();
        Ok((Box::new(net), features))
    }

    fn is_of_pixels(&self) -> bool {
        true
    }
}

impl TrunkSettings for MlpConfig {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = Mlp::new(b, inputs.iter().product(), self)?;
        let features = net.features();
        Ok((flattened(inputs, Box::new(net)), features))
    }
}

impl TrunkSettings for ResidualMlpConfig {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = ResidualMlp::new(b, inputs.iter().product(), self)?;
        let features = net.features();
        Ok((flattened(inputs, Box::new(net)), features))
    }
}

/// A network of rows of numbers for rows of any shape.
fn flattened(inputs: &[i64], net: Box<dyn Module>) -> Box<dyn Module> {
    if inputs.len() == 1 { net } else { Box::new(Sequential(vec![Box::new(Flatten), net])) }
}

impl TrunkSettings for LeNetConfig {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = LeNet::new(b, inputs, self)?;
        let features = net.features();
        Ok((Box::new(net), features))
    }
}

impl TrunkSettings for Conv4Config {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = Conv4::for_images(b, inputs, self)?;
        let features = net.features();
        Ok((Box::new(net), features))
    }
}

/// A part that an architecture is made of, each a `{ kind = … }` of its own in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartUse {
    /// It must be written.
    Required(&'static str),
    /// It may be left out.
    Optional(&'static str),
}

impl PartUse {
    /// Its key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Required(key) | Self::Optional(key) => key,
        }
    }
}

/// The settings of an architecture beside those of its parts.
pub trait ArchitectureSettings: Debug + Send + Sync {
    /// Its name in a configuration.
    fn name(&self) -> &'static str;

    /// The parts that it is made of.
    fn parts(&self) -> &'static [PartUse] {
        &[PartUse::Required("trunk"), PartUse::Optional("head")]
    }

    /// Whether a trunk that gives rows of pixels is all that it takes for tasks with a label for each pixel.
    fn takes_pixels(&self) -> bool {
        false
    }

    /// What stands for a part that is not written, where there is such.
    fn default_part(&self, key: &str) -> Option<Box<dyn TrunkSettings>> {
        let _ = key;
        None
    }

    /// Whether it is one network for the whole Pareto front, see [`Architecture::preferences`]: then the name of the aggregator that its paper trains it
    /// with.
    fn front_aggregator(&self) -> Option<&'static str> {
        None
    }

    /// Refuses settings out of range, before anything is built.
    ///
    /// # Errors
    /// With the setting and its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Builds the network.
    ///
    /// # Errors
    /// When a size is impossible, or the tasks are not what it is for.
    fn build(&self, blueprint: &Blueprint<'_>) -> Result<Box<dyn Architecture>>;
}

/// What a network is built for and of.
#[derive(Debug, Clone, Copy)]
pub struct Blueprint<'a> {
    /// The sizes of what comes in.
    pub inputs: &'a InputSizes,
    /// How columns become numbers.
    pub encoding: Encoding,
    /// What is predicted.
    pub tasks: &'a [Task],
    /// What layers compute in.
    pub precision: Precision,
    /// The parts by their keys.
    pub parts: &'a BTreeMap<String, Box<dyn TrunkSettings>>,
}

impl Blueprint<'_> {
    /// The names of the tasks.
    pub fn names(&self) -> Vec<String> {
        self.tasks.iter().map(|task| task.name.clone()).collect()
    }

    /// Adds what turns inputs into one tensor.
    ///
    /// # Errors
    /// When a size is below 1.
    pub fn encoder(&self, root: &mut Builder<'_>) -> Result<InputEncoder> {
        InputEncoder::new(root, self.inputs, &self.encoding)
    }

    /// Whether a part is written.
    pub fn has(&self, key: &str) -> bool {
        self.parts.contains_key(key)
    }

    /// Adds a part for rows of this shape, such as the trunk. What it gives is of the element type of the parameters.
    ///
    /// # Errors
    /// When the part is not written, or a size is impossible.
    pub fn part(&self, key: &str, b: &mut Builder<'_>, inputs: &[i64]) -> Result<Built> {
        let part = self
            .parts
            .get(key)
            .ok_or_else(|| Error::setting(key, format!("a network without `{key}`"), "write one"))?;
        let (module, features) = part.build(&mut b.with_precision(self.precision), inputs).within(key)?;
        Ok((Box::new(Restored(module)), features))
    }

    /// Adds a head for each task: the layers of the part `head`, where it is written, and a linear layer of the task's outputs.
    ///
    /// # Errors
    /// When there is no task, or a size is impossible.
    pub fn heads(&self, root: &mut Builder<'_>, features: i64) -> Result<Heads> {
        Heads::new(root, &self.names(), features, |b, task, features| self.head(b, task, features))
    }

    /// Adds the head of one task.
    ///
    /// # Errors
    /// When a size is impossible.
    pub fn head(&self, b: &mut Builder<'_>, task: usize, features: i64) -> Result<Box<dyn Module>> {
        let b = &mut b.with_precision(self.precision);
        let outputs = self.tasks.get(task).map_or(1, |task| task.outputs);
        let Some(head) = self.parts.get("head") else {
            return Ok(Box::new(Linear::new(b, features, outputs)?));
        };
        let (hidden, width) = head.build(&mut b.scope("hidden"), &[features])?;
        let last = Linear::new(&mut b.scope("output"), width, outputs)?;
        Ok(Box::new(Sequential(vec![hidden, Box::new(last)])))
    }
}
