//! Tasks on images of IDX files, from the description to tensors.

mod classes;
mod pairs;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use manytask_tensor::Tensor;
use manytask_tensor::random::Key;
use manytask_tensor::{KeyPath, ShownPath as _, Within as _};
use serde::{Deserialize, Serialize};

pub use self::classes::idx_classes;
pub use self::pairs::Pairs;
use self::read::Labelled;
pub use self::schema::{ImageRows, ImageSchema, ImageTask};
use crate::bytes::digest;
use crate::split::check_share;
use crate::splits::SPLITS;
use crate::{
    DataReport, Error, Images, Inputs, Normalisation, Note, Result, SplitData, Splits, TargetKind, TaskData,
};

/// A multi-task data set on images, as a configuration describes it: IDX files of images, and of their labels.
///
/// ```no_run
/// use manytask_data::ImageDataset;
/// let data: ImageDataset = toml::from_str(
///     r#"
///     train = { images = "train-images-idx3-ubyte.gz", labels = ["train-labels-idx1-ubyte.gz"] }
///     test = { images = "t10k-images-idx3-ubyte.gz", labels = ["t10k-labels-idx1-ubyte.gz"] }
///     targets = [{ name = "class" }]
///     pairs = { canvas = 36 }
///     "#,
/// )?;
/// let dataset = data.load("fashion_mnist".as_ref())?;
/// assert_eq!(dataset.schema.task_names(), ["left", "right"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageDataset {
    /// The files to train on.
    pub train: ImageFiles,
    /// The files of the validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ImageFiles>,
    /// The files of the test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<ImageFiles>,
    /// Without validation files: the share of the training images that is held out for that split, in `[0, 1)`.
    #[serde(default)]
    pub validation_fraction: f64,
    /// The seed of the images that are held out, and of pairs.
    #[serde(default)]
    pub seed: u64,
    /// What is predicted: one task each, or two with `pairs`.
    pub targets: Vec<ImageTarget>,
    /// Whether two images make one, with the targets of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// What is done to the values of pixels.
    #[serde(default)]
    pub scale: PixelScale,
}

/// Files of one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFiles {
    /// Images `[N, H, W]` or `[N, C, H, W]`.
    pub images: PathBuf,
    /// Labels of the same images, each file `[N]`, or `[N, L]` for L columns of labels.
    pub labels: Vec<PathBuf>,
}

/// What is predicted of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageTarget {
    /// The task's name.
    pub name: String,
    /// The column of labels, counted from 0 through all files of labels.
    pub column: usize,
    /// The names of the classes 0, 1, …. Empty: they are called by their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The labels that mean yes, which makes it a binary task. Empty: each label is a class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub positive: Vec<u8>,
    /// Labels that stand for a missing one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<u8>,
}

/// What is done to the values of pixels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelScale {
    /// Bytes become values in `[0, 1]`.
    #[default]
    Unit,
    /// Then each channel has mean 0 and standard deviation 1 over all pixels of the training split.
    Standard,
    /// Then normalised by given numbers.
    Given(Normalisation),
}

/// A data set of images ready for training.
#[derive(Debug)]
pub struct LoadedImages {
    /// Images and labels of each split.
    pub splits: Splits<SplitData>,
    /// How images are read; kept with the model.
    pub schema: ImageSchema,
    /// SHA-256 over the digests of the files.
    pub digest: String,
    /// SHA-256 over that digest, the images of each split and how they are paired.
    pub split_digest: String,
    /// What was read: images and labels of each split, and what is odd about them.
    pub report: DataReport,
}

impl ImageTarget {
    /// A class for each label of the first column.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// What is predicted.
    pub fn kind(&self) -> TargetKind {
        if self.positive.is_empty() { TargetKind::Multiclass } else { TargetKind::Binary }
    }
}

impl ImageDataset {
    /// The names of the tasks with the target of each: those of the targets; with pairs `left` and `right`, behind the target's
    /// name where there are several.
    pub fn tasks(&self) -> Vec<(String, &ImageTarget)> {
        let plain = self.targets.iter().map(|target| (target.name.clone(), target));
        match (&self.pairs, self.targets.as_slice()) {
            (None, _) => plain.collect(),
            (Some(_), [target]) => ["left", "right"].map(|side| (side.to_owned(), target)).into(),
            (Some(_), targets) => {
                let both = |target| ["left", "right"].map(|side| (side, target));
                let sides = targets.iter().flat_map(both);
                sides.map(|(side, target)| (format!("{}_{side}", target.name), target)).collect()
            }
        }
    }

