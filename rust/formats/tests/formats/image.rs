//! Images: what is decoded, how it is made to fit, and what is refused.
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Rgb, RgbImage, RgbaImage};
use s3dlio_formats::image::{Channels, Fit, ImageError, Layout, Options, decode};

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Three vertical bands: red, green, blue.
fn bands(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, _| match 3 * x / width {
        0 => Rgb([255, 0, 0]),
        1 => Rgb([0, 255, 0]),
        _ => Rgb([0, 0, 255]),
    }))
}

fn sized(height: u32, width: u32, fit: Fit) -> Options {
    Options { size: Some((height, width)), fit, ..Options::default() }
}

#[test]
fn a_png_gives_its_very_pixels() {
    let image = bands(30, 20);
    let array = decode(&encoded(&image, ImageFormat::Png), &Options::default()).unwrap();
    assert_eq!((array.shape.as_slice(), array.descr.as_str()), ([20, 30, 3].as_slice(), "|u1"));
    assert_eq!(&array.data[..], image.as_bytes());
}

#[test]
fn a_jpeg_gives_nearly_its_pixels() {
    let array = decode(&encoded(&bands(48, 16), ImageFormat::Jpeg), &Options::default()).unwrap();
    assert_eq!(array.shape, [16, 48, 3]);
    let middle = |x: usize| &array.data[(8 * 48 + x) * 3..][..3];
    for (x, channel) in [(8, 0), (24, 1), (40, 2)] {
        assert!(middle(x)[channel] > 230, "{:?}", middle(x));
    }
}

#[test]
fn channels_first_is_the_same_image() {
    let bytes = encoded(&bands(9, 4), ImageFormat::Png);
    let rows = decode(&bytes, &Options::default()).unwrap();
    let planes = decode(&bytes, &Options { layout: Layout::Chw, ..Options::default() }).unwrap();
    assert_eq!(planes.shape, [3, 4, 9]);
    for pixel in 0..36 {
        for channel in 0..3 {
            assert_eq!(planes.data[channel * 36 + pixel], rows.data[pixel * 3 + channel]);
        }
    }
}

#[test]
fn every_kind_of_png_becomes_bytes_of_colour_or_grey() {
    let kinds = [
        DynamicImage::ImageLuma8(GrayImage::from_pixel(5, 4, image::Luma([77]))),
        DynamicImage::ImageLumaA8(GrayAlphaImage::from_pixel(5, 4, image::LumaA([77, 3]))),
        DynamicImage::ImageRgba8(RgbaImage::from_pixel(5, 4, image::Rgba([77, 77, 77, 9]))),
        DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(5, 4, image::Luma([0x4dff]))),
        DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(5, 4, Rgb([0x4d80; 3]))),
    ];
    for image in kinds {
        let bytes = encoded(&image, ImageFormat::Png);
        let colour = decode(&bytes, &Options::default()).unwrap();
        assert_eq!((&colour.shape[..], &colour.data[..]), (&[4, 5, 3][..], &[77; 60][..]), "{:?}", image.color());
        let grey = decode(&bytes, &Options { channels: Channels::Gray, ..Options::default() }).unwrap();
        assert_eq!((&grey.shape[..], &grey.data[..]), (&[4, 5, 1][..], &[77; 20][..]), "{:?}", image.color());
    }
}

#[test]
fn a_crop_keeps_the_middle() {
    let bytes = encoded(&bands(90, 30), ImageFormat::Png);
    let array = decode(&bytes, &sized(15, 15, Fit::Crop)).unwrap();
    assert_eq!(array.shape, [15, 15, 3]);
    // The filter reaches a little over the edges of the part.
    let inner = array.data.chunks(45).flat_map(|row| row[3..42].chunks(3));
    assert!(inner.into_iter().all(|pixel| pixel == [0, 255, 0]));
}

#[test]
fn stretching_keeps_all_of_it() {
    let bytes = encoded(&bands(90, 30), ImageFormat::Png);
    let array = decode(&bytes, &sized(10, 9, Fit::Stretch)).unwrap();
    let pixel = |x: usize| &array.data[3 * x..3 * x + 3];
    assert_eq!((pixel(0), pixel(4), pixel(8)), (&[255, 0, 0][..], &[0, 255, 0][..], &[0, 0, 255][..]));
}

#[test]
fn padding_is_black_above_and_below() {
    let bytes = encoded(&bands(90, 30), ImageFormat::Png);
    let array = decode(&bytes, &sized(9, 9, Fit::Pad)).unwrap();
    let row = |y: usize| &array.data[27 * y..27 * (y + 1)];
    for (y, black) in [(0, true), (2, true), (3, false), (5, false), (6, true), (8, true)] {
        assert_eq!(row(y).iter().all(|value| *value == 0), black, "row {y}");
    }
}

#[test]
fn sides_of_one_pixel_work() {
    for (width, height) in [(1, 1), (1, 700), (700, 1)] {
        let bytes =
            encoded(&DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([9; 3]))), ImageFormat::Png);
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            let array = decode(&bytes, &sized(7, 3, fit)).unwrap();
            assert_eq!(array.data.len(), 63, "{width} x {height} {fit:?}");
            assert!(fit == Fit::Pad || array.data.iter().all(|value| *value == 9), "{width} x {height} {fit:?}");
        }
    }
}

#[test]
fn sizes_have_a_range() {
    let bytes = encoded(&bands(3, 3), ImageFormat::Png);
    for size in [(0, 4), (4, 0), (65_537, 4)] {
        let found = decode(&bytes, &sized(size.0, size.1, Fit::Crop));
        assert!(matches!(found, Err(ImageError::Size { .. })), "{found:?}");
    }
}

#[test]
fn what_is_no_image_says_so() {
    for bytes in [&b""[..], b"\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"] {
        assert!(matches!(decode(bytes, &Options::default()), Err(ImageError::Magic { .. })), "{bytes:?}");
    }
}

#[test]
fn an_image_that_breaks_off_is_an_error_at_every_length() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let bytes = encoded(&bands(40, 30), format);
        // The last chunk of a PNG file is empty, and the pixels are whole without it.
        let most = bytes.len() - if format == ImageFormat::Png { 13 } else { 1 };
        for length in 0..most {
            assert!(decode(&bytes[..length], &Options::default()).is_err(), "{format:?} cut to {length}");
        }
    }
}

#[test]
fn no_byte_that_is_changed_makes_a_panic() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let bytes = encoded(&bands(24, 16), format);
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                // Whatever comes of it: an array of its shape, or an error.
                if let Ok(array) = decode(&broken, &Options::default()) {
                    assert_eq!(array.data.len() as u64, array.shape.iter().product::<u64>());
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let mut bytes = encoded(&bands(8, 8), ImageFormat::Png);
    // Width and height in the header chunk, and its checksum.
    bytes[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
    let sum = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    let found = decode(&bytes, &Options::default());
    assert!(matches!(found, Err(ImageError::TooLarge { width: 32_768, height: 32_768, .. })), "{found:?}");
}
