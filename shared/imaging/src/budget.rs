//! Finds the best-looking file that keeps within a preset's limits.

use std::borrow::Cow;

use crate::{
    Deadline, Encoded, Image, ImageError, Preset,
    animation::{Animation, Frame},
    encode,
    formats::{gif, png, webp},
};

/// Encodes frames of the preset's size as the best-looking file within the preset's budget. WhatsApp gets WebP. The
/// others get a PNG of a still and a GIF of an animation; where not even two frames fit, they get the first one as PNG.
/// The file lasts as long as the animation, or as long as the preset allows.
///
/// # Errors
/// [`ImageError::TimeLimit`]. [`ImageError::Internal`] cannot occur for frames of the preset's size.
pub(crate) fn best_file(
    animation: &Animation,
    preset: Preset,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    deadline.check()?;
    let first = animation.first()?;
    if preset == Preset::Whatsapp {
        return best_sticker(&shortened(animation, preset), preset, deadline);
    }
    if animation.frames.len() > 1
        && let Some(bytes) = best_gif(animation, preset, deadline)?
    {
        return Ok(Encoded::new(bytes, &gif::WRITER, first));
    }
    let still = encode::encode(first, &png::WRITER, 100, deadline)?;
    if still.bytes.len() > preset.max_bytes(1) {
        return Err(ImageError::internal("preset", "a still beyond the budget"));
    }
    Ok(still)
}

/// Finds the best GIF that fits; `None` where not even two frames do. Frames are left out only where no GIF of all of
/// them fits.
fn best_gif(
    animation: &Animation,
    preset: Preset,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    let mut count = animation.frames.len().min(preset.max_frames().unwrap_or(usize::MAX));
    loop {
        let made = gif::write::within(
            &with_fewer_frames(animation, count),
            preset.max_bytes(count as u32),
            deadline,
        )?;
        if made.is_some() || count <= 2 {
            return Ok(made);
        }
        count = count.div_ceil(2);
    }
}

/// The looks of a sticker, from the best to the smallest: the percentage of frames that are kept, WebP's quality, and
/// whether alpha is reduced to one bit.
const LOOKS: [(usize, u8, bool); 16] = [
    (100, 100, false),
    (100, 95, false),
    (100, 90, false),
    (100, 85, false),
    (100, 78, false),
    (100, 70, false),
    (100, 60, false),
    (100, 48, false),
    (100, 35, false),
    (100, 20, false),
    (75, 12, false),
    (50, 8, true),
    (34, 4, true),
    (17, 2, true),
    (8, 1, true),
    (4, 1, true),
];

/// How many frames are used to search for the look. Encoding all of them at every try would take longer than a job may.
const SAMPLE_FRAMES: usize = 8;

/// By about which factor the file of one look is smaller than that of the look before.
const SIZE_RATIO: f64 = 1.25;

/// A file that uses less than this part of its budget leaves room for a better look.
const ROOM_FOR_BETTER: f64 = 0.7;

/// Tells how many bytes a file may have.
type MaxBytes<'a> = &'a dyn Fn(&Encoded) -> usize;

/// Encodes a sticker with the first look that fits, or one near it. The look is searched with a few frames from the
/// middle, and then, from the look that they lead to, with all frames.
fn best_sticker(animation: &Animation, preset: Preset, deadline: Deadline) -> Result<Encoded, ImageError> {
    let total = animation.frames.len();
    // The limit depends on the encoded file: equal frames are joined, which may leave a still.
    let most = |file: &Encoded| preset.max_bytes(file.frames);
    let found = if total <= SAMPLE_FRAMES {
        first_fitting_look(animation, &most, deadline)?.1
    } else {
        let first = (total - SAMPLE_FRAMES) / 2;
        let frames = animation.frames[first..first + SAMPLE_FRAMES].to_vec();
        let share = preset.max_bytes(total as u32) * SAMPLE_FRAMES / total;
        let (look, _) =
            first_fitting_look(&Animation { frames, plays: animation.plays }, &|_| share, deadline)?;
        encode_from_look(look, animation, &most, deadline)?
    };
    match found {
        Some(file) => Ok(file),
        // A still may fit where even two frames do not.
        None if total > 1 => best_sticker(&Animation::still(animation.first()?.clone()), preset, deadline),
        None => Err(ImageError::internal("preset", "a still beyond the budget")),
    }
}