    /// Refuses a description that fits no files, before anything is read.
    ///
    /// # Errors
    /// When there is no target, two have one name, or a number is out of range.
    pub fn check(&self) -> Result<()> {
        if self.targets.is_empty() {
            return Err(Error::config("targets", "targets: there are none; describe at least one"));
        }
        for (number, target) in self.targets.iter().enumerate() {
            if target.name.is_empty() {
                return Err(Error::config(
                    ("targets", number),
                    format!("targets: number {} has no `name`", number + 1),
                ));
            }
            if self.targets.iter().take(number).any(|other| other.name == target.name) {
                return Err(Error::config(
                    KeyPath::from(("targets", number)).then("name"),
                    format!("targets: two are called `{}`", target.name),
                ));
            }
            if !target.positive.is_empty() && !target.classes.is_empty() {
                return Err(Error::config(
                    KeyPath::from(("targets", number)).then("classes"),
                    format!(
                        "target `{}`: `positive` makes it binary, and `classes` names classes; leave one of them out",
                        target.name
                    ),
                ));
            }
            if let Some(label) = target.positive.iter().find(|label| target.missing.contains(label)) {
                return Err(Error::config(
                    KeyPath::from(("targets", number)).then("positive"),
                    format!(
                        "target `{}`: the label {label} is under `positive` and under `missing`",
                        target.name
                    ),
                ));
            }
        }
        if self.validation.is_some() && self.validation_fraction != 0.0 {
            return Err(Error::config(
                "validation_fraction",
                "give either `validation` files or a `validation_fraction`",
            ));
        }
        check_share("validation_fraction", self.validation_fraction)?;
        self.pairs.map_or(Ok(()), Pairs::check).within("pairs")
    }

    /// Whether there is a validation split.
    pub fn asks_for_validation(&self) -> bool {
        self.validation.is_some() || self.validation_fraction > 0.0
    }

    /// Reads all files, whose relative paths start from `folder`.
    ///
    /// # Errors
    /// When a file is missing, damaged or not of the form it should be, or labels are not what the targets say.
    pub fn load(&self, folder: &Path) -> Result<LoadedImages> {
        self.check()?;
        let files =
            Splits { train: &self.train, validation: self.validation.as_ref(), test: self.test.as_ref() };
        let read = files.map(|files| Labelled::read(files, folder))?;
        let digest = digest(read.iter().map(|(_, of)| of.digest.as_bytes()));
        let (read, held_out) = self.held_out(same_shape(read)?)?;
        let mut notes = Vec::new();
        let classes = self.classes(&read, &mut notes)?;
        let read = match &self.pairs {
            None => read,
            Some(pairs) => {
                let paired = Splits {
                    train: pairs.make(read.train, self.seed, SPLITS[0])?,
                    validation: read.validation.map(|of| pairs.make(of, self.seed, SPLITS[1])).transpose()?,
                    test: read.test.map(|of| pairs.make(of, self.seed, SPLITS[2])).transpose()?,
                };
                notes.push(pairs.note());
                paired
            }
        };
        let normalisation = match &self.scale {
            PixelScale::Unit => Normalisation::default(),
            PixelScale::Standard => Normalisation::of(&read.train.images)?,
            PixelScale::Given(given) => given.clone(),
        };
        let image = read.train.images.size().split_off(1);
        let splits = read.map(|of| self.split(of, &normalisation)).within(["scale", "given"])?;
        let schema = self.schema(image, normalisation, &classes);
        let kinds: Vec<TargetKind> = schema.tasks.iter().map(|task| task.kind).collect();
        let mut report = DataReport::of(&splits, &kinds)?;
        report.inputs.image.clone_from(&schema.image);
        for (target, task) in report.targets.iter_mut().zip(&schema.tasks) {
            target.classes.clone_from(&task.classes);
        }
        notes.append(&mut report.notes);
        Ok(LoadedImages {
            split_digest: self.split_digest(&digest, &held_out),
            splits,
            schema,
            digest,
            report: DataReport { notes, ..report },
        })
    }

    /// The training images without those that are held out for validation, and the numbers of these.
    fn held_out(&self, read: Splits<Labelled>) -> Result<(Splits<Labelled>, Vec<i64>)> {
        if self.validation_fraction == 0.0 {
            return Ok((read, Vec::new()));
        }
        let count = read.train.rows();
        let held = (self.validation_fraction * count as f64).round() as usize;
        if held == 0 || held >= count {
            return Err(Error::config(
                "validation_fraction",
                format!(
                    "validation_fraction = {} of {count} images leaves {held} for validation and {} for training; both need some",
                    self.validation_fraction,
                    count - held.min(count)
                ),
            ));
        }
        let mut order = Key::new(self.seed, "validation images").permutation(count);
        let mut kept = order.split_off(held);
        kept.sort_unstable();
        order.sort_unstable();
        let (train, validation) = (read.train.select(&kept)?, read.train.select(&order)?);
        Ok((Splits { train, validation: Some(validation), test: read.test }, order))
    }

