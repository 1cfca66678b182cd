//! IDX, the format of MNIST and its successors.
//!
//! Two zero bytes, the type of the elements (8: unsigned bytes), the number of dimensions, each dimension as a big-endian
//! 32-bit number, then the elements, last dimension fastest.

use std::path::Path;

use manytask_tensor::Tensor;

use crate::bytes::{read_raw, unpack};
use crate::{Error, Result};

const UNSIGNED_BYTE: u8 = 8;
/// More dimensions than any data set has.
const MOST_DIMENSIONS: u8 = 16;

/// Reads a file of unsigned bytes, plain or gzip by content, into a uint8 tensor of the file's dimensions.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("labels-idx1-ubyte");
/// fs_err::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])?;
/// let labels = manytask_data::idx::read(&path)?;
/// assert_eq!(Vec::<u8>::try_from(labels)?, [7, 8, 9]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file is absent, not IDX, of another element type, or shorter or longer than its dimensions say.
pub fn read(path: &Path) -> Result<Tensor> {
    parse(path, &read_raw(path)?)
}

/// The same of a file's bytes as they lie on the disk; `path` names it in errors.
pub(crate) fn parse(path: &Path, raw: &[u8]) -> Result<Tensor> {
    let content = unpack(path, raw)?;
    let header = |message: &str| Error::corrupt(path, "header", message);
    let Some((&[0, 0, kind, dimensions], rest)) = content.split_first_chunk() else {
        return Err(header("is not IDX: the first two bytes must be 0"));
    };
    if kind != UNSIGNED_BYTE {
        return Err(header(&format!("element type {kind:#04x}; only unsigned bytes (0x08) are read")));
    }
    if dimensions > MOST_DIMENSIONS {
        return Err(header(&format!("{dimensions} dimensions; at most {MOST_DIMENSIONS} are read")));
    }
    let (sizes, elements) = rest
        .split_at_checked(usize::from(dimensions) * 4)
        .ok_or_else(|| header(&format!("ends before its {dimensions} dimensions; the file is cut off")))?;
    let sizes: Vec<i64> = sizes
        .chunks_exact(4)
        .map(|bytes| bytes.iter().fold(0, |number, &byte| number << 8 | i64::from(byte)))
        .collect();
    let expected = sizes.iter().try_fold(1_i64, |product, &size| product.checked_mul(size));
    if expected != Some(elements.len() as i64) {
        let message =
            format!("{} bytes for dimensions {sizes:?}; the file is cut off or damaged", elements.len());
        return Err(Error::corrupt(path, "elements", message));
    }
    Ok(Tensor::f_from_slice(elements)?.f_reshape(&sizes)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use manytask_tensor::Kind;
    use proptest::prelude::*;

    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Tensor> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs_err::write(&path, bytes).unwrap();
        read(&path)
    }

    const TWO_BY_THREE: [u8; 18] = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];

    #[test]
    fn plain_and_packed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&TWO_BY_THREE).unwrap();
        for bytes in [TWO_BY_THREE.to_vec(), encoder.finish().unwrap()] {
            let tensor = read_bytes(&bytes).unwrap();
            assert_eq!((tensor.size(), tensor.kind()), (vec![2, 3], Kind::Uint8));
            assert_eq!(tensor.int64_value(&[1, 0]), 4);
        }
    }

    #[test]
    fn damage_is_named() {
        let with = |at: usize, byte: u8| {
            let mut bytes = TWO_BY_THREE;
            bytes[at] = byte;
            bytes.to_vec()
        };
        let cases = [
            (Vec::new(), "is not IDX"),
            (with(0, 1), "is not IDX"),
            (with(2, 13), "element type 0x0d"),
            (TWO_BY_THREE[..9].to_vec(), "ends before its 2 dimensions"),
            (TWO_BY_THREE[..17].to_vec(), "5 bytes for dimensions [2, 3]"),
            (with(4, 255), "cut off or damaged"),
            (with(3, 200), "200 dimensions; at most 16"),
            ([[0, 0, 8, 3].as_slice(), &[255; 12]].concat(), "0 bytes for dimensions [4294967295"),
        ];
        for (bytes, expected) in cases {
            let error = read_bytes(&bytes).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(head in prop::collection::vec(0_u8..10, 0..12), tail in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = read_bytes(&[head, tail].concat());
        }
    }
}
