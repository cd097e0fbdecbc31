//! One AV1 picture, by `rusty_av1d` 1.2.1: rav1d, which is dav1d in Rust, without its assembler.
//!
//! It is little known, and it is the only one that serves (2026-11). rav1d 1.1.0 has an interface in C alone, and `re_rav1d` 0.1.3, which is
//! well used, has one in Rust on top of that: damaged data makes either panic in a function of C's kind, which ends the
//! process. `rav1d-safe` and `zenavif` are under the AGPL; dav1d and libaom need a compiler of C, nasm and more build
//! systems than one. Here a panic unwinds, and neither nasm nor a compiler of C is needed. Compared
//! with rav1d 1.1.0, how it decodes and what is `unsafe` in it are the same but for names.
//!
//! Measured on one core of a busy machine, CPU from bytes to a thumbnail of 100×100: 0.19 s for 2 megapixels at 4:2:0, 0.32 s at
//! 4:4:4, 0.27 s with 10 bits, 1.1 s for 12 megapixels; with the filters that so small a thumbnail does not need, 0.29, 0.36, 0.32 and
//! 1.5 s. Pillow decodes the first and the last in 0.09 and 0.38 s, by dav1d with its assembler. At the peak the last takes 43 MB, 18
//! of them for its planes. The decoder adds 1.2 MB to a binary.
//!
//! A stream of units is handed over one by one, and the clock is looked at between them; a picture that has begun cannot
//! be stopped, so what one can cost is bounded by the limit on pixels. The decoder runs on this thread alone. It has a limit
//! on pixels, and what it will take is reckoned from the stream's own headers and held against the limit on memory
//! before each picture.
//!
//! On damaged data it panics rather than fail (rav1d's issues 1476 and 1497, in every release and fork of it): that is
//! caught here, and the picture is one that cannot be shown. Nothing of a decoder that panicked is used again. What it has to
//! say of such data it prints to standard error.

use std::panic::{self, AssertUnwindSafe};

use rusty_av1d::{
    Decoder, InloopFilterType, Picture, PixelLayout, PlanarImageComponent, Rav1dError, Settings,
};

use super::{
    properties::Meaning,
    stream::{self, Chroma, Sequence},
};
use crate::{Deadline, ImageError, Limits};

/// Pictures that a stream may have up to the one that is shown: layers, and what others are predicted from.
const MOST_PICTURES: u32 = 8;

/// Bytes that the decoder keeps for each pixel beside the picture: filter levels, motion, segments.
const BESIDE: u64 = 1;
/// Bytes of a tile's probabilities, pixels that a tile has at the least, and the tiles that a picture has at the most.
const TILE: u64 = 20 << 10;
const TILE_PIXELS: u64 = 64 * 64;
const MOST_TILES: u64 = 4096;
/// Bytes of an idle decoder.
const IDLE: u64 = 2 << 20;

/// Which picture of a stream is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Its pixels across and down.
    pub(super) size: (u32, u32),
    pub(super) operating_point: u8,
    /// The layer; the last one if none is named.
    pub(super) layer: Option<u16>,
    /// Whether the edges of blocks are smoothed.
    pub(super) filtered: bool,
}

/// A decoded picture: three planes, or one.
pub(super) struct Planes {
    picture: Picture,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits of a sample: 8, 10 or 12.
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    /// What the stream says of its colours.
    pub(super) meaning: Meaning,
    /// Bytes that are held.
    pub(super) bytes: u64,
}

/// Decodes the picture that is wanted; `None` where it cannot be, or has another size. `held` are the bytes that are taken already.
///
/// # Errors
/// [`ImageError::TimeLimit`] or [`ImageError::DecoderMemory`].
pub(super) fn decode(
    data: &[u8],
    wanted: Wanted,
    held: u64,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Planes>, ImageError> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(true);
    settings.set_operating_point(wanted.operating_point);
    settings.set_frame_size_limit(wanted.size.0.saturating_mul(wanted.size.1));
    if !wanted.filtered {
        settings.set_inloop_filters(InloopFilterType::empty());
    }
    let decoder = guarded(|| Decoder::with_settings(&settings));
    let Some(Ok(mut decoder)) = decoder else { return Ok(None) };
    let shown = feed(&mut decoder, data, wanted, held, limits, deadline);
    // What is left of one that panicked is taken down with the same care.
    guarded(move || drop(decoder));
    let planes = shown?.and_then(|(picture, sequence)| guarded(|| Planes::of(picture, &sequence)));
    Ok(planes.filter(|planes| (planes.width as u64, planes.height as u64) == pair(wanted.size)))
}

