//! Netpbm's formats PBM, PGM and PPM, as text and binary, and PAM, by their specifications
//! (<https://netpbm.sourceforge.net/doc/pnm.html> and its sister pages). The first picture of a file is shown.
//!
//! `image` 0.25.10 reads the same files to the same pixels. It is not used, because it shows nothing of a file that is
//! cut off, and takes more time. `zune-ppm` 0.5.1 shows nothing of such a file either, and reads neither text nor
//! bitmaps.

use crate::{
    Deadline, Format, ImageError, colour,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
};

/// Netpbm's PBM, PGM, PPM and PAM; the first picture of a file is shown.
pub(crate) const FORMAT: Format = Format::new(
    "PNM",
    &[
        "image/x-portable-anymap",
        "image/x-portable-arbitrarymap",
        "image/x-portable-bitmap",
        "image/x-portable-graymap",
        "image/x-portable-greymap",
        "image/x-portable-pixmap",
    ],
);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises,
    header: |bytes, _, _| header(bytes),
    decode: |bytes, header, _, deadline| decode(bytes, header, deadline),
    view: None,
    animation: None,
    frames_in_file: None,
    writer: None,
};

/// The contents of the header.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PnmLayout {
    width: u32,
    height: u32,
    /// The value of white, or of full ink; 1–65535.
    max: u32,
    channels: Channels,
    raster: Raster,
    /// Offset of the pixels.
    start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Channels {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    Cmyk,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Raster {
    /// The digits `0` and `1`, where 1 is black; no space is needed between them.
    TextBits,
    /// Decimal numbers, separated by white space.
    Text,
    /// Eight pixels per byte, the highest bit first, where 1 is black; each row begins a new byte.
    Bits,
    /// One byte per sample, or two, the higher first, if the largest value needs them.
    Bytes,
}

/// Whether this is the beginning of a PNM file. Many texts begin with the same two letters, so the header is checked as
/// well.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_at_checked(2) else { return false };
    match kind {
        [b'P', b'1'..=b'6'] => {
            let mut words = Words(rest);
            rest.first().is_some_and(|&byte| byte.is_ascii_whitespace() || byte == b'#')
                && (words.number().is_some() || words.0.is_empty())
        }
        b"P7" => {
            let line = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n"));
            let keys = [&b"#"[..], b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL", b"TUPLTYPE"];
            line.is_some_and(|line| keys.iter().any(|key| line.starts_with(key)))
        }
        _ => false,
    }
}

/// Reads the header.
///
/// # Errors
/// [`ImageError::Corrupt`] where it is cut off or contradicts itself, [`ImageError::UnsupportedFeature`] for a PAM
/// whose channels have no known meaning.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let layout = layout(bytes)?;
    Ok(Header {
        stored: (layout.width, layout.height),
        orientation: Orientation::UPRIGHT,
        frames: 1,
        // CMYK is converted from one buffer to another.
        extra_bytes_per_pixel: if layout.channels == Channels::Cmyk { 4 } else { 0 },
        largest_frame: (0, 0),
    })
}

fn layout(bytes: &[u8]) -> Result<PnmLayout, ImageError> {
    let layout = match bytes.get(1) {
        Some(b'7') => pam(bytes)?,
        _ => classic(bytes),
    };
    layout.filter(|it| (1..=65_535).contains(&it.max)).ok_or_else(|| pixelwise::unreadable(FORMAT))
}

/// P1–P6: width, height and (except for bitmaps) the largest value as text; then one white-space character and the
/// pixels.
fn classic(bytes: &[u8]) -> Option<PnmLayout> {
    let (channels, raster) = match bytes.get(1)? {
        b'1' => (Channels::Grey, Raster::TextBits),
        b'2' => (Channels::Grey, Raster::Text),
        b'3' => (Channels::Rgb, Raster::Text),
        b'4' => (Channels::Grey, Raster::Bits),
        b'5' => (Channels::Grey, Raster::Bytes),
        _ => (Channels::Rgb, Raster::Bytes),
    };
    let mut words = Words(bytes.get(2..)?);
    let (width, height) = (words.number()?, words.number()?);
    let max = if matches!(raster, Raster::TextBits | Raster::Bits) { 1 } else { words.number()? };
    let start = bytes.len() - words.0.len() + 1;
    Some(PnmLayout { width, height, max, channels, raster, start })
}

