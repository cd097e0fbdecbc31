//! The image formats that can be read. Each has one file, with all that is particular to it.
//!
//! To add a format, write its file and add it to the modules and to [`CODECS`]: all other code goes through the codec.
//! `CONTRIBUTING.md` lists the texts and the tests that name formats.

pub(crate) mod avif;
pub(crate) mod bmp;
pub(crate) mod gif;
pub(crate) mod ico;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod pnm;
pub(crate) mod qoi;
mod refused;
pub(crate) mod tga;
pub(crate) mod tiff;
pub(crate) mod webp;

use std::fmt;

use crate::{
    Deadline, Format, Image, ImageError, Limits,
    animation::{self, Animation},
    colour,
    crop::Crop,
    decode::Decoded,
    header::Header,
    resize::View,
};

/// The operations of one format.
pub(crate) struct Codec {
    /// The format's name and media types.
    pub(crate) format: Format,
    /// Whether a file has this format, judged by its first bytes. 256 of them are enough for every format but TGA.
    recognises: fn(&[u8]) -> bool,
    /// Reads the headers, which tell how much decoding will cost. Called through [`Codec::read_header`].
    header: fn(&[u8], &Limits, Deadline) -> Result<Header, ImageError>,
    /// Decodes the picture in stored orientation. Called through [`Codec::picture`].
    decode: fn(&[u8], &Header, &Limits, Deadline) -> Result<Decoded, ImageError>,
    /// Decodes only the part and the resolution that a thumbnail needs, where the format allows that. Called through
    /// [`Codec::view_of_picture`].
    view: Option<ReadView>,
    /// Reads every frame, for formats that can be animated. Called through [`Codec::view_of_frames`].
    pub(crate) animation: Option<ReadAnimation>,
    /// Counts the frames in a file, for formats in which there can be more than are shown.
    pub(crate) frames_in_file: Option<fn(&[u8]) -> u32>,
    /// Writes thumbnails in this format, if that is supported.
    pub(crate) writer: Option<&'static Writer>,
}

/// Decodes the part of a picture that the view shows, upright and in sRGB; `None` where only decoding the whole picture
/// gives it.
pub(crate) type ReadView = fn(&[u8], &Header, View, &Limits, Deadline) -> Result<Option<Image>, ImageError>;

/// Reads the frames of an animation.
pub(crate) struct ReadAnimation {
    /// The bytes that the decoder holds, without the frames that come out of it.
    pub(crate) memory: fn(&Header) -> u64,
    /// Reads the frames.
    pub(crate) read: ReadFrames,
}

/// Reads every frame and resamples it to the view, upright and in sRGB.
pub(crate) type ReadFrames = fn(&[u8], &Header, View, &Limits, Deadline) -> Result<Animation, ImageError>;

/// Writes files of one format.
pub(crate) struct Writer {
    /// The format that is written.
    pub(crate) format: Format,
    /// The file name extension, without a dot.
    pub(crate) extension: &'static str,
    /// Encodes a picture. The quality, 1 to 100, is ignored by formats that have none.
    pub(crate) encode_still: fn(&Image, u8, Deadline) -> Result<Vec<u8>, ImageError>,
    /// Encodes an animation of at least two frames, if the format can hold one.
    pub(crate) encode_animated: Option<WriteFrames>,
    /// Counts the frames of an encoded file. There may be fewer than were given, because equal frames are joined.
    pub(crate) frames: fn(&[u8]) -> u32,
    /// Strips the metadata from a file of this format, so that it can be used as it came.
    pub(crate) strip_metadata: Option<StripMetadata>,
}

/// Encodes frames, with a quality of 1 to 100 that formats without one ignore.
pub(crate) type WriteFrames = fn(&Animation, u8, Deadline) -> Result<Vec<u8>, ImageError>;

/// Strips the metadata from a file; `None` where the result would show something else or have more than the given
/// number of bytes.
pub(crate) type StripMetadata = fn(&[u8], &Header, usize, Deadline) -> Result<Option<Vec<u8>>, ImageError>;

