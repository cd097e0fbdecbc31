//! Chunks in JPEG 2000 (ITU-T T.800), as slide scanners write them, decoded by `hayro-jpeg2000`.
//!
//! That decoder checks neither deadlines nor limits, so the headers are checked here first: a chunk has at most
//! [`MAX_PIXELS`], and the memory that its headers demand is checked against the limit. Headers that scanners do not
//! write (different settings for each tile, changes of the progression order, packed packet headers) are refused,
//! because they make that memory hard to compute. If the decoder panics nevertheless, the chunk counts as undecodable.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{
    FORMAT,
    chunk::Chunk,
    page::{Compression, Page},
};
use crate::{Deadline, ImageError, Limits, formats::jpeg::from_ycbcr};

/// The most pixels of a chunk; that many are decoded without a check of the deadline.
const MAX_PIXELS: u64 = 1 << 20;

const SOC: u8 = 0x4f;
const SIZ: u8 = 0x51;
const COD: u8 = 0x52;
const COC: u8 = 0x53;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
/// Markers that do not affect the memory: lengths, quantisation, registration and comments.
const HARMLESS: [u8; 7] = [0x55, 0x57, 0x58, 0x5c, 0x5d, 0x63, 0x64];

/// The contents of the main header.
#[derive(Debug, PartialEq)]
struct Headers {
    width: u32,
    height: u32,
    /// Size of a tile in pixels.
    tile: (u32, u32),
    components: Vec<Component>,
    /// Whether the stream was made by a colour transform of the first three components, which the decoder reverses to
    /// RGB.
    transformed: bool,
    styles: Vec<Style>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Component {
    /// Pixels per sample, across and down.
    across: u8,
    down: u8,
}

/// The coding style of components (ITU-T T.800, A.6.1).
#[derive(Debug, PartialEq)]
struct Style {
    layers: u64,
    /// Exponents of the sides of a code block.
    block: (u8, u8),
    /// Whether each coding pass is a segment of its own.
    by_pass: bool,
    /// Exponents of the sides of a precinct, from the lowest resolution up.
    precincts: Vec<(u8, u8)>,
}

/// Decodes a chunk; `None` if nothing of it can be shown.
///
/// # Errors
/// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; [`ImageError::UnsupportedFeature`] for the headers that
/// the module refuses.
pub(super) fn decode(
    page: &Page<'_>,
    packed: &[u8],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Chunk>, ImageError> {
    deadline.check()?;
    let Some(stream) = codestream(packed) else { return Ok(None) };
    let headers = match Headers::read(stream) {
        Some(Ok(headers)) => headers,
        Some(Err(what)) => return Err(unsupported(what)),
        None => return Ok(None),
    };
    let (width, height, count) = (headers.width, headers.height, headers.components.len());
    if count != page.samples_in_chunk() || width > page.chunk.0 || height > page.chunk.1 {
        return Ok(None);
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(unsupported("so many pixels in one piece"));
    }
    limits.check_memory(page.picture_bytes().saturating_add(headers.memory(stream.len())))?;
    let bytes = page.bits as usize / 8;
    let mut samples = vec![0; pixels as usize * count * bytes];
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let image = Image::new(stream, &DecodeSettings::default()).ok()?;
        let mut context = DecoderContext::default();
        let decoded = image.decode(&mut context).ok()?;
        for (component, channel) in decoded.components().iter().take(count).enumerate() {
            let most = ((1_u64 << channel.bit_depth()) - 1) as f32;
            let scale = if bytes == 2 { 65_535.0 } else { 255.0 } / most;
            let places = samples.chunks_exact_mut(bytes).skip(component).step_by(count);
            for (place, sample) in places.zip(channel.samples()) {
                let value = (sample * scale).round();
                if bytes == 2 {
                    let value = value as u16;
                    place.copy_from_slice(&if page.directory.file().little() {
                        value.to_le_bytes()
                    } else {
                        value.to_be_bytes()
                    });
                } else {
                    place[0] = value as u8;
                }
            }
        }
        Some(())
    }));
    deadline.check()?;
    if !matches!(decoded, Ok(Some(()))) {
        return Ok(None);
    }
    if page.compression == (Compression::Jpeg2000 { chroma: true }) && bytes == 1 && !headers.is_rgb() {
        for pixel in samples.chunks_exact_mut(count) {
            if let [y, cb, cr, ..] = pixel {
                [*y, *cb, *cr] = from_ycbcr([*y, *cb, *cr].map(f32::from));
            }
        }
    }
    Ok(Some(Chunk { row: width as usize * count * bytes, samples }))
}

