//! Checks that a file is sound from end to end, and strips it of everything but the pictures.

use super::{blocks::SubBlocks, lzw::Lzw};
use crate::{Deadline, TimedOut, scan::le16};

/// The application extensions that state how often an animation is repeated.
const REPEATS: [&[u8]; 2] = [b"NETSCAPE2.0", b"ANIMEXTS1.0"];

/// The file without comments, application data (except for the repeat count) and trailing bytes; a file without these
/// stays the same. `None` if the result has more than `most` bytes, or if anything is odd: a picture that is
/// incomplete, exceeds the screen or has no palette, an unknown block, or an ICC profile.
///
/// # Errors
/// [`TimedOut`].
pub(crate) fn without_metadata(
    file: &[u8],
    most: usize,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, TimedOut> {
    let mut walk = Walk { file, at: 0, kept: Vec::new(), most, pictures: 0 };
    Ok(walk.run(deadline)?.map(|()| walk.kept))
}

struct Walk<'a> {
    file: &'a [u8],
    at: usize,
    kept: Vec<u8>,
    /// The most bytes that may be kept.
    most: usize,
    pictures: u32,
}

impl<'a> Walk<'a> {
    fn run(&mut self, deadline: Deadline) -> Result<Option<()>, TimedOut> {
        let mut lzw = Lzw::new();
        let Some(screen) = self.screen() else { return Ok(None) };
        loop {
            deadline.check()?;
            let going = match self.file.get(self.at) {
                // Some encoders terminate a chain twice.
                Some(0) => {
                    self.at += 1;
                    Some(())
                }
                Some(0x21) => self.extension(),
                Some(0x2c) => self.picture(screen, &mut lzw, deadline)?,
                Some(0x3b) if self.pictures > 0 => {
                    return Ok(self.keep(1).map(|_| ()));
                }
                _ => None,
            };
            if going.is_none() {
                return Ok(None);
            }
        }
    }

    /// Keeps the next `count` bytes; `None` if there are not so many, or the result would be too large.
    fn keep(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.file.get(self.at..self.at.checked_add(count)?)?;
        if count > self.most - self.kept.len() {
            return None;
        }
        self.kept.extend_from_slice(bytes);
        self.at += count;
        Some(bytes)
    }

    /// Keeps a palette if the flags announce one, and returns whether they do.
    fn palette(&mut self, flags: u8) -> Option<bool> {
        let there = flags & 0x80 != 0;
        if there {
            self.keep(3 << ((flags & 7) + 1))?;
        }
        Some(there)
    }

    /// Keeps the header and the screen. Returns the screen's size and whether it has a palette.
    fn screen(&mut self) -> Option<(u32, u32, bool)> {
        let head = self.keep(13)?;
        let palette = self.palette(head[10])?;
        matches!(&head[..6], b"GIF87a" | b"GIF89a").then_some(())?;
        Some((le16(head, 6)?, le16(head, 8)?, palette))
    }

    /// The end of the chain of sub-blocks that begins at `at`.
    fn chain_end(&self, mut at: usize) -> Option<usize> {
        loop {
            let length = usize::from(*self.file.get(at)?);
            at += 1 + length;
            if length == 0 {
                return Some(at);
            }
        }
    }

    fn extension(&mut self) -> Option<()> {
        let label = *self.file.get(self.at + 1)?;
        let end = self.chain_end(self.at + 2)?;
        let chain = self.file.get(self.at + 2..end)?;
        match (label, chain) {
            (0xf9, [4, _, _, _, _, 0]) => {
                self.keep(8)?;
            }
            (0xff, [11, name @ .., 3, 1, _, _, 0]) if REPEATS.contains(&name) => {
                self.keep(end - self.at)?;
            }
            (0xff, [11, name @ ..])
                if !name.starts_with(b"ICCRGBG1012") && !name.starts_with(b"NETSCAPE2.0") => {}
            // A comment, which is dropped.
            (0xfe, _) => {}
            _ => return None,
        }
        self.at = end;
        Some(())
    }

    fn picture(
        &mut self,
        (width, height, shared): (u32, u32, bool),
        lzw: &mut Lzw,
        deadline: Deadline,
    ) -> Result<Option<()>, TimedOut> {
        let Some((pixels, code_size)) = self.descriptor(width, height, shared) else { return Ok(None) };
        let Some(end) = self.chain_end(self.at) else { return Ok(None) };
        let codes = SubBlocks::new(&self.file[self.at..end]);
        if lzw.decode(codes, code_size, pixels, deadline)?.len() != pixels {
            return Ok(None);
        }
        self.pictures += 1;
        Ok(self.keep(end - self.at).map(|_| ()))
    }

    /// Keeps a picture's descriptor. Returns its number of pixels and its initial code size.
    fn descriptor(&mut self, width: u32, height: u32, shared: bool) -> Option<(usize, u8)> {
        let head = self.keep(10)?;
        let (left, top) = (le16(head, 1)?, le16(head, 3)?);
        let (across, down) = (le16(head, 5)?, le16(head, 7)?);
        let own = self.palette(head[9])?;
        let inside = across > 0 && down > 0 && left + across <= width && top + down <= height;
        let code_size = self.keep(1)?[0];
        (inside && (own || shared)).then_some((across as usize * down as usize, code_size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = include_bytes!("../../../tests/promises/samples/animations/disposal-1.gif");

    fn kept(file: &[u8]) -> Option<Vec<u8>> {
        without_metadata(file, usize::MAX, Deadline::none()).expect("time enough")
    }

    /// The sample with these bytes inserted before its first picture.
    fn with(extension: &[u8]) -> Vec<u8> {
        let plain = kept(SAMPLE).expect("a sound file");
        let at = plain.windows(3).position(|bytes| bytes == [0x21, 0xf9, 4]).expect("a control extension");
        [&plain[..at], extension, &plain[at..]].concat()
    }

    #[test]
    fn a_sound_file_without_metadata_is_the_same_bytes() {
        let plain = kept(SAMPLE).expect("a sound file");
        assert_eq!(kept(&plain).expect("a sound file"), plain);
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_kept() {
        let plain = kept(SAMPLE).expect("a sound file");
        let comment = with(b"\x21\xfe\x03who\x00");
        let within = |most| without_metadata(&comment, most, Deadline::none()).expect("time enough");
        assert_eq!(within(plain.len()).as_ref(), Some(&plain));
        assert!((0..plain.len()).all(|most| within(most).is_none()));
    }

    #[test]
    fn blocks_beside_the_pictures_are_left_out() {
        let plain = kept(SAMPLE).expect("a sound file");
        let xmp = [b"\x21\xff\x0bXMP DataXMP\x05where\x00".as_slice(), b"\x21\xfe\x03who\x00"].concat();
        assert_eq!(kept(&with(&xmp)).expect("a sound file"), plain);
        assert_eq!(kept(&[&plain[..], b"behind the end"].concat()).expect("a sound file"), plain);
    }

    #[test]
    fn odd_or_damaged_files_are_not_kept() {
        let plain = kept(SAMPLE).expect("a sound file");
        for (what, file) in [
            ("a profile", with(b"\x21\xff\x0bICCRGBG1012\x03icc\x00")),
            ("text", with(b"\x21\x01\x03abc\x00")),
            ("an unknown block", with(b"\x07")),
            ("no end", plain[..plain.len() - 1].to_vec()),
            ("half a picture", plain[..plain.len() / 2].to_vec()),
        ] {
            assert!(kept(&file).is_none(), "{what}");
        }
        for at in 0..plain.len() {
            assert!(kept(&plain[..at]).is_none(), "{at} bytes");
        }
    }
}
