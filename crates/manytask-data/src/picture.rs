//! Decoding and shrinking of single pictures.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageReader, Limits};
use manytask_tensor::Tensor;
use manytask_tensor::{ShownPath as _, WHOLE};
use serde::{Deserialize, Serialize};

use crate::words::quoted;
use crate::{Error, Note, Result};

/// The channels of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// One channel of luminance.
    #[default]
    Gray,
    /// Red, green, blue.
    Rgb,
}

impl Channels {
    /// 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// How pictures are brought to another size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Each new pixel is the mean of the area it covers.
    #[default]
    Area,
    /// Linear interpolation; where a picture shrinks, over all pixels that the new one covers (as Pillow's `BILINEAR`).
    Bilinear,
    /// The old pixel at the centre of the new one.
    Nearest,
}

impl Resize {
    /// The word for it in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Area => "area",
            Self::Bilinear => "bilinear",
            Self::Nearest => "nearest",
        }
    }
}

/// What a picture becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) channels: Channels,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) resize: Resize,
}

impl Form {
    /// A square.
    pub(crate) fn square(channels: Channels, size: usize) -> Self {
        Self { channels, height: size, width: size, resize: Resize::default() }
    }
}

/// A picture in its new form.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Planes `[C, height, width]`.
    pub(crate) pixels: Vec<u8>,
    /// Height and width of what was read.
    pub(crate) read: (usize, usize),
}

/// The sizes of pictures that were read.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    /// Each size once, with the first picture of it.
    seen: Vec<((usize, usize), String)>,
    count: usize,
}

impl Sizes {
    /// A picture, by its height and width.
    pub(crate) fn see(&mut self, file: &Path, size: (usize, usize)) {
        self.count += 1;
        if !self.seen.iter().any(|(seen, _)| *seen == size) {
            self.seen.push((size, file.shown().to_string()));
        }
    }

    /// Those of other pictures too.
    pub(crate) fn join(&mut self, other: Self) {
        self.count += other.count;
        for (size, file) in other.seen {
            if !self.seen.iter().any(|(seen, _)| *seen == size) {
                self.seen.push((size, file));
            }
        }
    }

    /// What is to be said where pictures are brought to another size.
    pub(crate) fn note(&self, form: Form) -> Option<Note> {
        let Form { height, width, resize, .. } = form;
        let ((first_height, first_width), file) =
            self.seen.iter().find(|(seen, _)| *seen != (height, width))?;
        let sizes = match self.seen.len() {
            1 => "all of one size".to_owned(),
            sizes => format!("of {sizes} sizes"),
        };
        let stretched = self.seen.iter().any(|((h, w), _)| h * width != w * height);
        let stretched =
            if stretched { "; where their proportions are others, they are stretched" } else { "" };
        Some(Note(format!(
            "{} pictures {sizes}, such as {first_height} x {first_width} pixels of {}, are brought to {height} x {width} \
             by {}{stretched}",
            self.count,
            quoted(file),
            resize.name()
        )))
    }
}

/// The longest side of a picture that is decoded, and the memory that decoding may take: what a file declares is checked before
/// anything is allocated for it.
const LONGEST_SIDE: u32 = 1 << 14;
const MEMORY: u64 = 1 << 28;
/// The largest side that pictures are brought to.
const LARGEST: usize = 1024;

/// Refuses a side that pictures cannot be brought to.
///
/// # Errors
/// With the range.
pub(crate) fn check_size(size: usize) -> Result<()> {
    if (1..=LARGEST).contains(&size) {
        return Ok(());
    }
    Err(Error::config("size", format!("`size` is {size}: the side of pictures is 1 to {LARGEST} pixels")))
}

