//! Square gray pictures as PNG files.

use std::io::Write as _;

use anyhow::Result;
use flate2::{Compression, Crc, write::ZlibEncoder};

/// The file of a picture: `pixels` row by row, 0 is black, 255 white.
pub(crate) fn png(side: usize, pixels: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in pixels.chunks(side) {
        // No filter.
        encoder.write_all(&[0])?;
        encoder.write_all(row)?;
    }
    let side = (side as u32).to_be_bytes();
    let header = [&side[..], &side[..], &[8, 0, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", header), (b"IDAT", encoder.finish()?), (b"IEND", Vec::new())] {
        bytes.extend((content.len() as u32).to_be_bytes());
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(&content);
        bytes.extend(name);
        bytes.extend(content);
        bytes.extend(crc.sum().to_be_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_picture_has_its_rows() {
        let bytes = png(2, &[0, 255, 128, 64]).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.ends_with(b"IEND\xae\x42\x60\x82"));
        // Behind the signature, the header's 25 bytes and the length and name of the next chunk.
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&bytes[8 + 25 + 8..]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows, [0, 0, 255, 0, 128, 64]);
    }
}
