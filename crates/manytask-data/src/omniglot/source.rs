//! The drawings of one half of Omniglot, from its archive or an unpacked folder.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use manytask_tensor::Tensor;
use zip::ZipArchive;

use crate::bytes::read_raw;
use crate::image_folder::{entries, file_name};
use crate::picture::decode;
use crate::{Channels, ClassPool, Error, Result};

/// Decoding is split over this many threads.
const THREADS: usize = 4;

/// A drawing: its character `Alphabet/characterNN`, and its place.
#[derive(Debug, Clone)]
struct Drawing {
    character: String,
    file: String,
}

/// Where the drawings lie.
enum Source {
    Folder(PathBuf),
    Archive { path: PathBuf, bytes: Vec<u8> },
}

/// Reads `folder/half` or `folder/half.zip`.
pub(super) fn read(folder: &Path, half: &str, size: usize) -> Result<ClassPool> {
    let source = Source::find(folder, half)?;
    let drawings = source.drawings(half)?;
    let chunk = drawings.len().div_ceil(THREADS).max(1);
    let decoded: Vec<Result<Vec<u8>>> = std::thread::scope(|scope| {
        let source = &source;
        let workers: Vec<_> = drawings
            .chunks(chunk)
            .map(|drawings| scope.spawn(move || source.decode(drawings, half, size)))
            .collect();
        let panicked = || Err(Error::corrupt(source.path(), half, "decoding an image panicked"));
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| panicked())).collect()
    });
    let pixels = decoded.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let mut names: Vec<String> = Vec::new();
    let mut counts: Vec<i64> = Vec::new();
    for drawing in drawings {
        match counts.last_mut() {
            Some(count) if names.last() == Some(&drawing.character) => *count += 1,
            _ => {
                names.push(drawing.character);
                counts.push(1);
            }
        }
    }
    let images = Tensor::f_from_slice(&pixels)?.f_reshape([-1, 1, size as i64, size as i64])?;
    ClassPool::new(images, &counts, names)
}

impl Source {
    fn find(folder: &Path, half: &str) -> Result<Self> {
        let unpacked = folder.join(half);
        if unpacked.is_dir() {
            return Ok(Self::Folder(unpacked));
        }
        let path = folder.join(format!("{half}.zip"));
        if !path.exists() {
            let hint = format!(
                "get images_background.zip and images_evaluation.zip from github.com/brendenlake/omniglot (folder python) and put them into {}",
                folder.display()
            );
            return Err(Error::Missing { path, hint });
        }
        Ok(Self::Archive { bytes: read_raw(&path)?, path })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Archive { path, .. } => path,
        }
    }

    /// All drawings, sorted by character and file name.
    fn drawings(&self, half: &str) -> Result<Vec<Drawing>> {
        let mut drawings = match self {
            Self::Folder(path) => in_folder(path)?,
            Self::Archive { path, bytes } => {
                let archive = archive(path, bytes)?;
                archive.file_names().filter_map(|name| in_archive(name, half)).collect()
            }
        };
        if drawings.is_empty() {
            let message = format!("has no drawings {half}/ALPHABET/characterNN/NNNN_NN.png; fetch it again");
            return Err(Error::corrupt(self.path(), "content", message));
        }
        drawings.sort_unstable_by(|a, b| (&a.character, &a.file).cmp(&(&b.character, &b.file)));
        Ok(drawings)
    }

    /// The pixels of some drawings, one after the other, ink 255.
    fn decode(&self, drawings: &[Drawing], half: &str, size: usize) -> Result<Vec<u8>> {
        let mut pixels = Vec::with_capacity(drawings.len() * size * size);
        let mut archive = match self {
            Self::Folder(_) => None,
            Self::Archive { path, bytes } => Some(archive(path, bytes)?),
        };
        let mut bytes = Vec::new();
        for Drawing { character, file } in drawings {
            let inner = format!("{half}/{character}/{file}");
            let (path, place) = match (&mut archive, self) {
                (Some(archive), source) => {
                    let damaged = |error: String| Error::corrupt(source.path(), &*inner, error);
                    bytes.clear();
                    let mut entry = archive.by_name(&inner).map_err(|error| damaged(error.to_string()))?;
                    entry.read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
                    (source.path().to_owned(), inner.as_str())
                }
                (None, source) => {
                    let path = source.path().join(character).join(file);
                    bytes = read_raw(&path)?;
                    (path, "content")
                }
            };
            let picture = decode(&bytes, &path, place, Channels::Gray, size)?;
            pixels.extend(picture.into_iter().map(|pixel| 255 - pixel));
        }
        Ok(pixels)
    }
}

fn archive<'a>(path: &Path, bytes: &'a [u8]) -> Result<ZipArchive<Cursor<&'a [u8]>>> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        Error::corrupt(path, "archive", format!("{error}; the file is truncated or damaged, fetch it again"))
    })
}

/// `half/Alphabet/characterNN/NNNN_NN.png`.
fn in_archive(name: &str, half: &str) -> Option<Drawing> {
    let (character, file) = name.strip_prefix(half)?.strip_prefix('/')?.rsplit_once('/')?;
    let drawing = is_drawing(file) && character.matches('/').count() == 1;
    drawing.then(|| Drawing { character: character.to_owned(), file: file.to_owned() })
}

fn in_folder(path: &Path) -> Result<Vec<Drawing>> {
    let mut drawings = Vec::new();
    for alphabet in entries(path)?.into_iter().filter(|path| path.is_dir()) {
        for character in entries(&alphabet)?.into_iter().filter(|path| path.is_dir()) {
            let name = format!("{}/{}", file_name(&alphabet), file_name(&character));
            let files = entries(&character)?.into_iter().map(|path| file_name(&path));
            drawings.extend(
                files.filter(|file| is_drawing(file)).map(|file| Drawing { character: name.clone(), file }),
            );
        }
    }
    Ok(drawings)
}

fn is_drawing(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "png")
}
