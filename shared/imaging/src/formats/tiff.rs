//! TIFF and BigTIFF, by the TIFF 6.0 specification and Adobe's technical notes, and like libtiff where these leave a
//! choice.
//!
//! The `tiff` crate is not used. It returns a chunk whole or not at all, and does not support subsampled chroma,
//! palettes, depths other than 8, 16 and 32 bits, fax before group 4, and files with harmless errors. A chunk's rows go
//! straight to their place in the picture; in addition, only one row is held at a time, or one chunk if the chunks are
//! pictures of their own.

mod chunk;
mod colour_space;
mod directory;
mod fax;
mod jpeg;
mod jpeg2000;
mod old_jpeg;
mod packed;
mod page;
mod pictures;
mod samples;
#[cfg(test)]
mod tests;

use directory::{Directory, File, tag};
use packed::Unpacked;
use page::{ColourSpace, Compression, Page, Predictor};
use samples::Samples;

use crate::{
    Deadline, Format, ImageError, Limits,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
};

/// TIFF and BigTIFF; the first page is shown.
pub(crate) const FORMAT: Format = Format::new("TIFF", &["image/tiff", "image/x-tiff"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises: |bytes| matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]),
    header: |bytes, limits, _| header(bytes, limits),
    decode: |bytes, _, limits, deadline| decode(bytes, limits, deadline),
    view: None,
    animation: None,
    frames_in_file: None,
    writer: None,
};

/// The most pages that are searched for one that is neither a thumbnail nor a mask.
const MAX_PAGES: usize = 256;

/// The brightest value that is accepted for a picture in floats, where white is 1.
const BRIGHT: f64 = 64.0;

