//! Finds what decoders do not tell before they decode: the number of frames, the size that the largest one claims, and
//! the metadata. Each scan walks the file's blocks by their lengths, without decoding or allocating. A block that is
//! cut off or odd ends the scan.

/// The findings of a walk over the blocks of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan<'a> {
    /// The number of frames; 0 if none was found.
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
    pub(crate) fn saw_frame(&mut self, width: u32, height: u32) {
        let area = |(w, h)| u64::from(w) * u64::from(h);
        if area((width, height)) > area(self.largest_frame) {
            self.largest_frame = (width, height);
        }
    }
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)))
}

pub(crate) fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
