//! Images in folders named by their classes.

use std::path::{Path, PathBuf};

use manytask_tensor::ShownPath as _;
use manytask_tensor::{Tensor, Within as _, threads};
use serde::{Deserialize, Serialize};

use crate::bytes::read_raw;
use crate::parallel::in_threads;
use crate::picture::{Form, Sizes, check_size, decode};
use crate::splits::SPLITS;
use crate::words::examples;
use crate::{Channels, ClassPool, ClassSplit, Error, Note, Resize, Result, Splits};

/// What pictures become: `[C, size, size]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PictureForm {
    /// Grey or coloured.
    pub channels: Channels,
    /// The side in pixels.
    pub size: usize,
    /// How pictures of another size are brought to it.
    pub resize: Resize,
    /// What of a picture is large numbers.
    pub ink: Ink,
}

/// What of a picture is large numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ink {
    /// What is light.
    #[default]
    Light,
    /// What is dark, as the strokes of drawings on paper.
    Dark,
}

impl Ink {
    /// Pixels as a learner sees them.
    fn of(self, mut pixels: Vec<u8>) -> Vec<u8> {
        if self == Self::Dark {
            for pixel in &mut pixels {
                *pixel = 255 - *pixel;
            }
        }
        pixels
    }
}

impl Default for PictureForm {
    fn default() -> Self {
        Self { channels: Channels::Gray, size: 28, resize: Resize::Area, ink: Ink::Light }
    }
}

impl PictureForm {
    /// Refuses a size that pictures cannot be brought to.
    ///
    /// # Errors
    /// With the range.
    pub fn check(&self) -> Result<()> {
        check_size(self.size)
    }

    /// The shape of a picture, `[C, size, size]`.
    pub fn shape(&self) -> Vec<i64> {
        vec![self.channels.count() as i64, self.size as i64, self.size as i64]
    }
}

/// Pictures by class, and what was decided that the settings do not say.
#[derive(Debug)]
pub struct PictureClasses<T> {
    /// The classes.
    pub classes: T,
    /// What was left out or changed.
    pub notes: Vec<Note>,
}

/// Reads `folder/CLASS/*.png` (and `.jpg`, `.jpeg`): every folder in it with pictures is a class, in the order of the names. Pictures
/// are decoded in as many threads as kernels may use.
///
/// ```no_run
/// use manytask_data::{Channels, image_folder, image_folder::PictureForm};
/// let form = PictureForm { channels: Channels::Rgb, size: 84, ..PictureForm::default() };
/// let read = image_folder::read("flowers/train".as_ref(), form)?;
/// println!("{} classes", read.classes.classes());
/// # Ok::<(), manytask_data::Error>(())
/// ```
///
/// # Errors
/// When the folder is absent, has no folders with pictures in it, or a picture cannot be read.
pub fn read(folder: &Path, form: PictureForm) -> Result<PictureClasses<ClassPool>> {
    form.check()?;
    let found = Found::look(folder)?;
    let ink = form.ink;
    let form = Form { resize: form.resize, ..Form::square(form.channels, form.size) };
    let count = found.classes.len().div_ceil(threads::get().max(1)).max(1);
    let shares: Vec<&[(PathBuf, Vec<PathBuf>)]> = found.classes.chunks(count).collect();
    let decoded = in_threads(&shares, |share| decoded(share, form));
    let (mut pixels, mut sizes) = (Vec::new(), Sizes::default());
    for share in decoded {
        let (own, of_share) = share?;
        pixels.extend(own);
        sizes.join(of_share);
    }
    let counts: Vec<i64> = found.classes.iter().map(|(_, files)| files.len() as i64).collect();
    let names = found.classes.iter().map(|(class, _)| file_name(class)).collect();
    let shape = [-1, form.channels.count() as i64, form.height as i64, form.width as i64];
    let classes = ClassPool::new(Tensor::f_from_slice(&ink.of(pixels))?.f_reshape(shape)?, &counts, names)?;
    let notes = found.left_out().into_iter().chain(sizes.note(form)).collect();
    Ok(PictureClasses { classes, notes })
}

