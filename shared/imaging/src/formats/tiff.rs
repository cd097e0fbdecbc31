//! TIFF and BigTIFF, by the TIFF 6.0 specification, Adobe's technical notes and libtiff's habits.
//!
//! Read here and not by the `tiff` crate: that gives a chunk whole or not at all, and nothing of chroma shared by pixels,
//! of palettes, of depths other than 8, 16 and 32 bits, of fax before group 4, nor of files that break a rule without
//! harm. A chunk's rows go straight to their place in the picture; beside it there is one row at a time, or one chunk
//! where those are pictures of their own.

mod chunk;
mod directory;
mod fax;
mod jpeg;
mod jpeg2000;
mod meaning;
mod old_jpeg;
mod packed;
mod page;
mod pictures;
mod samples;
#[cfg(test)]
mod tests;

use directory::{Directory, File, tag};
use packed::Unpacked;
use page::{Colour, Compression, Page, Predictor};
use samples::Samples;

use crate::{
    Deadline, Format, ImageError, Limits,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
};

/// TIFF and BigTIFF; the first page.
pub(crate) const FORMAT: Format = Format::new("TIFF", &["image/tiff", "image/x-tiff"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    is_one: |bytes| matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..]),
    header: |bytes, limits, _| header(bytes, limits),
    decode,
    view: None,
    animation: None,
    frames_in_file: None,
    writer: None,
};

/// Pages that are looked at to find one that is no thumbnail and no mask.
const MAX_PAGES: usize = 256;

/// The brightest light that a picture in floats is believed to have, where white is 1.
const BRIGHT: f64 = 64.0;

/// Rows between two looks at the clock, and bytes of them.
const ROWS: usize = 64;
const BYTES: usize = 256 << 10;

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`]; [`ImageError::Unsupported`] for a camera's raw file.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, ImageError> {
    let page = Page::read(first_page(bytes)?, limits)?;
    let orientation = page.directory.number(tag::ORIENTATION).and_then(|value| u32::try_from(value).ok());
    let cmyk = if page.colour == Colour::Cmyk { 4 } else { 0 };
    let chunk = if page.compression.is_picture() { page.samples_in_chunk() as u64 } else { 0 };
    let alpha = u64::from(page.has_alpha_beside());
    Ok(Header {
        format: FORMAT,
        stored: (page.width, page.height),
        orientation: orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::UPRIGHT),
        frames: 1,
        // CMYK is converted from one buffer to another, and a chunk may hold all of the picture.
        extra_bytes_per_pixel: cmyk.max(chunk) + alpha,
        largest_frame: (0, 0),
    })
}

/// The directory of the first page that is neither a thumbnail of another nor a mask; of the first page at all, where
/// every one is.
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

/// Cameras write TIFF files in which the page is a small preview, and the picture proper is not for showing.
fn is_camera_raw(file: File<'_>, directory: &Directory<'_>) -> bool {
    /// A mosaic of colours, or light that is not developed.
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

/// Decodes the first page, all chunks of it that can be read.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let page = Page::read(first_page(bytes)?, limits)?;
    let mut samples = Samples::of(&page);
    let pixels = page.width as usize * page.height as usize;
    let mut rgba = vec![0; pixels * 4];
    let mut alpha = vec![0; if page.has_alpha_beside() { pixels } else { 0 }];
    let mut read = |samples: &Samples<'_>| {
        let mut out = Out { width: page.width as usize, pixels: rgba.as_chunks_mut().0, alpha: &mut alpha };
        Chunks { page: &page, samples, limits, deadline }.read(&mut out)
    };
    let mut rows = read(&samples)?;
    // Floats so far above white that they are on another scale; a little above is only bright.
    let greatest = samples.greatest.get();
    if greatest > BRIGHT {
        samples.white = greatest.max(255.0);
        rows = read(&samples)?;
    }
    if rows == 0 {
        return Err(ImageError::corrupt(FORMAT, "no strip and no tile can be read"));
    }
    let profile = page.directory.entry(tag::ICC_PROFILE).map(|entry| entry.raw());
    let rgba = meaning::to_rgba(&page, &samples, rgba, &alpha, profile, deadline)?;
    let may_have_alpha = page.colour != Colour::Cmyk || page.alpha.is_some();
    let own = matches!(page.colour, Colour::Cmyk | Colour::Lab { .. });
    let mut decoded = pixelwise::shown(header, rgba, may_have_alpha, 1, 1)?;
    decoded.profile = profile.filter(|_| !own).map(<[u8]>::to_vec);
    Ok(decoded)
}

/// What the chunks are put into: four bytes a pixel, and the alpha that is kept beside them, which is empty where
/// none is.
struct Out<'a> {
    width: usize,
    pixels: &'a mut [[u8; 4]],
    alpha: &'a mut [u8],
}

impl Out<'_> {
    /// One row of a chunk's place in the picture.
    fn row(&mut self, place: Place, row: usize) -> (&mut [[u8; 4]], &mut [u8]) {
        let start = (place.top + row) * self.width + place.left;
        let alpha = self.alpha.get_mut(start..start + place.width).unwrap_or_default();
        (&mut self.pixels[start..start + place.width], alpha)
    }
}

/// The chunks of a page, on their way into the picture.
struct Chunks<'a> {
    page: &'a Page<'a>,
    samples: &'a Samples<'a>,
    limits: &'a Limits,
    deadline: Deadline,
}

/// Where a chunk lies in the picture, in pixels, less what lies beyond it.
#[derive(Clone, Copy)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Chunks<'_> {
    /// Reads them all; gives how many rows of chunks could be read.
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
                let place = Place {
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

    /// Bytes that reading takes by rows: the picture, a row, what a row of floats is put in order from, and the places of two
    /// rows of a fax at which the colour changes.
    fn memory(&self, row_bytes: usize) -> u64 {
        const CHANGES: u64 = 32;
        let rows = if self.page.predictor == Predictor::Float { 2 } else { 1 };
        let changes = if matches!(self.page.compression, Compression::Fax(_)) { CHANGES } else { 0 };
        let held = u64::from(self.page.chunk.0) * changes;
        self.page.picture_bytes().saturating_add(held).saturating_add((row_bytes as u64).saturating_mul(rows))
    }

    /// A chunk that is unpacked row by row.
    fn rows(
        &self,
        mut unpacked: Unpacked<'_>,
        row_bytes: usize,
        plane: usize,
        place: Place,
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

    /// A chunk that is a picture of its own.
    fn picture(
        &self,
        packed: &[u8],
        plane: usize,
        place: Place,
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
