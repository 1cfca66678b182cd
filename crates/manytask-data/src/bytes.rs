//! Whole files into memory, unpacked where they are packed, by content.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::{Error, Result};

/// The file's bytes as they lie on the disk; of `-` all of standard input, which is there once.
pub(crate) fn read_raw(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut all = Vec::new();
        std::io::stdin().lock().read_to_end(&mut all).map_err(|error| Error::io(path, error))?;
        return Ok(all);
    }
    fs_err::read(path).map_err(|error| Error::io(path, error))
}

/// How a file is packed, told by its first bytes, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Xz,
    /// With a single file in it that is called as a table is.
    Zip,
}

impl Packing {
    fn of(raw: &[u8]) -> Option<Self> {
        let beginnings: [(&[u8], Self); 4] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"PK\x03\x04", Self::Zip),
        ];
        beginnings.into_iter().find(|(start, _)| raw.starts_with(start)).map(|(_, packing)| packing)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Zip => "zip",
        }
    }
}

/// The content: unpacked if the first bytes are those of gzip, zstd, xz or zip, whatever the file is called.
///
/// # Errors
/// When the packed content is damaged, or unpacks to more than the memory that is free.
pub(crate) fn unpack<'a>(path: &Path, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let Some(packing) = Packing::of(raw) else { return Ok(Cow::Borrowed(raw)) };
    // Where the system does not say what is free, the disk has set a bound: gzip packs a thousandfold at most.
    let most = manytask_tensor::memory::free().map_or(u64::MAX, |free| free as u64);
    Ok(unpack_within(path, raw, packing, most)?.map_or(Cow::Borrowed(raw), Cow::Owned))
}

/// The content of at most so many bytes; `None` for a zip archive that is no packed table.
fn unpack_within(path: &Path, raw: &[u8], packing: Packing, most: u64) -> Result<Option<Vec<u8>>> {
    let first = raw.len().saturating_mul(8).min(usize::try_from(most).unwrap_or(usize::MAX));
    let mut content = Vec::new();
    let mut take = |reader: &mut dyn Read| {
        content.reserve(first);
        reader.take(most).read_to_end(&mut content)
    };
    let read = match packing {
        Packing::Gzip => take(&mut MultiGzDecoder::new(raw)),
        Packing::Zstd => zstd::Decoder::with_buffer(raw).and_then(|mut reader| take(&mut reader)),
        Packing::Xz => {
            let limit = u32::try_from(most / 1024).unwrap_or(u32::MAX);
            take(&mut XzReader::new_mem_limit(raw, true, limit))
        }
        Packing::Zip => match only_table(raw) {
            None => return Ok(None),
            Some((mut archive, index)) => match archive.by_index(index) {
                Ok(mut file) => take(&mut file),
                Err(error) => Err(error.into()),
            },
        },
    };
    read.map_err(|error| {
        let place = format!("{}, after {} unpacked bytes", packing.name(), content.len());
        Error::corrupt(path, place, format!("{error}; the file is truncated or damaged, fetch it again"))
    })?;
    if content.len() as u64 == most {
        let what = format!("unpacks to more than the {most} bytes of memory that are free");
        return Err(Error::corrupt(
            path,
            packing.name(),
            format!("{what}; take a machine with more, or a smaller table"),
        ));
    }
    Ok(Some(content))
}

/// Endings of files that are tables.
const TABLES: [&str; 9] = ["csv", "tsv", "tab", "txt", "dat", "json", "jsonl", "ndjson", "parquet"];

/// An archive with a single file that is called as a table is, and where that file is; `None` where there are several, as in
/// documents of offices, or it is another one.
fn only_table(raw: &[u8]) -> Option<(ZipArchive<Cursor<&[u8]>>, usize)> {
    let archive = ZipArchive::new(Cursor::new(raw)).ok().filter(|archive| archive.len() == 1)?;
    let ending = archive.file_names().next().and_then(|name| Path::new(name).extension());
    let is_table = ending.is_some_and(|ending| TABLES.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    is_table.then_some((archive, 0))
}

/// SHA-256 as 64 hexadecimal digits, over several files one after the other.
pub(crate) fn digest<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for bytes in files {
        hasher.update(bytes);
    }
    in_digits(hasher)
}

/// What [`digest`] is of a file's bytes as they lie on the disk, which need not fit into memory.
pub(crate) fn digest_of_file(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return Ok(digest([read_raw(path)?.as_slice()]));
    }
    let failed = |error| Error::io(path, error);
    let mut file = fs_err::File::open(path).map_err(failed)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0_u8; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(in_digits(hasher)),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn in_digits(hasher: Sha256) -> String {
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
        let error = unpack_within(path, &packed, Packing::Zip, 4).unwrap_err().to_string();
        assert!(error.contains("more than the 4 bytes"), "{error}");
        let mut cut = packed.clone();
        let middle = 30 + "t.csv".len() + 2;
        cut[middle] ^= 0xff;
        assert!(unpack(path, &cut).is_err());
    }

    #[test]
    fn what_is_packed_is_unpacked_into_the_memory_that_there_is() {
        let content = vec![b'1'; 4_000_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gzip, &content).unwrap();
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        std::io::Write::write_all(&mut xz, &content).unwrap();
        let packed = [
            (Packing::Gzip, gzip.finish().unwrap()),
            (Packing::Zstd, zstd::encode_all(content.as_slice(), 3).unwrap()),
            (Packing::Xz, xz.finish().unwrap()),
        ];
        let path = Path::new("x");
        for (packing, packed) in packed {
            assert_eq!(Packing::of(&packed), Some(packing));
            assert_eq!(&*unpack(path, &packed).unwrap(), content);
            // Files that are packed one behind the other are one, as for the programs that pack them.
            assert_eq!(unpack(path, &packed.repeat(2)).unwrap().len(), 8_000_000, "{packing:?}");
            let error = unpack_within(path, &packed, packing, 3_000_000).unwrap_err().to_string();
            assert!(error.contains("3000000 bytes of memory"), "{error}");
            for cut in [packed.len() - 1, packed.len() / 2, 7] {
                let error = unpack(path, &packed[..cut]).unwrap_err();
                assert!(matches!(error, Error::Corrupt { .. }), "{packing:?} {cut}: {error}");
            }
        }
    }
}
