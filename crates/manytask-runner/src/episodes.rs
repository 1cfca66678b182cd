//! Where episodes come from, as `[data]` says, and the networks of learners.

mod backbones;
mod images;
mod rows;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use manytask_data::image_folder::{Ink, PictureForm};
use manytask_data::{
    DataReport, EpisodeSpec, GaussianProcess, Note, Omniglot, OmniglotSplit, RandomCharacters, Rotations,
    Sinusoid, TableEpisodes, VinyalsFiles,
};
use manytask_meta::{ClassEpisodes, EpisodeSource, GaussianProcessEpisodes, SinusoidEpisodes};
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use self::backbones::ResNetOf;
pub use self::backbones::{BackboneSettings, IdentitySection};
pub use self::images::{IdxClassesSection, ImageFolderSection};
use crate::failure::{Code, Failure, Result};
use crate::schema::InputSchema;

pub use manytask_meta::EpisodeShape as EpisodeForm;

/// The settings of a source of tasks.
pub trait EpisodeSettings: Debug + Send + Sync {
    /// Reads everything; relative paths start from `folder`.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    fn load(&self, folder: &Path, device: Device) -> Result<LoadedEpisodes>;

    /// What pictures become, where tasks are of pictures out of a folder.
    fn pictures(&self) -> Option<PictureForm> {
        None
    }

    /// The table that tasks are drawn from, where they are of rows of one.
    fn table(&self) -> Option<&TableEpisodes> {
        None
    }

    /// What the settings say by themselves, before anything is read; `None` where that is nothing.
    ///
    /// # Errors
    /// When they are impossible whatever the files hold.
    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        Ok(None)
    }
}

/// What is known of episodes before anything is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeOutline {
    /// Their form.
    pub form: EpisodeForm,
    /// Whether there are tasks to validate on.
    pub validation: bool,
    /// The examples of a task in training, for each class; tasks without classes have one way.
    pub spec: EpisodeSpec,
}

/// A source of tasks, and the form of what it gives.
#[derive(Debug)]
pub struct LoadedEpisodes {
    /// The source.
    pub source: Box<dyn EpisodeSource>,
    /// The shape of one example, `[D]` or `[C, H, W]`.
    pub input: Vec<i64>,
    /// What predictions mean.
    pub output: Output,
    /// Classes, or numbers that are predicted.
    pub outputs: i64,
    /// A digest of the content.
    pub digest: String,
    /// A digest of the content and of the classes of each split: equal where the same classes are trained on and judged.
    pub split_digest: String,
    /// What was read, shown before the training.
    pub report: DataReport,
    /// How files become inputs, where tasks are of rows of a table.
    pub schema: Option<InputSchema>,
}

/// `[data]` of sine waves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinusoidSection {
    /// Examples to adapt on.
    pub shots: usize,
    /// Examples to be judged by.
    pub queries: usize,
    /// Lowest and highest amplitude.
    pub amplitude: [f64; 2],
    /// Lowest and highest phase.
    pub phase: [f64; 2],
    /// Lowest and highest angular frequency.
    pub frequency: [f64; 2],
    /// Lowest and highest input.
    pub x: [f64; 2],
}

impl Default for SinusoidSection {
    fn default() -> Self {
        let Sinusoid { amplitude, phase, frequency, x } = Sinusoid::default();
        Self { shots: 10, queries: 10, amplitude, phase, frequency, x }
    }
}

impl SinusoidSection {
    fn family(&self) -> Sinusoid {
        let Self { amplitude, phase, frequency, x, .. } = *self;
        Sinusoid { amplitude, phase, frequency, x }
    }
}

impl EpisodeSettings for SinusoidSection {
    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        self.family().check(self.shots, self.queries)?;
        let form = EpisodeForm { input: vec![1], output: Output::Regression, outputs: 1 };
        let spec = EpisodeSpec { ways: 1, shots: self.shots, queries: self.queries };
        Ok(Some(EpisodeOutline { form, validation: true, spec }))
    }

    fn load(&self, _folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        let (Self { shots, queries, .. }, family) = (*self, self.family());
        family.check(shots, queries)?;
        let digest = format!("{:x}", Sha256::digest(format!("{family:?}")));
        Ok(LoadedEpisodes {
            source: Box::new(SinusoidEpisodes { family, shots, queries, kind: Kind::Float, device }),
            input: vec![1],
            output: Output::Regression,
            outputs: 1,
            split_digest: digest.clone(),
            digest,
            report: DataReport::default(),
            schema: None,
        })
    }
}