/// All formats. Those with a signature come before those that are recognised by headers that make sense.
static CODECS: [&Codec; 11] = [
    &jpeg::CODEC,
    &png::CODEC,
    &gif::CODEC,
    &webp::CODEC,
    &avif::CODEC,
    &tiff::CODEC,
    &bmp::CODEC,
    &ico::CODEC,
    &qoi::CODEC,
    &pnm::CODEC,
    &tga::CODEC,
];

impl Codec {
    /// Reads the headers and checks the limits on frames and pixels.
    ///
    /// # Errors
    /// The first limit that is exceeded (frames, pixels), or [`ImageError::Corrupt`] and the like where the headers
    /// cannot be read.
    pub(crate) fn read_header(
        &self,
        bytes: &[u8],
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Header, ImageError> {
        let header = (self.header)(bytes, limits, deadline);
        // A decoder that was stopped reports an error of its own; the deadline is the real reason.
        deadline.check()?;
        let header = header?;
        header.check(limits)?;
        Ok(header)
    }

    /// Decodes the picture, upright and in sRGB. Of an animation it decodes the first frame on its canvas; of an APNG
    /// the default image, as the format prescribes for viewers that do not animate.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`], [`ImageError::UnsupportedFeature`], [`ImageError::DecoderMemory`] or
    /// [`ImageError::TimeLimit`].
    pub(crate) fn picture(
        &self,
        bytes: &[u8],
        header: &Header,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Image, ImageError> {
        deadline.check()?;
        header.check_memory(limits)?;
        let decoded = (self.decode)(bytes, header, limits, deadline);
        deadline.check()?;
        let Decoded { mut rgba, may_have_alpha, profile } = decoded?;
        if let Some(profile) = profile {
            colour::to_srgb(&mut rgba, &profile, deadline)?;
        }
        let (stored_width, stored_height) = header.stored;
        let (width, height) = header.orientation.upright_size(stored_width, stored_height);
        let rgba = header.orientation.apply(rgba, stored_width, stored_height);
        deadline.check()?;
        let make = if may_have_alpha { Image::new } else { Image::opaque };
        make(width, height, rgba).ok_or(ImageError::Corrupt { format: self.format, source: None })
    }

    /// Decodes the part of the picture that the view shows, upright and in sRGB, from as little of the file as
    /// possible. `None` where only decoding the whole picture gives it.
    ///
    /// # Errors
    /// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]. A damaged file is not an error here:
    /// [`picture`](Self::picture) reports it.
    pub(crate) fn view_of_picture(
        &self,
        bytes: &[u8],
        header: &Header,
        view: View,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Option<Image>, ImageError> {
        let size = header.orientation.upright_size(header.stored.0, header.stored.1);
        if view.crop == Crop::whole(size) && (view.width, view.height) == size {
            // A picture that is shown pixel by pixel is not resampled, so it must not be premultiplied and rounded
            // either.
            return Ok(None);
        }
        self.view.map_or(Ok(None), |read| read(bytes, header, view, limits, deadline))
    }

    /// Decodes every frame and resamples it to the view, upright and in sRGB. A file that is not animated has one
    /// frame.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where there is no frame at all, [`ImageError::UnsupportedFeature`],
    /// [`ImageError::DecoderMemory`], [`ImageError::ThumbnailTooLarge`] or [`ImageError::TimeLimit`].
    pub(crate) fn view_of_frames(
        &self,
        bytes: &[u8],
        header: &Header,
        view: View,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Animation, ImageError> {
        deadline.check()?;
        match &self.animation {
            Some(ReadAnimation { memory, read }) => {
                animation::check_memory(memory(header), header.frames, view, limits)?;
                read(bytes, header, view, limits, deadline)
            }
            None => self.view_of_still(bytes, header, view, limits, deadline),
        }
    }

    /// Decodes the whole picture and resamples it to the view, as an animation of one frame.
    fn view_of_still(
        &self,
        bytes: &[u8],
        header: &Header,
        view: View,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Animation, ImageError> {
        view.of(&self.picture(bytes, header, limits, deadline)?, deadline).map(Animation::still)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.format)
    }
}

/// Finds the codec for a file, and the offset at which the image begins. That is 0 for all but JPEGs with other bytes
/// in front.
///
/// # Errors
/// As [`Format::identify`].
pub(crate) fn identify(bytes: &[u8]) -> Result<(&'static Codec, usize), ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if let Some(codec) = recognised(bytes) {
        return Ok((codec, 0));
    }
    match refused::refused_kind(bytes) {
        Some((kind, advice)) => Err(ImageError::Unsupported { kind, advice }),
        None => {
            let start = jpeg::start(&bytes[..bytes.len().min(refused::TEXT)]);
            start
                .map(|start| (&jpeg::CODEC, start))
                .ok_or_else(|| ImageError::UnknownFormat { readable: names() })
        }
    }
}

/// The codec of the first format that recognises these bytes.
fn recognised(bytes: &[u8]) -> Option<&'static Codec> {
    CODECS.into_iter().find(|codec| (codec.recognises)(bytes))
}

/// The names of all formats, as a sentence lists them.
fn names() -> String {
    let names: Vec<_> = CODECS.iter().map(|codec| codec.format.to_string()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

impl Format {
    /// All formats that can be read.
    pub fn all() -> impl Iterator<Item = Self> {
        CODECS.into_iter().map(|codec| codec.format)
    }

    /// The format of these bytes, which are a whole file or its beginning; `None` if it is not supported. The first 256
    /// bytes are enough for every format but TGA, which has no signature at its beginning; some TGA files have one at
    /// the end.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        recognised(bytes).map(|codec| codec.format)
    }

    /// The format of these bytes, or the reason why they are refused. A format that is known but not decoded is refused
    /// by name. Recognising SVG, PDF, and JPEGs with other bytes in front needs the first 8 KB; the others need 32
    /// bytes.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::Unsupported`] or [`ImageError::UnknownFormat`].
    pub fn identify(bytes: &[u8]) -> Result<Self, ImageError> {
        identify(bytes).map(|(codec, _)| codec.format)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ImageFormat, RgbImage};

    use super::*;
    use crate::{Source, deadline::looks};

    #[test]
    fn a_file_of_an_unknown_kind_is_refused_with_what_is_read() {
        let refused = Format::identify(b"nonsense").expect_err("no image");
        assert_eq!(
            refused.to_string(),
            "this is not an image of a known kind; send JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, ICO, QOI, PNM or TGA"
        );
    }

    fn refused(bytes: &[u8]) -> &'static str {
        match Format::identify(bytes) {
            Err(ImageError::Unsupported { kind, .. }) => kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn formats_known_but_not_decoded_are_refused_by_name() {
        let licensed = format!("<?xml version='1.0'?><!--{}--><svg/>", " ".repeat(3000));
        for (bytes, kind) in [
            (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "HEIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1avif", "HEIC"),
            (b"\0\0\0\x18ftypisom\0\0\0\0mp42iso2", "video"),
            (b"\0\0\0\0ftyp", "video"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- drawn -->\n<svg/>", "SVG"),
            (b"<!DOCTYPE html><html><body>", "a web page"),
            (licensed.as_bytes(), "SVG"),
            (b"<ns0:svg xmlns:ns0='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"#?RGBE\nFORMAT=32-bit_rle_rgbe\n", "Radiance HDR"),
            (b"PF\n600 400\n-1.0\n", "PFM"),
            (b"%PDF-1.7\n", "PDF"),
            (b"8BPS\0\x01", "PSD"),
            (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        ] {
            if bytes.len() < 12 {
                assert!(Format::identify(bytes).is_err());
            } else {
                assert_eq!(refused(bytes), kind);
            }
        }
    }

    #[test]
    fn every_kind_has_media_types_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for format in Format::all() {
            for media_type in format.media_types() {
                assert!(media_type.starts_with("image/") && seen.insert(media_type), "{media_type}");
            }
        }
        assert!(!seen.contains(&"image/heic") && seen.contains(&"image/png"));
    }

    #[test]
    fn bytes_of_no_image_are_of_unknown_format() {
        for bytes in [
            &b"hello, world"[..],
            b"BMW is a car maker, not a bitmap",
            b"GIF88a",
            b"{}",
            b"\0",
            b"RIFF\0\0\0\0WAVE",
        ] {
            assert!(matches!(Format::identify(bytes), Err(ImageError::UnknownFormat { .. })), "{bytes:?}");
        }
        assert!(matches!(Format::identify(b""), Err(ImageError::Empty)));
    }

    /// A file of noise, which no format compresses well.
    fn file(format: ImageFormat, side: u32) -> Vec<u8> {
        let noise = RgbImage::from_fn(side, side, |x, y| {
            let hash = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
            image::Rgb([(hash >> 8) as u8, (hash >> 16) as u8, (hash >> 24) as u8])
        });
        let mut out = Cursor::new(Vec::new());
        DynamicImage::from(noise).write_to(&mut out, format).expect("an encoder's own format");
        out.into_inner()
    }

    fn picture(bytes: &[u8], deadline: Deadline) -> Result<Image, ImageError> {
        Source::open(bytes.to_vec(), &Limits::default(), deadline)?.image().cloned()
    }

    #[test]
    fn a_time_limit_stops_every_decoder_within_a_picture() {
        for (format, side) in [
            (ImageFormat::Jpeg, 800),
            (ImageFormat::Png, 800),
            (ImageFormat::Gif, 800),
            (ImageFormat::WebP, 800),
            (ImageFormat::Tiff, 800),
            (ImageFormat::Bmp, 800),
            (ImageFormat::Ico, 256),
            (ImageFormat::Qoi, 800),
            (ImageFormat::Pnm, 800),
            (ImageFormat::Tga, 800),
        ] {
            let looks = |side| {
                let bytes = file(format, side);
                looks::taken(|deadline| picture(&bytes, deadline).expect("a good file"))
            };
            // The checks before and after decoding are the same for both.
            let (small, taken) = (looks(8), looks(side));
            assert!(taken > small, "{format:?}: {small} looks, and {taken}");
            let bytes = file(format, side);
            for passes in [0, 1, small, taken / 2, taken - 2, taken - 1] {
                let late = looks::passing_after(passes, |deadline| picture(&bytes, deadline));
                let stopped = matches!(late, Err(ImageError::TimeLimit(_)));
                assert!(stopped, "{format:?} at {passes} of {taken}: {:?}", late.err());
            }
        }
    }

    #[test]
    fn a_time_limit_stops_animations_within_every_format() {
        for (name, bytes) in [
            ("GIF", &include_bytes!("../tests/promises/samples/animated.gif")[..]),
            ("PNG", include_bytes!("../tests/promises/samples/animated.png")),
            ("WebP", include_bytes!("../tests/promises/samples/animated.webp")),
            ("AVIF", include_bytes!("../tests/promises/samples/avif/420.avif")),
        ] {
            let thumbnail = |deadline| {
                let source = Source::open(bytes.to_vec(), &Limits::default(), deadline)?;
                source.thumbnail(&crate::ThumbnailOptions::default())
            };
            let taken = looks::taken(|deadline| thumbnail(deadline).expect(name));
            for passes in 0..taken {
                let late = looks::passing_after(passes, thumbnail);
                let stopped = matches!(late, Err(ImageError::TimeLimit(_)));
                assert!(stopped, "{name} at {passes} of {taken}: {:?}", late.err());
            }
        }
    }
}
