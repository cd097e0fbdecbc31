//! What the decoders do not tell before they decode: how many frames there are, how large the first one claims to
//! be, and where the metadata lies. Each scan walks the file's blocks by their lengths, decodes nothing, allocates
//! nothing and ends where the structure does; what is cut off or odd simply ends it.

/// What a walk over the blocks of a file found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan<'a> {
    /// Frames, 0 where none was found.
    pub(crate) frames: u32,
    /// Whether the file says that it is an animation.
    pub(crate) animated: bool,
    /// The largest size that a frame's own header claims, which may exceed the canvas.
    pub(crate) largest_frame: (u32, u32),
    /// The EXIF block.
    pub(crate) exif: Option<&'a [u8]>,
    /// The ICC profile.
    pub(crate) profile: Option<&'a [u8]>,
}

impl Scan<'_> {
    fn saw_frame(&mut self, width: u32, height: u32) {
        let area = |(w, h)| u64::from(w) * u64::from(h);
        if area((width, height)) > area(self.largest_frame) {
            self.largest_frame = (width, height);
        }
    }
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// PNG: the size in IHDR, which is read here so that a huge claim is refused for what it is.
pub(crate) fn png_size(file: &[u8]) -> Option<(u32, u32)> {
    (file.get(12..16)? == b"IHDR").then_some((be32(file, 16)?, be32(file, 20)?))
}

/// PNG: frames by `acTL` or `fcTL`, whichever says more, and `eXIf` wherever it lies.
pub(crate) fn png(file: &[u8]) -> Scan<'_> {
    let (mut scan, mut announced, mut controls, mut at) = (Scan::default(), 0, 0_u32, 8_usize);
    while let (Some(length), Some(kind)) = (be32(file, at), file.get(at + 4..at + 8)) {
        let end = (at + 8).saturating_add(length as usize);
        match kind {
            b"acTL" if !scan.animated => {
                scan.animated = true;
                announced = be32(file, at + 8).unwrap_or(0);
            }
            b"fcTL" => controls = controls.saturating_add(1),
            b"eXIf" => scan.exif = scan.exif.or_else(|| file.get(at + 8..end)),
            b"IEND" => break,
            _ => {}
        }
        at = end.saturating_add(4);
    }
    scan.frames = if scan.animated { announced.max(controls).max(1) } else { 1 };
    scan
}

/// GIF: one frame for each image descriptor.
pub(crate) fn gif(file: &[u8]) -> Scan<'_> {
    fn color_table(flags: u8) -> usize {
        if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
    }
    fn after_sub_blocks(file: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match *file.get(at)? {
                0 => return Some(at + 1),
                length => at += 1 + usize::from(length),
            }
        }
    }
    fn next_block(file: &[u8], at: usize, scan: &mut Scan<'_>) -> Option<usize> {
        match *file.get(at)? {
            0x21 => after_sub_blocks(file, at + 2),
            0x2c => {
                let flags = *file.get(at + 9)?;
                scan.saw_frame(le16(file, at + 5)?, le16(file, at + 7)?);
                scan.frames = scan.frames.saturating_add(1);
                after_sub_blocks(file, at + 10 + color_table(flags) + 1)
            }
            _ => None,
        }
    }
    let mut scan = Scan::default();
    let mut at = file.get(10).map(|&flags| 13 + color_table(flags));
    while let Some(start) = at {
        at = next_block(file, start, &mut scan);
    }
    scan.animated = scan.frames > 1;
    scan
}

/// WebP: one frame for each `ANMF`, or one picture; EXIF and ICC only where they lie wholly inside the file, because
/// the decoder would allocate what a chunk merely claims.
pub(crate) fn webp(file: &[u8]) -> Scan<'_> {
    fn chunks<'a>(body: &'a [u8], mut visit: impl FnMut(&[u8], &'a [u8], bool)) {
        let mut at = 0_usize;
        while let (Some(kind), Some(length)) = (body.get(at..at + 4), le32(body, at + 4)) {
            let (start, length) = (at + 8, length as usize);
            let end = start.saturating_add(length);
            let whole = end <= body.len();
            visit(kind, body.get(start..end.min(body.len())).unwrap_or_default(), whole);
            at = end.saturating_add(length & 1);
        }
    }
    fn picture_size(kind: &[u8], data: &[u8]) -> Option<(u32, u32)> {
        match kind {
            b"VP8 " if data.get(3..6)? == [0x9d, 0x01, 0x2a] => {
                Some((le16(data, 6)? & 0x3fff, le16(data, 8)? & 0x3fff))
            }
            b"VP8L" if *data.first()? == 0x2f => {
                let bits = le32(data, 1)?;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"ANMF" => Some((le24(data, 6)? + 1, le24(data, 9)? + 1)),
            _ => None,
        }
    }
    let mut scan = Scan::default();
    chunks(file.get(12..).unwrap_or_default(), |kind, data, whole| {
        if let Some((width, height)) = picture_size(kind, data) {
            scan.saw_frame(width, height);
        }
        match kind {
            b"EXIF" if whole => scan.exif = scan.exif.or(Some(data)),
            b"ICCP" if whole => scan.profile = scan.profile.or(Some(data)),
            b"ANMF" => {
                scan.animated = true;
                scan.frames = scan.frames.saturating_add(1);
                chunks(data.get(16..).unwrap_or_default(), |kind, data, _| {
                    if let Some((width, height)) = picture_size(kind, data) {
                        scan.saw_frame(width, height);
                    }
                });
            }
            _ => {}
        }
    });
    scan.frames = scan.frames.max(1);
    scan
}

/// TIFF: the largest size that a JPEG inside claims. The TIFF decoder allocates what such a strip says of itself,
/// whatever the TIFF's own tags say.
pub(crate) fn tiff_jpeg(file: &[u8]) -> (u32, u32) {
    let mut scan = Scan::default();
    for at in file.windows(9) {
        // Start of frame (baseline, extended, progressive), two bytes of length, 8 bits, height, width.
        if let [0xff, 0xc0..=0xc2, 0, 11..=20, 8, h0, h1, w0, w1] = *at {
            scan.saw_frame(u32::from_be_bytes([0, 0, w0, w1]), u32::from_be_bytes([0, 0, h0, h1]));
        }
    }
    scan.largest_frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gif_frames_are_counted_with_their_own_sizes() {
        let mut file = b"GIF89a\x04\0\x04\0\x80\0\0".to_vec();
        file.extend([0; 6]); // a global table of two colours
        file.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0");
        for (width, flags, table) in [(2_u8, 0_u8, 0), (3, 0x80, 6)] {
            file.extend([0x21, 0xf9, 4, 0, 0, 0, 0, 0, 0x2c, 0, 0, 0, 0, width, 0, 2, 0, flags]);
            file.extend(vec![0; table]);
            file.extend([2, 2, 0x44, 1, 0]);
        }
        let ended = [&file[..], &[0x3b]].concat();
        let whole = gif(&ended);
        assert_eq!((whole.frames, whole.animated, whole.largest_frame), (2, true, (3, 2)));
        assert_eq!(gif(&file[..file.len() - 3]).frames, 2, "a cut-off frame counts");
        assert_eq!(gif(b"GIF89a").frames, 0);
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        assert_eq!(png(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffacTL").frames, 1);
        assert_eq!(webp(b"RIFF\0\0\0\0WEBPICCP\xff\xff\xff\xffabc").profile, None);
        assert_eq!(webp(b"RIFF").frames, 1);
    }
}
