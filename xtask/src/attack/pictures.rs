//! Small drawings in the form of Omniglot's archives.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use anyhow::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::random::Rng;
use crate::picture::png;

/// The folder of the archives.
pub(crate) const FOLDER: &str = "omniglot";
/// The archives' names.
pub(crate) const HALVES: [&str; 2] = ["images_background", "images_evaluation"];
/// Drawings of each character.
const DRAWINGS: usize = 6;

/// Both archives with a few characters each.
pub(crate) fn archives(rng: &mut Rng) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for half in HALVES {
        let drawings = drawings(rng, half)?;
        files.insert(format!("{FOLDER}/{half}.zip"), archive(&drawings)?);
    }
    Ok(files)
}

/// The drawings of one half: their paths in the archive, and their pictures.
pub(crate) fn drawings(rng: &mut Rng, half: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let characters = if half == HALVES[0] { 9 } else { 5 };
    let mut all = Vec::new();
    for character in 1..=characters {
        let alphabet = if character % 2 == 0 { "Even" } else { "Odd" };
        for number in 1..=DRAWINGS {
            let path = format!("{half}/{alphabet}/character{character:02}/{character:04}_{number:02}.png");
            all.push((path, strokes(rng, 21)?));
        }
    }
    Ok(all)
}

/// An archive of these files.
pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        let method =
            if content.len() % 2 == 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        writer.start_file(path.as_str(), SimpleFileOptions::default().compression_method(method))?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// A square gray picture of random strokes.
fn strokes(rng: &mut Rng, side: usize) -> Result<Vec<u8>> {
    let mut pixels = Vec::new();
    for row in 0..side {
        let of = |column: usize| (row * 7 + column * 3 + rng.below(9)).is_multiple_of(5);
        pixels.extend((0..side).map(of).map(|is_ink| if is_ink { 0 } else { 255 }));
    }
    png(side, &pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn archives_hold_pictures() {
        let files = archives(&mut Rng::new(1, "pictures", 0)).unwrap();
        let bytes = &files["omniglot/images_evaluation.zip"];
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 5 * DRAWINGS);
        let mut picture = Vec::new();
        let path = "images_evaluation/Even/character02/0002_01.png";
        archive.by_name(path).unwrap().read_to_end(&mut picture).unwrap();
        assert!(picture.starts_with(b"\x89PNG") && picture.ends_with(b"IEND\xae\x42\x60\x82"));
    }
}
