//! Converts the four bytes of each pixel to RGBA in place.

use super::{
    directory::tag,
    page::{ColourSpace, Page, SampleKind},
    samples::Samples,
};
use crate::{Deadline, ImageError, alpha::unpremultiply, colour};

/// Pixels that are converted between two checks of the deadline.
const BAND: usize = 1 << 16;

/// The colour of an index beyond the palette.
const BLACK: [u8; 3] = [0; 3];

/// Converts the samples of all pixels to straight-alpha RGBA. `alpha` is the alpha that is kept separately.
pub(super) fn to_rgba(
    page: &Page<'_>,
    samples: &Samples<'_>,
    mut rgba: Vec<u8>,
    alpha: &[u8],
    profile: Option<&[u8]>,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let premultiplied = page.alpha.is_some_and(|(_, premultiplied)| premultiplied);
    match page.colour {
        ColourSpace::Grey { white_is_zero } if samples.open_range => {
            let range = range(page, &rgba, deadline)?;
            each(&mut rgba, deadline, |pixel| {
                let value = (f64::from(f32::from_ne_bytes(*pixel)) - range.0) / (range.1 - range.0);
                let grey = (value * 255.0).round() as u8;
                *pixel = opaque(if white_is_zero { 255 - grey } else { grey });
            })?;
        }
        ColourSpace::Grey { white_is_zero } => each_seen(&mut rgba, deadline, |pixel| {
            let [grey, _, _, alpha] = *pixel;
            let grey = if white_is_zero { 255 - grey } else { grey };
            *pixel = [grey, grey, grey, alpha];
        })?,
        ColourSpace::Palette => {
            let palette = palette(page);
            each_seen(&mut rgba, deadline, |pixel| {
                let [r, g, b] = palette.get(usize::from(pixel[0])).copied().unwrap_or(BLACK);
                *pixel = [r, g, b, pixel[3]];
            })?;
        }
        ColourSpace::Rgb => {}
        ColourSpace::Cmyk => {
            if premultiplied {
                each_with(&mut rgba, alpha, deadline, divide)?;
            }
            rgba = colour::cmyk_to_srgb(&rgba, profile, deadline)?;
        }
        ColourSpace::YCbCr => {
            let convert = YCbCr::of(page);
            each_seen(&mut rgba, deadline, |pixel| *pixel = convert.rgba(*pixel))?;
        }
        ColourSpace::Lab { signed } => {
            each_seen(&mut rgba, deadline, |pixel| {
                let [lightness, a, b, alpha] = *pixel;
                let sign = |value: u8| {
                    if signed { f32::from(value.cast_signed()) } else { f32::from(value) - 128.0 }
                };
                let [r, g, b] = lab(f32::from(lightness) * 100.0 / 255.0, sign(a), sign(b));
                *pixel = [r, g, b, alpha];
            })?;
        }
    }
    if page.has_alpha_beside() {
        each_with(&mut rgba, alpha, deadline, |pixel, alpha| pixel[3] = alpha)?;
    }
    // Premultiplied CMYK was divided by alpha before it was converted to RGB.
    if premultiplied && page.colour != ColourSpace::Cmyk {
        each(&mut rgba, deadline, unpremultiply)?;
    }
    Ok(rgba)
}

/// Reverses the premultiplication of inks by alpha.
fn divide(inks: &mut [u8; 4], alpha: u8) {
    for ink in inks {
        let whole = (u32::from(*ink) * 255 + u32::from(alpha) / 2).checked_div(alpha.into());
        *ink = whole.unwrap_or(0).min(255) as u8;
    }
}

/// Applies a function to each pixel, and checks the deadline.
fn each(rgba: &mut [u8], deadline: Deadline, act: impl Fn(&mut [u8; 4])) -> Result<(), ImageError> {
    for band in rgba.as_chunks_mut::<4>().0.chunks_mut(BAND) {
        deadline.check()?;
        band.iter_mut().for_each(&act);
    }
    Ok(())
}

/// Applies a function to each pixel and its separate alpha, and checks the deadline.
fn each_with(
    rgba: &mut [u8],
    alpha: &[u8],
    deadline: Deadline,
    act: impl Fn(&mut [u8; 4], u8),
) -> Result<(), ImageError> {
    for (band, alpha) in rgba.as_chunks_mut::<4>().0.chunks_mut(BAND).zip(alpha.chunks(BAND)) {
        deadline.check()?;
        band.iter_mut().zip(alpha).for_each(|(pixel, alpha)| act(pixel, *alpha));
    }
    Ok(())
}

/// Like [`each`], but leaves out pixels that no chunk contained, so that they stay transparent.
fn each_seen(rgba: &mut [u8], deadline: Deadline, act: impl Fn(&mut [u8; 4])) -> Result<(), ImageError> {
    each(rgba, deadline, |pixel| {
        if *pixel != [0; 4] {
            act(pixel);
        }
    })
}

fn opaque(grey: u8) -> [u8; 4] {
    [grey, grey, grey, 255]
}

