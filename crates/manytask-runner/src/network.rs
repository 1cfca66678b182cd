//! Networks, as `[network]` says.

use std::fmt::Debug;

use manytask_multitask::{Built, InputSizes, SharedTrunk, Task};
use manytask_nn::layers::{Flatten, Linear, Sequential};
use manytask_nn::nets::{Mlp, MlpConfig};
use manytask_nn::{Builder, Precision};

use crate::config::Section;
use crate::failure::{Code, Failure, Result};
use crate::registries::Registries;

/// The settings of a part of a network that turns rows into a representation.
pub trait TrunkSettings: Debug + Send + Sync {
    /// Adds its parameters for rows of this shape, `[D]` or `[C, H, W]`; answers with the definition and the size of its output.
    ///
    /// # Errors
    /// When a size is impossible.
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built>;
}

impl TrunkSettings for MlpConfig {
    fn build(&self, b: &mut Builder<'_>, inputs: &[i64]) -> manytask_nn::Result<Built> {
        let net = Mlp::new(b, inputs.iter().product(), self)?;
        let features = net.features();
        Ok(if inputs.len() == 1 {
            (Box::new(net), features)
        } else {
            (Box::new(Sequential(vec![Box::new(Flatten), Box::new(net)])), features)
        })
    }
}

/// Numbers for each embedded column, where nothing is written.
const EMBEDDING: i64 = 8;

/// `[network]` of tasks on rows: a shared trunk, and a head for each task.
#[derive(Debug)]
pub struct NetworkPlan {
    trunk: Box<dyn TrunkSettings>,
    head: Option<Box<dyn TrunkSettings>>,
    /// Numbers for each embedded column, where it is written.
    embedding: Option<i64>,
}

impl NetworkPlan {
    /// Reads the section.
    ///
    /// # Errors
    /// When a key is unknown or has the wrong type.
    pub fn read(mut section: Section<'_>, registries: &Registries) -> Result<Self> {
        let spot = section.spot();
        let (kind, place) = section.kind()?;
        if kind != "hard_sharing" {
            let hints = vec!["there is `hard_sharing`".to_owned()];
            return Err(section.fault_at(&format!("there is no network of tasks `{kind}`"), place, hints));
        }
        let trunk = registries.trunks.make(section.required_table("trunk")?)?;
        let head = section.table("head")?.map(|head| registries.trunks.make(head)).transpose()?;
        let embedding = section.take::<i64>("embedding")?;
        if embedding.is_some_and(|size| size < 1) {
            return Err(spot.fault("`embedding` is below 1"));
        }
        section.finish()?;
        Ok(Self { trunk, head, embedding })
    }

    /// Whether it asks for another size of embeddings than the usual one, which may be written out where nothing is embedded.
    pub(crate) fn sets_embedding(&self) -> bool {
        self.embedding.is_some_and(|size| size != EMBEDDING)
    }

    /// Builds it for inputs and tasks, with layers that compute in `precision`.
    ///
    /// # Errors
    /// When a size is impossible.
    pub fn build(&self, inputs: &InputSizes, tasks: &[Task], precision: Precision) -> Result<SharedTrunk> {
        let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
        let network = SharedTrunk::build(
            inputs,
            self.embedding.unwrap_or(EMBEDDING),
            &names,
            |b, shape| Ok(self.trunk.build(&mut b.with_precision(precision), shape)?),
            |b, task, features| {
                let b = &mut b.with_precision(precision);
                let outputs = tasks.get(task).map_or(1, |task| task.outputs);
                let Some(head) = &self.head else { return Ok(Box::new(Linear::new(b, features, outputs)?)) };
                let (hidden, width) = head.build(&mut b.scope("hidden"), &[features])?;
                let last = Linear::new(&mut b.scope("output"), width, outputs)?;
                Ok(Box::new(Sequential(vec![hidden, Box::new(last)])))
            },
        );
        network.map_err(|error| match Failure::from(error) {
            // Sizes come from the configuration alone.
            Failure { code: Code::Bug, message, hints } => Failure { code: Code::Config, message, hints },
            other => other,
        })
    }
}
