//! The chunks of a WebP file (RFC 9649, 2). A wrong length ends the walk, and nothing is allocated. The length in the
//! RIFF header is ignored, because it is wrong in any file that is cut off.

use std::iter;

use crate::scan::{Scan, le16, le24, le32};

/// The parts of a file.
#[derive(Debug, Default)]
pub(crate) struct Container<'a> {
    /// The size of the canvas, which only the extended form states.
    pub(super) canvas: Option<(u32, u32)>,
    /// The picture of a file that is not an animation.
    pub(super) picture: Option<WebpPicture<'a>>,
    /// How often an animation is played; 0 is for ever.
    pub(super) plays: u32,
    /// Frames, and metadata that is complete in the file.
    pub(crate) scan: Scan<'a>,
    body: &'a [u8],
}

/// A picture in the form that libwebp expects: its chunk, with that of its alpha channel before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebpPicture<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) size: (u32, u32),
    pub(crate) has_alpha: bool,
    pub(crate) lossless: bool,
}

/// A frame of an animation.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    /// How long the frame is shown, in milliseconds.
    pub(super) delay: u32,
    /// Whether the frame is blended with the canvas or replaces it.
    pub(super) blends: bool,
    /// Whether its area is cleared before the next frame.
    pub(super) disposes: bool,
    pub(super) picture: Option<WebpPicture<'a>>,
}

impl<'a> Container<'a> {
    pub(crate) fn read(file: &'a [u8]) -> Self {
        let body = file.get(12..).unwrap_or_default();
        let mut container =
            Container { body, plays: 1, picture: WebpPicture::first_of(body), ..Self::default() };
        let scan = &mut container.scan;
        if let Some(WebpPicture { size: (width, height), .. }) = container.picture {
            scan.saw_frame(width, height);
        }
        for Chunk { kind, data, whole, .. } in chunks(body) {
            match kind {
                b"VP8X" if container.canvas.is_none() => {
                    let side = |at| le24(data, at).map(|pixels| pixels + 1);
                    container.canvas = side(4).zip(side(7));
                    scan.animated = data.first().is_some_and(|flags| flags & 2 != 0);
                }
                b"ANIM" => container.plays = le16(data, 4).unwrap_or(container.plays),
                b"ANMF" => {
                    scan.frames = scan.frames.saturating_add(1);
                    if let (Some(width), Some(height)) = (le24(data, 6), le24(data, 9)) {
                        scan.saw_frame(width + 1, height + 1);
                    }
                    if let Some(WebpPicture { size: (width, height), .. }) =
                        Frame::read(data).and_then(|it| it.picture)
                    {
                        scan.saw_frame(width, height);
                    }
                }
                b"EXIF" if whole => scan.exif = scan.exif.or(Some(data)),
                b"ICCP" if whole => scan.profile = scan.profile.or(Some(data)),
                _ => {}
            }
        }
        // A file that claims to be an animation but contains only a picture shows that picture.
        scan.animated = scan.frames > 0 && (scan.animated || container.picture.is_none());
        container
    }

    /// The frames of an animation in order; the last one may be cut off.
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'a>> {
        chunks(self.body).filter(|chunk| chunk.kind == b"ANMF").map_while(|chunk| Frame::read(chunk.data))
    }
}

impl<'a> Frame<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let flags = *data.get(15)?;
        Some(Self {
            left: le24(data, 0)? * 2,
            top: le24(data, 3)? * 2,
            delay: le24(data, 12)?,
            blends: flags & 2 == 0,
            disposes: flags & 1 != 0,
            picture: WebpPicture::first_of(&data[16..]),
        })
    }
}

impl<'a> WebpPicture<'a> {
    fn first_of(body: &'a [u8]) -> Option<Self> {
        let mut alpha = None;
        let data = chunks(body).find_map(|chunk| match chunk.kind {
            b"ALPH" => {
                alpha = alpha.or(Some(chunk.start));
                None
            }
            b"VP8 " => Some(&body[alpha.unwrap_or(chunk.start)..chunk.end]),
            b"VP8L" => Some(&body[chunk.start..chunk.end]),
            _ => None,
        })?;
        let features = webp_codec::features(data)?;
        let webp_codec::Features { width, height, has_alpha, lossless } = features;
        Some(Self { data, size: (width, height), has_alpha, lossless })
    }
}

struct Chunk<'a> {
    kind: &'a [u8; 4],
    /// Offset of the chunk's header, and of the chunk's end or the end of the file.
    start: usize,
    end: usize,
    data: &'a [u8],
    /// Whether the chunk is complete.
    whole: bool,
}

fn chunks(body: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 0_usize;
    iter::from_fn(move || {
        let start = at;
        let kind = body.get(start..)?.first_chunk()?;
        let length = le32(body, start + 4)? as usize;
        let after = (start + 8).saturating_add(length);
        let end = after.min(body.len());
        at = after.saturating_add(length & 1);
        Some(Chunk { kind, start, end, data: &body[start + 8..end], whole: after == end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        assert_eq!(Container::read(b"RIFF\0\0\0\0WEBPICCP\xff\xff\xff\xffabc").scan.profile, None);
        assert_eq!(Container::read(b"RIFF\0\0\0\0WEBPANMF\xff\xff\xff\xffabc").frames().count(), 0);
        assert_eq!(Container::read(b"RIFF").scan.frames, 0);
    }

    #[test]
    fn a_frame_says_where_how_long_and_how_it_is_laid() {
        let mut data = vec![1, 0, 0, 2, 0, 0, 9, 0, 0, 7, 0, 0, 0x10, 0x27, 0, 3];
        let frame = Frame::read(&data).expect("a frame");
        assert_eq!((frame.left, frame.top, frame.delay), (2, 4, 10_000));
        assert!(!frame.blends && frame.disposes && frame.picture.is_none());
        data[15] = 0;
        let frame = Frame::read(&data).expect("a frame");
        assert!(frame.blends && !frame.disposes);
        assert!(Frame::read(&data[..15]).is_none());
    }
}
