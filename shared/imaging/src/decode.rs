//! From a file's bytes to upright RGBA pixels.
//!
//! JPEG goes to `zune-jpeg`, WebP to libwebp and AVIF's AV1 to `rusty_av1d`; the others are read here, because the libraries
//! for them show nothing of a file that is cut off. All decode into one buffer that is large enough for the RGBA result,
//! and the samples are widened or narrowed where they lie: the peak is one picture, not two. `scaled` is apart: a JPEG's
//! channels at a half, a quarter or an eighth of its size, for what needs no more.

pub(crate) mod apng;
pub(crate) mod avif;
pub(crate) mod bmp;
mod canvas;
pub(crate) mod gif;
pub(crate) mod ico;
pub(crate) mod jpeg;
mod pixelwise;
pub(crate) mod png;
pub(crate) mod pnm;
pub(crate) mod qoi;
pub(crate) mod samples;
pub(crate) mod scaled;
pub(crate) mod tga;
pub(crate) mod tiff;
pub(crate) mod webp;

use crate::{Deadline, Format, Image, ImageError, Limits, colour, header::Header};

/// Pixels as stored: not yet upright, not yet sRGB.
struct Decoded {
    /// Straight-alpha RGBA, row by row.
    rgba: Vec<u8>,
    /// Whether the file can hold transparency; if not, no pixel needs to be asked.
    may_have_alpha: bool,
    /// The embedded ICC profile.
    profile: Option<Vec<u8>>,
}

/// The picture, upright and in sRGB; of an animation, the first frame on its canvas. An APNG shows its default image,
/// which is what the format has it for.
///
/// # Errors
/// [`ImageError::Corrupt`], [`ImageError::UnsupportedFeature`], [`ImageError::DecoderMemory`] or
/// [`ImageError::TimeLimit`].
pub(crate) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Image, ImageError> {
    deadline.check()?;
    header.check_memory(limits)?;
    let decoded = match header.format {
        Format::Jpeg => jpeg::decode(bytes, limits, deadline),
        Format::Png => png::decode(bytes, header, limits, deadline),
        Format::Gif => gif::decode(bytes, header, deadline),
        Format::WebP => webp::decode(bytes, header, limits, deadline),
        Format::Avif => avif::decode(bytes, header, limits, deadline),
        Format::Tiff => tiff::decode(bytes, header, limits, deadline),
        Format::Bmp => bmp::decode(bytes, header, deadline),
        Format::Ico => ico::decode(bytes, header, limits, deadline),
        Format::Qoi => qoi::decode(bytes, header, deadline),
        Format::Pnm => pnm::decode(bytes, header, deadline),
        Format::Tga => tga::decode(bytes, header, deadline),
    };
    deadline.check()?;
    let Decoded { mut rgba, may_have_alpha, profile } = decoded?;
    if let Some(profile) = profile {
        colour::to_srgb(&mut rgba, &profile, deadline)?;
    }
    let (stored_width, stored_height) = header.stored;
    let (width, height) = header.orientation.upright_size(stored_width, stored_height);
    let rgba = header.orientation.apply(rgba, stored_width, stored_height);
    deadline.check()?;
    let image =
        if may_have_alpha { Image::new(width, height, rgba) } else { Image::opaque(width, height, rgba) };
    image.ok_or(ImageError::Corrupt { format: header.format, source: None })
}
