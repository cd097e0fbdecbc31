//! Animations, with each frame drawn on the canvas.

use super::{Container, container::Frame, corrupt, pixels};
use crate::{
    Deadline, ImageError, Limits,
    animation::{self, Animation, EachFrame},
    decode::canvas::{Area, Canvas, Disposal},
    header::Header,
    resize::View,
};

/// Decodes as much as there is of the first frame, on its canvas.
pub(super) fn first(
    file: &Container<'_>,
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let frame = file.frames().next().ok_or_else(corrupt)?;
    let picture = frame.picture.ok_or_else(corrupt)?;
    let (rgba, _) = pixels(&picture, limits, deadline)?;
    let mut canvas = Canvas::new(size);
    canvas.lay(area(&frame, picture.size), rgba.as_chunks().0, false);
    Ok(canvas.rgba)
}

/// Reads every frame.
pub(super) fn animation(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Animation, ImageError> {
    let read = |each: &mut EachFrame<'_>| frames(bytes, header, limits, deadline, each);
    let frames = animation::of_frames(header, view, deadline, read)?;
    frames.in_srgb(super::profile(bytes).as_deref(), deadline)
}

/// Calls `each` for every frame, with the whole canvas and the frame's time in milliseconds, and returns how often the
/// animation is played. The background is transparent, whatever colour the file states, because no browser shows that
/// colour.
///
/// # Errors
/// Those of `each`; [`ImageError::Corrupt`] where there is no complete frame, [`ImageError::DecoderMemory`] or
/// [`ImageError::TimeLimit`].
pub(super) fn frames(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
    each: &mut EachFrame<'_>,
) -> Result<u32, ImageError> {
    let file = Container::read(bytes);
    let mut canvas = Canvas::new(header.stored);
    let mut shown = false;
    for frame in file.frames() {
        let Some(picture) = frame.picture else { break };
        let rgba = match pixels(&picture, limits, deadline) {
            Ok((rgba, true)) => rgba,
            Ok((_, false)) | Err(ImageError::Corrupt { .. }) => break,
            Err(error) => return Err(error),
        };
        let area = area(&frame, picture.size);
        canvas.begin(area, if frame.disposes { Disposal::Clear } else { Disposal::Keep });
        canvas.lay(area, rgba.as_chunks().0, frame.blends && picture.has_alpha);
        each(&canvas.rgba, frame.delay)?;
        shown = true;
    }
    if shown { Ok(file.plays) } else { Err(corrupt()) }
}

/// The area of a picture of that size.
fn area(frame: &Frame<'_>, (width, height): (u32, u32)) -> Area {
    Area { left: frame.left, top: frame.top, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const NONE: [u8; 4] = [0; 4];

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut out = [kind, &(data.len() as u32).to_le_bytes()[..], data].concat();
        out.resize(out.len().next_multiple_of(2), 0);
        out
    }

    /// A frame of one colour, with its place and size, its milliseconds, and flags for replacing and clearing.
    fn frame([left, top, width, height]: [u8; 4], colour: [u8; 4], delay: u8, flags: u8) -> Vec<u8> {
        let pixels = colour.repeat(usize::from(width) * usize::from(height));
        let size = (u32::from(width), u32::from(height));
        let quality = webp_codec::Quality::Lossless;
        let file = webp_codec::encode(&pixels, size, quality, &mut || true).expect("a file");
        let head = [left / 2, 0, 0, top / 2, 0, 0, width - 1, 0, 0, height - 1, 0, 0, delay, 0, 0, flags];
        chunk(b"ANMF", &[&head, &file[12..]].concat())
    }

    /// An animation on a canvas of 4 × 2 pixels.
    fn file(plays: u8, frames: &[Vec<u8>]) -> Vec<u8> {
        let canvas = chunk(b"VP8X", &[0x12, 0, 0, 0, 3, 0, 0, 1, 0, 0]);
        // The background is opaque white, which must be ignored.
        let animation = chunk(b"ANIM", &[255, 255, 255, 255, plays, 0]);
        chunk(b"RIFF", &[b"WEBP", &canvas[..], &animation, &frames.concat()].concat())
    }

    /// A canvas, and its milliseconds.
    type Shown = (Vec<[u8; 4]>, u32);

    /// The canvases that are shown, and how often the animation is played.
    fn played(file: &[u8]) -> Result<(Vec<Shown>, u32), ImageError> {
        let header = super::super::header(file).expect("a header");
        let mut canvases = Vec::new();
        let plays = frames(file, &header, &Limits::default(), Deadline::none(), &mut |rgba, delay| {
            canvases.push((rgba.as_chunks::<4>().0.to_vec(), delay));
            Ok(())
        })?;
        Ok((canvases, plays))
    }

    #[test]
    fn frames_are_laid_over_or_instead_and_cleared_as_they_say() {
        let half_blue = [0, 0, 255, 128];
        let file = file(
            3,
            &[
                frame([0, 0, 2, 2], RED, 10, 0),
                frame([0, 0, 4, 1], half_blue, 20, 0),
                frame([2, 0, 2, 1], half_blue, 30, 3),
                frame([0, 0, 1, 1], NONE, 40, 2),
                frame([0, 0, 1, 1], BLUE, 50, 0),
            ],
        );
        let (canvases, plays) = played(&file).expect("frames");
        let mixed = [127, 0, 128, 255];
        let expected = [
            ([[RED, RED, NONE, NONE], [RED, RED, NONE, NONE]], 10),
            ([[mixed, mixed, half_blue, half_blue], [RED, RED, NONE, NONE]], 20),
            ([[mixed, mixed, half_blue, half_blue], [RED, RED, NONE, NONE]], 30),
            ([[NONE, mixed, NONE, NONE], [RED, RED, NONE, NONE]], 40),
            ([[BLUE, mixed, NONE, NONE], [RED, RED, NONE, NONE]], 50),
        ];
        let expected: Vec<_> = expected.map(|(rows, delay)| (rows.concat(), delay)).into();
        assert_eq!((canvases, plays), (expected, 3));
    }

    #[test]
    fn frames_that_are_cut_off_or_damaged_are_left_out() {
        let last = frame([0, 0, 4, 2], BLUE, 20, 0);
        let whole = file(0, &[frame([0, 0, 2, 2], RED, 10, 0), last.clone()]);
        assert_eq!(played(&whole).expect("frames").0.len(), 2);
        for cut in [8, 20, last.len() - 4] {
            let (canvases, plays) = played(&whole[..whole.len() - cut]).expect("a frame");
            assert_eq!((canvases.len(), plays), (1, 0), "{cut} bytes fewer");
        }
        let mut damaged = whole.clone();
        let picture = whole.len() - last.len() + 8 + 16 + 8;
        damaged[picture] ^= 0xff;
        assert_eq!(played(&damaged).expect("a frame").0.len(), 1);
        let none = file(0, &[]);
        assert!(super::super::header(&none).is_err(), "an animation without frames is nothing");
        let first = file(0, &[frame([0, 0, 2, 2], RED, 10, 0)]);
        assert!(matches!(played(&first[..first.len() - 8]), Err(ImageError::Corrupt { .. })));
    }

    #[test]
    fn an_error_of_the_caller_ends_the_frames() {
        let file = file(0, &[frame([0, 0, 2, 2], RED, 10, 0), frame([0, 0, 2, 2], BLUE, 10, 0)]);
        let header = super::super::header(&file).expect("a header");
        let mut calls = 0;
        let result = frames(&file, &header, &Limits::default(), Deadline::none(), &mut |_, _| {
            calls += 1;
            Err(ImageError::Empty)
        });
        assert!(calls == 1 && matches!(result, Err(ImageError::Empty)));
        let late = Deadline::after(std::time::Duration::ZERO);
        let result = frames(&file, &header, &Limits::default(), late, &mut |_, _| Ok(()));
        assert!(matches!(result, Err(ImageError::TimeLimit(_))), "{result:?}");
    }
}
