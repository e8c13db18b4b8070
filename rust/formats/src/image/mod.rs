//! Images: JPEG and PNG, decoded to arrays of bytes, all of one shape if asked for.
//!
//! What other decoders of data sets do holds here too: samples of 16 bits become 8, an alpha channel is dropped, palettes and
//! grey images become colours (or the reverse), and an orientation in EXIF data is left to the user. Resizing is that of
//! Pillow's antialiased bilinear filter.

mod error;

use std::io::Cursor;

use bytes::Bytes;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ColorType, DynamicImage, ImageDecoder, Limits};

pub use error::ImageError;

use crate::npy::Array;

/// Most pixels: those of an image of 178 million, which Pillow takes for an attack as well.
const MAX_PIXELS: u64 = 178_956_970;

/// Most rows or columns of a result.
const MAX_SIDE: u32 = 1 << 16;

/// How an image is made to fit a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// Resized until it covers the size, and cut at the middle.
    #[default]
    Crop,
    /// Resized to the size, whatever becomes of its proportions.
    Stretch,
    /// Resized until it lies within the size, in the middle of black.
    Pad,
}

/// The channels of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Luma alone.
    Gray,
}

/// The order of the axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Rows, columns, channels.
    #[default]
    Hwc,
    /// Channels, rows, columns.
    Chw,
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Rows and columns of the result; its own if `None`.
    pub size: Option<(u32, u32)>,
    /// How it is made to fit the size.
    pub fit: Fit,
    /// Its channels.
    pub channels: Channels,
    /// The order of its axes.
    pub layout: Layout,
}

impl Options {
    /// Checks the size.
    ///
    /// # Errors
    /// [`ImageError::Size`] for sides of 0 or above 65,536.
    pub fn validate(&self) -> Result<(), ImageError> {
        match self.size {
            Some((height, width)) if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) => {
                Err(ImageError::Size { height, width, limit: MAX_SIDE })
            }
            _ => Ok(()),
        }
    }
}

/// Decodes a JPEG or PNG image to an array of `uint8`, `[H, W, C]` or `[C, H, W]`, with 3 channels or 1.
///
/// # Errors
/// [`ImageError`] for other formats, damaged or cut content, and more than 178,956,970 pixels, which are refused before
/// memory is taken for them.
pub fn decode(record: &[u8], options: &Options) -> Result<Array, ImageError> {
    options.validate()?;
    let (width, height, pixels) = pixels(record, options.channels)?;
    let channels = match options.channels {
        Channels::Rgb => 3,
        Channels::Gray => 1,
    };
    let (height, width, pixels) = match options.size {
        Some(size) if size != (height, width) => {
            (size.0, size.1, fit(&pixels, (height, width), size, options.fit, channels)?)
        }
        _ => (height, width, pixels),
    };
    let (rows, columns) = (u64::from(height), u64::from(width));
    let (shape, data) = match options.layout {
        Layout::Hwc => (vec![rows, columns, channels as u64], pixels),
        Layout::Chw => (vec![channels as u64, rows, columns], planes(&pixels, channels)),
    };
    Ok(Array { descr: "|u1".into(), item_size: 1, shape, fortran_order: false, data: Bytes::from(data) })
}

/// Width, height, and the pixels row by row.
fn pixels(record: &[u8], channels: Channels) -> Result<(u32, u32, Vec<u8>), ImageError> {
    let image = match record {
        [0xff, 0xd8, 0xff, ..] => {
            if !ends(record) {
                return Err(ImageError::Truncated { format: "JPEG", bytes: record.len() });
            }
            read("JPEG", image::codecs::jpeg::JpegDecoder::new(Cursor::new(record)))?
        }
        [0x89, b'P', b'N', b'G', ..] => read("PNG", image::codecs::png::PngDecoder::new(Cursor::new(record)))?,
        _ => return Err(ImageError::Magic { found: record.iter().take(4).copied().collect() }),
    };
    let (width, height) = (image.width(), image.height());
    let pixels = match channels {
        Channels::Rgb => image.into_rgb8().into_raw(),
        Channels::Gray if image.color().has_color() => luma(&image.into_rgb8()),
        Channels::Gray => image.into_luma8().into_raw(),
    };
    Ok((width, height, pixels))
}

