//! Of a JPEG, one, four or sixteen coefficients of each block are the picture at an eighth, a quarter or a half
//! ([`coefficients`]): where that leaves enough for a good resample, nothing else is decoded. Every channel has the coarsest reduction
//! that is enough for it, and goes from there to the thumbnail's size in one step of Lanczos3, so subsampled chroma is
//! neither enlarged first nor shifted: the part to take is reckoned in fractions of the channel's samples, of which the last may
//! lie partly outside the picture. Nothing is rounded before the last step, and the means that an eighth consists of are turned into
//! values at points first ([`points`]).
//!
//! Where that does not leave enough, the whole picture is decoded, row by row, and goes into boxes as that of a PNG does
//! ([`boxed`](crate::reduced::boxed)): 12 MP to 800×800 take 6.6 MB beyond the file, to 1600×1600 14.1 MB, of which the result is 10, and
//! half a megabyte more where they are progressive.
//!
//! The floor is the reading of the codes: of the time that a photograph of 12 MP takes to 100×100 that is 82 %, of 2 MP 67 %, of
//! progressive 12 MP 55 %.
//!
//! Peak signal to noise, in dB, against Pillow's whole picture reduced by Lanczos3 in floating point, as `make bench-imaging`
//! has it (photographs, 4:2:0; Pillow 13 is `draft` to at least twice the size, then Lanczos3; libvips 8.18 is `thumbnail`):
//!
//! | picture | side | luminance, chroma | here | Pillow | libvips |
//! |---|---|---|---|---|---|
//! | 12 MP | 100 | an eighth, a quarter | 55.8 | 51.1 | 49.5 |
//! | 12 MP | 200 | a quarter | 56.2 | 52.2 | 52.0 |
//! | 12 MP | 400 | a quarter, a half | 55.0 | 52.8 | 52.5 |
//! | 12 MP | 800 | whole | 53.8 | 53.4 | 53.1 |
//! | 12 MP | 1600 | whole | 57.7 | 57.7 | 57.1 |
//! | 24 MP | 100 | an eighth, a quarter | 57.4 | 51.0 | 47.9 |
//! | 24 MP | 200 | an eighth, a quarter | 56.5 | 55.7 | 54.9 |
//! | 24 MP | 400 | a quarter, a half | 56.6 | 56.0 | 55.2 |
//! | 24 MP | 800 | whole | 56.4 | 56.4 | 55.7 |
//! | 24 MP | 1600 | whole | 58.0 | 58.0 | 57.2 |
//! | 2 MP | 100 | a quarter | 54.8 | 48.8 | 48.8 |
//! | 2 MP | 200 | a half | 55.4 | 50.0 | 49.8 |
//! | 2 MP | 400 | whole | 51.3 | 49.3 | 49.2 |
//! | 2 MP | 800 | whole | 57.4 | 57.3 | 56.9 |
//!
//! The bounds below are what that takes: with chroma at 1.9 samples for a pixel, 24 MP had 54.3 dB at 200 and 55.0 at 400; with
//! luminance at 1.9, 52.3 at 800.

use super::{
    self as jpeg, Channels, Info,
    coefficients::{self, BLOCK, Receiver, Sampling, Side},
};
use crate::{
    Deadline, Image, ImageError, Limits,
    colour::{self, Conversion},
    decode::samples::{Layout, Samples},
    header::Header,
    plane,
    reduced::boxed::{Plan, Reducer},
    resize::View,
};

/// Samples of a channel that there must be for each pixel of the thumbnail, across and down, at an eighth: with fewer, the box filter
/// that the reduction is would show.
const EIGHTH: f64 = 3.0;
/// The same for chroma, of which the eye sees less; and where its further scans would take as long again as all the rest.
const EIGHTH_CHROMA: (f64, f64) = (2.0, 1.5);
/// At a quarter and at a half, whose low frequencies are all there.
const FINER: f64 = 2.5;
/// For chroma at a quarter, in a thumbnail of at most [`SMALL_PIXELS`]: of a 2 MP photograph at 100, what is beyond that costs a
/// fifth of the time for 2.4 dB.
const QUARTER_CHROMA: f64 = 1.5;
const SMALL_PIXELS: u64 = 1 << 15;
/// For chroma at a half, the most that there is.
const HALF_CHROMA: f64 = 2.0;

/// What the view shows, upright and in sRGB; `None` where that takes the whole picture.
///
/// # Errors
/// [`ImageError::TimeLimit`]; what is wrong with a file is for the whole decoder to say.
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
    // Samples for each pixel of the thumbnail, in the direction that has fewer.
    let samples = |scale: (f64, f64)| {
        (crop.width * scale.0 / f64::from(across)).min(crop.height * scale.1 / f64::from(down))
    };
    let info = Info::read(bytes, deadline)?;
    let (channels, profile) = (info.channels, info.profile());
    let whole = || whole(bytes, header, view, (channels, profile.as_deref()), limits, deadline);
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
    let Some(planes) = coefficients::decode(bytes, header.stored, &choice, limits, deadline)? else {
        return whole();
    };

    let resampled = planes.into_iter().map(|(side, plane)| {
        deadline.check()?;
        let (size, crop) = ((plane.width, plane.height), plane.within(crop));
        let mut samples: Vec<f32> = plane.samples.into_iter().map(f32::from).collect();
        if side == Side::One {
            points(&mut samples, size.0 as usize);
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

/// What the view shows of all of the picture, row by row ([`boxed`]); `None` where it is made of inks, or shows nothing.
fn whole(
    bytes: &[u8],
    header: &Header,
    view: View,
    (channels, profile): (Channels, Option<&[u8]>),
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Image>, ImageError> {
    let crop = header.orientation.stored_crop(view.crop, header.stored.0, header.stored.1);
    let (across, down) = header.orientation.upright_size(view.width, view.height);
    let layout = Layout { channels: if channels == Channels::Grey { 1 } else { 3 }, wide: false };
    if let Channels::Cmyk | Channels::Ycck = channels {
        return Ok(None);
    }
    let plan = Plan::new(header.stored, crop, (across, down));
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
                // There are as many as these channels have.
                _ => {}
            }
        }
        Ok(!reducer.is_full())
    };
    let receiver = Receiver { channels: channels.count(), first, held, take: &mut take };
    if !coefficients::rows(bytes, header.stored, limits, deadline, receiver)? {
        return Ok(None);
    }
    let (mut rgba, _) = reducer.finish()?;
    if let Some(profile) = profile {
        colour::to_srgb(&mut rgba, profile, deadline)?;
    }
    let rgba = header.orientation.apply(rgba, across, down);
    Ok(Image::opaque(view.width, view.height, rgba))
}

/// Turns the means of blocks into the values at their middles: a mean is a twenty-fourth of the second difference more
/// than that, across and down. Without it, the finest that a thumbnail shows would be paler than it is.
fn points(means: &mut [f32], across: usize) {
    let sharper = |before: f32, here: f32, behind: f32| here + (here + here - before - behind) / 24.0;
    // A row, with what is at its ends once more beyond them.
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

/// The channels as opaque RGBA, or as inverted inks; `None` unless there are as many as that meaning takes.
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