/// Searches by halves for the first look that fits and returns it with its file, or the last look without one. At most
/// six files are encoded: the best look first, then the halving.
fn first_fitting_look(
    animation: &Animation,
    most: MaxBytes<'_>,
    deadline: Deadline,
) -> Result<(usize, Option<Encoded>), ImageError> {
    let best = encode_look(0, animation, deadline)?;
    if best.bytes.len() <= most(&best) {
        return Ok((0, Some(best)));
    }
    let (mut low, mut high, mut fits) = (1, LOOKS.len(), None);
    while low < high {
        let tried = usize::midpoint(low, high);
        let file = encode_look(tried, animation, deadline)?;
        if file.bytes.len() <= most(&file) {
            (high, fits) = (tried, Some(file));
        } else {
            low = tried + 1;
        }
    }
    Ok((low.min(LOOKS.len() - 1), fits))
}

/// Encodes from the given look on until a file fits, skipping looks that are unlikely to. Where the file leaves much
/// room, the look before is tried, too.
fn encode_from_look(
    look: usize,
    animation: &Animation,
    most: MaxBytes<'_>,
    deadline: Deadline,
) -> Result<Option<Encoded>, ImageError> {
    let (mut look, last) = (look, LOOKS.len() - 1);
    let mut too_large = false;
    loop {
        let file = encode_look(look, animation, deadline)?;
        let part = file.bytes.len() as f64 / most(&file) as f64;
        if part <= 1.0 {
            let better = look.checked_sub(1).filter(|_| !too_large && part < ROOM_FOR_BETTER);
            let better = better.map(|look| encode_look(look, animation, deadline)).transpose()?;
            return Ok(better.filter(|better| better.bytes.len() <= most(better)).or(Some(file)));
        }
        if look == last {
            return Ok(None);
        }
        too_large = true;
        look = last.min(look + (part.ln() / SIZE_RATIO.ln()).max(1.0) as usize);
    }
}

/// Encodes the animation with one of the looks.
fn encode_look(look: usize, animation: &Animation, deadline: Deadline) -> Result<Encoded, ImageError> {
    let (share, quality, solid) = LOOKS[look];
    let count = (animation.frames.len() * share).div_ceil(100).max(2);
    let mut kept = with_fewer_frames(animation, count);
    if solid {
        let Animation { frames, plays } = kept.into_owned();
        let frames = frames.into_iter().map(with_one_bit_alpha).collect::<Result<_, _>>()?;
        kept = Cow::Owned(Animation { frames, plays });
    }
    let first = kept.first()?;
    let bytes = match kept.frames.len() {
        1 => webp::write::encode_still(first, quality, deadline)?,
        _ => webp::write::encode_animated(&kept, quality, deadline)?,
    };
    Ok(Encoded::new(bytes, &webp::WRITER, first))
}

/// Reduces a frame's alpha to one bit: each pixel becomes opaque or fully transparent.
fn with_one_bit_alpha(Frame { image, delay }: Frame) -> Result<Frame, ImageError> {
    let (width, height) = (image.width(), image.height());
    let mut rgba = image.into_rgba();
    for pixel in rgba.as_chunks_mut::<4>().0 {
        *pixel = if pixel[3] >= 128 { [pixel[0], pixel[1], pixel[2], 255] } else { [0; 4] };
    }
    let image = Image::new(width, height, rgba);
    Ok(Frame { image: image.ok_or_else(|| ImageError::internal("preset", "an empty result"))?, delay })
}

/// Speeds the animation up so that it lasts no longer than the preset allows, with no frame shorter than the preset's
/// least delay.
fn shortened(animation: &Animation, preset: Preset) -> Cow<'_, Animation> {
    let least = u64::from(preset.min_delay());
    let beyond = |frame: &Frame| u64::from(frame.delay).saturating_sub(least);
    let all: u64 = animation.frames.iter().map(beyond).sum();
    let room = preset.max_duration().map_or(u64::MAX, u64::from);
    let room = room.saturating_sub(least * animation.frames.len() as u64);
    if all <= room && animation.frames.iter().all(|frame| u64::from(frame.delay) >= least) {
        return Cow::Borrowed(animation);
    }
    let mut hastened = animation.clone();
    for frame in &mut hastened.frames {
        let beyond = beyond(frame);
        frame.delay = (least + if all > room { beyond * room / all } else { beyond }) as u32;
    }
    Cow::Owned(hastened)
}