fn read(format: &'static str, decoder: image::ImageResult<impl ImageDecoder>) -> Result<DynamicImage, ImageError> {
    let damaged = |error: image::ImageError| ImageError::Damaged { format, reason: error.to_string() };
    let mut decoder = decoder.map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge { format, width, height, limit: MAX_PIXELS });
    }
    // The pixels are bounded above, and decoders need a few copies of them; this stops what a chunk may announce.
    let mut limits = Limits::default();
    limits.max_alloc = Some(8 * MAX_PIXELS);
    decoder.set_limits(limits).map_err(damaged)?;
    let color = decoder.color_type();
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    // 16-bit images keep their upper bytes, as Pillow and TensorFlow do: a rounding conversion would give other values.
    Ok(match color {
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => upper_bytes(&image),
        _ => image,
    })
}

/// Luma by the weights of ITU-R BT.601 in 16 bits, which Pillow and TensorFlow use.
fn luma(image: &image::RgbImage) -> Vec<u8> {
    let weighted = |[red, green, blue]: [u8; 3]| {
        let sum = u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + (1 << 15);
        u8::try_from(sum >> 16).unwrap_or(u8::MAX)
    };
    image.pixels().map(|pixel| weighted(pixel.0)).collect()
}

fn upper_bytes(image: &DynamicImage) -> DynamicImage {
    let mut rgb = image.to_rgb16();
    for value in rgb.iter_mut() {
        *value = (*value >> 8) * 257;
    }
    DynamicImage::ImageRgb16(rgb)
}

/// Whether a JPEG file has an end marker behind its last scan. Decoders fill with grey what a cut file lacks.
fn ends(record: &[u8]) -> bool {
    let last = |marker: u8| record.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9).is_some_and(|end| last(0xda).is_some_and(|scan| scan < end))
}

/// Rows and columns.
type Size = (u32, u32);

fn fit(pixels: &[u8], from: Size, to: Size, fit: Fit, channels: usize) -> Result<Vec<u8>, ImageError> {
    match fit {
        Fit::Stretch => resize(pixels, from, None, to, channels),
        Fit::Crop => resize(pixels, from, Some(covered(from, to)), to, channels),
        Fit::Pad => {
            let inner = within(from, to);
            let small = resize(pixels, from, None, inner, channels)?;
            Ok(centred(&small, inner, to, channels))
        }
    }
}

/// The part of an image, in the middle, that has the proportions of `to`: left, top, width, height.
fn covered(from: Size, to: Size) -> (f64, f64, f64, f64) {
    let (height, width) = (f64::from(from.0), f64::from(from.1));
    let scale = (height / f64::from(to.0)).min(width / f64::from(to.1));
    let (part_height, part_width) = (f64::from(to.0) * scale, f64::from(to.1) * scale);
    ((width - part_width) / 2.0, (height - part_height) / 2.0, part_width, part_height)
}

/// The largest size with the proportions of `from` that lies within `to`.
fn within(from: Size, to: Size) -> Size {
    let scale = (f64::from(to.0) / f64::from(from.0)).min(f64::from(to.1) / f64::from(from.1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a side of `to`")]
    let side = |side: u32, most: u32| ((f64::from(side) * scale).round() as u32).clamp(1, most);
    (side(from.0, to.0), side(from.1, to.1))
}

fn centred(pixels: &[u8], from: Size, to: Size, channels: usize) -> Vec<u8> {
    let row = from.1 as usize * channels;
    let wide = to.1 as usize * channels;
    let (top, left) = ((to.0 - from.0) as usize / 2, (to.1 - from.1) as usize / 2 * channels);
    let mut padded = vec![0; to.0 as usize * wide];
    for (number, line) in pixels.chunks_exact(row).enumerate() {
        let start = (top + number) * wide + left;
        padded[start..start + row].copy_from_slice(line);
    }
    padded
}

fn resize(
    pixels: &[u8],
    from: Size,
    part: Option<(f64, f64, f64, f64)>,
    to: Size,
    channels: usize,
) -> Result<Vec<u8>, ImageError> {
    let kind = if channels == 3 { PixelType::U8x3 } else { PixelType::U8 };
    let failed = |reason: String| ImageError::Damaged { format: "decoded", reason };
    let source = ImageRef::new(from.1, from.0, pixels, kind).map_err(|error| failed(error.to_string()))?;
    let mut target = Image::new(to.1, to.0, kind);
    let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if let Some((left, top, width, height)) = part {
        options = options.crop(left, top, width, height);
    }
    Resizer::new().resize(&source, &mut target, &options).map_err(|error| failed(error.to_string()))?;
    Ok(target.into_vec())
}

/// Channel after channel.
fn planes(pixels: &[u8], channels: usize) -> Vec<u8> {
    (0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels).copied()).collect()
}
