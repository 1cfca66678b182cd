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
pub(crate) fn unpack<'a>(path: &Path, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !raw.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut content = Vec::with_capacity(raw.len().saturating_mul(8));
    MultiGzDecoder::new(raw).read_to_end(&mut content).map_err(|error| {
        let place = format!("gzip, after {} unpacked bytes", content.len());
        Error::corrupt(path, place, format!("{error}; the file is truncated or damaged, fetch it again"))
    })?;
    Ok(Cow::Owned(content))
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
}
