//! Pictures as customers see them: square, small, JPEG. What is given is judged by its first bytes and
//! read within limits.

use std::io::Cursor;

use image::{
    DynamicImage, GenericImageView as _, ImageFormat, ImageReader, Limits,
    codecs::jpeg::JpegEncoder, imageops::FilterType,
};

/// Longest edge of what is kept, pixels.
const EDGE_MAX: u32 = 640;
/// Longest edge of what is read, pixels, and most memory for it, bytes.
const READ_EDGE_MAX: u32 = 8_192;
const READ_BYTES_MAX: u64 = 128 << 20;
/// Of the JPEG: at 640 pixels some 100 KiB.
const QUALITY: u8 = 85;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    #[error("The picture must be a JPEG or a PNG; its first bytes are those of neither")]
    Kind,
    #[error(
        "The picture cannot be read: it is damaged, or has more than {READ_EDGE_MAX} pixels a side \
         or more than {} MiB in all",
        READ_BYTES_MAX >> 20
    )]
    Unreadable,
    #[error("The picture could not be written")]
    Unwritable,
}

/// The middle square, at most 640 pixels a side.
pub(crate) fn cropped(given: &[u8]) -> Result<Vec<u8>, PictureError> {
    let kind = match given {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', ..] => ImageFormat::Png,
        _ => return Err(PictureError::Kind),
    };
    let mut reader = ImageReader::with_format(Cursor::new(given), kind);
    let mut limits = Limits::default();
    limits.max_image_width = Some(READ_EDGE_MAX);
    limits.max_image_height = Some(READ_EDGE_MAX);
    limits.max_alloc = Some(READ_BYTES_MAX);
    reader.limits(limits);
    let whole = reader.decode().map_err(|_| PictureError::Unreadable)?;
    let (width, height) = whole.dimensions();
    let edge = width.min(height);
    let square = whole.crop_imm((width - edge) / 2, (height - edge) / 2, edge, edge);
    let square = if edge > EDGE_MAX {
        square.resize_exact(EDGE_MAX, EDGE_MAX, FilterType::Triangle)
    } else {
        square
    };
    let mut out = Vec::new();
    let rgb = DynamicImage::from(square.to_rgb8());
    let encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
    rgb.write_with_encoder(encoder).map_err(|_| PictureError::Unwritable)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let image = DynamicImage::new_rgba8(width, height);
        image.write_to(&mut Cursor::new(&mut out), ImageFormat::Png).unwrap();
        out
    }

    #[test]
    fn what_is_kept_is_a_small_square_jpeg_whatever_was_given() {
        for (given, edge) in
            [((1_000, 800), 640), ((300, 200), 200), ((640, 640), 640), ((1, 1), 1)]
        {
            let kept = cropped(&png(given.0, given.1)).unwrap();
            assert!(kept.starts_with(&[0xff, 0xd8, 0xff]));
            let image = image::load_from_memory_with_format(&kept, ImageFormat::Jpeg).unwrap();
            assert_eq!(image.dimensions(), (edge, edge), "{given:?}");
            assert!(cropped(&kept).is_ok());
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_a_one_is_refused() {
        assert!(matches!(cropped(b"GIF89a"), Err(PictureError::Kind)));
        assert!(matches!(cropped(b""), Err(PictureError::Kind)));
        let whole = png(64, 64);
        assert!(matches!(cropped(&whole[..60]), Err(PictureError::Unreadable)));
        assert!(matches!(cropped(&png(READ_EDGE_MAX + 1, 1)), Err(PictureError::Unreadable)));
    }
}