    /// How many classes each target has; what is odd about them is noted.
    fn classes(&self, read: &Splits<Labelled>, notes: &mut Vec<Note>) -> Result<Vec<usize>> {
        let of_target = |target: &ImageTarget| {
            let mut count = target.classes.len();
            for (split, labelled) in read.iter() {
                let largest = labelled.largest(target)?;
                if !target.classes.is_empty() && largest >= target.classes.len() {
                    return Err(labelled.beyond_classes(target, split));
                }
                count = count.max(largest + 1);
            }
            notes.extend(unseen_classes(target, read)?);
            Ok(count)
        };
        self.targets.iter().map(of_target).collect()
    }

    /// Images and labels of a split as tensors.
    fn split(&self, of: Labelled, normalisation: &Normalisation) -> Result<SplitData> {
        let tasks = self.tasks();
        let each = tasks.len() / self.targets.len().max(1);
        let labels = tasks.into_iter().enumerate().map(|(number, (name, target))| {
            let target = of.labels(target, number % each.max(1))?;
            Ok(TaskData { name, target, weight: None })
        });
        let labels = labels.collect::<Result<Vec<_>>>()?;
        SplitData::new(vec![Inputs::from(Images::new(of.images, normalisation.clone())?)], labels)
    }

    fn schema(&self, image: Vec<i64>, normalisation: Normalisation, classes: &[usize]) -> ImageSchema {
        let count = |target: &ImageTarget| {
            let number = self.targets.iter().position(|other| other.name == target.name);
            number.and_then(|number| classes.get(number)).copied().unwrap_or_default()
        };
        let named = |target: &ImageTarget| match target.kind() {
            TargetKind::Binary => Vec::new(),
            _ if target.classes.is_empty() => (0..count(target)).map(|class| class.to_string()).collect(),
            _ => target.classes.clone(),
        };
        let task = |(name, target): (String, &ImageTarget)| ImageTask {
            name,
            kind: target.kind(),
            classes: named(target),
        };
        ImageSchema { image, normalisation, tasks: self.tasks().into_iter().map(task).collect() }
    }

    fn split_digest(&self, files: &str, held_out: &[i64]) -> String {
        let mut bytes = files.as_bytes().to_vec();
        bytes.extend(held_out.iter().flat_map(|row| row.to_le_bytes()));
        bytes.extend(format!("{:?} {}", self.pairs, self.seed).into_bytes());
        digest([bytes.as_slice()])
    }
}

/// Refuses splits whose images differ in shape.
fn same_shape(read: Splits<Labelled>) -> Result<Splits<Labelled>> {
    let shape = |of: &Labelled| of.images.size().split_off(1);
    let expected = shape(&read.train);
    if let Some((_, of)) = read.iter().find(|(_, of)| shape(of) != expected) {
        let message = format!(
            "has images of {}, those of {} are {}; give images of one size",
            crate::words::shape(&shape(of)),
            read.train.path.shown(),
            crate::words::shape(&expected)
        );
        return Err(Error::corrupt(&of.path, "header", message));
    }
    Ok(read)
}

/// Classes that are judged and were never trained on.
fn unseen_classes(target: &ImageTarget, read: &Splits<Labelled>) -> Result<Option<Note>> {
    if target.kind() != TargetKind::Multiclass {
        return Ok(None);
    }
    let trained = read.train.counts(target)?;
    for (split, labelled) in read.iter().skip(1) {
        let unseen: Vec<String> = labelled
            .counts(target)?
            .iter()
            .zip(&trained)
            .enumerate()
            .filter(|(_, (count, trained))| **count > 0 && **trained == 0)
            .map(|(class, _)| target.classes.get(class).cloned().unwrap_or_else(|| class.to_string()))
            .collect();
        if !unseen.is_empty() {
            return Ok(Some(Note(format!(
                "target `{}`: no training image is of {}, but {split} images are: they cannot be recognised",
                target.name,
                crate::words::examples(unseen.iter().map(String::as_str).collect::<Vec<_>>())
            ))));
        }
    }
    Ok(None)
}

/// Rows of a tensor by their numbers.
fn rows_of(tensor: &Tensor, rows: &[i64]) -> Result<Tensor> {
    Ok(manytask_tensor::rows::select(tensor, &Tensor::f_from_slice(rows)?)?)
}
