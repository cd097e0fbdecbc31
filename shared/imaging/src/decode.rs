//! The result of decoding, and what the decoders share.
//!
//! JPEG is decoded by `jpeg-codec`, lossy WebP by libwebp, AVIF's AV1 by `rusty_av1d`, and JPEG 2000 within TIFF by
//! `hayro-jpeg2000`. All else is read by this crate, because the libraries for it show nothing of a file that is cut
//! off. Decoders work in one buffer that is large enough for the RGBA result and convert the samples in place, so the
//! peak is one picture and not two.

pub(crate) mod canvas;
pub(crate) mod pixelwise;
pub(crate) mod samples;

/// Decoded pixels in stored orientation, before the conversion to sRGB.
pub(crate) struct Decoded {
    /// Straight-alpha RGBA, row by row.
    pub(crate) rgba: Vec<u8>,
    /// Whether the file can hold transparency. If not, the pixels' alpha need not be looked at.
    pub(crate) may_have_alpha: bool,
    /// The embedded ICC profile.
    pub(crate) profile: Option<Vec<u8>>,
}
