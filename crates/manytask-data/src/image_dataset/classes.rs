use std::path::Path;

use manytask_tensor::{Kind, Tensor};

use super::read::Labelled;
use super::{ImageFiles, ImageTarget};
use crate::picture::resized_planes;
use crate::words::shape;
use crate::{ClassPool, Error, Resize, Result};

/// The classes of images in IDX files, by one column of their labels, in the order of the labels; a class is called by its label.
/// With `size` images are brought to squares of that side.
///
/// # Errors
/// When there is no file, one is missing or damaged, or images differ in shape.
pub fn idx_classes(
    files: &[ImageFiles],
    folder: &Path,
    column: usize,
    size: Option<(usize, Resize)>,
) -> Result<ClassPool> {
    let target = ImageTarget { column, ..ImageTarget::new("class") };
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let mut first: Option<Vec<i64>> = None;
    for files in files {
        let read = Labelled::read(files, folder)?;
        let found = read.images.size().split_off(1);
        let expected = first.get_or_insert_with(|| found.clone());
        if *expected != found {
            let message = format!(
                "has images of {}, those before are {}; give images of one size",
                shape(&found),
                shape(expected)
            );
            return Err(Error::corrupt(&read.path, "header", message));
        }
        labels.push(read.labels(&target, 0)?);
        images.push(read.images);
    }
    if images.is_empty() {
        return Err(Error::config("files", "files: there are none; name images with their labels"));
    }
    let images = Tensor::f_cat(&images, 0)?;
    let images = match size {
        None => images,
        Some((size, resize)) => resized_planes(&images, size, resize)?,
    };
    let all = ClassPool::from_labels(&images, &Tensor::f_cat(&labels, 0)?.f_to_kind(Kind::Int64)?)?;
    let present: Vec<usize> = (0..all.classes()).filter(|class| all.count(*class) > 0).collect();
    all.select(&present)
}