/// Pictures without classes.
#[derive(Debug)]
pub struct Pictures {
    /// `[N, C, size, size]` uint8.
    pub pixels: Tensor,
    /// The name of each one's file.
    pub files: Vec<String>,
    /// What was done to them that nobody asked for.
    pub notes: Vec<Note>,
}

/// Reads a picture, or those of a folder in the order of their names.
///
/// # Errors
/// When nothing is there, or a picture cannot be read.
pub fn pictures(path: &Path, form: PictureForm) -> Result<Pictures> {
    form.check()?;
    let files: Vec<PathBuf> = if path.is_dir() {
        entries(path)?.into_iter().filter(|path| is_image(path)).collect()
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() {
        let message = "has no .png, .jpg or .jpeg file; give a folder of pictures, or a picture";
        return Err(Error::corrupt(path, "the folder", message));
    }
    let ink = form.ink;
    let form = Form { resize: form.resize, ..Form::square(form.channels, form.size) };
    let (mut pixels, mut sizes) = (Vec::new(), Sizes::default());
    for file in &files {
        let picture = decode(&read_raw(file)?, file, "content", form)?;
        pixels.extend(picture.pixels);
        sizes.see(file, picture.read);
    }
    let shape = [-1, form.channels.count() as i64, form.height as i64, form.width as i64];
    Ok(Pictures {
        pixels: Tensor::f_from_slice(&ink.of(pixels))?.f_reshape(shape)?,
        files: files.iter().map(|path| file_name(path)).collect(),
        notes: sizes.note(form).into_iter().collect(),
    })
}

/// The same, divided into classes to train on, to validate on and to be judged by; relative paths of lists start from `folder`.
///
/// # Errors
/// As [`read`], when a split has no class, and when a class is in two splits.
pub fn open(
    folder: &Path,
    split: &ClassSplit,
    form: PictureForm,
) -> Result<PictureClasses<Splits<ClassPool>>> {
    if *split != ClassSplit::Folders {
        let PictureClasses { classes, notes } = read(folder, form)?;
        return Ok(PictureClasses {
            classes: split.divide(&classes, folder, folder).within("split")?,
            notes,
        });
    }
    let [train, validation, test] = SPLITS.map(|name| folder.join(name));
    for path in [&train, &test] {
        if !path.is_dir() {
            let hint = "split = \"folders\" takes the classes of each split from a folder `train`, `validation` or `test`; \
                        make it, or set split.random";
            return Err(Error::Missing { path: path.clone(), hint: hint.to_owned() });
        }
    }
    let paths = Splits { train, validation: validation.is_dir().then_some(validation), test: Some(test) };
    let mut notes = Vec::new();
    let classes = paths.map(|path| -> Result<ClassPool> {
        let mut read = read(&path, form)?;
        notes.append(&mut read.notes);
        Ok(read.classes)
    })?;
    let mut seen = std::collections::HashMap::new();
    for (name, pool) in classes.iter() {
        for class in pool.names() {
            if let Some(other) = seen.insert(class.clone(), name) {
                return Err(Error::corrupt(
                    &folder.join(name).join(class),
                    "the folder",
                    format!(
                        "is a class of {other} too; a learner is judged by classes that it has not seen: leave one of the two out, \
                         or call it otherwise"
                    ),
                ));
            }
        }
    }
    Ok(PictureClasses { classes, notes })
}

/// What lies in a folder of classes.
struct Found<'a> {
    folder: &'a Path,
    /// The folder of each class, with its pictures.
    classes: Vec<(PathBuf, Vec<PathBuf>)>,
    /// Files that are no pictures, or lie in no class.
    others: Vec<PathBuf>,
    /// Folders without pictures.
    empty: Vec<PathBuf>,
}

