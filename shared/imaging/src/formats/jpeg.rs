//! JPEG, decoded from its coefficients by [`jpeg_codec`], and written by `image`.
//!
//! A file is read in one of three ways, all of them by the same decoder:
//!
//! - Each channel is reduced as it is decoded ([`jpeg_codec::decode`]), and resampled from there, for a thumbnail for
//!   which every channel has samples enough at a half, a quarter or an eighth ([`view`]).
//! - The rows of the picture go into boxes as they come ([`jpeg_codec::rows`]), so that the picture is never held, for
//!   a larger thumbnail ([`view`]).
//! - The rows are put together to the picture ([`decode`]), for detectors, for a thumbnail that is not resampled, for a
//!   larger one of CMYK, and where neither of the former shows anything.
//!
//! Arithmetic, lossless and hierarchical coding, 12 bits, two channels, more than four, and JPEG-LS are refused with
//! [`ImageError::UnsupportedFeature`] (`unsupported_format`). Of these, libjpeg-turbo 3 decodes arithmetic coding,
//! lossless coding and 12 bits, and `zune-jpeg` 0.5.15, the decoder of `image`, decodes none.
//!
//! Four channels are CMYK. They are taken as inverted whether an Adobe marker says so or not, as browsers, libvips and
//! Pillow do. They become sRGB by the embedded profile, or without one by (1 − ink) × (1 − black).

mod view;
mod write;

use fearless_simd::{Level, Simd as _, dispatch};

use jpeg_codec::{Bounds, Channels, Error, Info, Receiver};

use crate::{
    Deadline, Format, ImageError, Limits, TimedOut, colour,
    decode::Decoded,
    exif,
    formats::{Codec, Writer},
    header::Header,
    orient::Orientation,
};

/// JPEG, baseline or progressive.
pub(crate) const FORMAT: Format = Format::new("JPEG", &["image/jpeg", "image/jpg", "image/pjpeg"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises: |bytes| bytes.starts_with(&SOI),
    header: |bytes, _, deadline| header(bytes, deadline),
    decode: |bytes, _, limits, deadline| decode(bytes, limits, deadline),
    view: Some(view::view),
    animation: None,
    frames_in_file: None,
    writer: Some(&WRITER),
};

pub(crate) static WRITER: Writer = Writer {
    format: FORMAT,
    extension: "jpg",
    encode_still: write::encode_still,
    encode_animated: None,
    frames: |_| 1,
    strip_metadata: None,
};

/// The start-of-image marker and the first byte of the next marker.
const SOI: [u8; 3] = [0xff, 0xd8, 0xff];

/// Where a JPEG begins that is preceded by other bytes, as some cameras and mail gateways leave it.
pub(super) fn start(bytes: &[u8]) -> Option<usize> {
    bytes.windows(SOI.len()).position(|at| at == SOI)
}

impl From<Error> for ImageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unsupported(_) => Self::UnsupportedFeature { format: FORMAT, source: error.into() },
            Error::Damaged(_) => Self::corrupt(FORMAT, error),
            Error::Empty => Self::Empty,
            Error::Memory { max } => Self::DecoderMemory { max, source: None },
            Error::Stopped => Self::TimeLimit(TimedOut),
        }
    }
}

/// Reads what a JPEG's headers say.
///
/// # Errors
/// Those of [`Info::read`].
pub(crate) fn read_info(bytes: &[u8], deadline: Deadline) -> Result<Info<'_>, ImageError> {
    Ok(Info::read(bytes, &|| deadline.check().is_ok())?)
}