/// Rows, and bytes of them, between two checks of the deadline.
const ROWS: usize = 64;
const BYTES: usize = 256 << 10;

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`]; [`ImageError::Unsupported`] for a camera's raw file.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, ImageError> {
    let page = Page::read(first_page(bytes)?, limits)?;
    let orientation = page.directory.number(tag::ORIENTATION).and_then(|value| u32::try_from(value).ok());
    let cmyk = if page.colour == ColourSpace::Cmyk { 4 } else { 0 };
    let chunk = if page.compression.is_picture() { page.samples_in_chunk() as u64 } else { 0 };
    let alpha = u64::from(page.has_alpha_beside());
    Ok(Header {
        stored: (page.width, page.height),
        orientation: orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        // CMYK is converted from one buffer to another, and a chunk may hold the whole picture.
        extra_bytes_per_pixel: cmyk.max(chunk) + alpha,
        largest_frame: (0, 0),
    })
}

/// The directory of the first page that is neither a thumbnail nor a mask, or of the first page if there is no such
/// page.
fn first_page(bytes: &[u8]) -> Result<Directory<'_>, ImageError> {
    let unreadable = || pixelwise::unreadable(FORMAT);
    let (file, first) = File::open(bytes).ok_or_else(unreadable)?;
    let mut page = file.directory(first);
    let mut fallback = None;
    for _ in 0..MAX_PAGES {
        let Some(directory) = page else { break };
        if directory.entry(tag::WIDTH).is_some() {
            if is_camera_raw(file, &directory) {
                let advice = "export it as JPEG and send that";
                return Err(ImageError::Unsupported { kind: "camera raw", advice });
            }
            let reduced_or_mask = directory.number_or(tag::NEW_SUBFILE_TYPE, 0) & 5 != 0
                || directory.number_or(tag::SUBFILE_TYPE, 1) == 2;
            if !reduced_or_mask {
                return Ok(directory);
            }
            fallback = fallback.or(Some(directory));
        }
        page = directory.next().and_then(|at| file.directory(at));
    }
    fallback.ok_or_else(unreadable)
}

/// Whether the file is a camera's raw file: these are TIFF files in which the page is a small preview, and the main
/// picture must be developed before it can be shown.
fn is_camera_raw(file: File<'_>, directory: &Directory<'_>) -> bool {
    /// Photometric interpretations of raw data: a colour filter array, and linear raw.
    const RAW: [u64; 2] = [32_803, 34_892];
    let raw = |directory: &Directory<'_>| RAW.contains(&directory.number_or(tag::PHOTOMETRIC, 0));
    let subs = directory.entry(tag::SUB_DIRECTORIES);
    let mut subs = (0..subs.map_or(0, |subs| subs.count.min(MAX_PAGES)))
        .filter_map(|index| usize::try_from(subs?.number(index)?).ok())
        .filter_map(|at| file.directory(at));
    file.bytes.get(8..10) == Some(b"CR")
        || directory.entry(tag::DNG_VERSION).is_some()
        || raw(directory)
        || subs.any(|sub| raw(&sub))
}

/// Decodes the first page, with all of its chunks that can be read.
pub(super) fn decode(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Decoded, ImageError> {
    let page = Page::read(first_page(bytes)?, limits)?;
    let mut samples = Samples::of(&page);
    let pixels = page.width as usize * page.height as usize;
    let mut rgba = vec![0; pixels * 4];
    let mut alpha = vec![0; if page.has_alpha_beside() { pixels } else { 0 }];
    let mut read = |samples: &Samples<'_>| {
        let mut out = Out { width: page.width as usize, pixels: rgba.as_chunks_mut().0, alpha: &mut alpha };
        ChunkReader { page: &page, samples, limits, deadline }.read(&mut out)
    };
    let mut rows = read(&samples)?;
    // If floats exceed white by far, they are on another scale; if by a little, they are only bright.
    let greatest = samples.greatest.get();
    if greatest > BRIGHT {
        samples.white = greatest.max(255.0);
        rows = read(&samples)?;
    }
    if rows == 0 {
        return Err(ImageError::corrupt(FORMAT, "no strip and no tile can be read"));
    }
    let profile = page.directory.entry(tag::ICC_PROFILE).map(|entry| entry.raw());
    let rgba = colour_space::to_rgba(&page, &samples, rgba, &alpha, profile, deadline)?;
    let may_have_alpha = page.colour != ColourSpace::Cmyk || page.alpha.is_some();
    let own = matches!(page.colour, ColourSpace::Cmyk | ColourSpace::Lab { .. });
    Ok(Decoded { rgba, may_have_alpha, profile: profile.filter(|_| !own).map(<[u8]>::to_vec) })
}

/// The destination of the chunks: four bytes per pixel, and the alpha that is kept separately, which is empty if there
/// is none.
struct Out<'a> {
    width: usize,
    pixels: &'a mut [[u8; 4]],
    alpha: &'a mut [u8],
}

impl Out<'_> {
    /// One row of a chunk's place in the picture.
    fn row(&mut self, place: ChunkPlace, row: usize) -> (&mut [[u8; 4]], &mut [u8]) {
        let start = (place.top + row) * self.width + place.left;
        let alpha = self.alpha.get_mut(start..start + place.width).unwrap_or_default();
        (&mut self.pixels[start..start + place.width], alpha)
    }
}

/// Reads the chunks of a page into the picture.
struct ChunkReader<'a> {
    page: &'a Page<'a>,
    samples: &'a Samples<'a>,
    limits: &'a Limits,
    deadline: Deadline,
}

/// The place of a chunk in the picture, in pixels, without the part that exceeds the picture.
#[derive(Clone, Copy)]
struct ChunkPlace {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl ChunkReader<'_> {
    /// Reads all chunks, and returns how many rows of chunks could be read.
    fn read(&self, out: &mut Out<'_>) -> Result<usize, ImageError> {
        let (across, down) = self.page.grid();
        let (width, height) = (self.page.chunk.0 as usize, self.page.chunk.1 as usize);
        let row_bytes = self.page.row_bytes().unwrap_or(usize::MAX);
        let memory = self.memory(row_bytes);
        if !self.page.compression.is_picture() {
            self.limits.check_memory(memory)?;
        }
        let room = self.limits.max_decoder_bytes.saturating_sub(memory);
        let mut rows = 0;
        for plane in 0..if self.page.planar { self.page.samples } else { 1 } {
            for index in 0..across * down {
                self.deadline.check()?;
                let (left, top) = (index % across * width, index / across * height);
                let place = ChunkPlace {
                    left,
                    top,
                    width: width.min(self.page.width as usize - left),
                    height: height.min(self.page.height as usize - top),
                };
                let Some(packed) = self.page.packed(plane * across * down + index) else { continue };
                rows += match Unpacked::new(self.page, packed, room) {
                    Some(unpacked) => self.rows(unpacked, row_bytes, plane, place, out)?,
                    None => self.picture(packed, plane, place, out)?,
                };
            }
        }
        Ok(rows)
    }

    /// The bytes that reading by rows takes: the picture, a row, a scratch row for floats, and the changing elements of
    /// two rows of a fax.
    fn memory(&self, row_bytes: usize) -> u64 {
        const CHANGES: u64 = 32;
        let rows = if self.page.predictor == Predictor::Float { 2 } else { 1 };
        let changes = if matches!(self.page.compression, Compression::Fax(_)) { CHANGES } else { 0 };
        let held = u64::from(self.page.chunk.0) * changes;
        self.page.picture_bytes().saturating_add(held).saturating_add((row_bytes as u64).saturating_mul(rows))
    }

    /// Reads a chunk that is unpacked row by row.
    fn rows(
        &self,
        mut unpacked: Unpacked<'_>,
        row_bytes: usize,
        plane: usize,
        place: ChunkPlace,
        out: &mut Out<'_>,
    ) -> Result<usize, ImageError> {
        let (mut row, mut scratch) = (vec![0; row_bytes], Vec::new());
        let (across, down) = (self.page.subsampling.0 as usize, self.page.subsampling.1 as usize);
        let between = (BYTES / row_bytes.max(1)).clamp(1, ROWS);
        for (done, first) in (0..place.height).step_by(down).enumerate() {
            if done.is_multiple_of(between) {
                self.deadline.check()?;
            }
            if !unpacked.fill(&mut row, self.limits, self.deadline)? {
                return Ok(done);
            }
            if (across, down) == (1, 1) {
                self.samples.unpredict(&mut row, &mut scratch);
                let (pixels, alpha) = out.row(place, first);
                self.samples.put(&row, plane, pixels, alpha);
            } else {
                let group = across * down + 2;
                for line in 0..down.min(place.height - first) {
                    let pixels = out.row(place, first + line).0.chunks_mut(across);
                    for (pixels, group) in pixels.zip(row.chunks_exact(group)) {
                        let (luma, chroma) = group.split_at(across * down);
                        for (pixel, luma) in pixels.iter_mut().zip(&luma[line * across..]) {
                            *pixel = [*luma, chroma[0], chroma[1], 255];
                        }
                    }
                }
            }
        }
        Ok(place.height)
    }

    /// Reads a chunk that is a picture of its own.
    fn picture(
        &self,
        packed: &[u8],
        plane: usize,
        place: ChunkPlace,
        out: &mut Out<'_>,
    ) -> Result<usize, ImageError> {
        let Some(chunk) = pictures::decode(self.page, packed, self.limits, self.deadline)? else {
            return Ok(0);
        };
        let rows = chunk.samples.chunks_exact(chunk.row).take(place.height);
        let shown = rows.len();
        for (row, samples) in rows.enumerate() {
            let (pixels, alpha) = out.row(place, row);
            self.samples.put(samples, plane, pixels, alpha);
        }
        Ok(shown)
    }
}