/// P7: lines of a key and a value, up to `ENDHDR`.
fn pam(bytes: &[u8]) -> Result<Option<PnmLayout>, ImageError> {
    let (mut width, mut height, mut depth, mut max, mut kind) = (None, None, None, None, &b""[..]);
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, after) = (rest[..end].trim_ascii(), &rest[end + 1..]);
        rest = after;
        let (key, value) = line.split_at(line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len()));
        match key {
            b"WIDTH" => width = Words(value).number(),
            b"HEIGHT" => height = Words(value).number(),
            b"DEPTH" => depth = Words(value).number(),
            b"MAXVAL" => max = Words(value).number(),
            b"TUPLTYPE" => kind = value.trim_ascii(),
            b"ENDHDR" => {
                let channels = match (depth, kind) {
                    (Some(4), b"CMYK") => Channels::Cmyk,
                    (Some(1), _) => Channels::Grey,
                    (Some(2), _) => Channels::GreyAlpha,
                    (Some(3), _) => Channels::Rgb,
                    (Some(4), _) => Channels::Rgba,
                    _ => {
                        let source = format!("{depth:?} channels").into();
                        return Err(ImageError::UnsupportedFeature { format: FORMAT, source });
                    }
                };
                let start = bytes.len() - rest.len();
                let layout = |width, height, max| PnmLayout {
                    width,
                    height,
                    max,
                    channels,
                    raster: Raster::Bytes,
                    start,
                };
                return Ok(width
                    .zip(height)
                    .zip(max)
                    .map(|((width, height), max)| layout(width, height, max)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Decodes the picture as far as the file goes.
pub(super) fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let layout = layout(bytes)?;
    let data = bytes.get(layout.start..).unwrap_or_default();
    let max = layout.max;
    match layout.raster {
        Raster::Bits => {
            let row = (layout.width as usize).div_ceil(8);
            let bits = data.chunks(row).flat_map(|row| {
                let bits = row.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
                bits.take(layout.width as usize)
            });
            pixelwise::fill(FORMAT, header, false, deadline, bits.map(|black| grey(255 * (1 - black))))
        }
        Raster::TextBits => {
            let mut words = Words(data);
            let bits = std::iter::from_fn(move || words.bit());
            pixelwise::fill(FORMAT, header, false, deadline, bits.map(|black| grey(255 * (1 - black))))
        }
        Raster::Text => {
            let mut words = Words(data);
            let samples = std::iter::from_fn(move || words.number());
            filled(&layout, header, deadline, samples.map(|value| pixelwise::to_eight_bits(value, max)))
        }
        Raster::Bytes if max == 255 => filled(&layout, header, deadline, data.iter().copied()),
        Raster::Bytes if max < 256 => {
            let table: [u8; 256] = std::array::from_fn(|value| pixelwise::to_eight_bits(value as u32, max));
            filled(&layout, header, deadline, data.iter().map(|&value| table[usize::from(value)]))
        }
        Raster::Bytes => {
            let values = data.as_chunks().0.iter().map(|&value| u32::from(u16::from_be_bytes(value)));
            filled(&layout, header, deadline, values.map(|value| pixelwise::to_eight_bits(value, max)))
        }
    }
}

/// Fills the picture from 8-bit samples.
fn filled(
    layout: &PnmLayout,
    header: &Header,
    deadline: Deadline,
    mut samples: impl Iterator<Item = u8>,
) -> Result<Decoded, ImageError> {
    let mut next = move || samples.next();
    match layout.channels {
        Channels::Grey => {
            pixelwise::fill(FORMAT, header, false, deadline, std::iter::from_fn(move || next().map(grey)))
        }
        Channels::GreyAlpha => {
            let pixel = move || Some((next()?, next()?)).map(|(grey, alpha)| [grey, grey, grey, alpha]);
            pixelwise::fill(FORMAT, header, true, deadline, std::iter::from_fn(pixel))
        }
        Channels::Rgb => {
            let pixel = move || Some([next()?, next()?, next()?, 255]);
            pixelwise::fill(FORMAT, header, false, deadline, std::iter::from_fn(pixel))
        }
        Channels::Rgba | Channels::Cmyk => {
            let pixel = move || Some([next()?, next()?, next()?, next()?]);
            let alpha = layout.channels == Channels::Rgba;
            let mut decoded = pixelwise::fill(FORMAT, header, alpha, deadline, std::iter::from_fn(pixel))?;
            if !alpha {
                decoded.rgba = colour::cmyk_to_srgb(&decoded.rgba, None, deadline)?;
            }
            Ok(decoded)
        }
    }
}

fn grey(value: u8) -> [u8; 4] {
    [value, value, value, 255]
}

/// The words of a text. Comments, from `#` to the end of the line, are skipped.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            self.0 = self.0.trim_ascii_start();
            let Some(b'#') = self.0.first() else { return };
            let end = self.0.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.0.len());
            self.0 = &self.0[end..];
        }
    }

    /// The next word, if it is a number.
    fn number(&mut self) -> Option<u32> {
        self.skip();
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (word, rest) = self.0.split_at_checked(digits).filter(|(word, _)| !word.is_empty())?;
        self.0 = rest;
        word.iter().try_fold(0_u32, |value, digit| value.checked_mul(10)?.checked_add((digit - b'0').into()))
    }

    /// The next character, if it is a bit.
    fn bit(&mut self) -> Option<u8> {
        self.skip();
        let (&bit, rest) = self.0.split_first().filter(|(bit, _)| matches!(bit, b'0' | b'1'))?;
        self.0 = rest;
        Some(bit - b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<[u8; 4]> {
        assert!(recognises(bytes), "{bytes:?}");
        let header = header(bytes).expect("a header");
        decode(bytes, &header, Deadline::none()).expect("a picture").rgba.as_chunks().0.to_vec()
    }

    #[test]
    fn every_kind_of_raster_is_read() {
        let (black, white) = ([0, 0, 0, 255], [255, 255, 255, 255]);
        assert_eq!(decoded(b"P1 # two by two\n2 2 10\n0 1"), [black, white, white, black]);
        assert_eq!(decoded(b"P4\n3 2\n\xa0\x40"), [black, white, black, white, black, white]);
        assert_eq!(decoded(b"P2\n3 1 3\n0 # comment\n 1 3"), [black, [85, 85, 85, 255], white]);
        assert_eq!(decoded(b"P5\n2 1\n15\n\x00\x0f"), [black, white]);
        assert_eq!(decoded(b"P5 2 1 1023 \x03\xff\x01\xff"), [white, [127, 127, 127, 255]]);
        assert_eq!(decoded(b"P3 1 1 255 1 2 3"), [[1, 2, 3, 255]]);
        assert_eq!(decoded(b"P6 1 1 255\n\n#\n"), [[10, 35, 10, 255]], "after one space all is raster");
        let pam =
            b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n\x01\x02\x03\x04";
        assert_eq!(decoded(pam), [[1, 1, 1, 2], [3, 3, 3, 4]]);
        let pam =
            b"P7\n#\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 65535\nENDHDR\n\x01\x01\x02\x02\x03\x03\xff\xff";
        assert_eq!(decoded(pam), [[1, 2, 3, 255]]);
    }

    #[test]
    fn pixels_cut_off_are_transparent() {
        assert_eq!(decoded(b"P6 2 2 255 \x01\x02\x03\x04"), [[1, 2, 3, 255], [0; 4], [0; 4], [0; 4]]);
        assert_eq!(decoded(b"P2 2 1 255 7 x"), [[7, 7, 7, 255], [0; 4]]);
    }

    #[test]
    fn a_header_that_says_what_cannot_be_is_corrupt() {
        for bytes in
            [&b"P6 2 2 0 "[..], b"P5 2 2 65536 ", b"P6 2", b"P6 99999999999 1 255 ", b"P7\nWIDTH 1\nENDHDR\n"]
        {
            assert!(header(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn text_that_begins_with_its_letters_is_none() {
        for text in [&b"P5 is a highway"[..], b"P1", b"P6x", b"P7 332\n", b"P 1 2", b"P0 1 1"] {
            assert!(!recognises(text), "{text:?}");
        }
    }
}
