//! Images in folders named by their classes.

use std::path::{Path, PathBuf};

use manytask_tensor::Tensor;

use crate::picture::{Form, check_size, decode};
use crate::{Channels, ClassPool, Error, Result};

/// Reads `folder/CLASS/*.png` (and `.jpg`, `.jpeg`): every folder in it is a class, in the order of the names.
/// Images become `[C, size, size]` by area average.
///
/// ```no_run
/// use manytask_data::{Channels, image_folder};
/// let pool = image_folder::read("flowers/train".as_ref(), Channels::Rgb, 84)?;
/// println!("{} classes", pool.classes());
/// # Ok::<(), manytask_data::Error>(())
/// ```
///
/// # Errors
/// When the folder is absent, has no folders with images in it, or an image cannot be read.
pub fn read(folder: &Path, channels: Channels, size: usize) -> Result<ClassPool> {
    check_size(size)?;
    let mut names = Vec::new();
    let mut counts = Vec::new();
    let mut pixels = Vec::new();
    for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let files: Vec<PathBuf> = entries(&class)?.into_iter().filter(|path| is_image(path)).collect();
        if files.is_empty() {
            continue;
        }
        for file in &files {
            let bytes = crate::bytes::read_raw(file)?;
            pixels.extend(decode(&bytes, file, "content", Form::square(channels, size))?.pixels);
        }
        counts.push(files.len() as i64);
        names.push(file_name(&class));
    }
    if names.is_empty() {
        let message = "has no folder with .png, .jpg or .jpeg files; each class is a folder of its own";
        return Err(Error::corrupt(folder, "the folder", message));
    }
    let shape = [-1, channels.count() as i64, size as i64, size as i64];
    ClassPool::new(Tensor::f_from_slice(&pixels)?.f_reshape(shape)?, &counts, names)
}

/// What lies in a folder, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |error| Error::io(folder, error);
    let entries = fs_err::read_dir(folder).map_err(io)?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(io)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn folders_are_classes() {
        let dir = tempfile::tempdir().unwrap();
        for (class, file, value) in [("b", "1.png", 9), ("a", "2.png", 2), ("a", "1.PNG", 1)] {
            fs_err::create_dir_all(dir.path().join(class)).unwrap();
            let image = RgbImage::from_pixel(4, 4, Rgb([value, 0, 200]));
            image.save_with_format(dir.path().join(class).join(file), image::ImageFormat::Png).unwrap();
        }
        fs_err::write(dir.path().join("a/notes.txt"), "no image").unwrap();
        fs_err::create_dir(dir.path().join("empty")).unwrap();
        let pool = read(dir.path(), Channels::Rgb, 2).unwrap();
        assert_eq!(pool.names(), ["a", "b"]);
        assert_eq!(pool.image_shape(), [3, 2, 2]);
        let (images, labels) = pool.labelled().unwrap();
        assert_eq!(Vec::<u8>::try_from(images.select(1, 0).select(1, 0).select(1, 0)).unwrap(), [1, 2, 9]);
        assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [0, 0, 1]);
        assert_eq!(images.int64_value(&[0, 2, 1, 1]), 200);
        assert_eq!(read(dir.path(), Channels::Gray, 2).unwrap().image_shape(), [1, 2, 2]);
    }

    #[test]
    fn bad_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = read(dir.path(), Channels::Gray, 2).unwrap_err().to_string();
        assert!(error.contains("each class is a folder"), "{error}");
        let error = read(&dir.path().join("no"), Channels::Gray, 2).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        fs_err::create_dir(dir.path().join("a")).unwrap();
        fs_err::write(dir.path().join("a/1.png"), "broken").unwrap();
        let error = read(dir.path(), Channels::Gray, 2).unwrap_err();
        assert!(error.path().is_some_and(|path| path.ends_with("a/1.png")), "{error}");
        assert!(read(dir.path(), Channels::Gray, 0).is_err());
    }
}