impl<'a> Found<'a> {
    fn look(folder: &'a Path) -> Result<Self> {
        let mut found = Self { folder, classes: Vec::new(), others: Vec::new(), empty: Vec::new() };
        let mut nested = false;
        for path in entries(folder)? {
            if !path.is_dir() {
                found.others.push(path);
                continue;
            }
            let (pictures, others): (Vec<_>, Vec<_>) =
                entries(&path)?.into_iter().partition(|path| is_image(path) && !path.is_dir());
            nested |= others.iter().any(|path| path.is_dir());
            found.others.extend(others);
            if pictures.is_empty() {
                found.empty.push(path);
            } else {
                found.classes.push((path, pictures));
            }
        }
        if found.classes.is_empty() {
            let hint = if nested {
                "; its folders hold folders: for those of `train`, `validation` and `test` set split = \"folders\", else name the \
                 folder that the classes are in"
            } else {
                ""
            };
            let message = format!(
                "has no folder with .png, .jpg or .jpeg files; each class is a folder of its own{hint}"
            );
            return Err(Error::corrupt(folder, "the folder", message));
        }
        Ok(found)
    }

    /// What is told of files and folders that are in no class.
    fn left_out(&self) -> Vec<Note> {
        let names = |paths: &[PathBuf]| {
            let own = |path: &PathBuf| path.strip_prefix(self.folder).unwrap_or(path).shown().to_string();
            let names: Vec<String> = paths.iter().map(own).collect();
            examples(names.iter().map(String::as_str))
        };
        let mut notes = Vec::new();
        if !self.others.is_empty() {
            notes.push(Note(format!(
                "{} files or folders of {} are no pictures (.png, .jpg, .jpeg) of a class and are left out: {}",
                self.others.len(),
                self.folder.shown(),
                names(&self.others)
            )));
        }
        if !self.empty.is_empty() {
            notes.push(Note(format!(
                "{} folders of {} have no picture and are no classes: {}",
                self.empty.len(),
                self.folder.shown(),
                names(&self.empty)
            )));
        }
        notes
    }
}

