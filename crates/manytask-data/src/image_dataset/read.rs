//! Files of one split, and their labels.

use std::path::{Path, PathBuf};

use manytask_tensor::Tensor;
use manytask_tensor::{KeyPath, ShownPath as _};

use super::{ImageFiles, ImageTarget, rows_of};
use crate::bytes::{digest, read_raw};
use crate::words::shape;
use crate::{Error, MISSING_CLASS, Result, TargetKind, idx};

/// Images of a split with their labels.
#[derive(Debug)]
pub(super) struct Labelled {
    /// The file of the images.
    pub(super) path: PathBuf,
    /// `[N, C, H, W]` uint8.
    pub(super) images: Tensor,
    /// The labels of each column.
    pub(super) columns: Vec<Vec<u8>>,
    /// The labels of the second image of each pair, where there are pairs.
    pub(super) second: Option<Vec<Vec<u8>>>,
    /// Of the files.
    pub(super) digest: String,
    /// The file of each column.
    pub(super) files: Vec<PathBuf>,
}

impl Labelled {
    /// Reads the files, whose relative paths start from `folder`.
    pub(super) fn read(files: &ImageFiles, folder: &Path) -> Result<Self> {
        let path = folder.join(&files.images);
        let (mut digests, images) = (Vec::new(), read(&path, &mut |raw| digest([raw]))?);
        digests.push(images.1);
        let images = as_images(&path, images.0)?;
        let count = images.size().first().copied().unwrap_or_default();
        let (mut columns, mut of_columns) = (Vec::new(), Vec::new());
        for file in &files.labels {
            let file = folder.join(file);
            let (labels, of_file) = read(&file, &mut |raw| digest([raw]))?;
            digests.push(of_file);
            for column in as_columns(&file, &labels, (&path, count))? {
                columns.push(column);
                of_columns.push(file.clone());
            }
        }
        let digest = digest(digests.iter().map(String::as_bytes));
        Ok(Self { path, images, columns, second: None, digest, files: of_columns })
    }

    /// The number of images.
    pub(super) fn rows(&self) -> usize {
        self.images.size().first().copied().unwrap_or_default() as usize
    }

    /// The images with these numbers.
    pub(super) fn select(&self, rows: &[i64]) -> Result<Self> {
        let of =
            |column: &Vec<u8>| rows.iter().filter_map(|row| column.get(*row as usize).copied()).collect();
        Ok(Self {
            path: self.path.clone(),
            images: rows_of(&self.images, rows)?,
            columns: self.columns.iter().map(of).collect(),
            second: None,
            digest: self.digest.clone(),
            files: self.files.clone(),
        })
    }

    /// The column of a target.
    fn column(&self, target: &ImageTarget) -> Result<&[u8]> {
        self.columns.get(target.column).map(Vec::as_slice).ok_or_else(|| {
            Error::config(KeyPath::from("targets").text(&target.name).then("column"), format!(
                "target `{}`: there is no column {} of labels for {}: `labels` has {} in all, counted from 0",
                target.name,
                target.column,
                self.path.shown(),
                self.columns.len()
            ))
        })
    }

    /// The largest label of a target that is not missing; 0 where there is none.
    pub(super) fn largest(&self, target: &ImageTarget) -> Result<usize> {
        let labels = self.column(target)?.iter().filter(|label| !target.missing.contains(label));
        Ok(labels.max().map_or(0, |label| usize::from(*label)))
    }

    /// How many images there are of each label, missing ones apart.
    pub(super) fn counts(&self, target: &ImageTarget) -> Result<Vec<usize>> {
        let mut counts = vec![0; 256];
        for label in self.column(target)?.iter().filter(|label| !target.missing.contains(label)) {
            if let Some(count) = counts.get_mut(usize::from(*label)) {
                *count += 1;
            }
        }
        Ok(counts)
    }

