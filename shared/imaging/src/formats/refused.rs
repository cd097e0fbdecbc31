//! Formats that people do send and that are not decoded. Each is refused by name, with advice on what to do instead.

const PHOTO: &str = "export it as JPEG and send that";
const PICTURE: &str = "convert it to PNG or JPEG and send that";
const DRAWING: &str = "draw it at the size you need, as PNG, and send that";
const PAGE: &str = "save the page as PNG or JPEG and send that";
const MOVIE: &str = "send a single frame as PNG or JPEG";

/// How many bytes of a text are searched; comments may come before the first element.
pub(super) const TEXT: usize = 8192;

/// The name of a format that is not decoded, and the advice.
pub(super) fn refused_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
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
        (b"#?RGBE", "Radiance HDR", PICTURE),
        (b"PF\n", "PFM", PICTURE),
        (b"Pf\n", "PFM", PICTURE),
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

/// The brands of HEIF files with HEVC.
pub(super) const HEIC: [&[u8; 4]; 8] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];

/// The brands of an ISO base media file: the major brand, the minor version, which does not matter, and the compatible
/// brands.
pub(super) fn brands(bytes: &[u8]) -> Option<&[[u8; 4]]> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    Some(bytes.get(8..length.clamp(12, 256).min(bytes.len()))?.as_chunks().0)
}

/// Formats in ISO base media files: the HEIF family and videos. The major brand names most of them; `mif1` and `msf1`
/// mean only "some HEIF", and then the compatible brands decide.
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

/// Text formats, after an optional byte order mark and white space.
fn text_kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let contains = |needle: &[u8]| head.windows(needle.len()).any(|at| at.eq_ignore_ascii_case(needle));
    if contains(b"%PDF-") {
        return Some(("PDF", PAGE));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if !text.starts_with(b"<") {
        return None;
    }
    // An element's name may have a prefix, `<svg:svg`.
    let prefixed = text.windows(5).enumerate().filter(|(_, at)| at == b":svg ").any(|(end, _)| {
        let name = text[..end].iter().rev().take_while(|letter| letter.is_ascii_alphanumeric()).count();
        name > 0 && text[..end - name].ends_with(b"<")
    });
    if contains(b"<svg") || prefixed {
        Some(("SVG", DRAWING))
    } else if contains(b"<html") || contains(b"<!doctype html") {
        Some(("a web page", "send the image itself, or the URL of the image rather than of the page"))
    } else {
        None
    }
}