/// `[data]` of functions drawn from Gaussian processes.
impl EpisodeSettings for GaussianProcess {
    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        self.check(None)?;
        let form = EpisodeForm::regression(1, 1);
        let [fewest, most] = self.shots;
        let spec = EpisodeSpec { ways: 1, shots: most, queries: self.points - fewest };
        Ok(Some(EpisodeOutline { form, validation: true, spec }))
    }

    fn load(&self, _folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        self.check(None)?;
        let digest = format!("{:x}", Sha256::digest(format!("{self:?}")));
        let EpisodeForm { input, output, outputs } = EpisodeForm::regression(1, 1);
        Ok(LoadedEpisodes {
            source: Box::new(GaussianProcessEpisodes { family: self.clone(), kind: Kind::Float, device }),
            input,
            output,
            outputs,
            split_digest: digest.clone(),
            digest,
            report: DataReport::default(),
            schema: None,
        })
    }
}

/// `[data]` of Omniglot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OmniglotSection {
    /// Which characters are for what.
    pub split: OmniglotSplit,
    /// Whether turned characters are classes of their own.
    pub rotations: Rotations,
    /// Classes in a task.
    pub ways: usize,
    /// Examples of each class to adapt on.
    pub shots: usize,
    /// Examples of each class to be judged by.
    pub queries: usize,
    /// The side of the pictures.
    pub size: usize,
}

impl Default for OmniglotSection {
    fn default() -> Self {
        Self {
            split: OmniglotSplit::Random(RandomCharacters { train: 1100, validation: 100, seed: 0 }),
            rotations: Rotations::Quarter,
            ways: 5,
            shots: 1,
            queries: 15,
            size: 28,
        }
    }
}

impl OmniglotSection {
    fn spec(&self) -> EpisodeSpec {
        EpisodeSpec { ways: self.ways, shots: self.shots, queries: self.queries }
    }
}

impl EpisodeSettings for OmniglotSection {
    fn pictures(&self) -> Option<PictureForm> {
        Some(PictureForm { size: self.size, ink: Ink::Dark, ..PictureForm::default() })
    }

    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        self.spec().check()?;
        Omniglot::check_size(self.size)?;
        let size = |what: &str, value: usize| {
            i64::try_from(value).map_err(|_| {
                Failure::new(Code::Config, format!("`{what}` is {value}, which is beyond counting"))
            })
        };
        let (side, ways) = (size("size", self.size)?, size("ways", self.ways)?);
        let form = EpisodeForm { input: vec![1, side, side], output: Output::Multiclass, outputs: ways };
        let validation = match &self.split {
            OmniglotSplit::Random(random) => random.validation > 0,
            OmniglotSplit::Vinyals(_) => true,
            OmniglotSplit::Lake => false,
        };
        Ok(Some(EpisodeOutline { form, validation, spec: self.spec() }))
    }

    fn load(&self, folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        let at = |path: &PathBuf| folder.join(path);
        let split = match &self.split {
            OmniglotSplit::Vinyals(files) => OmniglotSplit::Vinyals(VinyalsFiles {
                train: at(&files.train),
                validation: at(&files.validation),
                test: at(&files.test),
            }),
            other => other.clone(),
        };
        let omniglot = Omniglot::open(folder, self.size)?;
        let pools = omniglot.split(&split, self.rotations)?;
        let digest = omniglot.digest()?;
        let mut of_split = Sha256::new_with_prefix(&digest);
        for (split, pool) in pools.iter() {
            of_split.update(format!("{split} {:?}", pool.names()));
        }
        let report = DataReport {
            classes: pools.counts(),
            notes: passed_over(omniglot.passed_over()).into_iter().collect(),
            ..DataReport::default()
        };
        let (pools, spec) = (pools.to_device(device)?, self.spec());
        Ok(LoadedEpisodes {
            source: Box::new(ClassEpisodes { pools, spec }),
            input: vec![1, self.size as i64, self.size as i64],
            output: Output::Multiclass,
            outputs: self.ways as i64,
            digest: format!("{:x}", Sha256::digest(digest)),
            split_digest: format!("{:x}", of_split.finalize()),
            report,
            schema: None,
        })
    }
}

/// What is told of files that are no drawings.
fn passed_over(names: &[String]) -> Option<Note> {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { " and others" } else { "" };
    (!names.is_empty()).then(|| {
        Note(format!(
            "{} files or folders are no drawings ALPHABET/characterNN/NAME.png or hold none, and are in no class: {}{more}; \
             take them away, or name them so",
            names.len(),
            shown.join(", ")
        ))
    })
}