fn pair((width, height): (u32, u32)) -> (u64, u64) {
    (width.into(), height.into())
}

/// Hands the stream over until it has shown the picture.
fn feed(
    decoder: &mut Decoder,
    data: &[u8],
    wanted: Wanted,
    held: u64,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<(Picture, Sequence)>, ImageError> {
    let (mut sequence, mut pictures, mut shown, mut last) = (None::<Sequence>, 0, 0, None);
    for (kind, unit, content) in stream::units(data) {
        deadline.check()?;
        if kind == stream::SEQUENCE_HEADER {
            sequence = Sequence::read(content, wanted.operating_point);
        }
        let Some(sequence) = sequence else { continue };
        if stream::PICTURES.contains(&kind) {
            pictures += 1;
            if pictures > MOST_PICTURES {
                break;
            }
            let all = memory(&sequence, wanted.size, pictures);
            limits.check_memory(held.saturating_add(all))?;
        }
        let Some(Ok(picture)) = guarded(|| next(decoder, unit)) else { break };
        let Some(picture) = picture else { continue };
        last = Some((picture, sequence));
        let enough = wanted.layer.map_or(!sequence.layered, |layer| layer == shown);
        if enough {
            break;
        }
        shown += 1;
    }
    Ok(last)
}

/// Bytes that the decoder takes for so many pictures of one size.
fn memory(sequence: &Sequence, size: (u32, u32), pictures: u32) -> u64 {
    let area = u64::from(size.0) * u64::from(size.1);
    let tiles = area.div_ceil(TILE_PIXELS).min(MOST_TILES) * TILE;
    IDLE + area * BESIDE + tiles + sequence.picture(size).saturating_mul(pictures.into())
}

/// Hands over one unit, and takes the picture that is ready after it.
fn next(decoder: &mut Decoder, unit: &[u8]) -> Result<Option<Picture>, Rav1dError> {
    match decoder.send_data(unit.into(), None, None, None) {
        Ok(()) | Err(Rav1dError::TryAgain) => {}
        Err(error) => return Err(error),
    }
    match decoder.get_picture() {
        Ok(picture) => Ok(Some(picture)),
        Err(Rav1dError::TryAgain) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the decoder makes of it; `None` where it panicked.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

impl Planes {
    fn of(picture: Picture, sequence: &Sequence) -> Self {
        let chroma = match picture.pixel_layout() {
            PixelLayout::I400 => None,
            PixelLayout::I420 => Some((true, true)),
            PixelLayout::I422 => Some((true, false)),
            PixelLayout::I444 => Some((false, false)),
        };
        let bits = picture.bits_per_component().map_or(8, |bits| bits.0);
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let bytes = sequence.picture((picture.width(), picture.height()));
        Self { width, height, bits, chroma, meaning: sequence.meaning, bytes, picture }
    }

    /// One row of a plane, 0 to 2, as far as `out` is long.
    pub(super) fn row(&self, plane: usize, row: usize, out: &mut [u16]) {
        let component = match plane {
            0 => PlanarImageComponent::Y,
            1 => PlanarImageComponent::U,
            _ => PlanarImageComponent::V,
        };
        let start = row * self.picture.stride(component) as usize;
        let bytes = self.picture.plane(component).get(start..).unwrap_or_default();
        if self.bits == 8 {
            out.iter_mut().zip(bytes).for_each(|(out, &byte)| *out = byte.into());
        } else {
            out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &raw)| *out = u16::from_ne_bytes(raw));
        }
    }
}
