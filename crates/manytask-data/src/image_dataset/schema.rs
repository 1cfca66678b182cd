use std::path::{Path, PathBuf};

use manytask_tensor::{Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use super::read::as_images;
use crate::bytes::read_raw;
use crate::image_folder::{entries, file_name, is_image};
use crate::picture::{Form, Resize, Sizes, decode};
use crate::words::shape;
use crate::{Channels, Error, Images, Inputs, Normalisation, Note, Result, TargetKind, idx};

/// How images become inputs, and what is predicted of them. Kept with the model, it reads new images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSchema {
    /// The shape of an image, `[C, H, W]`.
    pub image: Vec<i64>,
    /// What is done to the values of its pixels.
    pub normalisation: Normalisation,
    /// The tasks in their order.
    pub tasks: Vec<ImageTask>,
}

/// What a task predicts of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTask {
    /// Its name.
    pub name: String,
    /// What is predicted.
    pub kind: TargetKind,
    /// The names of its classes, where it has such.
    pub classes: Vec<String>,
}

/// Images that were read for a model.
#[derive(Debug)]
pub struct ImageRows {
    /// The images.
    pub inputs: Inputs,
    /// The file of each, where each has one of its own.
    pub files: Option<Vec<String>>,
    /// What was done to them that nobody asked for.
    pub notes: Vec<Note>,
}

impl ImageSchema {
    /// The names of the tasks.
    pub fn task_names(&self) -> Vec<&str> {
        self.tasks.iter().map(|task| task.name.as_str()).collect()
    }

    /// Reads images for the model: an IDX file, a PNG or JPEG file, or a folder of such, in the order of their names. Pictures of
    /// another size are brought to the model's by area average; images of an IDX file must have it.
    ///
    /// # Errors
    /// When nothing is there, it is damaged, or images have another size.
    pub fn read(&self, path: &Path) -> Result<ImageRows> {
        let mut notes = Vec::new();
        let (pixels, files) = if path.is_dir() {
            let files: Vec<PathBuf> = entries(path)?.into_iter().filter(|path| is_image(path)).collect();
            if files.is_empty() {
                let message =
                    "has no .png, .jpg or .jpeg file; give a folder of pictures, a picture, or an IDX file";
                return Err(Error::corrupt(path, "the folder", message));
            }
            (self.pictures(&files, &mut notes)?, Some(files))
        } else if is_image(path) {
            let files = vec![path.to_owned()];
            (self.pictures(&files, &mut notes)?, Some(files))
        } else {
            (self.idx(path)?, None)
        };
        let inputs = Inputs::from(Images::new(pixels, self.normalisation.clone())?);
        let files = files.map(|files| files.iter().map(|path| file_name(path)).collect());
        Ok(ImageRows { inputs, files, notes })
    }

    fn idx(&self, path: &Path) -> Result<Tensor> {
        let images = as_images(path, idx::parse(path, &read_raw(path)?)?)?;
        let found = images.size().split_off(1);
        if found == self.image {
            return Ok(images);
        }
        let message = format!(
            "has images of {}, the model takes {}; bring them to that size, as in the training",
            shape(&found),
            shape(&self.image)
        );
        Err(Error::corrupt(path, "header", message))
    }

    fn pictures(&self, files: &[PathBuf], notes: &mut Vec<Note>) -> Result<Tensor> {
        let &[channels, height, width] = self.image.as_slice() else {
            return Err(Error::config(
                WHOLE,
                format!("the model's images are {:?}, not [C, H, W]", self.image),
            ));
        };
        let channels = if channels == 3 { Channels::Rgb } else { Channels::Gray };
        let form = Form { channels, height: height as usize, width: width as usize, resize: Resize::Area };
        let (mut pixels, mut sizes) = (Vec::new(), Sizes::default());
        for file in files {
            let picture = decode(&read_raw(file)?, file, "content", form)?;
            pixels.extend(picture.pixels);
            sizes.see(file, picture.read);
        }
        notes.extend(sizes.note(form));
        let all = [vec![files.len() as i64], self.image.clone()].concat();
        Ok(Tensor::f_from_slice(&pixels)?.f_reshape(all)?)
    }
}
