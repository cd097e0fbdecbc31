//! Chat services' emoji: a size in pixels and a size in bytes that a file must keep to.
//!
//! | service | says | where |
//! |---|---|---|
//! | Slack | "square images under 128KB", at most 50 frames | Web API, `admin.emoji.add`; its upload form |
//! | Discord | "under 256KB" | support.discord.com, Custom Emojis |
//! | Teams | under 256 KB | support.microsoft.com, Use custom emojis in Microsoft Teams |
//!
//! A kilobyte is 1000 bytes here, the stricter of its meanings.

use serde::Deserialize;

use crate::{
    Deadline, Encoded, ImageError,
    animation::{Animation, Frame},
    encode::{
        self, Codec,
        gif::{self, Look},
    },
};

/// A chat service that takes emoji.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// 128×128, 128 KB, 50 frames.
    Slack,
    /// 128×128, 256 KB.
    Discord,
    /// 128×128, less than 256 KB.
    Teams,
}

impl Preset {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Slack, Self::Discord, Self::Teams];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
        }
    }

    /// Pixels across and down.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        (128, 128)
    }

    /// The most bytes that a file may have.
    #[must_use]
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Slack => 128_000,
            Self::Discord => 256_000,
            Self::Teams => 255_999,
        }
    }

    /// The most frames that a file may have; none where any number is taken.
    #[must_use]
    pub fn max_frames(self) -> Option<usize> {
        match self {
            Self::Slack => Some(50),
            Self::Discord | Self::Teams => None,
        }
    }
}

/// One step down from the best look: which part of the frames is kept, and what is given up of each.
struct Step {
    /// Of a hundred frames.
    frames: usize,
    look: Look,
    /// About how much of the best look's bytes are left, in thousandths.
    bytes: usize,
}

const fn step(frames: usize, colours: u16, dither: u8, hold: u8, loss: f32, bytes: usize) -> Step {
    Step { frames, look: Look { colours, dither, hold, loss }, bytes }
}

/// From the best to the smallest. An emoji is shown at a quarter of its size, where noise is not seen and motion is:
/// first dithering and near-by colours go, then frames and more colours in turn.
const STEPS: [Step; 14] = [
    step(100, 256, 14, 2, 0.0, 1000),
    step(100, 256, 8, 4, 40.0, 750),
    step(100, 192, 6, 5, 90.0, 600),
    step(100, 128, 6, 6, 160.0, 470),
    step(100, 96, 4, 8, 260.0, 370),
    step(75, 96, 4, 8, 320.0, 280),
    step(50, 96, 4, 8, 320.0, 200),
    step(50, 64, 0, 10, 500.0, 140),
    step(34, 64, 0, 10, 600.0, 95),
    step(25, 48, 0, 12, 900.0, 60),
    step(17, 32, 0, 14, 1200.0, 35),
    step(12, 16, 0, 16, 1600.0, 20),
    step(8, 8, 0, 20, 2500.0, 10),
    step(4, 4, 0, 32, 4000.0, 4),
];

/// The best-looking file within the preset's budget, of frames that have its size: PNG of what does not move, else a
/// GIF that lasts as long as the animation, and only where not even two frames fit its first one as PNG. At most six
/// files are tried: the best, the one that its bytes let hope for, and halves of what is left.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`], which frames of the preset's size do not bring about.
pub(crate) fn within_budget(
    animation: &Animation,
    preset: Preset,
    deadline: Deadline,
) -> Result<Encoded, ImageError> {
    deadline.check()?;
    let first = animation.frames.first().ok_or_else(|| ImageError::internal("preset", "no frames"))?;
    if animation.frames.len() > 1
        && let Some(bytes) = moving(animation, preset, deadline)?
    {
        return Ok(Encoded::new(bytes, Codec::Gif, &first.image));
    }
    let still = encode::encode(&first.image, Codec::Png, 100, deadline)?;
    if still.bytes.len() > preset.max_bytes() {
        return Err(ImageError::internal("preset", "a still beyond the budget"));
    }
    Ok(still)
}