    /// A label that has no name among the classes.
    pub(super) fn beyond_classes(&self, target: &ImageTarget, split: &str) -> Error {
        let labels = self.columns.get(target.column).map_or(&[][..], Vec::as_slice);
        let wrong =
            |label: &u8| usize::from(*label) >= target.classes.len() && !target.missing.contains(label);
        let place = labels.iter().position(wrong);
        let label = place.and_then(|place| labels.get(place)).copied().unwrap_or_default();
        let file = self.files.get(target.column).unwrap_or(&self.path);
        Error::corrupt(
            file,
            format!("image {} of the {split} split", place.unwrap_or_default() + 1),
            format!(
                "target `{}`: the label {label} is beyond the {} `classes`; name all classes from 0 on, or put the label \
                 under `missing`",
                target.name,
                target.classes.len()
            ),
        )
    }

    /// The labels of a target as a tensor, of the first or the second image of pairs.
    pub(super) fn labels(&self, target: &ImageTarget, image: usize) -> Result<Tensor> {
        self.column(target)?;
        let columns = if image == 0 { Some(&self.columns) } else { self.second.as_ref() };
        let labels = columns.and_then(|columns| columns.get(target.column)).map_or(&[][..], Vec::as_slice);
        let missing = |label: &u8| target.missing.contains(label);
        if target.kind() == TargetKind::Binary {
            let answer = |label: &u8| match label {
                label if missing(label) => f32::NAN,
                label => f32::from(u8::from(target.positive.contains(label))),
            };
            return Ok(Tensor::f_from_slice(&labels.iter().map(answer).collect::<Vec<f32>>())?);
        }
        let class = |label: &u8| if missing(label) { MISSING_CLASS } else { i64::from(*label) };
        Ok(Tensor::f_from_slice(&labels.iter().map(class).collect::<Vec<i64>>())?)
    }
}

fn read(path: &Path, of: &mut dyn FnMut(&[u8]) -> String) -> Result<(Tensor, String)> {
    let raw = read_raw(path)?;
    Ok((idx::parse(path, &raw)?, of(&raw)))
}

/// `[N, C, H, W]` of a file of images.
pub(super) fn as_images(path: &Path, tensor: Tensor) -> Result<Tensor> {
    let sizes = tensor.size();
    let images = match sizes.as_slice() {
        [_, _, _] => tensor.f_unsqueeze(1)?,
        [_, _, _, _] => tensor,
        _ => {
            let message = format!(
                "has the dimensions {}; images are [N, H, W] or [N, C, H, W]: is this the file of labels?",
                shape(&sizes)
            );
            return Err(Error::corrupt(path, "header", message));
        }
    };
    if images.numel() == 0 {
        return Err(Error::corrupt(
            path,
            "header",
            format!("has no image: its dimensions are {}", shape(&sizes)),
        ));
    }
    Ok(images)
}

/// The columns of a file of labels for so many images.
fn as_columns(path: &Path, labels: &Tensor, (images, count): (&Path, i64)) -> Result<Vec<Vec<u8>>> {
    let sizes = labels.size();
    if sizes.is_empty() || sizes.len() > 2 {
        let message = format!(
            "has the dimensions {}; labels are [N] or [N, L]: is this the file of images?",
            shape(&sizes)
        );
        return Err(Error::corrupt(path, "header", message));
    }
    if sizes.first() != Some(&count) {
        let message = format!(
            "has {} labels, but {} has {count} images; give the labels of the same images",
            sizes.first().copied().unwrap_or_default(),
            images.shown()
        );
        return Err(Error::corrupt(path, "header", message));
    }
    let columns = if labels.dim() == 1 { labels.f_unsqueeze(1)? } else { labels.shallow_clone() };
    let width = columns.size().get(1).copied().unwrap_or_default();
    (0..width).map(|column| Ok(Vec::<u8>::try_from(columns.f_select(1, column)?.f_contiguous()?)?)).collect()
}
