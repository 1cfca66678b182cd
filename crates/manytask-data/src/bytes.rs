//! Whole files into memory, unpacked when they are gzip, or zip with a single file, by content.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::{Error, Result};

/// The file's bytes as they lie on the disk.
pub(crate) fn read_raw(path: &Path) -> Result<Vec<u8>> {
    fs_err::read(path).map_err(|error| Error::io(path, error))
}

/// The content: unpacked if the first bytes are gzip's or zip's magic number, whatever the file is called.
///
/// # Errors
/// When the packed content is damaged, or unpacks to more than the memory that is free.
pub(crate) fn unpack<'a>(path: &Path, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let is_gzip = raw.starts_with(&[0x1f, 0x8b]);
    if !is_gzip && !is_zip(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    // Where the system does not say what is free, the disk has set a bound: gzip packs a thousandfold at most.
    let most = manytask_tensor::memory::free().map_or(u64::MAX, |free| free as u64);
    if is_gzip {
        return Ok(Cow::Owned(unpack_within(path, raw, most)?));
    }
    Ok(unzipped(path, raw, most)?.map_or(Cow::Borrowed(raw), Cow::Owned))
}

fn is_zip(raw: &[u8]) -> bool {
    raw.starts_with(b"PK\x03\x04")
}

/// Endings of files that are tables.
const TABLES: [&str; 8] = ["csv", "tsv", "tab", "txt", "dat", "json", "jsonl", "ndjson"];

/// The content of an archive with a single file that is called as a table is; `None` where there are several, as in documents of
/// offices, or it is another one.
fn unzipped(path: &Path, raw: &[u8], most: u64) -> Result<Option<Vec<u8>>> {
    let damaged = |message: String| Error::corrupt(path, "zip", format!("{message}; fetch it again"));
    let Ok(mut archive) = ZipArchive::new(Cursor::new(raw)) else { return Ok(None) };
    if archive.len() != 1 {
        return Ok(None);
    }
    let is_table = archive
        .file_names()
        .next()
        .and_then(|name| Path::new(name).extension())
        .is_some_and(|ending| TABLES.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    if !is_table {
        return Ok(None);
    }
    let file = archive.by_index(0).map_err(|error| damaged(error.to_string()))?;
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content).map_err(|error| damaged(error.to_string()))?;
    if content.len() as u64 == most {
        let what = format!("unpacks to more than the {most} bytes of memory that are free");
        return Err(Error::corrupt(
            path,
            "zip",
            format!("{what}; take a machine with more, or a smaller table"),
        ));
    }
    Ok(Some(content))
}

fn unpack_within(path: &Path, raw: &[u8], most: u64) -> Result<Vec<u8>> {
    let first = raw.len().saturating_mul(8).min(usize::try_from(most).unwrap_or(usize::MAX));
    let mut content = Vec::with_capacity(first);
    MultiGzDecoder::new(raw).take(most).read_to_end(&mut content).map_err(|error| {
        let place = format!("gzip, after {} unpacked bytes", content.len());
        Error::corrupt(path, place, format!("{error}; the file is truncated or damaged, fetch it again"))
    })?;
    if content.len() as u64 == most {
        let what = format!("unpacks to more than the {most} bytes of memory that are free");
        return Err(Error::corrupt(
            path,
            "gzip",
            format!("{what}; take a machine with more, or a smaller table"),
        ));
    }
    Ok(content)
}

/// SHA-256 as 64 hexadecimal digits, over several files one after the other.
pub(crate) fn digest<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for bytes in files {
        hasher.update(bytes);
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_sha256() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest([b"a".as_slice(), b"bc"]), expected);
    }

    #[test]
    fn plain_bytes_pass_and_a_cut_gzip_is_corrupt() {
        let path = Path::new("x");
        assert_eq!(&*unpack(path, b"abc").unwrap(), b"abc");
        let error = unpack(path, &[0x1f, 0x8b, 8, 0]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_zip_with_one_file_is_unpacked_and_another_is_left() {
        let zip = |names: &[&str]| {
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for name in names {
                writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
                std::io::Write::write_all(&mut writer, b"a,b\n1,2\n").unwrap();
            }
            writer.finish().unwrap().into_inner()
        };
        let path = Path::new("x");
        assert_eq!(&*unpack(path, &zip(&["t.csv"])).unwrap(), b"a,b\n1,2\n");
        for other in [zip(&["t.csv", "u.csv"]), zip(&["a.npy"])] {
            assert_eq!(&*unpack(path, &other).unwrap(), other);
        }
        let packed = zip(&["t.csv"]);
        assert!(unzipped(path, &packed, 4).unwrap_err().to_string().contains("more than the 4 bytes"));
        let mut cut = packed.clone();
        let middle = 30 + "t.csv".len() + 2;
        cut[middle] ^= 0xff;
        assert!(unpack(path, &cut).is_err());
    }

    #[test]
    fn gzip_is_unpacked_into_the_memory_that_there_is() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![b'1'; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let path = Path::new("x");
        assert_eq!(unpack_within(path, &packed, 100_001).unwrap().len(), 100_000);
        let error = unpack_within(path, &packed, 1000).unwrap_err().to_string();
        assert!(error.contains("more than the 1000 bytes of memory"), "{error}");
    }
}
