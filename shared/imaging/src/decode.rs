//! The result of decoding, and what the decoders share.
//!
//! Lossy WebP is decoded by libwebp, AVIF's AV1 by `rusty_av1d`, and JPEG 2000 within TIFF by `hayro-jpeg2000`. All
//! else is read by this crate, because the libraries for it show nothing of a file that is cut off. Decoders work in
//! one buffer that is large enough for the RGBA result and convert the samples in place, so the peak is one picture and
//! not two.
//!
//! Lossy WebP goes to libwebp, AVIF's AV1 to `rusty_av1d` and JPEG 2000 within TIFFs to `hayro-jpeg2000`; the others
//! are read here, because the libraries for them show nothing of a file that is cut off. All decode into one buffer
//! that is large enough for the RGBA result, and the samples are widened or narrowed where they lie: the peak is one
//! picture, not two. `coefficients` gives a JPEG's channels at a half, a quarter or an eighth of its size, too, for
//! what needs no more.

pub(crate) mod canvas;
pub(crate) mod pixelwise;
pub(crate) mod samples;
pub(crate) mod upsample;

/// Decoded pixels in stored orientation, before the conversion to sRGB.
pub(crate) struct Decoded {
    /// Straight-alpha RGBA, row by row.
    pub(crate) rgba: Vec<u8>,
    /// Whether the file can hold transparency. If not, the pixels' alpha need not be looked at.
    pub(crate) may_have_alpha: bool,
    /// The embedded ICC profile.
    pub(crate) profile: Option<Vec<u8>>,
}