/// The values of black and white, for samples that may be measurements. If the values fill the range that pictures of
/// that type use (0 to 1 for floats), it is that range; otherwise it is that from the least to the greatest value, as
/// suits maps and instruments.
fn range(page: &Page<'_>, rgba: &[u8], deadline: Deadline) -> Result<(f64, f64), ImageError> {
    let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
    for band in rgba.as_chunks::<4>().0.chunks(BAND) {
        deadline.check()?;
        for &value in band {
            let value = f32::from_ne_bytes(value);
            (least, greatest) = (least.min(value), greatest.max(value));
        }
    }
    let seen = (f64::from(least), f64::from(greatest));
    let white = if page.kind == SampleKind::Float { 1.0 } else { 2_f64.powi(page.bits.cast_signed()) - 1.0 };
    let is_picture = match page.kind {
        SampleKind::Float => seen.0 >= 0.0 && seen.1 <= white,
        // Anything less would be black in 8 bits.
        SampleKind::Unsigned => seen.1 >= white / 256.0,
        SampleKind::Signed => false,
    };
    Ok(if is_picture || seen.0 >= seen.1 { (0.0, white) } else { seen })
}

/// Reads the palette: all reds, then all greens, then all blues, of 16 bits each, or of 8 bits if no value is larger,
/// as some writers do.
fn palette(page: &Page<'_>) -> Vec<[u8; 3]> {
    let Some(entry) = page.directory.entry(tag::COLOURS) else { return Vec::new() };
    let count = entry.count.min(3 << 8) / 3;
    let value = |index: usize| entry.number(index).unwrap_or(0);
    let spare = if (0..count * 3).all(|index| value(index) < 256) { 0 } else { 8 };
    let colour =
        |index: usize| [0, 1, 2].map(|channel| (value(channel * count + index) >> spare).min(255) as u8);
    (0..count).map(colour).collect()
}

/// Converts luma and chroma to RGB, by the coefficients and the reference levels in the file (TIFF 6.0, section 21).
struct YCbCr {
    luma: [f32; 256],
    red: [f32; 256],
    blue: [f32; 256],
    /// The coefficients of red, green and blue in luma.
    parts: [f32; 3],
}

impl YCbCr {
    fn of(page: &Page<'_>) -> Self {
        /// ITU-R BT.601.
        const COEFFICIENTS: [f64; 3] = [0.299, 0.587, 0.114];
        const LEVELS: [f64; 6] = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];
        let parts = values(page, tag::YCBCR_COEFFICIENTS).filter(|parts: &[f64; 3]| parts[1] > 0.0);
        let parts = parts.unwrap_or(COEFFICIENTS).map(|part| part as f32);
        let levels = values(page, tag::REFERENCE_BLACK_WHITE)
            .filter(|levels: &[f64; 6]| levels.as_chunks::<2>().0.iter().all(|[black, white]| black < white));
        let [luma, luma_range, blue, blue_range, red, red_range] = levels.unwrap_or(LEVELS);
        let scale = |black: f64, white: f64, range: f64| -> [f32; 256] {
            std::array::from_fn(|code| ((code as f64 - black) * range / (white - black)) as f32)
        };
        Self {
            luma: scale(luma, luma_range, 255.0),
            red: scale(red, red_range, 127.0).map(|value| value * (2.0 - 2.0 * parts[0])),
            blue: scale(blue, blue_range, 127.0).map(|value| value * (2.0 - 2.0 * parts[2])),
            parts,
        }
    }

    #[inline]
    fn rgba(&self, [luma, blue, red, alpha]: [u8; 4]) -> [u8; 4] {
        let luma = self.luma[usize::from(luma)];
        let (red, blue) = (luma + self.red[usize::from(red)], luma + self.blue[usize::from(blue)]);
        let green = (luma - self.parts[0] * red - self.parts[2] * blue) / self.parts[1];
        [(red + 0.5) as u8, (green + 0.5) as u8, (blue + 0.5) as u8, alpha]
    }
}

/// The values of a tag, if all of them are finite numbers.
fn values<const N: usize>(page: &Page<'_>, tag: u16) -> Option<[f64; N]> {
    let entry = page.directory.entry(tag)?;
    let values = std::array::from_fn(|index| entry.real(index).unwrap_or(f64::NAN));
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Converts CIE L*a*b* (D50) to sRGB: to XYZ, by one matrix to D65 (Bradford) and linear sRGB (after Lindbloom), and by
/// the curve of IEC 61966-2-1.
fn lab(lightness: f32, a: f32, b: f32) -> [u8; 3] {
    let y = (lightness + 16.0) / 116.0;
    let cubed = |t: f32| if t > 6.0 / 29.0 { t * t * t } else { (t - 4.0 / 29.0) * 108.0 / 841.0 };
    let (x, y, z) = (0.964_22 * cubed(y + a / 500.0), cubed(y), 0.825_21 * cubed(y - b / 200.0));
    let linear = [
        3.133_856 * x - 1.616_867 * y - 0.490_615 * z,
        -0.978_768 * x + 1.916_141 * y + 0.033_454 * z,
        0.071_945 * x - 0.228_991 * y + 1.405_243 * z,
    ];
    linear.map(|light: f32| {
        let light = light.clamp(0.0, 1.0);
        let value = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_becomes_the_colours_that_it_names() {
        for ((lightness, a, b), rgb) in [
            ((100.0, 0.0, 0.0), [255, 255, 255]),
            ((0.0, 0.0, 0.0), [0, 0, 0]),
            // sRGB's primaries in L*a*b* (D50).
            ((54.29, 80.81, 69.89), [255, 0, 0]),
            ((87.82, -79.29, 80.99), [0, 255, 0]),
            ((29.57, 68.30, -112.03), [0, 0, 255]),
        ] {
            let shown = lab(lightness, a, b);
            assert!(
                shown.iter().zip(rgb).all(|(one, other)| one.abs_diff(other) <= 2),
                "{shown:?} for {rgb:?}"
            );
        }
    }
}