/// PNG or JPEG into planes of a form.
pub(crate) fn decode(bytes: &[u8], path: &Path, place: &str, form: Form) -> Result<Decoded> {
    let damaged = |error: &dyn std::fmt::Display| {
        Error::corrupt(path, place, format!("is no readable image: {error}; fetch it again"))
    };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LONGEST_SIDE), Some(LONGEST_SIDE));
    limits.max_alloc = Some(MEMORY);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| damaged(&error))?;
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| damaged(&error))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width == 0 || height == 0 {
        return Err(damaged(&"it has no pixel"));
    }
    let picture = if picture.color().has_alpha() { on_white(&picture) } else { picture };
    let interleaved = match form.channels {
        Channels::Gray => DynamicImage::into_luma8(picture).into_raw(),
        Channels::Rgb => DynamicImage::into_rgb8(picture).into_raw(),
    };
    let count = form.channels.count();
    let (columns, rows) = (spans(width, form.width, form.resize), spans(height, form.height, form.resize));
    let planes = (0..count).flat_map(|channel| {
        let plane: Vec<u8> = interleaved.iter().skip(channel).step_by(count).copied().collect();
        if (width, height) == (form.width, form.height) {
            plane
        } else {
            resized(&plane, width, &columns, &rows)
        }
    });
    Ok(Decoded { pixels: planes.collect(), read: (height, width) })
}

/// Images `[N, C, H, W]` of bytes brought to squares of a side.
pub(crate) fn resized_planes(images: &Tensor, size: usize, resize: Resize) -> Result<Tensor> {
    check_size(size)?;
    let sizes = images.size();
    let &[count, channels, height, width] = sizes.as_slice() else {
        return Err(Error::config(WHOLE, format!("images must be [N, C, H, W], these are {sizes:?}")));
    };
    let side = size as i64;
    if (height, width) == (side, side) || images.numel() == 0 {
        return Ok(images.shallow_clone());
    }
    let (columns, rows) = (spans(width as usize, size, resize), spans(height as usize, size, resize));
    let pixels = Vec::<u8>::try_from(images.f_contiguous()?.f_reshape([-1])?)?;
    let planes = pixels.chunks_exact((height * width) as usize);
    let pixels: Vec<u8> = planes.flat_map(|plane| resized(plane, width as usize, &columns, &rows)).collect();
    Ok(Tensor::f_from_slice(&pixels)?.f_reshape([count, channels, side, side])?)
}

/// What a picture looks like on paper: where it is transparent, its colour is often black and means nothing.
fn on_white(picture: &DynamicImage) -> DynamicImage {
    let mut picture = picture.to_rgba8();
    for pixel in picture.pixels_mut() {
        let [colours @ .., alpha] = &mut pixel.0;
        for colour in colours {
            let ink = u32::from(*colour) * u32::from(*alpha) + 255 * (255 - u32::from(*alpha));
            *colour = ((ink + 127) / 255) as u8;
        }
        *alpha = 255;
    }
    DynamicImage::ImageRgba8(picture)
}

/// One plane of rows of `width` pixels, to as many columns and rows as there are spans.
fn resized(plane: &[u8], width: usize, columns: &[Span], rows: &[Span]) -> Vec<u8> {
    let mut narrow = Vec::with_capacity(plane.len() / width.max(1) * columns.len());
    for row in plane.chunks_exact(width.max(1)) {
        narrow.extend(columns.iter().map(|span| span.mean(row.iter().map(|&pixel| f32::from(pixel)))));
    }
    let count = columns.len();
    let mut pixels = Vec::with_capacity(rows.len() * count);
    for span in rows {
        let column = |x| span.mean(narrow.iter().skip(x).step_by(count.max(1)).copied());
        pixels.extend((0..count).map(|x| column(x).round() as u8));
    }
    pixels
}

/// The old pixels under a new one: the first, and how much of each lies under it, summing to 1.
struct Span {
    start: usize,
    weights: Vec<f32>,
}

impl Span {
    fn mean(&self, line: impl Iterator<Item = f32>) -> f32 {
        line.skip(self.start).zip(&self.weights).map(|(pixel, weight)| pixel * weight).sum()
    }
}

