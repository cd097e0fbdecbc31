//! Decodes one AV1 picture with `rusty_av1d` 1.2.1: rav1d, the Rust port of dav1d, without its assembly.
//!
//! That crate is little known, but it is the only one that meets the needs (2026-11). rav1d 1.1.0 has only a C
//! interface, and `re_rav1d` 0.1.3, which is widely used, puts a Rust interface on top of that: in both, damaged data
//! makes an `extern "C"` function panic, which aborts the process. `rav1d-safe` and `zenavif` are under the AGPL. dav1d
//! and libaom need a C compiler, nasm and further build systems. Here a panic unwinds, and neither nasm nor a C
//! compiler is needed. A comparison with rav1d 1.1.0 found that the decoding and the `unsafe` code differ in names
//! only. `ARCHITECTURE.md` says what the crate costs, whose it is, what would replace it, and how: this file is all
//! that calls it.
//!
//! Without assembly it takes about twice to three times as long as dav1d. Without the loop filters, which a small
//! thumbnail does not need, it takes between a tenth and a third less (`infra/bench/RESULTS.md`).
//!
//! The stream is handed over unit by unit, with a check of the deadline in between. A picture that has begun cannot be
//! stopped, so the limit on pixels bounds what one can cost. The decoder runs on the calling thread only. It has a
//! limit on pixels, and before each picture its memory is computed from the stream's own headers and checked against
//! the limit.
//!
//! On damaged data it panics instead of failing (rav1d's issues 1476 and 1497, in every release and fork). The panic is
//! caught here, the picture counts as undecodable, and nothing of that decoder is used again. The decoder prints its
//! messages about such data to standard error.

use std::panic::{self, AssertUnwindSafe};

use rusty_av1d::{
    Decoder, InloopFilterType, Picture, PixelLayout, PlanarImageComponent, Rav1dError, Settings,
};

use super::{
    properties::CodePoints,
    stream::{self, Chroma, Sequence},
};
use crate::{Deadline, ImageError, Limits};

/// The most pictures that a stream may have up to the one that is shown: layers, and reference pictures.
const MOST_PICTURES: u32 = 8;

/// Bytes per pixel that the decoder keeps in addition to the picture: filter levels, motion vectors, segments.
const BESIDE: u64 = 1;
/// Bytes of a tile's probabilities, the least pixels of a tile, and the most tiles of a picture.
const TILE: u64 = 20 << 10;
const TILE_PIXELS: u64 = 64 * 64;
const MOST_TILES: u64 = 4096;
/// Bytes of an idle decoder.
const IDLE: u64 = 2 << 20;

/// Selects a picture of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Width and height of the picture.
    pub(super) size: (u32, u32),
    pub(super) operating_point: u8,
    /// The layer; `None` is the last one.
    pub(super) layer: Option<u16>,
    /// Whether the loop filters, which smooth the edges of blocks, are applied.
    pub(super) filtered: bool,
}

/// A decoded picture of one or three planes.
pub(super) struct Planes {
    picture: Picture,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits per sample: 8, 10 or 12.
    pub(super) bits: u8,
    pub(super) chroma: Chroma,
    /// The colour description in the stream.
    pub(super) code_points: CodePoints,
    /// The bytes that the decoder and the picture hold.
    pub(super) bytes: u64,
}

/// Decodes the wanted picture; `None` if that is impossible or its size is another. `held` is the number of bytes that
/// the caller already holds.
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
    // Dropping a decoder that panicked may panic again.
    guarded(move || drop(decoder));
    let planes = shown?.and_then(|(picture, sequence)| guarded(|| Planes::of(picture, &sequence)));
    Ok(planes.filter(|planes| (planes.width as u64, planes.height as u64) == pair(wanted.size)))
}

fn pair((width, height): (u32, u32)) -> (u64, u64) {
    (width.into(), height.into())
}

/// Hands the stream over until the picture has been shown.
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

/// The bytes that the decoder takes for so many pictures of one size.
fn memory(sequence: &Sequence, size: (u32, u32), pictures: u32) -> u64 {
    let area = u64::from(size.0) * u64::from(size.1);
    let tiles = area.div_ceil(TILE_PIXELS).min(MOST_TILES) * TILE;
    IDLE + area * BESIDE + tiles + sequence.picture(size).saturating_mul(pictures.into())
}

/// Hands over one unit, and returns the picture that is ready after it.
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

/// Runs the decoder; `None` if it panicked.
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
        Self { width, height, bits, chroma, code_points: sequence.code_points, bytes, picture }
    }

    /// Copies one row of plane 0, 1 or 2, as far as `out` is long.
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