/// Keeps at most `count` frames, evenly chosen. Each is shown also for the time of those that are left out after it.
fn with_fewer_frames(animation: &Animation, count: usize) -> Cow<'_, Animation> {
    let total = animation.frames.len();
    if count >= total {
        return Cow::Borrowed(animation);
    }
    let frames = (0..count).map(|nth| {
        let part = &animation.frames[nth * total / count..(nth + 1) * total / count];
        let delay = part.iter().fold(0_u32, |sum, frame| sum.saturating_add(frame.delay));
        Frame { image: part[0].image.clone(), delay }
    });
    Cow::Owned(Animation { frames: frames.collect(), plays: animation.plays })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, Limits, Source, deadline::looks};

    fn noise(seed: u32, alpha: bool) -> Image {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        let rgba =
            (0..128 * 128).flat_map(|_| [next(), next(), next(), if alpha { next() } else { 255 }]).collect();
        Image::new(128, 128, rgba).expect("a picture")
    }

    fn animation(count: u32, delay: u32, image: impl Fn(u32) -> Image) -> Animation {
        Animation { frames: (0..count).map(|nth| Frame { image: image(nth), delay }).collect(), plays: 0 }
    }

    /// The number of frames of a GIF and its length in milliseconds.
    fn timing(bytes: &[u8]) -> (usize, u32) {
        let header = gif::header(bytes).expect("a GIF");
        let (mut frames, mut duration) = (0, 0);
        gif::frames(bytes, &header, Deadline::none(), &mut |_, delay| {
            frames += 1;
            duration += delay;
            Ok(())
        })
        .expect("frames");
        (frames, duration)
    }

    #[test]
    fn the_noisiest_still_fits_as_png() {
        for preset in Preset::ALL {
            let still = Animation::still(noise(7, true));
            let file = best_file(&still, preset, Deadline::none()).expect("a file");
            let content_type = if preset == Preset::Whatsapp { "image/webp" } else { "image/png" };
            assert_eq!((file.content_type, file.width, file.height), (content_type, 128, 128));
            assert!(
                file.bytes.len() <= preset.max_bytes(file.frames),
                "{preset:?}: {} bytes",
                file.bytes.len()
            );
        }
    }

    #[test]
    fn the_noisiest_animation_fits_and_lasts_as_long() {
        let noisy = animation(60, 50, |nth| noise(nth, nth % 2 == 0));
        let preset = Preset::Slack;
        let file = best_file(&noisy, preset, Deadline::none()).expect("a file");
        assert_eq!(file.content_type, "image/gif");
        assert!(file.bytes.len() <= preset.max_bytes(file.frames), "{} bytes", file.bytes.len());
        let (frames, duration) = timing(&file.bytes);
        assert!(frames >= 2, "{frames} frames");
        assert_eq!(duration, 3000);
    }

    #[test]
    fn the_same_frames_give_the_same_bytes() {
        let noisy = animation(8, 50, |nth| noise(nth, nth % 2 == 0));
        let file = || best_file(&noisy, Preset::Slack, Deadline::none()).expect("a file");
        assert!(file() == file());
    }

    #[test]
    fn an_animation_keeps_all_frames_but_for_slacks_fifty_and_its_length() {
        let plain = animation(60, 40, |nth| {
            let colour = [(nth * 4) as u8, 60, 200, 255];
            Image::new(128, 128, colour.repeat(128 * 128)).expect("a picture")
        });
        for (preset, count) in [(Preset::Slack, 50), (Preset::Discord, 60)] {
            let file = best_file(&plain, preset, Deadline::none()).expect("a file");
            assert_eq!(timing(&file.bytes), (count, 2400), "{preset:?}");
        }
        let source = Source::open(
            best_file(&plain, Preset::Teams, Deadline::none()).expect("a file").bytes,
            &Limits::default(),
            Deadline::none(),
        );
        assert_eq!(source.expect("a GIF").frames(), 60);
    }

    fn large_noise(seed: u32) -> Image {
        let small = noise(seed, true);
        let rgba = small.rgba().repeat(16);
        Image::new(512, 512, rgba).expect("a picture")
    }

    #[test]
    fn the_noisiest_sticker_fits_still_or_moving() {
        for frames in [1, 8] {
            let noisy = animation(frames, 1500, large_noise);
            let file = best_file(&noisy, Preset::Whatsapp, Deadline::none()).expect("a file");
            assert_eq!((file.content_type, file.width), ("image/webp", 512));
            let most = Preset::Whatsapp.max_bytes(file.frames);
            assert!(file.bytes.len() <= most, "{} bytes of {most}", file.bytes.len());
        }
    }

    #[test]
    fn a_long_sticker_fits_too_and_is_made_in_few_tries() {
        let preset = Preset::Whatsapp;
        let most = preset.max_bytes(2);
        // Noise, of which frames must be dropped; frames that become calm; and frames that become wild, which the
        // sample from the middle does not show.
        let calm = |nth: u32| {
            let rgba =
                (0..128 * 128_u32).flat_map(|at| [(at + nth) as u8, (at >> 7) as u8, 9, 255]).collect();
            Image::new(128, 128, rgba).expect("a picture")
        };
        let noisy = |nth: u32| noise(nth, true);
        for film in [
            animation(40, 50, noisy),
            animation(40, 50, |nth| if nth < 20 { noisy(nth) } else { calm(nth) }),
            animation(40, 50, |nth| if (10..30).contains(&nth) { calm(nth) } else { noisy(nth) }),
            animation(40, 50, calm),
        ] {
            let file = best_file(&film, preset, Deadline::none()).expect("a file");
            assert!(file.frames > 1 && file.bytes.len() <= most, "{} bytes of {most}", file.bytes.len());
            let whole = |look| looks::taken(|deadline| encode_look(look, &film, deadline).expect("a file"));
            let taken = looks::taken(|deadline| best_file(&film, preset, deadline).expect("a file"));
            let each = (0..LOOKS.len()).map(whole).max().expect("looks");
            assert!(taken < 6 * each, "{taken} looks at the clock, {each} for a file");
        }
    }

    #[test]
    fn an_animation_that_lasts_too_long_is_played_faster() {
        let slow = animation(4, 5000, |nth| noise(nth, false));
        let delays =
            |animation: &Animation| animation.frames.iter().map(|frame| frame.delay).collect::<Vec<_>>();
        assert_eq!(delays(&shortened(&slow, Preset::Whatsapp)), [2500; 4]);
        assert_eq!(delays(&shortened(&slow, Preset::Slack)), [5000; 4]);
    }

    #[test]
    fn no_frame_of_a_sticker_is_shorter_than_it_may_be() {
        let timed = |delays: &[u32]| {
            let frames = delays.iter().map(|&delay| Frame { image: noise(1, false), delay });
            let animation = Animation { frames: frames.collect(), plays: 0 };
            let hastened = shortened(&animation, Preset::Whatsapp);
            hastened.frames.iter().map(|frame| frame.delay).collect::<Vec<_>>()
        };
        assert_eq!(timed(&[0, 7, 8, 9, 40]), [8, 8, 8, 9, 40]);
        let long = timed(&[1, 10, 1_000_000, 9, 20_000]);
        assert_eq!(long, [8, 8, 9772, 8, 203]);
        assert!(long.iter().sum::<u32>() <= 10_000);
        assert_eq!(timed(&[u32::MAX; 60]), [166; 60]);
    }

    #[test]
    fn the_clock_stops_every_search() {
        let emoji = animation(6, 50, |nth| noise(nth, nth % 2 == 0));
        let sticker = animation(3, 50, large_noise);
        for (preset, film) in [(Preset::Zulip, emoji), (Preset::Whatsapp, sticker)] {
            let run = |deadline| best_file(&film, preset, deadline);
            let taken = looks::taken(|deadline| run(deadline).expect("a file"));
            assert!(taken > 50, "{preset:?}: {taken}");
            for passes in [0, 1, taken / 3, taken / 2, taken - 1] {
                let late = looks::passing_after(passes, run);
                assert!(matches!(late, Err(ImageError::TimeLimit(_))), "{preset:?}: {passes} of {taken}");
            }
        }
    }
}
