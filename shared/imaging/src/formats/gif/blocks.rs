//! The blocks of a GIF file, read as leniently as browsers do: the walk ends where the file is cut off or odd, and what
//! came before counts. Nothing is decoded or allocated here.

use crate::{
    decode::canvas::{Area, Disposal},
    scan::le16,
};

/// The logical screen that the file announces. Its first picture may exceed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen<'a> {
    pub(super) size: (u32, u32),
    /// The global palette, RGB, for pictures without their own.
    pub(super) palette: Option<&'a [u8]>,
}

/// A graphic control extension, which applies to the next picture.
#[derive(Clone, Copy, Debug, Default)]
struct Control {
    disposal: Disposal,
    /// Hundredths of a second.
    delay: u32,
    transparent: Option<u8>,
}

/// A picture of the animation: its area on the screen, and where its codes lie in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct GifPicture<'a> {
    pub(super) area: Area,
    pub(super) interlaced: bool,
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparent: Option<u8>,
    pub(super) disposal: Disposal,
    /// Hundredths of a second.
    pub(super) delay: u32,
    /// The initial code size in bits.
    pub(super) code_size: u8,
    pub(super) codes: SubBlocks<'a>,
    /// Whether the codes are complete in the file.
    pub(super) whole: bool,
}

/// The blocks that matter here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Block<'a> {
    Picture(GifPicture<'a>),
    /// How often the animation is repeated after its first showing; 0 is for ever.
    Repeats(u32),
    /// An ICC profile.
    Profile(SubBlocks<'a>),
}

/// Iterates over a chain of sub-blocks of at most 255 bytes each.
#[derive(Clone, Copy, Debug)]
pub(super) struct SubBlocks<'a>(&'a [u8]);

impl<'a> Iterator for SubBlocks<'a> {
    type Item = &'a [u8];

    /// Returns the next sub-block. The last one may be cut short by the end of the file.
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.0.split_first()?;
        if length == 0 {
            return None;
        }
        let (piece, rest) = rest.split_at(rest.len().min(length.into()));
        self.0 = rest;
        Some(piece)
    }
}

impl<'a> SubBlocks<'a> {
    pub(super) fn new(chain: &'a [u8]) -> Self {
        Self(chain)
    }

    /// The rest of the file after the chain; `None` if the file ends before the chain does.
    fn after(mut self) -> Option<&'a [u8]> {
        while self.next().is_some() {}
        self.0.split_first().map(|(_, rest)| rest)
    }
}

/// Iterates over the blocks after the screen descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks<'a> {
    rest: Option<&'a [u8]>,
    control: Control,
}

/// Reads the header and the logical screen.
pub(super) fn open(file: &[u8]) -> Option<(Screen<'_>, Blocks<'_>)> {
    let flags = *file.get(10)?;
    let (palette, rest) = palette(flags, file.get(13..)?);
    let screen = Screen { size: (le16(file, 6)?, le16(file, 8)?), palette };
    Some((screen, Blocks { rest: Some(rest), control: Control::default() }))
}

/// The palette that the flags announce, as far as the file has it, and the bytes after it.
fn palette(flags: u8, bytes: &[u8]) -> (Option<&[u8]>, &[u8]) {
    if flags & 0x80 == 0 {
        return (None, bytes);
    }
    let (palette, rest) = bytes.split_at(bytes.len().min(3 << ((flags & 7) + 1)));
    (Some(palette), rest)
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        loop {
            let (&kind, rest) = self.rest.take()?.split_first()?;
            match kind {
                // Some encoders terminate a chain twice.
                0 => self.rest = Some(rest),
                0x21 => {
                    let (&label, rest) = rest.split_first()?;
                    let chain = SubBlocks(rest);
                    self.rest = chain.after();
                    if let Some(block) = self.extension(label, chain) {
                        return Some(block);
                    }
                }
                0x2c => return self.picture(rest).map(Block::Picture),
                // The trailer, or bytes that are not GIF any more.
                _ => return None,
            }
        }
    }
}

impl<'a> Blocks<'a> {
    fn extension(&mut self, label: u8, mut chain: SubBlocks<'a>) -> Option<Block<'a>> {
        let first = chain.next()?;
        match label {
            0xf9 => {
                self.control = control(first)?;
                None
            }
            0xff if matches!(first, b"NETSCAPE2.0" | b"ANIMEXTS1.0") => chain
                .find(|piece| piece.first() == Some(&1))
                .and_then(|piece| le16(piece, 1))
                .map(Block::Repeats),
            0xff if first == b"ICCRGBG1012" => Some(Block::Profile(chain)),
            _ => None,
        }
    }

    fn picture(&mut self, bytes: &'a [u8]) -> Option<GifPicture<'a>> {
        let control = std::mem::take(&mut self.control);
        let flags = *bytes.get(8)?;
        let (palette, rest) = palette(flags, bytes.get(9..)?);
        let (code_size, codes) = rest.split_first().map_or((0, rest), |(&size, rest)| (size, rest));
        let codes = SubBlocks(codes);
        self.rest = codes.after();
        Some(GifPicture {
            area: Area {
                left: le16(bytes, 0)?,
                top: le16(bytes, 2)?,
                width: le16(bytes, 4)?,
                height: le16(bytes, 6)?,
            },
            interlaced: flags & 0x40 != 0,
            palette,
            transparent: control.transparent,
            disposal: control.disposal,
            delay: control.delay,
            code_size,
            codes,
            whole: self.rest.is_some(),
        })
    }
}

fn control(bytes: &[u8]) -> Option<Control> {
    let [flags, low, high, transparent, ..] = *bytes else { return None };
    Some(Control {
        disposal: match flags >> 2 & 7 {
            // The standard says "restore to background colour", but no browser uses that colour.
            2 => Disposal::Clear,
            // An early draft of the standard had 4 for the same.
            3 | 4 => Disposal::Restore,
            _ => Disposal::Keep,
        },
        delay: u16::from_le_bytes([low, high]).into(),
        transparent: (flags & 1 == 1).then_some(transparent),
    })
}
