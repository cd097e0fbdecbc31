//! Views of a JPEG. One, four or sixteen coefficients of each block give the picture at an eighth, a quarter or a half
//! ([`jpeg_codec`]); where that leaves enough samples for a good resample, nothing else is decoded. Every channel
//! uses the coarsest reduction that is enough for it, and is resampled from there to the thumbnail's size in one step
//! of Lanczos3. Subsampled chroma is thus neither enlarged first nor shifted: its crop is computed in fractions of its
//! samples, the last of which may lie partly outside the picture. Nothing is rounded before the last step, and the
//! block means that make up an eighth are turned into point samples first ([`means_to_points`]).
//!
//! Where no reduction leaves enough samples, the whole picture is decoded row by row and averaged over boxes like a PNG
//! ([`boxed`](crate::reduced::boxed)). Most of the memory that this takes is the result.
//!
//! Reading the Huffman codes takes most of the time, and cannot be avoided. The results are closer to a full-size
//! Lanczos3 reduction than those of Pillow and libvips, and no worse where all three decode the whole picture. Times,
//! memory, and the quality at these and at lower bounds are in `infra/bench/RESULTS.md`.

use jpeg_codec::{BLOCK, Bounds, Channels, Receiver, Sampling, Side};

use super as jpeg;
use crate::{
    Deadline, Image, ImageError, Limits,
    colour::{self, Conversion},
    decode::samples::{SampleLayout, Samples},
    header::Header,
    plane::{self, Plane},
    reduced::boxed::{BoxPlan, Reducer},
    resize::View,
};

/// The least samples of a channel per pixel of the thumbnail, across and down, for a reduction to an eighth. With
/// fewer, the box filter of the reduction would become visible.
const EIGHTH: f64 = 3.0;
/// The same for chroma, to which the eye is less sensitive. The second bound applies where further scans for chroma
/// would take as long as all the rest.
const EIGHTH_CHROMA: (f64, f64) = (2.0, 1.5);
/// The same for a quarter and a half, which keep all their low frequencies.
const FINER: f64 = 2.5;
/// The same for chroma at a quarter, in a thumbnail of at most [`SMALL_PIXELS`]: more samples would cost more time than
/// the gain in quality is worth (`infra/bench/RESULTS.md`).
const QUARTER_CHROMA: f64 = 1.5;
const SMALL_PIXELS: u64 = 1 << 15;
/// The same for chroma at a half, the finest reduction there is.
const HALF_CHROMA: f64 = 2.0;

/// Decodes the part of the picture that the view shows, upright and in sRGB; `None` where only decoding the whole
/// picture gives it.
///
/// # Errors
/// [`ImageError::TimeLimit`]. A damaged file is not an error here: decoding the whole picture reports it.
pub(super) fn view(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let (width, height) = header.stored;
    let crop = header.orientation.stored_crop(view.crop, width, height);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    // Samples per pixel of the thumbnail, in the direction with fewer.
    let samples = |scale: (f64, f64)| {
        (crop.width * scale.0 / f64::from(across)).min(crop.height * scale.1 / f64::from(down))
    };
    let info = jpeg::read_info(bytes, deadline)?;
    let (channels, profile) = (info.channels, info.profile());
    let whole = || view_of_whole(bytes, header, view, (channels, profile.as_deref()), limits, deadline);
    if samples((0.5, 0.5)) < FINER {
        return whole();
    }
    let colour = matches!(channels, Channels::YCbCr | Channels::Ycck);
    let small = u64::from(across) * u64::from(down) <= SMALL_PIXELS;
    let choice = |Sampling { channel, scale, progressive }: Sampling| {
        let chroma = colour && (channel == 1 || channel == 2);
        Side::REDUCED.into_iter().find(|&side| {
            let bound = match side {
                Side::One if chroma && progressive => EIGHTH_CHROMA.1,
                Side::One if chroma => EIGHTH_CHROMA.0,
                Side::One => EIGHTH,
                Side::Two if chroma && small => QUARTER_CHROMA,
                Side::Four if chroma => HALF_CHROMA,
                Side::Two | Side::Four | Side::Eight => FINER,
            };
            let part = side.samples() as f64 / f64::from(BLOCK);
            samples((scale.0 * part, scale.1 * part)) >= bound
        })
    };
    let bounds = Bounds { bytes: limits.max_decoder_bytes, go_on: &|| deadline.check().is_ok() };
    let Some(planes) = jpeg_codec::decode(bytes, header.stored, &choice, bounds)? else {
        return whole();
    };

    let resampled = planes.into_iter().map(|(side, plane)| {
        deadline.check()?;
        let jpeg_codec::Plane { samples, width, height, scale } = plane;
        let plane = Plane { samples, width, height, scale };
        let (size, crop) = ((width, height), plane.within(crop));
        let mut samples: Vec<f32> = plane.samples.into_iter().map(f32::from).collect();
        if side == Side::One {
            means_to_points(&mut samples, size.0 as usize);
        }
        plane::resample(samples.into_iter(), size, crop, (across, down))
    });
    let resampled = resampled.collect::<Result<Vec<_>, ImageError>>()?;
    let Some(mut pixels) = pixels(channels, &resampled) else { return Ok(None) };
    if let Channels::Cmyk | Channels::Ycck = channels {
        jpeg::inks_from(&mut pixels, false);
        pixels = colour::cmyk_to_srgb(&pixels, profile.as_deref(), deadline)?;
    } else if let Some(profile) = profile {
        colour::to_srgb(&mut pixels, &profile, deadline)?;
    }
    let rgba = header.orientation.apply(pixels, across, down);
    Ok(Image::opaque(view.width, view.height, rgba))
}