fn unsupported(what: &'static str) -> ImageError {
    ImageError::UnsupportedFeature { format: FORMAT, source: format!("JPEG 2000 with {what}").into() }
}

/// The codestream, which may be wrapped in the boxes of a JP2 file.
fn codestream(packed: &[u8]) -> Option<&[u8]> {
    if packed.starts_with(&[0xff, SOC]) {
        return Some(packed);
    }
    let mut rest = packed;
    loop {
        let [a, b, c, d, kind @ ..] = rest.first_chunk::<8>()?;
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let end = if length == 0 { rest.len() } else { length.min(rest.len()) };
        if kind == b"jp2c" {
            return rest.get(8..end);
        }
        rest = rest.get(end.max(8)..)?;
    }
}

impl Headers {
    /// Reads the main header, and checks those of all tile parts. `None` if they cannot be read; the inner error names
    /// a feature that is not supported.
    fn read(stream: &[u8]) -> Option<Result<Self, &'static str>> {
        let mut segments = Segments { rest: stream.strip_prefix(&[0xff, SOC])? };
        let (marker, size) = segments.next()?;
        if marker != SIZ {
            return None;
        }
        let mut headers = Self::size(size)?;
        let mut default = None;
        let before = loop {
            let before = segments.rest;
            let (marker, content) = segments.next()?;
            match marker {
                COD => {
                    let (style, transformed) = Style::of_all(content)?;
                    headers.transformed = transformed;
                    default = Some(style.layers);
                    headers.styles.push(style);
                }
                COC => {
                    let one = content.get(if headers.components.len() < 257 { 1 } else { 2 }..)?;
                    let layers = default.unwrap_or(Style::MOST_LAYERS);
                    headers.styles.push(Style::read(layers, *one.first()?, one.get(1..)?)?);
                }
                SOT => break before,
                marker if HARMLESS.contains(&marker) => {}
                _ => return Some(Err("a rare kind of main header")),
            }
        };
        default?;
        Some(tile_parts(before).map(|()| headers))
    }

    fn size(content: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_be_bytes(*content.get(at..)?.first_chunk()?));
        let [right, bottom, left, top] = [number(2)?, number(6)?, number(10)?, number(14)?];
        let [tile_width, tile_height, tile_left, tile_top] =
            [number(18)?, number(22)?, number(26)?, number(30)?];
        let count = usize::from(u16::from_be_bytes(*content.get(34..)?.first_chunk()?));
        let components = content.get(36..)?.as_chunks::<3>().0;
        let plain = (left, top, tile_left, tile_top) == (0, 0, 0, 0);
        let depths = components.iter().all(|[depth, across, down]| {
            (depth & 0x7f) < 16 && (1..=4).contains(across) && (1..=4).contains(down)
        });
        if !plain || right == 0 || bottom == 0 || tile_width == 0 || tile_height == 0 || !depths {
            return None;
        }
        if count == 0 || components.len() != count || components[0][1..] != [1, 1] {
            return None;
        }
        Some(Self {
            width: right,
            height: bottom,
            tile: (tile_width.min(right), tile_height.min(bottom)),
            components: components.iter().map(|&[_, across, down]| Component { across, down }).collect(),
            transformed: false,
            styles: Vec::new(),
        })
    }

    /// Whether the decoder returns RGB, whatever the TIFF says. That is so if the stream states a colour transform, or
    /// if chroma is subsampled, from which the decoder concludes that it should convert to RGB.
    fn is_rgb(&self) -> bool {
        let shared = |component: &Component| (component.across, component.down);
        let shares = match &self.components[..] {
            [_, blue, red] => shared(blue) == shared(red) && shared(blue) != (1, 1),
            _ => false,
        };
        self.transformed || shares
    }

    /// The most bytes that decoding takes in addition to the page. They are computed from the sizes of the decoder's
    /// structures, each counted twice, because lists double when they grow.
    fn memory(&self, packed: usize) -> u64 {
        /// Per pixel: a sample, a coefficient and two steps of the transform in floats, and the sample of the result.
        const SAMPLE: u64 = 4 + 2;
        const PIXEL: u64 = 3 * 4;
        const TILE: u64 = 1024;
        const PRECINCT: u64 = 2 * 160;
        const BLOCK: u64 = 2 * 192;
        const LAYER: u64 = 2 * 24;
        const SEGMENT: u64 = 2 * 40;
        /// The most coding passes of a block.
        const PASSES: u64 = 164;
        let count = self.components.len() as u64;
        let pixels = u64::from(self.width) * u64::from(self.height);
        let tiles =
            u64::from(self.width.div_ceil(self.tile.0)) * u64::from(self.height.div_ceil(self.tile.1));
        let style = |style: &Style| {
            let levels = style.precincts.len() as u32;
            let (mut precincts, mut blocks) = (0_u64, 0_u64);
            for (level, (across, down)) in style.precincts.iter().enumerate() {
                let shift = (levels - 1 - level as u32).min(31);
                let bands = if level == 0 { 1 } else { 3 };
                let side = |side: u32, exponent: u8| u64::from(side >> shift >> exponent.min(31)) + 2;
                precincts += bands * side(self.tile.0, *across) * side(self.tile.1, *down);
                // Subbands are half as large as their resolution level, except for the lowest one; so are a precinct's
                // parts of them.
                let half = u8::from(level > 0);
                let (across, down) = (
                    across.saturating_sub(half).min(style.block.0),
                    down.saturating_sub(half).min(style.block.1),
                );
                blocks += bands * side(self.tile.0 >> half, across) * side(self.tile.1 >> half, down);
            }
            // A coding pass takes at least three bits of a header.
            let by_pass = if style.by_pass { PASSES } else { 1 };
            let segments = (blocks * style.layers * by_pass).min(packed as u64 * 3);
            precincts * PRECINCT + blocks * (BLOCK + style.layers * LAYER) + segments * SEGMENT
        };
        let cut_up = self.styles.iter().map(style).max().unwrap_or(0);
        pixels * (PIXEL + SAMPLE * count) + tiles * count * TILE + count * cut_up
    }
}

