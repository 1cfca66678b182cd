//! Networks, as `[network]` says.

use std::collections::BTreeMap;

pub use manytask_multitask::TrunkSettings;
use manytask_multitask::{
    Architecture, ArchitectureSettings, Blueprint, Encoding, InputSizes, PartUse, Task,
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
