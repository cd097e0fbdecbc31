//! What kind of file this is, told by its content and by nothing else.

use std::fmt;

use crate::{
    ImageError,
    decode::{bmp, ico, pnm, qoi, tga},
};

/// A kind of image that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG, APNG included.
    Png,
    /// GIF, still or animated.
    Gif,
    /// WebP, lossy or lossless, still or animated.
    WebP,
    /// AVIF, still or a sequence; the picture that the file calls its primary one, or else the first frame.
    Avif,
    /// TIFF and BigTIFF; the first page.
    Tiff,
    /// Windows and OS/2 bitmap.
    Bmp,
    /// Windows icon or cursor; the largest picture in it.
    Ico,
    /// The "quite OK image" format.
    Qoi,
    /// Netpbm's PBM, PGM, PPM and PAM; the first picture.
    Pnm,
    /// Truevision TGA.
    Tga,
}

/// Whether these are the first bytes of a file of some kind.
type Recognise = fn(&[u8]) -> bool;

impl Format {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::WebP,
        Self::Avif,
        Self::Tiff,
        Self::Bmp,
        Self::Ico,
        Self::Qoi,
        Self::Pnm,
        Self::Tga,
    ];

    /// The kind of these bytes, which are the whole file or its beginning; `None` where it is none of ours. The first
    /// 256 bytes suffice for every kind but TGA, which has no mark at its beginning and some files have one at the end.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            _ => {
                let kinds: [(Recognise, Self); 6] = [
                    (is_avif, Self::Avif),
                    (bmp::is_one, Self::Bmp),
                    (ico::is_one, Self::Ico),
                    (qoi::is_one, Self::Qoi),
                    (pnm::is_one, Self::Pnm),
                    (tga::is_one, Self::Tga),
                ];
                kinds.into_iter().find(|(is_one, _)| is_one(bytes)).map(|(_, kind)| kind)
            }
        }
    }

    /// The kind of these bytes, or why they are refused. A kind that is known but not decoded is refused by name;
    /// to know SVG and PDF, and JPEGs with something before them, the first 8 KB are needed, for the others 32.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::Unsupported`] or [`ImageError::UnknownFormat`].
    pub fn identify(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.is_empty() {
            return Err(ImageError::Empty);
        }
        if let Some(format) = Self::sniff(bytes) {
            return Ok(format);
        }
        match refused_kind(bytes) {
            Some((kind, advice)) => Err(ImageError::Unsupported { kind, advice }),
            None if jpeg_start(bytes).is_some() => Ok(Self::Jpeg),
            None => Err(ImageError::UnknownFormat),
        }
    }

    /// Where an image of this kind begins in a file of this kind: at its beginning, but for JPEGs with something before them.
    pub(crate) fn start(self, bytes: &[u8]) -> usize {
        let begins = self != Self::Jpeg || bytes.starts_with(&SOI);
        if begins { 0 } else { jpeg_start(bytes).unwrap_or_default() }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        self.media_types()[0]
    }

    /// Every media type that files of this kind go by, the usual one first: those that IANA has registered, and those
    /// that operating systems and browsers give them.
    #[must_use]
    pub fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Jpeg => &["image/jpeg", "image/jpg", "image/pjpeg"],
            Self::Png => &["image/png", "image/apng", "image/x-png", "image/vnd.mozilla.apng"],
            Self::Gif => &["image/gif"],
            Self::WebP => &["image/webp"],
            Self::Avif => &["image/avif", "image/avif-sequence"],
            Self::Tiff => &["image/tiff", "image/x-tiff"],
            Self::Bmp => &["image/bmp", "image/x-bmp", "image/x-ms-bmp"],
            Self::Ico => &["image/vnd.microsoft.icon", "image/x-icon", "image/ico", "image/x-win-bitmap"],
            Self::Qoi => &["image/qoi", "image/x-qoi"],
            Self::Pnm => &[
                "image/x-portable-anymap",
                "image/x-portable-arbitrarymap",
                "image/x-portable-bitmap",
                "image/x-portable-graymap",
                "image/x-portable-greymap",
                "image/x-portable-pixmap",
            ],
            Self::Tga => &["image/x-tga", "image/tga", "image/targa", "image/x-targa"],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Avif => "AVIF",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Ico => "ICO",
            Self::Qoi => "QOI",
            Self::Pnm => "PNM",
            Self::Tga => "TGA",
        })
    }
}