impl Style {
    /// The most layers that are decoded.
    const MOST_LAYERS: u64 = 32;

    /// The coding style of all components, and whether a colour transform was applied.
    fn of_all(content: &[u8]) -> Option<(Self, bool)> {
        let [coding, _, high, low, transformed, rest @ ..] = content else { return None };
        let layers = u64::from(u16::from_be_bytes([*high, *low]));
        let style = Self::read(layers.min(Self::MOST_LAYERS), *coding, rest)?;
        Some((style, *transformed == 1))
    }

    fn read(layers: u64, coding: u8, content: &[u8]) -> Option<Self> {
        let [levels, width, height, style, _, sizes @ ..] = content else { return None };
        let levels = usize::from(*levels) + 1;
        let precincts = if coding & 1 == 1 {
            sizes.get(..levels)?.iter().map(|size| (size & 15, size >> 4)).collect()
        } else {
            vec![(15, 15); levels.min(33)]
        };
        let block = (width.checked_add(2)?, height.checked_add(2)?);
        // Passes that bypass the arithmetic coder, or are terminated one by one, are segments of their own.
        Some(Self { layers, block, by_pass: style & 5 != 0, precincts })
    }
}

/// Checks the headers of the tile parts: none may change the settings of the main header.
fn tile_parts(mut rest: &[u8]) -> Result<(), &'static str> {
    while let [0xff, SOT, _, _, _, _, a, b, c, d, _, _, content @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let mut segments = Segments { rest: content };
        loop {
            if segments.rest.starts_with(&[0xff, SOD]) {
                break;
            }
            match segments.next() {
                Some((marker, _)) if HARMLESS.contains(&marker) => {}
                // The stream is cut off: nothing more will be decoded.
                None if segments.rest.len() < 4 => return Ok(()),
                _ => return Err("other settings for each tile"),
            }
        }
        // If the headers are longer than the tile part's stated length, the decoder would continue after the headers.
        let headers = 12 + content.len() - segments.rest.len();
        if length > 0 && headers > length {
            return Err("headers longer than their tile");
        }
        // A tile part without a length extends to the end.
        let Some(next) = rest.get(length..).filter(|_| length >= 12) else { return Ok(()) };
        rest = next;
    }
    Ok(())
}

/// Iterates over marker segments.
struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// Returns a marker, and the content after its length.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [0xff, marker, high, low, behind @ ..] = self.rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        let (content, rest) = behind.split_at_checked(length)?;
        self.rest = rest;
        Some((*marker, content))
    }
}