/// The first of the steps that fits; `None` where not even the last does.
fn moving(animation: &Animation, preset: Preset, deadline: Deadline) -> Result<Option<Vec<u8>>, ImageError> {
    let attempt = |step: &Step| -> Result<Vec<u8>, ImageError> {
        let count = (animation.frames.len() * step.frames).div_ceil(100);
        let kept = thinned(animation, count.clamp(2, preset.max_frames().unwrap_or(usize::MAX)));
        gif::looking(&kept, &step.look, deadline)
    };
    let budget = preset.max_bytes();
    let best = attempt(&STEPS[0])?;
    if best.len() <= budget {
        return Ok(Some(best));
    }
    // The steps that may still fit are from `low` on; the one at `high` does, or is past the end.
    let (mut low, mut high, mut fits) = (1, STEPS.len(), None);
    let hoped = STEPS.iter().position(|step| step.bytes * (best.len() / 1000 + 1) <= budget);
    let mut tried = hoped.unwrap_or(STEPS.len() - 1).max(1);
    while low < high {
        let file = attempt(&STEPS[tried])?;
        if file.len() <= budget {
            (high, fits) = (tried, Some(file));
        } else {
            low = tried + 1;
        }
        tried = usize::midpoint(low, high);
    }
    Ok(fits)
}

/// At most so many of the frames, evenly chosen; each is shown for the time of those that are left out after it.
fn thinned(animation: &Animation, count: usize) -> Animation {
    let total = animation.frames.len();
    let count = count.min(total);
    let frames = (0..count).map(|nth| {
        let part = &animation.frames[nth * total / count..(nth + 1) * total / count];
        let delay = part.iter().fold(0_u32, |sum, frame| sum.saturating_add(frame.delay));
        Frame { image: part[0].image.clone(), delay }
    });
    Animation { frames: frames.collect(), plays: animation.plays }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Image, Limits, Source};

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

    /// Frames and milliseconds of a GIF.
    fn timing(bytes: &[u8]) -> (usize, u32) {
        let header = crate::decode::gif::header(bytes).expect("a GIF");
        let (mut frames, mut duration) = (0, 0);
        crate::decode::gif::frames(bytes, &header, Deadline::none(), &mut |_, delay| {
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
            let file = within_budget(&still, preset, Deadline::none()).expect("a file");
            assert_eq!((file.content_type, file.width, file.height), ("image/png", 128, 128));
            assert!(file.bytes.len() <= preset.max_bytes(), "{preset:?}: {} bytes", file.bytes.len());
        }
    }

    #[test]
    fn the_noisiest_animation_fits_and_lasts_as_long() {
        let noisy = animation(60, 50, |nth| noise(nth, nth % 2 == 0));
        for preset in Preset::ALL {
            let file = within_budget(&noisy, preset, Deadline::none()).expect("a file");
            assert_eq!(file.content_type, "image/gif");
            assert!(file.bytes.len() <= preset.max_bytes(), "{preset:?}: {} bytes", file.bytes.len());
            let (frames, duration) = timing(&file.bytes);
            assert!(frames >= 2, "{preset:?}: {frames} frames");
            assert_eq!(duration, 3000, "{preset:?}");
            let again = within_budget(&noisy, preset, Deadline::none()).expect("a file");
            assert!(file == again, "the same frames give the same bytes");
        }
    }

    #[test]
    fn what_fits_is_left_as_good_as_it_gets_with_slacks_fifty_frames() {
        let plain = animation(60, 40, |nth| {
            let colour = [(nth * 4) as u8, 60, 200, 255];
            Image::new(128, 128, colour.repeat(128 * 128)).expect("a picture")
        });
        for (preset, count) in [(Preset::Slack, 50), (Preset::Discord, 60)] {
            let file = within_budget(&plain, preset, Deadline::none()).expect("a file");
            assert_eq!(timing(&file.bytes), (count, 2400), "{preset:?}");
        }
        let source = Source::open(
            within_budget(&plain, Preset::Teams, Deadline::none()).expect("a file").bytes,
            &Limits::default(),
            Deadline::none(),
        );
        assert_eq!(source.expect("a GIF").frames(), 60);
    }

    #[test]
    fn each_step_is_expected_to_be_smaller_than_the_one_before() {
        assert!(STEPS.is_sorted_by(|a, b| a.bytes > b.bytes
            && a.frames >= b.frames
            && a.look.colours >= b.look.colours));
    }
}