/// The spans of `new` pixels over `old` ones.
fn spans(old: usize, new: usize, resize: Resize) -> Vec<Span> {
    let scale = old as f64 / new as f64;
    let area = |pixel: usize| {
        let (from, to) = (pixel as f64 * scale, (pixel + 1) as f64 * scale);
        let start = from.floor() as usize;
        let end = (to.ceil() as usize).min(old);
        let overlap = |at: usize| (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0);
        Span { start, weights: (start..end).map(|at| (overlap(at) / scale) as f32).collect() }
    };
    let centre = |pixel: usize| (pixel as f64 + 0.5) * scale;
    let bilinear = |pixel: usize| {
        let (centre, reach) = (centre(pixel), scale.max(1.0));
        let start = (centre - reach).floor().max(0.0) as usize;
        let end = ((centre + reach).ceil() as usize).min(old);
        let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (start..end).map(weight).sum();
        Span { start, weights: (start..end).map(|at| (weight(at) / sum) as f32).collect() }
    };
    let nearest = |pixel: usize| Span { start: (centre(pixel) as usize).min(old - 1), weights: vec![1.0] };
    match resize {
        Resize::Area => (0..new).map(area).collect(),
        Resize::Bilinear => (0..new).map(bilinear).collect(),
        Resize::Nearest => (0..new).map(nearest).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brought(plane: &[u8], width: usize, height: usize, size: usize, resize: Resize) -> Vec<u8> {
        resized(plane, width, &spans(width, size, resize), &spans(height, size, resize))
    }

    fn area_average(plane: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
        brought(plane, width, height, size, Resize::Area)
    }

    #[test]
    fn other_filters_weigh_by_distance_or_take_the_centre() {
        // Weights 3/7, 3/7, 1/7 of the first three pixels and of the last three.
        let ramp: Vec<u8> = (0..16).map(|x| x * 16).collect();
        assert_eq!(brought(&ramp, 4, 4, 2, Resize::Bilinear), [57, 82, 158, 183]);
        assert_eq!(brought(&ramp, 4, 4, 2, Resize::Nearest), [80, 112, 208, 240]);
        assert_eq!(brought(&[0, 100, 200, 100], 2, 2, 4, Resize::Bilinear)[..4], [0, 25, 75, 100]);
    }

    #[test]
    fn areas_are_averaged() {
        assert_eq!(area_average(&[0, 100, 200, 100], 2, 2, 1), [100]);
        assert_eq!(area_average(&[0, 90, 30, 0, 90, 30, 0, 90, 30], 3, 3, 2), [30, 50, 30, 50]);
        assert_eq!(area_average(&[10, 20, 30, 40], 2, 2, 4)[..4], [10, 10, 20, 20]);
    }

    #[test]
    fn what_is_no_image_says_where() {
        let error =
            decode(b"no png", Path::new("a.zip"), "x.png", Form::square(Channels::Gray, 4)).unwrap_err();
        assert!(error.to_string().starts_with("a.zip: x.png: is no readable image"), "{error}");
    }

    #[test]
    fn pictures_of_every_depth_are_read_alike_and_transparency_is_paper() {
        use image::{GrayAlphaImage, ImageBuffer, ImageFormat, Luma, LumaA};
        let packed = |picture: DynamicImage| {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
            decode(&bytes.into_inner(), Path::new("a"), "b", Form::square(Channels::Gray, 2)).unwrap().pixels
        };
        let ink = |x: u32, y: u32| x == y;
        let grey = GrayAlphaImage::from_fn(2, 2, |x, y| LumaA([0, if ink(x, y) { 255 } else { 0 }]));
        assert_eq!(packed(DynamicImage::ImageLumaA8(grey)), [0, 255, 255, 0]);
        let deep = ImageBuffer::from_fn(2, 2, |x, y| Luma([if ink(x, y) { 0 } else { u16::MAX }]));
        assert_eq!(packed(DynamicImage::ImageLuma16(deep)), [0, 255, 255, 0]);
        let half = GrayAlphaImage::from_pixel(2, 2, LumaA([55, 51]));
        assert_eq!(packed(DynamicImage::ImageLumaA8(half)), [215; 4]);
    }

    proptest! {
        #[test]
        fn an_even_picture_stays_even(width in 1_usize..40, height in 1_usize..40, size in 1_usize..40, value: u8) {
            let pixels = area_average(&vec![value; width * height], width, height, size);
            prop_assert_eq!(pixels, vec![value; size * size]);
        }
    }
}