const PHOTO: &str = "export it as JPEG and send that";
const PICTURE: &str = "convert it to PNG or JPEG and send that";
const DRAWING: &str = "draw it at the size you need, as PNG, and send that";
const PAGE: &str = "save the page as PNG or JPEG and send that";
const MOVIE: &str = "send a single frame as PNG or JPEG";

/// The first marker of a JPEG, with the first byte of the next.
const SOI: [u8; 3] = [0xff, 0xd8, 0xff];

/// Where a JPEG begins that has something before it, as cameras and mail gateways leave it.
fn jpeg_start(bytes: &[u8]) -> Option<usize> {
    bytes[..bytes.len().min(TEXT)].windows(SOI.len()).position(|at| at == SOI)
}

/// How much of a text is looked at: comments come before what it is.
const TEXT: usize = 8192;

/// Kinds that people do send and that are not decoded: the name, and what to do.
fn refused_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if let Some(refused) = iso_media_kind(bytes) {
        return Some(refused);
    }
    let magics: &[(&[u8], &str, &str)] = &[
        (b"\xff\x0a", "JPEG XL", PICTURE),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", PICTURE),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000", PICTURE),
        (b"\xff\x4f\xff\x51", "JPEG 2000", PICTURE),
        (b"8BPS", "PSD", PICTURE),
        (b"%!PS", "PostScript", PAGE),
        (b"\xc5\xd0\xd3\xc6", "PostScript", PAGE),
        (b"AT&TFORM", "DjVu", PAGE),
        (b"FUJIFILMCCD-RAW", "camera raw", PHOTO),
        (b"IIRO", "camera raw", PHOTO),
        (b"IIRS", "camera raw", PHOTO),
        (b"IIU\0", "camera raw", PHOTO),
        (b"\x76\x2f\x31\x01", "OpenEXR", PICTURE),
        (b"#?RADIANCE", "Radiance HDR", PICTURE),
        (b"DDS ", "DDS", PICTURE),
        (b"farbfeld", "farbfeld", PICTURE),
        (b"\x1a\x45\xdf\xa3", "video", MOVIE),
        (b"PK\x03\x04", "a ZIP archive", "unpack it and send the image inside"),
        (b"\x1f\x8b", "a gzip archive", "unpack it and send the image inside"),
    ];
    if let Some(&(_, kind, advice)) = magics.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some((kind, advice));
    }
    text_kind(&bytes[..bytes.len().min(TEXT)])
}

/// HEIF with HEVC inside.
const HEIC: [&[u8; 4]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];

/// The brands of a file in ISO base media boxes: the major one, a version that says nothing, and the compatible ones.
fn brands(bytes: &[u8]) -> Option<&[[u8; 4]]> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    Some(bytes.get(8..length.clamp(12, 256).min(bytes.len()))?.as_chunks().0)
}

/// A file whose major brand is HEIC's is one, whatever else it claims to be compatible with.
fn is_avif(bytes: &[u8]) -> bool {
    brands(bytes).is_some_and(|brands| {
        let heic = brands.first().is_some_and(|major| HEIC.contains(&major));
        !heic && brands.iter().any(|brand| matches!(brand, b"avif" | b"avis"))
    })
}

/// The kinds in ISO base media boxes: HEIF's family and films. The major brand names most of them; `mif1` and `msf1`
/// say only "some HEIF", and then the compatible brands tell.
fn iso_media_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let brands = brands(bytes)?;
    let has = |wanted: &[&[u8; 4]]| brands.iter().any(|brand| wanted.contains(&brand));
    Some(if has(&HEIC) {
        ("HEIC", PHOTO)
    } else if has(&[b"mif1", b"msf1", b"miaf"]) {
        ("HEIF", PHOTO)
    } else if has(&[b"crx "]) {
        ("camera raw", PHOTO)
    } else {
        ("video", MOVIE)
    })
}

/// The kinds that are text, after a byte order mark and white space.
fn text_kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let contains = |needle: &[u8]| head.windows(needle.len()).any(|at| at.eq_ignore_ascii_case(needle));
    if contains(b"%PDF-") {
        return Some(("PDF", PAGE));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if !text.starts_with(b"<") {
        return None;
    }
    if contains(b"<svg") {
        Some(("SVG", DRAWING))
    } else if contains(b"<html") || contains(b"<!doctype html") {
        Some(("a web page", "send the image itself, or the URL of the image rather than of the page"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for format in Format::ALL {
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
}
