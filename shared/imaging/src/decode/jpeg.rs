//! JPEG: what is usual from its coefficients ([`coefficients`]), what is rare by `zune-jpeg`, which reads the headers of all.
//!
//! Four channels are inks, stored inverted whether an Adobe marker says so or not: so browsers, libvips and Pillow have
//! it. They become sRGB by the embedded profile, and without one by (1 − ink) × (1 − black).

use fearless_simd::{Level, Simd as _, dispatch};
use zune_core::{colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use super::{
    Decoded,
    coefficients::{self, Receiver},
    samples::{self, UNSEEN},
};
use crate::{
    Deadline, Format, ImageError, Limits, colour, deadline::TimedReader, exif, header::Header,
    orient::Orientation,
};

/// A decoder whose headers have been read.
pub(crate) type Decoder<'a> = JpegDecoder<TimedReader<'a>>;

/// Reads the headers, up to the first scan.
pub(crate) fn open(bytes: &[u8], deadline: Deadline) -> Result<Decoder<'_>, ImageError> {
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(TimedReader::new(bytes, deadline), options);
    decoder.decode_headers().map_err(|error| match refusal(error) {
        ImageError::Corrupt { format, source: Some(source) } if coefficients::is_rare(bytes) => {
            ImageError::UnsupportedFeature { format, source }
        }
        other => other,
    })?;
    // Four channels come as they are stored: what they mean is settled here, not there.
    let output = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        Some(four) if components(&decoder) == 4 => four,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    Ok(decoder)
}

/// Reads the headers.
///
/// # Errors
/// As [`Header::read`].
pub(crate) fn header(bytes: &[u8], deadline: Deadline) -> Result<Header, ImageError> {
    let decoder = open(bytes, deadline)?;
    Ok(Header {
        format: Format::Jpeg,
        stored: size(&decoder)?,
        orientation: decoder
            .exif()
            .and_then(|block| exif::orientation(block))
            .unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        // The plain decoder keeps every coefficient, two bytes each, until the last scan. Inks are converted into a
        // second picture.
        beside: 2 * u64::from(components(&decoder)) + if components(&decoder) == 4 { 4 } else { 0 },
        largest_frame: (0, 0),
    })
}

/// Pixels across and down, as stored.
fn size(decoder: &Decoder<'_>) -> Result<(u32, u32), ImageError> {
    let info = decoder.info().ok_or(ImageError::Corrupt { format: Format::Jpeg, source: None })?;
    Ok((info.width.into(), info.height.into()))
}

/// Channels in the file: 1, 3 or 4.
fn components(decoder: &Decoder<'_>) -> u8 {
    decoder.info().map_or(4, |info| info.components)
}

/// What the samples of a JPEG mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Channels {
    Grey,
    YCbCr,
    Rgb,
    /// Four inks, all of them inverted: 255 is none of it.
    Cmyk,
    /// Black is inverted; the other inks, not inverted, are JFIF's red, green and blue.
    Ycck,
}

impl Channels {
    /// How many there are.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::YCbCr | Self::Rgb => 3,
            Self::Cmyk | Self::Ycck => 4,
        }
    }
}

/// What the samples mean; `None` for a number of channels that means nothing.
pub(crate) fn meaning(decoder: &Decoder<'_>) -> Option<Channels> {
    Some(match (components(decoder), decoder.input_colorspace()?) {
        (1, _) => Channels::Grey,
        (3, ColorSpace::YCbCr | ColorSpace::YCCK) => Channels::YCbCr,
        // An Adobe marker that says "untransformed" means CMYK or RGB, by the number of channels.
        (3, ColorSpace::RGB | ColorSpace::CMYK) => Channels::Rgb,
        (4, ColorSpace::YCCK) => Channels::Ycck,
        (4, _) => Channels::Cmyk,
        _ => return None,
    })
}