/// Passes the rows of a JPEG to the receiver; false if the file shows nothing.
///
/// # Errors
/// Those of [`jpeg_codec::rows`], and those of the receiver.
pub(crate) fn rows(
    bytes: &[u8],
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
    receiver: Receiver<'_, ImageError>,
) -> Result<bool, ImageError> {
    let bounds = Bounds { bytes: limits.max_decoder_bytes, go_on: &|| deadline.check().is_ok() };
    jpeg_codec::rows(bytes, size, bounds, receiver)
}

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`].
pub(crate) fn header(bytes: &[u8], deadline: Deadline) -> Result<Header, ImageError> {
    let info = read_info(bytes, deadline)?;
    Ok(Header {
        stored: info.size,
        orientation: info.exif.and_then(exif::orientation).unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        // CMYK is converted into a second picture. The memory of the coefficients is counted where they are read.
        extra_bytes_per_pixel: if info.channels.count() == 4 { 4 } else { 0 },
        largest_frame: (0, 0),
    })
}

/// Decodes the picture. Where the data is cut short or damaged, the rest of the picture is grey; the file is corrupt
/// only if nothing at all can be shown.
pub(super) fn decode(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Decoded, ImageError> {
    let info = read_info(bytes, deadline)?;
    let mut pixels = vec![0; info.size.0 as usize * info.size.1 as usize * 4];
    if !fill(bytes, &info, limits, deadline, &mut pixels)? {
        return Err(ImageError::corrupt(FORMAT, "nothing of any scan can be read"));
    }
    let profile = info.profile();
    if let Channels::Cmyk | Channels::Ycck = info.channels {
        let rgba = colour::cmyk_to_srgb(&pixels, profile.as_deref(), deadline)?;
        return Ok(Decoded { rgba, may_have_alpha: false, profile: None });
    }
    Ok(Decoded { rgba: pixels, may_have_alpha: false, profile })
}

/// Fills the picture with RGBA or CMYK from the file's coefficients. Returns false if there is nothing to show.
fn fill(
    bytes: &[u8],
    info: &Info<'_>,
    limits: &Limits,
    deadline: Deadline,
    buffer: &mut [u8],
) -> Result<bool, ImageError> {
    let (channels, held) = (info.channels, buffer.len() as u64);
    let row = info.size.0 as usize * 4;
    let mut take = |y: u32, samples: &[&[u8]]| {
        let out = &mut buffer[y as usize * row..][..row];
        match (channels, samples) {
            (Channels::Grey, [grey]) => {
                let pixels = out.as_chunks_mut().0.iter_mut().zip(*grey);
                pixels.for_each(|(out, y)| *out = [*y, *y, *y, 255]);
            }
            (Channels::Cmyk | Channels::Ycck, [a, b, c, black]) => {
                let pixels = out.as_chunks_mut().0.iter_mut().zip(*a).zip(*b).zip(*c).zip(*black);
                pixels.for_each(|((((out, a), b), c), black)| *out = [*a, *b, *c, *black]);
                inks_from(out, channels == Channels::Ycck);
            }
            (_, [a, b, c]) => {
                to_rgb(channels, [*a, *b, *c], out.as_chunks_mut().0, |[r, g, b]| [r, g, b, 255]);
            }
            // Other numbers of channels do not occur with these variants.
            _ => {}
        }
        Ok(true)
    };
    let receiver = Receiver { channels: channels.count(), first: 0, held, take: &mut take };
    rows(bytes, info.size, limits, deadline, receiver)
}

/// Converts a row of three channels to RGB, and writes what `pixel` makes of each.
#[inline(always)]
pub(crate) fn to_rgb<T>(
    channels: Channels,
    [a, b, c]: [&[u8]; 3],
    out: &mut [T],
    pixel: impl Fn([u8; 3]) -> T,
) {
    let pixels = out.iter_mut().zip(a).zip(b).zip(c);
    if channels == Channels::Rgb {
        pixels.for_each(|(((out, r), g), b)| *out = pixel([*r, *g, *b]));
        return;
    }
    dispatch!(Level::new(), level => level.vectorize(
        #[inline(always)]
        || pixels.for_each(|(((out, y), cb), cr)| *out = pixel(exactly_from_ycbcr([*y, *cb, *cr])))
    ));
}

/// Converts inverted CMYK, or YCCK, to CMYK in place. YCCK was made from the inverted inks as if they were RGB, so the
/// inverse transform gives the inverse of the inks' complements: the inks.
pub(crate) fn inks_from(pixels: &mut [u8], transformed: bool) {
    for pixel in pixels.as_chunks_mut::<4>().0 {
        let [a, b, c, black] = *pixel;
        let inks =
            if transformed { exactly_from_ycbcr([a, b, c]) } else { [a, b, c].map(|light| 255 - light) };
        *pixel = [inks[0], inks[1], inks[2], 255 - black];
    }
}

/// JFIF's conversion (ITU-T T.871, 7), rounded and clipped.
pub(crate) fn from_ycbcr([y, cb, cr]: [f32; 3]) -> [u8; 3] {
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|value| (value + 0.5) as u8)
}

/// The same for integer samples, rounded in fixed point (2⁻¹⁶) as libjpeg does (`jdcolor.c`).
#[inline(always)]
fn exactly_from_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let rgb = [
        y + ((91_881 * cr + HALF) >> 16),
        y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16),
        y + ((116_130 * cb + HALF) >> 16),
    ];
    rgb.map(|value| value.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! samples {
        ($($name:literal),*) => {
            [$((
                $name,
                include_bytes!(concat!("../../tests/promises/samples/whole/", $name, ".jpg")).as_slice(),
                include_bytes!(concat!("../../tests/promises/samples/whole/", $name, ".png")).as_slice(),
            )),*]
        };
    }

    /// JPEGs, each with libjpeg-turbo's output, made by `make.py`.
    const SAMPLES: [(&str, &[u8], &[u8]); 22] = samples![
        "444",
        "422",
        "420",
        "440",
        "411",
        "420-progressive",
        "420-restart",
        "420-progressive-restart",
        "coarse",
        "rgb",
        "grey",
        "1-420",
        "1-422",
        "4-420",
        "4-422",
        "3x1",
        "1x3",
        "3x2",
        "3x3-chroma",
        "4x3",
        "cmyk-3x2",
        "ycck-3x1"
    ];

    #[test]
    fn whole_pictures_are_what_libjpeg_turbo_makes_of_them() {
        for (name, jpeg, expected) in SAMPLES {
            let expected = image::load_from_memory(expected).expect("a PNG").to_rgba8();
            let is = decode(jpeg, &Limits::default(), Deadline::none()).expect("a good file");
            let off = is.rgba.iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
            assert_eq!((is.rgba.len(), off), (expected.as_raw().len(), Some(0)), "{name}");
        }
    }
}
