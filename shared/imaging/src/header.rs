//! Everything that the headers tell: read before any pixel, checked before any memory is taken.

use image::ImageDecoder as _;

use crate::{
    Deadline, Format, ImageError, Limits,
    decode::{jpeg, other},
    exif,
    orient::Orientation,
    scan,
};

/// What is known of an image before it is decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// Pixels across and down, as stored: before orientation.
    pub(crate) stored: (u32, u32),
    pub(crate) orientation: Orientation,
    pub(crate) frames: u32,
}

/// Bytes of one decoded pixel.
const RGBA: u64 = 4;

impl Header {
    /// Reads the headers and holds them against the limits.
    ///
    /// # Errors
    /// Whichever limit is broken first (frames, pixels, memory), or [`ImageError::Corrupt`] and its like where the
    /// headers cannot be read.
    pub(crate) fn read(
        bytes: &[u8],
        format: Format,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let header = match format {
            Format::Jpeg => Self::of_jpeg(bytes, limits, deadline),
            _ => Self::of_other(bytes, format, limits, deadline),
        };
        // A decoder that was stopped reports some failure of its own: the deadline is the reason.
        deadline.check()?;
        header
    }

    fn of_jpeg(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Self, ImageError> {
        let decoder = jpeg::open(bytes, deadline)?;
        let header = Self {
            format: Format::Jpeg,
            stored: jpeg::size(&decoder)?,
            orientation: decoder
                .exif()
                .and_then(|block| exif::orientation(block))
                .unwrap_or(Orientation::UPRIGHT),
            frames: 1,
        };
        // A progressive or multi-scan JPEG keeps every coefficient, two bytes each, until the last scan.
        let coefficients = 2 * u64::from(jpeg::components(&decoder));
        header.check(limits, (0, 0), coefficients)?;
        Ok(header)
    }

    fn of_other(
        bytes: &[u8],
        format: Format,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Self, ImageError> {
        let scan = match format {
            Format::Png => scan::png(bytes),
            Format::Gif => scan::gif(bytes),
            Format::WebP => scan::webp(bytes),
            _ => scan::Scan { frames: 1, ..scan::Scan::default() },
        };
        let mut header =
            Self { format, stored: (1, 1), orientation: Orientation::UPRIGHT, frames: scan.frames.max(1) };
        if format == Format::Png
            && let Some((width, height)) = scan::png_size(bytes)
        {
            // The PNG decoder takes memory for a row as soon as it has the header.
            header.stored = (width, height);
            header.check(limits, (0, 0), 0)?;
        }

        let mut decoder = other::open(bytes, format, limits.max_decoder_bytes, deadline)?;
        header.stored = decoder.dimensions();
        header.orientation = match format {
            Format::Tiff => {
                decoder.orientation().ok().and_then(|it| Orientation::from_exif(it.to_exif().into()))
            }
            _ => scan.exif.and_then(exif::orientation),
        }
        .unwrap_or(Orientation::UPRIGHT);

        let depth = u64::from(decoder.color_type().bytes_per_pixel());
        let (beside, largest_frame) = match format {
            // Canvas and frame of an animation, or the planes of a lossy and the RGBA of a lossless picture.
            Format::WebP => (if scan.animated { 2 * RGBA } else { RGBA }, scan.largest_frame),
            // A frame that is not the whole canvas is decoded on its own first.
            Format::Gif if scan.largest_frame != header.stored => (RGBA, scan.largest_frame),
            // The decoder's own buffer, with CMYK's fourth channel.
            Format::Tiff => (depth * 4 / 3 + 1, header.largest_jpeg_strip(bytes)),
            _ => (0, (0, 0)),
        };
        header.check(limits, largest_frame, depth.saturating_sub(RGBA) + beside)?;
        Ok(header)
    }

    fn largest_jpeg_strip(&self, tiff: &[u8]) -> (u32, u32) {
        const JPEG: u32 = 7;
        // BigTIFF's directory is not read here, so it is always looked through.
        match exif::tiff_compression(tiff) {
            None | Some(JPEG) => scan::tiff_jpeg(tiff),
            Some(_) => (0, 0),
        }
    }

    /// `largest_frame` is what a frame claims for itself, which must be within the limits whatever the canvas says;
    /// `beside` is what decoding the larger of the two takes beyond the RGBA result, in bytes a pixel.
    fn check(&self, limits: &Limits, largest_frame: (u32, u32), beside: u64) -> Result<(), ImageError> {
        let (width, height) = self.stored;
        if width == 0 || height == 0 {
            return Err(ImageError::Empty);
        }
        limits.check_frames(self.frames)?;
        limits.check_pixels(width, height, self.frames)?;
        limits.check_pixels(largest_frame.0, largest_frame.1, 1)?;

        let area = |(w, h)| u64::from(w) * u64::from(h);
        let canvas = area(self.stored);
        let decoding = canvas * RGBA + canvas.max(area(largest_frame)).saturating_mul(beside);
        let turning = if self.orientation.swaps_sides() { canvas * 2 * RGBA } else { 0 };
        limits.check_memory(decoding.max(turning))
    }
}
