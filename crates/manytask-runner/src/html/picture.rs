//! Pictures in a page, with their bytes in it.

use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

/// A picture of bytes, row by row, with its caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) caption: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// A byte of luminance for each pixel, or three of red, green and blue.
    pub(crate) bytes: Vec<u8>,
}

impl Picture {
    /// The address of a PNG file that holds it itself; `None` where the bytes are not those of so many pixels.
    pub(super) fn address(&self) -> Option<String> {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let colour = match self.bytes.len() as u64 {
            count if count == pixels => ExtendedColorType::L8,
            count if count == 3 * pixels => ExtendedColorType::Rgb8,
            _ => return None,
        };
        let mut file = Vec::new();
        PngEncoder::new(&mut file).write_image(&self.bytes, self.width, self.height, colour).ok()?;
        Some(format!("data:image/png;base64,{}", base64(&file)))
    }
}

/// Bytes in base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let number = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get((number >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_the_standard_says() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_picture_is_a_png_and_bytes_that_do_not_fit_are_none() {
        let picture = Picture { caption: String::new(), width: 2, height: 1, bytes: vec![0, 255] };
        assert!(picture.address().unwrap().starts_with("data:image/png;base64,iVBORw0KGgo"));
        assert!(Picture { bytes: vec![0; 6], ..picture.clone() }.address().is_some());
        assert_eq!(Picture { bytes: vec![0; 5], ..picture }.address(), None);
    }
}
