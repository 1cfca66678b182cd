//! The drawings of one half of Omniglot, from its archive or an unpacked folder.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use manytask_tensor::ShownPath as _;
use manytask_tensor::Tensor;
use zip::ZipArchive;

use crate::bytes::read_raw;
use crate::image_folder::{entries, file_name};
use crate::picture::{Form, decode};
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

/// The largest file of a drawing, unpacked; those of Omniglot have some hundred bytes.
const LARGEST_FILE: u64 = 1 << 24;

/// What lies in a half of Omniglot.
#[derive(Debug, Default)]
struct Listing {
    drawings: Vec<Drawing>,
    /// Names of what is no drawing.
    others: Vec<String>,
}

/// Reads `folder/half` or `folder/half.zip`: the characters, and the names of what is no drawing.
pub(super) fn read(folder: &Path, half: &str, size: usize) -> Result<(ClassPool, Vec<String>)> {
    let source = Source::find(folder, half)?;
    let Listing { drawings, others } = source.listing(half)?;
    let chunk = drawings.len().div_ceil(THREADS).max(1);
    let decoded: Vec<Result<Vec<u8>>> = std::thread::scope(|scope| {
        let source = &source;
        let workers: Vec<_> = drawings
            .chunks(chunk)
            .map(|drawings| {
                let decode = move || source.decode(drawings, half, size);
                (std::thread::Builder::new().spawn_scoped(scope, decode), decode)
            })
            .collect();
        let panicked = || Err(Error::corrupt(source.path(), half, "decoding an image panicked"));
        let decoded = workers.into_iter().map(|(worker, decode)| match worker {
            Ok(worker) => worker.join().unwrap_or_else(|_| panicked()),
            // The system gives no more threads.
            Err(_) => decode(),
        });
        decoded.collect()
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
    Ok((ClassPool::new(images, &counts, names)?, others))
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
                folder.shown()
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

    /// All drawings, sorted by character and file name, and what else there is.
    fn listing(&self, half: &str) -> Result<Listing> {
        let mut listing = match self {
            Self::Folder(path) => in_folder(path, half)?,
            Self::Archive { path, bytes } => {
                let mut listing = Listing::default();
                let archive = archive(path, bytes)?;
                // A name that ends in `/` is a folder.
                for name in archive.file_names().filter(|name| !name.ends_with('/')) {
                    match in_archive(name, half) {
                        Some(drawing) => listing.drawings.push(drawing),
                        None => listing.others.push(name.to_owned()),
                    }
                }
                listing
            }
        };
        if listing.drawings.is_empty() {
            let message = format!("has no drawings {half}/ALPHABET/characterNN/NNNN_NN.png; fetch it again");
            return Err(Error::corrupt(self.path(), "content", message));
        }
        listing.drawings.sort_unstable_by(|a, b| (&a.character, &a.file).cmp(&(&b.character, &b.file)));
        listing.others.sort_unstable();
        Ok(listing)
    }

    /// The pixels of some drawings, one after the other, ink 255.
    fn decode(&self, drawings: &[Drawing], half: &str, size: usize) -> Result<Vec<u8>> {
        let mut pixels = Vec::new();
        let room = drawings.len().checked_mul(size * size).map(|count| pixels.try_reserve_exact(count));
        if !matches!(room, Some(Ok(()))) {
            return Err(Error::config(
                "size",
                format!(
                    "{} drawings of {size} x {size} pixels do not fit in memory; take a smaller `size`",
                    drawings.len()
                ),
            ));
        }
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
                    let entry = archive.by_name(&inner).map_err(|error| damaged(error.to_string()))?;
                    // Whatever the archive says of its size.
                    let mut entry = entry.take(LARGEST_FILE + 1);
                    entry
                        .read_to_end(&mut bytes)
                        .map_err(|error| damaged(format!("{error}; the file is damaged, fetch it again")))?;
                    if bytes.len() as u64 > LARGEST_FILE {
                        return Err(damaged(format!(
                            "is larger than {LARGEST_FILE} bytes, which no drawing is"
                        )));
                    }
                    (source.path().to_owned(), inner.as_str())
                }
                (None, source) => {
                    let path = source.path().join(character).join(file);
                    bytes = read_raw(&path)?;
                    (path, "content")
                }
            };
            let picture = decode(&bytes, &path, place, Form::square(Channels::Gray, size))?.pixels;
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

fn in_folder(path: &Path, half: &str) -> Result<Listing> {
    let mut listing = Listing::default();
    for alphabet in entries(path)? {
        let of_alphabet = format!("{half}/{}", file_name(&alphabet));
        if !alphabet.is_dir() {
            listing.others.push(of_alphabet);
            continue;
        }
        for character in entries(&alphabet)? {
            let name = format!("{}/{}", file_name(&alphabet), file_name(&character));
            if !character.is_dir() {
                listing.others.push(format!("{half}/{name}"));
                continue;
            }
            let before = listing.drawings.len();
            for file in entries(&character)?.iter().map(|path| file_name(path)) {
                if is_drawing(&file) {
                    listing.drawings.push(Drawing { character: name.clone(), file });
                } else {
                    listing.others.push(format!("{half}/{name}/{file}"));
                }
            }
            if listing.drawings.len() == before {
                listing.others.push(format!("{half}/{name}"));
            }
        }
    }
    Ok(listing)
}

fn is_drawing(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "png")
}
