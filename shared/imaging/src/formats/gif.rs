//! GIF, still and animated.
//!
//! The blocks and the LZW codes are decoded here and not by the `gif` crate, which `image` uses. That crate rejects
//! much of what browsers show: a missing palette, an odd control extension, an unknown extension, a picture that is cut
//! short. Its LZW decoder, `weezl`, is slower as well. Where files deviate from the standard, this decoder does what
//! Chromium does.

mod blocks;
mod lzw;
#[cfg(test)]
mod tests;
mod whole;
pub(crate) mod write;

use blocks::{Block, GifPicture, Screen};
use lzw::Lzw;

use crate::{
    Deadline, Format, ImageError, Limits,
    animation::{self, Animation, EachFrame},
    decode::{Decoded, canvas::Canvas},
    formats::{Codec, ReadAnimation, Writer},
    header::Header,
    orient::Orientation,
    resize::View,
};

/// GIF, still or animated.
pub(crate) const FORMAT: Format = Format::new("GIF", &["image/gif"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises: |bytes| matches!(bytes, [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..]),
    header: |bytes, _, _| header(bytes),
    decode: |bytes, header, _, deadline| decode(bytes, header, deadline),
    view: None,
    animation: Some(ReadAnimation { memory, read: animation }),
    frames_in_file: None,
    writer: Some(&WRITER),
};

pub(crate) static WRITER: Writer = Writer {
    format: FORMAT,
    extension: "gif",
    encode_still: |image, _, deadline| write::encode_still(image, deadline),
    encode_animated: Some(|animation, _, deadline| write::encode_animated(animation, deadline)),
    frames: |bytes| header(bytes).map_or(1, |header| header.frames),
    strip_metadata: Some(|bytes, header, most, deadline| {
        // A still is better written as PNG.
        if header.frames == 1 { Ok(None) } else { Ok(whole::without_metadata(bytes, most, deadline)?) }
    }),
};

/// The largest ICC profile that is read.
const MAX_PROFILE: usize = 4 << 20;

/// Rows that are drawn between two checks of the deadline.
const ROWS_PER_CHECK: usize = 256;

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`].
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let (screen, blocks) = blocks::open(bytes).ok_or_else(corrupt)?;
    let (mut frames, mut stored, mut largest) = (0_u32, screen.size, (0, 0));
    for block in blocks {
        let Block::Picture(picture) = block else { continue };
        if frames == 0 {
            // A first picture that exceeds the screen enlarges it. A screen of size zero thus gets the size of that
            // picture.
            stored.0 = stored.0.max(picture.area.left + picture.area.width);
            stored.1 = stored.1.max(picture.area.top + picture.area.height);
        }
        let size = (picture.area.width, picture.area.height);
        if u64::from(size.0) * u64::from(size.1) > u64::from(largest.0) * u64::from(largest.1) {
            largest = size;
        }
        frames = frames.saturating_add(1);
    }
    Ok(Header {
        stored,
        orientation: Orientation::UPRIGHT,
        frames: frames.max(1),
        // The indices of one picture.
        extra_bytes_per_pixel: 1,
        largest_frame: largest,
    })
}

fn corrupt() -> ImageError {
    ImageError::Corrupt { format: FORMAT, source: None }
}

/// The embedded ICC profile.
fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, mut blocks) = blocks::open(bytes)?;
    let pieces = blocks.find_map(|block| match block {
        Block::Profile(pieces) => Some(pieces),
        _ => None,
    })?;
    let mut profile = Vec::new();
    for piece in pieces {
        profile.extend_from_slice(piece);
        if profile.len() > MAX_PROFILE {
            return None;
        }
    }
    Some(profile)
}

/// Decodes the first frame on its canvas.
pub(super) fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let (screen, mut blocks) = blocks::open(bytes).ok_or_else(corrupt)?;
    let picture = blocks.find_map(|block| match block {
        Block::Picture(picture) => Some(picture),
        _ => None,
    });
    let picture = picture.ok_or_else(corrupt)?;
    let mut canvas = Canvas::new(header.stored);
    if !draw(&mut canvas, &picture, &screen, &mut Lzw::new(), deadline)? {
        return Err(corrupt());
    }
    Ok(Decoded { rgba: canvas.rgba, may_have_alpha: true, profile: profile(bytes) })
}

/// The bytes that the decoder holds: the canvas, and what was under a frame. The frames that come out are not counted.
fn memory(header: &Header) -> u64 {
    header.decoding_bytes() + header.canvas_bytes()
}

/// Reads every frame.
fn animation(
    bytes: &[u8],
    header: &Header,
    view: View,
    _: &Limits,
    deadline: Deadline,
) -> Result<Animation, ImageError> {
    let frames = animation::of_frames(header, view, deadline, |each| frames(bytes, header, deadline, each))?;
    frames.in_srgb(profile(bytes).as_deref(), deadline)
}

/// Calls `each` for every frame, with the whole canvas and the frame's time in milliseconds, and returns how often the
/// animation is played (0 is for ever). A frame that is cut off by the end of the file is left out, unless it is the
/// first.
///
/// # Errors
/// [`ImageError::Corrupt`] where there is no frame, [`ImageError::TimeLimit`], and those of `each`.
pub(crate) fn frames(
    bytes: &[u8],
    header: &Header,
    deadline: Deadline,
    each: &mut EachFrame<'_>,
) -> Result<u32, ImageError> {
    let (screen, blocks) = blocks::open(bytes).ok_or_else(corrupt)?;
    let mut canvas = Canvas::new(header.stored);
    let mut lzw = Lzw::new();
    let (mut plays, mut shown) = (1, 0_u32);
    for block in blocks {
        match block {
            Block::Repeats(0) => plays = 0,
            Block::Repeats(more) => plays = more + 1,
            Block::Profile(_) => {}
            Block::Picture(picture) => {
                if shown > 0 && !picture.whole {
                    break;
                }
                canvas.begin(picture.area, picture.disposal);
                if !draw(&mut canvas, &picture, &screen, &mut lzw, deadline)? {
                    break;
                }
                each(&canvas.rgba, picture.delay * 10)?;
                shown += 1;
            }
        }
    }
    if shown > 0 { Ok(plays) } else { Err(corrupt()) }
}

impl GifPicture<'_> {
    /// The position in the picture of each stored row, in the order in which rows are stored.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let passes: &[(usize, usize)] =
            if self.interlaced { &[(0, 8), (4, 8), (2, 4), (1, 2)] } else { &[(0, 1)] };
        let height = self.area.height as usize;
        passes.iter().flat_map(move |&(first, step)| (first..height).step_by(step))
    }

    /// The colour of each index. Transparent indices and those beyond the palette have alpha 0. A file without any
    /// palette is grey.
    fn colours(&self, screen: &Screen<'_>) -> [[u8; 4]; 256] {
        let mut colours = [[0; 4]; 256];
        if let Some(palette) = self.palette.or(screen.palette) {
            for (colour, &[r, g, b]) in colours.iter_mut().zip(palette.as_chunks().0) {
                *colour = [r, g, b, 255];
            }
        } else {
            for (grey, colour) in (0..=255).zip(&mut colours) {
                *colour = [grey, grey, grey, 255];
            }
        }
        if let Some(index) = self.transparent {
            colours[usize::from(index)] = [0; 4];
        }
        colours
    }
}

/// Draws a picture on the canvas. Returns false if not one of its pixels could be decoded.
fn draw(
    canvas: &mut Canvas,
    picture: &GifPicture<'_>,
    screen: &Screen<'_>,
    lzw: &mut Lzw,
    deadline: Deadline,
) -> Result<bool, ImageError> {
    let area = picture.area;
    if area.pixels() == 0 {
        return Ok(true);
    }
    let indices = lzw.decode(picture.codes, picture.code_size, area.pixels(), deadline)?;
    let colours = picture.colours(screen).map(u32::from_le_bytes);
    let see_through = colours.iter().any(|&colour| colour >> 24 == 0);
    let mut rows = vec![None; area.height as usize];
    for (y, row) in picture.rows().zip(indices.chunks(area.width as usize)) {
        rows[y] = Some(row);
    }
    for y in 0..rows.len() {
        if y.is_multiple_of(ROWS_PER_CHECK) {
            deadline.check()?;
        }
        // If an interlaced picture is cut short, a missing row shows the nearest row above it from an earlier pass.
        let places = if picture.interlaced { [y, y & !1, y & !3, y & !7] } else { [y; 4] };
        let Some(stored) = places.into_iter().find_map(|y| rows[y]) else { continue };
        let shown = canvas.row(area, y).iter_mut().zip(stored);
        if see_through {
            for (pixel, &index) in shown {
                // Branch-free, because noise makes a branch unpredictable: alpha, which is 0 or 255, is extended to a
                // mask.
                let colour = colours[usize::from(index)];
                let kept = !(colour.cast_signed() >> 31).cast_unsigned();
                *pixel = (u32::from_le_bytes(*pixel) & kept | colour).to_le_bytes();
            }
        } else {
            for (pixel, &index) in shown {
                *pixel = colours[usize::from(index)].to_le_bytes();
            }
        }
    }
    Ok(!indices.is_empty())
}