/// Decodes the view from the whole picture, row by row ([`boxed`]); `None` if the picture is CMYK, or shows nothing.
fn view_of_whole(
    bytes: &[u8],
    header: &Header,
    view: View,
    (channels, profile): (Channels, Option<&[u8]>),
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let crop = header.orientation.stored_crop(view.crop, header.stored.0, header.stored.1);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    let layout = SampleLayout { channels: if channels == Channels::Grey { 1 } else { 3 }, wide: false };
    if let Channels::Cmyk | Channels::Ycck = channels {
        return Ok(None);
    }
    let plan = BoxPlan::new(header.stored, crop, (across, down));
    let mut reducer = Reducer::new(plan, layout, false, Conversion::None, 0, limits, deadline)?;
    let (first, held) = (reducer.first_row(), reducer.bytes());
    let mut row = vec![0; header.stored.0 as usize * layout.channels];
    let mut take = |y: u32, samples: &[&[u8]]| {
        if reducer.wants(y) {
            match samples {
                [grey] => reducer.push(y, Samples::Narrow(grey))?,
                [a, b, c] => {
                    jpeg::to_rgb(channels, [*a, *b, *c], row.as_chunks_mut().0, |rgb| rgb);
                    reducer.push(y, Samples::Narrow(&row))?;
                }
                // Other numbers of channels do not occur with these variants.
                _ => {}
            }
        }
        Ok(!reducer.is_full())
    };
    let receiver = Receiver { channels: channels.count(), first, held, take: &mut take };
    if !jpeg::rows(bytes, header.stored, limits, deadline, receiver)? {
        return Ok(None);
    }
    let (mut rgba, _) = reducer.finish()?;
    if let Some(profile) = profile {
        colour::to_srgb(&mut rgba, profile, deadline)?;
    }
    let rgba = header.orientation.apply(rgba, across, down);
    Ok(Image::opaque(view.width, view.height, rgba))
}

/// Turns the means of blocks into values at their centres. The mean exceeds the value at the centre by a twenty-fourth
/// of the second difference, across and down; uncorrected, the finest details of a thumbnail would be too pale.
fn means_to_points(means: &mut [f32], across: usize) {
    let sharper = |before: f32, here: f32, behind: f32| here + (here + here - before - behind) / 24.0;
    // The row, extended by its end values on both sides.
    let mut row = vec![0.0; across + 2];
    for line in means.chunks_exact_mut(across) {
        row[1..=across].copy_from_slice(line);
        (row[0], row[across + 1]) = (line[0], line[across - 1]);
        for (here, around) in line.iter_mut().zip(row.array_windows()) {
            let [before, own, behind] = *around;
            *here = sharper(before, own, behind);
        }
    }
    let mut above = means[..across].to_vec();
    let mut kept = above.clone();
    for top in (0..means.len()).step_by(across) {
        let (line, below) = means[top..].split_at_mut(across);
        kept.copy_from_slice(line);
        let below = below.get(..across).unwrap_or(&kept);
        for (((here, above), own), below) in line.iter_mut().zip(&above).zip(&kept).zip(below) {
            *here = sharper(*above, *own, *below);
        }
        std::mem::swap(&mut above, &mut kept);
    }
}

/// The channels as opaque RGBA or as inverted CMYK; `None` if their number does not match.
fn pixels(channels: Channels, planes: &[Vec<f32>]) -> Option<Vec<u8>> {
    let pixels = match (channels, planes) {
        (Channels::Grey, [grey]) => {
            let grey = grey.iter().map(|y| rounded(*y));
            grey.flat_map(|y| [y, y, y, 255]).collect()
        }
        (Channels::Rgb, [red, green, blue]) => {
            let pixels = red.iter().zip(green).zip(blue);
            pixels.flat_map(|((r, g), b)| [rounded(*r), rounded(*g), rounded(*b), 255]).collect()
        }
        (Channels::YCbCr, [luma, blue, red]) => {
            let pixels = luma.iter().zip(blue).zip(red);
            let rgb = pixels.map(|((y, cb), cr)| jpeg::from_ycbcr([*y, *cb, *cr]));
            rgb.flat_map(|[r, g, b]| [r, g, b, 255]).collect()
        }
        (Channels::Cmyk | Channels::Ycck, [first, second, third, black]) => {
            let pixels = first.iter().zip(second).zip(third).zip(black);
            let four = pixels.map(|(((a, b), c), k)| {
                let three = [*a, *b, *c];
                let [a, b, c] = if channels == Channels::Ycck {
                    jpeg::from_ycbcr(three).map(|ink| 255 - ink)
                } else {
                    three.map(rounded)
                };
                [a, b, c, rounded(*k)]
            });
            four.flatten().collect()
        }
        _ => return None,
    };
    Some(pixels)
}

fn rounded(sample: f32) -> u8 {
    (sample + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ycbcr_is_jfifs() {
        assert_eq!(jpeg::from_ycbcr([76.0, 85.0, 255.0]), [254, 0, 0]);
        assert_eq!(jpeg::from_ycbcr([128.0; 3]), [128; 3]);
        assert_eq!(jpeg::from_ycbcr([255.0, 0.0, 0.0]), [76, 255, 28]);
    }
}