/// Decodes what there is. Where the data is cut short or damaged, the picture is shown as far as it goes, the rest
/// grey; only where nothing at all can be shown is the file corrupt.
pub(super) fn decode(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Decoded, ImageError> {
    let mut decoder = open(bytes, deadline)?;
    let (width, height) = size(&decoder)?;
    let pixels = width as usize * height as usize;
    let profile = decoder.icc_profile();
    let inks = components(&decoder) == 4;
    let grey = decoder.output_colorspace() == Some(ColorSpace::Luma);
    let transformed = decoder.output_colorspace() == Some(ColorSpace::YCCK);
    let channels = match (inks, grey) {
        (true, _) => 4,
        (_, true) => 1,
        _ => 3,
    };

    let mut buffer = vec![UNSEEN; pixels * 4];
    if let Some(channels) = meaning(&decoder)
        && fill(bytes, (width, height), channels, limits, deadline, &mut buffer)?
    {
        return match channels {
            Channels::Cmyk | Channels::Ycck => from_inks(&buffer, profile.as_deref(), deadline),
            _ => Ok(Decoded { rgba: buffer, may_have_alpha: false, profile }),
        };
    }
    buffer.fill(UNSEEN);
    let samples = &mut buffer[..pixels * channels];
    let result = decoder.decode_into(samples);
    deadline.check()?;
    // Nothing but grey: either that is the picture, or there is none.
    if samples.iter().all(|&sample| sample == UNSEEN)
        && !coefficients::shows(bytes, (width, height), limits, deadline)?
    {
        return Err(match result {
            Err(error) => refusal(error),
            Ok(()) => ImageError::Corrupt { format: Format::Jpeg, source: None },
        });
    }
    if let Err(error @ DecodeErrors::Unsupported(_)) = result {
        return Err(refusal(error));
    }
    if inks {
        inks_from(&mut buffer, transformed);
        return from_inks(&buffer, profile.as_deref(), deadline);
    }
    if grey {
        samples::to_rgba(&mut buffer, pixels, |[y]| [y, y, y, 255]);
    } else {
        samples::to_rgba(&mut buffer, pixels, |[r, g, b]| [r, g, b, 255]);
    }
    Ok(Decoded { rgba: buffer, may_have_alpha: false, profile })
}

/// Fills a picture from the file's coefficients, with RGBA or inks. False where they are not read here.
fn fill(
    bytes: &[u8],
    (width, height): (u32, u32),
    channels: Channels,
    limits: &Limits,
    deadline: Deadline,
    buffer: &mut [u8],
) -> Result<bool, ImageError> {
    let row = width as usize * 4;
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
            // There are as many as these channels have.
            _ => {}
        }
        Ok(true)
    };
    let beside = u64::from(height) * row as u64;
    let receiver = Receiver { channels: channels.count(), first: 0, beside, take: &mut take };
    coefficients::rows(bytes, (width, height), limits, deadline, receiver)
}

/// A row of three channels as RGB, put into whatever `pixel` makes of it.
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

fn from_inks(inks: &[u8], profile: Option<&[u8]>, deadline: Deadline) -> Result<Decoded, ImageError> {
    let rgba = colour::cmyk_to_srgb(inks, profile, deadline)?;
    Ok(Decoded { rgba, may_have_alpha: false, profile: None })
}

/// Turns inverted inks, transformed or not, into inks, where they lie. The transform is made of the inks' own complements, so
/// what it is turned back into are the inks.
pub(crate) fn inks_from(pixels: &mut [u8], transformed: bool) {
    for pixel in pixels.as_chunks_mut::<4>().0 {
        let [a, b, c, black] = *pixel;
        let inks = if transformed {
            from_ycbcr([a, b, c].map(f32::from))
        } else {
            [a, b, c].map(|light| 255 - light)
        };
        *pixel = [inks[0], inks[1], inks[2], 255 - black];
    }
}

/// JFIF's conversion (ITU T.871, 7), rounded and clipped.
pub(crate) fn from_ycbcr([y, cb, cr]: [f32; 3]) -> [u8; 3] {
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|value| (value + 0.5) as u8)
}

/// The same of whole samples, rounded as libjpeg rounds (`jdcolor.c`): in units of 2⁻¹⁶.
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

fn refusal(error: DecodeErrors) -> ImageError {
    match error {
        DecodeErrors::ZeroError => ImageError::Empty,
        DecodeErrors::Unsupported(_) => {
            ImageError::UnsupportedFeature { format: Format::Jpeg, source: error.into() }
        }
        _ => ImageError::corrupt(Format::Jpeg, error),
    }
}
