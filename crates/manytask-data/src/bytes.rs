//! Whole files into memory, unpacked when they are gzip by content.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The file's bytes as they lie on the disk.
pub(crate) fn read_raw(path: &Path) -> Result<Vec<u8>> {
    fs_err::read(path).map_err(|error| Error::io(path, error))
}

/// The content: unpacked if the first two bytes are gzip's magic number, whatever the file is called.
///
/// # Errors
/// When the packed content is damaged, or unpacks to more than the memory that is free.
pub(crate) fn unpack<'a>(path: &Path, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(raw));
    }
    // Where the system does not say what is free, the disk has set a bound: gzip packs a thousandfold at most.
    let most = manytask_tensor::memory::free().map_or(u64::MAX, |free| free as u64);
    Ok(Cow::Owned(unpack_within(path, raw, most)?))
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
