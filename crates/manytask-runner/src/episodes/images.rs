//! Episodes of a person's own pictures: folders of classes, and IDX files.

use std::path::Path;

use manytask_data::image_folder::{self, PictureClasses, PictureForm};
use manytask_data::{
    Channels, ClassPool, ClassSplit, DataReport, EpisodeSpec, ImageFiles, Resize, Splits, idx_classes,
};
use manytask_meta::ClassEpisodes;
use manytask_nn::metrics::Output;
use manytask_tensor::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EpisodeForm, EpisodeOutline, EpisodeSettings, LoadedEpisodes};
use crate::failure::{Result, Within as _};

/// `[data]` of pictures in folders that are called as their classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageFolderSection {
    /// Which classes are for what.
    pub split: ClassSplit,
    /// Grey or coloured.
    pub channels: Channels,
    /// The side of the pictures in pixels.
    pub size: usize,
    /// How pictures of another size are brought to it.
    pub resize: Resize,
    /// Classes in a task.
    pub ways: usize,
    /// Pictures of each class to adapt on.
    pub shots: usize,
    /// Pictures of each class to be judged by.
    pub queries: usize,
}

impl Default for ImageFolderSection {
    fn default() -> Self {
        let PictureForm { channels, size, resize, .. } = PictureForm::default();
        Self { split: ClassSplit::default(), channels, size, resize, ways: 5, shots: 1, queries: 5 }
    }
}

/// `[data]` of images in IDX files, by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdxClassesSection {
    /// Images with their labels; the images of all files are divided together.
    pub files: Vec<ImageFiles>,
    /// The column of labels that names the class, counted from 0 through all files of labels.
    #[serde(default)]
    pub column: usize,
    /// Which classes are for what; a class is called by its label.
    #[serde(default)]
    pub split: ClassSplit,
    /// The side that images are brought to. Absent: they stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How images of another size are brought to it.
    #[serde(default)]
    pub resize: Resize,
    /// Classes in a task.
    pub ways: usize,
    /// Images of each class to adapt on.
    pub shots: usize,
    /// Images of each class to be judged by.
    pub queries: usize,
}

impl ImageFolderSection {
    fn form(&self) -> PictureForm {
        PictureForm {
            channels: self.channels,
            size: self.size,
            resize: self.resize,
            ..PictureForm::default()
        }
    }

    fn spec(&self) -> EpisodeSpec {
        EpisodeSpec { ways: self.ways, shots: self.shots, queries: self.queries }
    }
}

impl EpisodeSettings for ImageFolderSection {
    fn pictures(&self) -> Option<PictureForm> {
        Some(self.form())
    }

    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        self.form().check()?;
        outline(&self.split, self.spec(), Some(self.form().shape()))
    }

    fn load(&self, folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        let read = image_folder::open(folder, &self.split, self.form())?;
        loaded(read, self.spec(), device)
    }
}

impl EpisodeSettings for IdxClassesSection {
    fn pictures(&self) -> Option<PictureForm> {
        // Without a size that of the files is not known here.
        self.size.map(|size| PictureForm { size, resize: self.resize, ..PictureForm::default() })
    }

    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        let size = self.size.unwrap_or(PictureForm::default().size);
        let form = PictureForm { size, ..PictureForm::default() };
        form.check()?;
        outline(&self.split, self.spec(), self.size.map(|_| form.shape()))
    }

    fn load(&self, folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        let size = self.size.map(|size| (size, self.resize));
        let all = idx_classes(&self.files, folder, self.column, size)?;
        let source = self.files.first().map(|files| folder.join(&files.images)).unwrap_or_default();
        let classes = self.split.divide(&all, &source, folder).within("split")?;
        loaded(PictureClasses { classes, notes: Vec::new() }, self.spec(), device)
    }
}

impl IdxClassesSection {
    fn spec(&self) -> EpisodeSpec {
        EpisodeSpec { ways: self.ways, shots: self.shots, queries: self.queries }
    }
}

/// What is known before anything is read.
fn outline(split: &ClassSplit, spec: EpisodeSpec, input: Option<Vec<i64>>) -> Result<Option<EpisodeOutline>> {
    split.check().within("split")?;
    spec.check()?;
    let outputs = spec.ways as i64;
    let form = input.map(|input| EpisodeForm { input, output: Output::Multiclass, outputs });
    Ok(form.map(|form| EpisodeOutline { form, validation: split.may_have_validation(), spec }))
}

fn loaded(
    read: PictureClasses<Splits<ClassPool>>,
    spec: EpisodeSpec,
    device: Device,
) -> Result<LoadedEpisodes> {
    let PictureClasses { classes: pools, notes } = read;
    let (mut of_classes, mut of_split) = (Vec::new(), Sha256::new());
    for (split, pool) in pools.iter() {
        for class in 0..pool.classes() {
            let digest = pool.select(&[class])?.digest()?;
            of_split.update(format!("{split} {digest}"));
            of_classes.push(digest);
        }
    }
    // The same classes are the same data, however they are divided.
    of_classes.sort_unstable();
    let input = pools.train.example_shape();
    Ok(LoadedEpisodes {
        report: DataReport { classes: pools.counts(), notes, ..DataReport::default() },
        source: Box::new(ClassEpisodes { pools: pools.to_device(device)?, spec }),
        input,
        output: Output::Multiclass,
        outputs: spec.ways as i64,
        digest: format!("{:x}", Sha256::digest(of_classes.concat())),
        split_digest: format!("{:x}", of_split.finalize()),
        schema: None,
    })
}
