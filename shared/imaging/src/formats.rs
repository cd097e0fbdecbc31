//! The kinds of image files that are read, one file each, and what is done with them.
//!
//! To add one, write its file and add it to the modules and to [`CODECS`]: everything else asks the codec.

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

/// What is done with a kind of file.
pub(crate) struct Codec {
    /// What it is called.
    pub(crate) format: Format,
    /// Whether a file is one, by its first bytes: the first 256 suffice for every kind but TGA.
    is_one: fn(&[u8]) -> bool,
    /// Reads the headers, which tell what decoding takes: with [`Codec::read_header`].
    header: fn(&[u8], &Limits, Deadline) -> Result<Header, ImageError>,
    /// Decodes the picture, as stored: with [`Codec::picture`].
    decode: fn(&[u8], &Header, &Limits, Deadline) -> Result<Decoded, ImageError>,
    /// Decodes only as much as a thumbnail shows, where the format allows that: with [`Codec::view_of_picture`].
    view: Option<ReadView>,
    /// Reads every frame, where files can have more than one that is shown: with [`Codec::view_of_frames`].
    pub(crate) animation: Option<ReadAnimation>,
    /// How many frames a file has, where that can be more than are shown.
    pub(crate) frames_in_file: Option<fn(&[u8]) -> u32>,
    /// Writes thumbnails, where that is done.
    pub(crate) writer: Option<&'static Writer>,
}

/// Decodes what a thumbnail shows, upright and in sRGB; `None` where that takes the whole picture.
pub(crate) type ReadView = fn(&[u8], &Header, View, &Limits, Deadline) -> Result<Option<Image>, ImageError>;

/// How the frames of an animation are read.
pub(crate) struct ReadAnimation {
    /// The bytes that decoding them holds beside what is made of them.
    pub(crate) memory: fn(&Header) -> u64,
    /// Reads them.
    pub(crate) read: ReadFrames,
}

/// Reads every frame, with what the view shows of each, upright and in sRGB.
pub(crate) type ReadFrames = fn(&[u8], &Header, View, &Limits, Deadline) -> Result<Animation, ImageError>;

/// How a file of a kind is written.
pub(crate) struct Writer {
    /// The kind.
    pub(crate) format: Format,
    /// The file name extension, without a dot.
    pub(crate) extension: &'static str,
    /// Writes a picture, with a quality of 1 to 100 where the format has any.
    pub(crate) still: fn(&Image, u8, Deadline) -> Result<Vec<u8>, ImageError>,
    /// Writes at least two frames, where the format can hold them.
    pub(crate) animated: Option<WriteFrames>,
    /// How many frames a file that was written has: those that look the same are joined.
    pub(crate) frames: fn(&[u8]) -> u32,
    /// The file as it came, without metadata, where that is a file of this kind that shows the same and has at most so many
    /// bytes.
    pub(crate) kept: Option<KeepFile>,
}

/// Writes frames, with a quality of 1 to 100 where the format has any.
pub(crate) type WriteFrames = fn(&Animation, u8, Deadline) -> Result<Vec<u8>, ImageError>;

/// Takes the metadata off a file; `None` where it would not do or has more than so many bytes.
pub(crate) type KeepFile = fn(&[u8], &Header, usize, Deadline) -> Result<Option<Vec<u8>>, ImageError>;

/// Every kind. Those that are told by a mark come before those that are told by whether their headers make sense.
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
    /// Reads the headers and holds them against the limits on frames and pixels.
    ///
    /// # Errors
    /// Whichever limit is broken first (frames, pixels), or [`ImageError::Corrupt`] and its like where the headers
    /// cannot be read.
    pub(crate) fn read_header(
        &self,
        bytes: &[u8],
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<Header, ImageError> {
        let header = (self.header)(bytes, limits, deadline);
        // A decoder that was stopped reports some failure of its own: the deadline is the reason.
        deadline.check()?;
        let header = header?;
        header.check(limits)?;
        Ok(header)
    }

    /// The picture, upright and in sRGB; of an animation, the first frame on its canvas. An APNG shows its default image,
    /// which is what the format has it for.
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

    /// What the view shows of the picture, upright and in sRGB, from as little of the file as will do; `None` where that
    /// takes the whole picture.
    ///
    /// # Errors
    /// [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`]; what is wrong with a file is for
    /// [`picture`](Self::picture) to say.
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
            // Nothing is resampled, so nothing shall be premultiplied and rounded.
            return Ok(None);
        }
        self.view.map_or(Ok(None), |read| read(bytes, header, view, limits, deadline))
    }

    /// What the view shows of each frame, upright and in sRGB; of a file that does not move, of the one picture.
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

    /// What the view shows of the picture, decoded whole, as an animation of one frame.
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

/// What is done with these bytes, and where the image begins in them: at the beginning, but for JPEGs with something
/// before them.
///
/// # Errors
/// As [`Format::identify`].
pub(crate) fn identify(bytes: &[u8]) -> Result<(&'static Codec, usize), ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if let Some(codec) = CODECS.into_iter().find(|codec| (codec.is_one)(bytes)) {
        return Ok((codec, 0));
    }
    match refused::refused_kind(bytes) {
        Some((kind, advice)) => Err(ImageError::Unsupported { kind, advice }),
        None => {
            let start = jpeg::start(&bytes[..bytes.len().min(refused::TEXT)]);
            start.map(|start| (&jpeg::CODEC, start)).ok_or(ImageError::UnknownFormat)
        }
    }
}

impl Format {
    /// Every kind that is read.
    pub fn all() -> impl Iterator<Item = Self> {
        CODECS.into_iter().map(|codec| codec.format)
    }

    /// The kind of these bytes, which are the whole file or its beginning; `None` where it is none of ours. The first
    /// 256 bytes suffice for every kind but TGA, which has no mark at its beginning and some files have one at the end.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        CODECS.into_iter().find(|codec| (codec.is_one)(bytes)).map(|codec| codec.format)
    }

    /// The kind of these bytes, or why they are refused. A kind that is known but not decoded is refused by name;
    /// to know SVG and PDF, and JPEGs with something before them, the first 8 KB are needed, for the others 32.
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

    fn refused(bytes: &[u8]) -> &'static str {
        match Format::identify(bytes) {
            Err(ImageError::Unsupported { kind, .. }) => kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_known_and_not_decoded_is_refused_by_name() {
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
    fn what_is_no_image_is_unknown() {
        for bytes in [
            &b"hello, world"[..],
            b"BMW is a car maker, not a bitmap",
            b"GIF88a",
            b"{}",
            b"\0",
            b"RIFF\0\0\0\0WAVE",
        ] {
            assert!(matches!(Format::identify(bytes), Err(ImageError::UnknownFormat)), "{bytes:?}");
        }
        assert!(matches!(Format::identify(b""), Err(ImageError::Empty)));
    }

    /// Noise, which no format makes small.
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
            // What is looked at before and after is the same for both.
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
