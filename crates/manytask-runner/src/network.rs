//! Networks, as `[network]` says.

use std::collections::BTreeMap;

pub use manytask_multitask::TrunkSettings;
use manytask_multitask::{
    Architecture, ArchitectureSettings, Blueprint, Encoding, InputSizes, Labelled, PartUse, Task,
};
use manytask_nn::Precision;
use manytask_nn::layers::PeriodicConfig;
use manytask_tensor::Within as _;

use crate::config::Section;
use crate::failure::{Code, Failure, Result};
use crate::registries::Registries;

/// Numbers for each embedded column, where nothing is written.
const EMBEDDING: i64 = 8;

/// The architecture, where nothing is written.
const ARCHITECTURE: &str = "hard_sharing";

/// `[network]` of tasks on rows: an architecture and the parts that it is made of.
#[derive(Debug)]
pub struct NetworkPlan {
    architecture: Box<dyn ArchitectureSettings>,
    parts: BTreeMap<String, Box<dyn TrunkSettings>>,
    encoding: Encoding,
}

impl NetworkPlan {
    /// Reads the section.
    ///
    /// # Errors
    /// When a key is unknown or has the wrong type, or a part is missing.
    pub fn read(mut section: Section<'_>, registries: &Registries) -> Result<Self> {
        let (kind, place) = section.kind_or(ARCHITECTURE)?;
        let embedding = section.take_or("embedding", EMBEDDING)?;
        if embedding < 1 {
            return Err(Failure::setting("embedding", "`embedding` is below 1"));
        }
        let periodic: Option<PeriodicConfig> = section.take("periodic")?;
        if let Some(settings) = &periodic {
            settings.check().within("periodic")?;
        }
        let mut written = Vec::new();
        for key in ["trunk", "head"] {
            written.extend(section.table(key)?.map(|part| (key.to_owned(), part)));
        }
        written.extend(section.tables_with("kind"));
        let architecture = registries.architectures.make_kind(&kind, place, section)?;
        architecture.check()?;
        let keys: Vec<&str> = architecture.parts().iter().map(|part| part.key()).collect();
        let mut parts = BTreeMap::new();
        for (key, part) in written {
            if !keys.contains(&key.as_str()) {
                let hint = match crate::config::nearest(&key, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it is made of `{}`", keys.join("`, `")),
                };
                let what = format!("`{kind}` has no part `{key}`");
                return Err(part.diagnostic(&what).hint(hint));
            }
            parts.insert(key, registries.trunks.make(part)?);
        }
        for key in keys {
            if !parts.contains_key(key) {
                parts.extend(architecture.default_part(key).map(|part| (key.to_owned(), part)));
            }
        }
        let missing = architecture
            .parts()
            .iter()
            .find(|part| matches!(part, PartUse::Required(key) if !parts.contains_key(*key)));
        if let Some(part) = missing {
            return Err(Failure::new(Code::Config, format!("missing key `{}` in [network]", part.key())));
        }
        Ok(Self { architecture, parts, encoding: Encoding { embedding, periodic } })
    }

    /// Whether it asks for another size of embeddings than the usual one, which may be written out where nothing is embedded.
    pub(crate) fn sets_embedding(&self) -> bool {
        self.encoding.embedding != EMBEDDING
    }

    /// Whether numbers are to be embedded.
    pub(crate) fn embeds_numbers(&self) -> bool {
        self.encoding.periodic.is_some()
    }

    /// Whether it is one network for the whole Pareto front: then the aggregator that its paper trains it with.
    pub(crate) fn front_aggregator(&self) -> Option<&'static str> {
        self.architecture.front_aggregator()
    }

    /// Refuses a trunk of pixels for tasks with one label for each picture, a trunk of pictures for tasks with one for each pixel, and
    /// an architecture that takes no pixels.
    ///
    /// # Errors
    /// With the part and the remedy.
    pub fn check_pixels(&self, tasks: &[Task]) -> Result<()> {
        let Some(task) = tasks.first() else { return Ok(()) };
        let wanted = task.labelled == Labelled::Pixel;
        let other = self.parts.iter().find(|(key, part)| *key != "head" && part.is_of_pixels() != wanted);
        let refuse = |key: &str, what: String, hint: &str| Err(Failure::setting(key, what).hint(hint));
        match other {
            Some((key, _)) if wanted => {
                let what = format!(
                    "task `{}` has a label for each pixel, and `{key}` gives a row for a picture",
                    task.name
                );
                refuse(key, what, "take kind = \"dilated\"")
            }
            Some((key, _)) => {
                let what = format!(
                    "`{key}` gives a row for each pixel, and task `{}` has one label for a row",
                    task.name
                );
                refuse(key, what, "take another kind, such as \"lenet\" for pictures or \"mlp\" for tables")
            }
            None if wanted && !self.architecture.takes_pixels() => {
                let what = format!("`{}` does not predict pixels", self.architecture.name());
                refuse(
                    "kind",
                    what,
                    "take hard_sharing, soft_sharing, cross_stitch, nddr, mtan, film, adapter, lora, task_norm, rotograd or single_task",
                )
            }
            None => Ok(()),
        }
    }

    /// Builds it for inputs and tasks, with layers that compute in `precision`.
    ///
    /// # Errors
    /// When a size is impossible, or the architecture is not for such tasks.
    pub fn build(
        &self,
        inputs: &InputSizes,
        tasks: &[Task],
        precision: Precision,
    ) -> Result<Box<dyn Architecture>> {
        let blueprint = Blueprint { inputs, encoding: self.encoding, tasks, precision, parts: &self.parts };
        self.architecture.build(&blueprint).map_err(|error| match Failure::from(error) {
            // Sizes come from the configuration alone.
            failure if failure.code == Code::Bug => Failure { code: Code::Config, ..failure },
            other => other,
        })
    }
}