/// The pixels of all pictures of some classes.
fn decoded(classes: &[(PathBuf, Vec<PathBuf>)], form: Form) -> Result<(Vec<u8>, Sizes)> {
    let (mut pixels, mut sizes) = (Vec::new(), Sizes::default());
    for file in classes.iter().flat_map(|(_, files)| files) {
        let picture = decode(&read_raw(file)?, file, "content", form)?;
        pixels.extend(picture.pixels);
        sizes.see(file, picture.read);
    }
    Ok((pixels, sizes))
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

    fn form(channels: Channels, size: usize) -> PictureForm {
        PictureForm { channels, size, ..PictureForm::default() }
    }

    fn picture(dir: &Path, class: &str, file: &str, (side, value): (u32, u8)) {
        fs_err::create_dir_all(dir.join(class)).unwrap();
        let image = RgbImage::from_pixel(side, side, Rgb([value, 0, 200]));
        image.save_with_format(dir.join(class).join(file), image::ImageFormat::Png).unwrap();
    }

    #[test]
    fn ink_is_what_is_dark_where_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        picture(dir.path(), "a", "1.png", (4, 9));
        let light = form(Channels::Rgb, 2);
        let dark = PictureForm { ink: Ink::Dark, ..light };
        let sum = |form| {
            let classes = read(dir.path(), form).unwrap().classes.labelled().unwrap().0;
            let file = pictures(&dir.path().join("a/1.png"), form).unwrap().pixels;
            [classes, file].map(|x| x.select(1, 2).max().int64_value(&[]))
        };
        assert_eq!((sum(light), sum(dark)), ([200; 2], [55; 2]));
    }

    #[test]
    fn folders_are_classes_and_what_is_left_out_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for (class, file, value) in [("b", "1.png", 9), ("a", "2.png", 2), ("a", "1.PNG", 1)] {
            picture(dir.path(), class, file, (4, value));
        }
        let read_as = |channels| read(dir.path(), form(channels, 2)).unwrap();
        assert!(read(dir.path(), form(Channels::Rgb, 4)).unwrap().notes.is_empty());
        fs_err::write(dir.path().join("a/notes.txt"), "no image").unwrap();
        fs_err::write(dir.path().join("list.csv"), "no image").unwrap();
        fs_err::create_dir(dir.path().join("empty")).unwrap();
        picture(dir.path(), "b", "3.png", (6, 7));
        let PictureClasses { classes: pool, notes } = read_as(Channels::Rgb);
        assert_eq!(pool.names(), ["a", "b"]);
        assert_eq!(pool.example_shape(), [3, 2, 2]);
        let (images, labels) = pool.labelled().unwrap();
        let red = images.select(1, 0).select(1, 0).select(1, 0);
        assert_eq!(Vec::<u8>::try_from(red).unwrap(), [1, 2, 9, 7]);
        assert_eq!(Vec::<i64>::try_from(labels).unwrap(), [0, 0, 1, 1]);
        assert_eq!(images.int64_value(&[0, 2, 1, 1]), 200);
        assert_eq!(read_as(Channels::Gray).classes.example_shape(), [1, 2, 2]);
        let notes: Vec<&str> = notes.iter().map(|note| note.0.as_str()).collect();
        assert!(
            notes[0].contains("2 files or folders") && notes[0].contains("`a/notes.txt`, `list.csv`"),
            "{notes:?}"
        );
        assert!(notes[1].contains("`empty`"), "{notes:?}");
        assert!(notes[2].contains("of 2 sizes") && notes[2].contains("by area"), "{notes:?}");
    }

    #[test]
    fn splits_may_be_folders_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["train/a", "train/b", "test/c"] {
            picture(dir.path(), class, "1.png", (2, 1));
        }
        let opened = |split: &ClassSplit| open(dir.path(), split, form(Channels::Gray, 2));
        let splits = opened(&ClassSplit::Folders).unwrap().classes;
        assert_eq!(
            (splits.train.names(), splits.validation.is_none()),
            (&["a".to_owned(), "b".to_owned()][..], true)
        );
        let error = opened(&ClassSplit::default()).unwrap_err().to_string();
        assert!(error.contains("set split = \"folders\""), "{error}");
        picture(dir.path(), "validation/a", "1.png", (2, 1));
        let error = opened(&ClassSplit::Folders).unwrap_err().to_string();
        assert!(error.contains("validation/a") && error.contains("is a class of train too"), "{error}");
        fs_err::remove_dir_all(dir.path().join("test")).unwrap();
        let error = opened(&ClassSplit::Folders).unwrap_err();
        assert!(
            matches!(error, Error::Missing { .. }) && error.to_string().contains("split.random"),
            "{error}"
        );
    }

    #[test]
    fn threads_give_the_same_as_one() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..7 {
            picture(dir.path(), &format!("c{number}"), "1.png", (3 + number, number as u8));
        }
        let all = read(dir.path(), form(Channels::Rgb, 3)).unwrap();
        let red = all.classes.labelled().unwrap().0.select(1, 0).select(1, 0).select(1, 0);
        assert_eq!(Vec::<u8>::try_from(red).unwrap(), [0, 1, 2, 3, 4, 5, 6]);
        assert!(all.notes[0].0.starts_with("7 pictures of 7 sizes"), "{:?}", all.notes);
    }

    #[test]
    fn bad_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path, size| read(path, form(Channels::Gray, size)).unwrap_err();
        assert!(refused(dir.path(), 2).to_string().contains("each class is a folder"));
        assert!(matches!(refused(&dir.path().join("no"), 2), Error::Missing { .. }));
        fs_err::create_dir(dir.path().join("a")).unwrap();
        fs_err::write(dir.path().join("a/1.png"), "broken").unwrap();
        let error = refused(dir.path(), 2);
        assert!(error.path().is_some_and(|path| path.ends_with("a/1.png")), "{error}");
        assert!(refused(dir.path(), 0).to_string().contains("`size` is 0"));
    }
}
