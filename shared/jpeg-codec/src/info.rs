//! Reads a JPEG's properties before the first scan: its size, its colour channels, its profile and its EXIF block.

use super::{
    Error, GoOn,
    frame::FrameHeader,
    markers::{self, Segment, Segments},
};

/// The prefixes of an EXIF block, and of a piece of an ICC profile, which is followed by the piece's number and the
/// number of pieces (ICC.1, B.4).
const EXIF: &[u8] = b"Exif\0\0";
const PROFILE: &[u8] = b"ICC_PROFILE\0";
/// The prefixes of JFIF's segment (ITU T.871, 10.1) and Adobe's (technical note 5116), and their least lengths. libjpeg
/// does not accept shorter ones as such.
const JFIF: (&[u8], usize) = (b"JFIF\0", 14);
const ADOBE: (&[u8], usize) = (b"Adobe", 12);
/// The offset of the transform in Adobe's segment.
const ADOBE_TRANSFORM: usize = 11;
/// The number of pieces is one byte.
const MOST_PIECES: usize = 255;

/// The headers of a JPEG that can be decoded.
#[derive(Debug)]
pub struct Info<'a> {
    /// Width and height in pixels, as stored.
    pub size: (u32, u32),
    /// The channels and their colour space.
    pub channels: Channels,
    /// The first EXIF block that is not empty; others are ignored.
    pub exif: Option<&'a [u8]>,
    /// The pieces of a profile in the order of the file, each with its number and the number of pieces in front.
    profile: Vec<&'a [u8]>,
}

impl<'a> Info<'a> {
    /// Reads the headers up to the first scan. Segments that do not matter for the picture are skipped, whatever they
    /// contain.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for arithmetic, lossless and hierarchical coding, 12 bits, and two or more than four
    /// channels; [`Error::Empty`], [`Error::Damaged`] or [`Error::Stopped`].
    pub fn read(bytes: &'a [u8], go_on: &dyn Fn() -> bool) -> Result<Self, Error> {
        let (mut frame, mut exif, mut profile) = (None, None, Vec::new());
        let (mut jfif, mut adobe) = (false, None);
        let mut segments = Segments::new(bytes);
        loop {
            let Some(Segment { marker, content, .. }) = segments.following(go_on)? else {
                return Err(Error::Damaged("no scan"));
            };
            let begins = |(name, least): (&[u8], usize)| content.starts_with(name) && content.len() >= least;
            match marker {
                markers::SOS => break,
                markers::SOF0..=markers::SOF2 if frame.is_none() => {
                    frame = Some(FrameHeader::parse(content)?);
                }
                markers::DHT | markers::DAC => {}
                markers::SOF0..=markers::SOF15 | markers::DHP | markers::SOF55 if frame.is_none() => {
                    return Err(Error::Unsupported("arithmetic, lossless or hierarchical coding"));
                }
                markers::APP0 if begins(JFIF) => jfif = true,
                markers::APP1 => {
                    let block = content.strip_prefix(EXIF).filter(|block| !block.is_empty());
                    exif = exif.or(block);
                }
                markers::APP2 if profile.len() <= MOST_PIECES => {
                    profile.extend(content.strip_prefix(PROFILE));
                }
                markers::APP14 if begins(ADOBE) => adobe = content.get(ADOBE_TRANSFORM).copied(),
                _ => {}
            }
        }
        let frame = frame.ok_or(Error::Damaged("a scan before any frame"))?;
        let height = if frame.height == 0 { lines(segments, go_on)? } else { Some(frame.height) };
        let Some(height) = height.filter(|_| frame.width > 0) else { return Err(Error::Empty) };
        let channels = Channels::of(&frame, jfif, adobe);
        Ok(Self { size: (frame.width, height), channels, exif, profile })
    }

    /// Assembles the embedded ICC profile; `None` if a piece is missing.
    #[must_use]
    pub fn profile(&self) -> Option<Vec<u8>> {
        let mut pieces: Vec<_> =
            self.profile.iter().filter_map(|piece| piece.split_first_chunk::<2>()).collect();
        pieces.sort_by_key(|([number, _], _)| *number);
        let ([_, count], _) = pieces.first()?;
        let all = usize::from(*count) == pieces.len()
            && pieces.iter().zip(1..=u8::MAX).all(|(([number, _], _), nth)| *number == nth);
        all.then(|| pieces.iter().map(|(_, piece)| *piece).collect::<Vec<_>>().concat())
    }
}

/// The height of a frame whose header leaves it open: it follows the first scan (ITU T.81, B.2.5).
fn lines(mut segments: Segments<'_>, go_on: GoOn<'_>) -> Result<Option<u32>, Error> {
    while let Some(Segment { marker, content, .. }) = segments.following(go_on)? {
        if marker == markers::DNL {
            let height = content.first_chunk().map(|height| u32::from(u16::from_be_bytes(*height)));
            return Ok(height.filter(|&height| height > 0));
        }
    }
    Ok(None)
}

/// The colour space of a JPEG's samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Channels {
    /// Grey alone.
    Grey,
    /// Luminance and chrominance, as in JFIF.
    YCbCr,
    /// Red, green and blue.
    Rgb,
    /// CMYK, inverted: 255 is no ink.
    Cmyk,
    /// YCCK: black is inverted; the other inks, not inverted, are the red, green and blue of JFIF's conversion.
    Ycck,
}

impl Channels {
    /// The number of channels.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::YCbCr | Self::Rgb => 3,
            Self::Cmyk | Self::Ycck => 4,
        }
    }

    /// The colour space of a frame, given whether there is a JFIF segment, and the transform of the Adobe segment. The
    /// rules are those of libjpeg-turbo (`jdapimin.c`, `default_decompress_parms`), and so of Pillow, libvips and
    /// browsers.
    fn of(frame: &FrameHeader<'_>, jfif: bool, adobe: Option<u8>) -> Self {
        match (frame.ids().count(), jfif, adobe) {
            (1, ..) => Self::Grey,
            (4, _, None | Some(0)) => Self::Cmyk,
            (4, ..) => Self::Ycck,
            (_, false, Some(0)) => Self::Rgb,
            (_, false, None) if frame.ids().eq(*b"RGB") => Self::Rgb,
            _ => Self::YCbCr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
    }

    /// A frame of 5 × 7 whose channels have these ids.
    fn frame(ids: &[u8]) -> Vec<u8> {
        let channels = ids.iter().flat_map(|&id| [id, 0x11, 0]);
        let content: Vec<u8> = [8, 0, 7, 0, 5, ids.len() as u8].into_iter().chain(channels).collect();
        segment(markers::SOF0, &content)
    }

    fn scan() -> Vec<u8> {
        segment(markers::SOS, &[1, 1, 0, 0, 63, 0])
    }

    fn file(segments: &[Vec<u8>]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &segments.concat()].concat()
    }

    fn read(file: &[u8]) -> Result<Info<'_>, Error> {
        Info::read(file, &|| true)
    }

    fn jfif() -> Vec<u8> {
        segment(markers::APP0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")
    }

    fn adobe(transform: u8) -> Vec<u8> {
        segment(markers::APP14, &[&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat())
    }

    fn channels(segments: &[Vec<u8>]) -> Channels {
        read(&file(segments)).expect("a good header").channels
    }

    #[test]
    fn jfif_comes_before_adobe_and_adobe_before_ids() {
        for (ids, plain) in [
            (b"\x01\x02\x03", Channels::YCbCr),
            (b"RGB", Channels::Rgb),
            (b"rgb", Channels::YCbCr),
            (b"\x00\x01\x02", Channels::YCbCr),
            (b"\x01\x01\x01", Channels::YCbCr),
        ] {
            assert_eq!(channels(&[frame(ids), scan()]), plain, "{ids:?}");
            assert_eq!(channels(&[jfif(), frame(ids), scan()]), Channels::YCbCr, "{ids:?} with JFIF");
            for (transform, by_adobe) in
                [(0, Channels::Rgb), (1, Channels::YCbCr), (2, Channels::YCbCr), (9, Channels::YCbCr)]
            {
                let name = format!("{ids:?}, {transform}");
                assert_eq!(channels(&[adobe(transform), frame(ids), scan()]), by_adobe, "{name}");
                assert_eq!(channels(&[frame(ids), adobe(transform), scan()]), by_adobe, "{name}, late");
                let both = [jfif(), adobe(transform), frame(ids), scan()];
                assert_eq!(channels(&both), Channels::YCbCr, "{name} with JFIF");
                let both = [adobe(transform), frame(ids), jfif(), scan()];
                assert_eq!(channels(&both), Channels::YCbCr, "{name} with JFIF, late");
            }
        }
    }

    #[test]
    fn four_channels_are_inks_and_one_is_grey_whatever_else_is_said() {
        for jfif in [vec![], jfif()] {
            for (adobe, four) in [
                (vec![], Channels::Cmyk),
                (adobe(0), Channels::Cmyk),
                (adobe(1), Channels::Ycck),
                (adobe(2), Channels::Ycck),
                (adobe(7), Channels::Ycck),
            ] {
                let inks = [jfif.clone(), adobe.clone(), frame(b"CMYK"), scan()];
                assert_eq!(channels(&inks), four, "{adobe:?}");
                let grey = [jfif.clone(), adobe, frame(b"R"), scan()];
                assert_eq!(channels(&grey), Channels::Grey);
            }
        }
    }

    #[test]
    fn segments_that_are_too_short_are_somebody_elses() {
        let whole = b"Adobe\0\x64\0\0\0\0\0\0\0";
        for length in 0..=whole.len() {
            let says = if length >= 12 { Channels::Rgb } else { Channels::YCbCr };
            let short = segment(markers::APP14, &whole[..length]);
            assert_eq!(channels(&[short, frame(b"\x01\x02\x03"), scan()]), says, "{length}");
        }
        let whole = b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0\0";
        for length in 0..=whole.len() {
            let says = if length >= 14 { Channels::YCbCr } else { Channels::Rgb };
            let short = segment(markers::APP0, &whole[..length]);
            assert_eq!(channels(&[short, adobe(0), frame(b"\x01\x02\x03"), scan()]), says, "{length}");
        }
        let jfxx = segment(markers::APP0, b"JFXX\0\x10\0\0\0\0\0\0\0\0");
        assert_eq!(channels(&[jfxx, frame(b"RGB"), scan()]), Channels::Rgb, "an extension of JFIF's is none");
        assert_eq!(channels(&[adobe(0), adobe(1), frame(b"RGB"), scan()]), Channels::YCbCr, "the last one");
    }

    #[test]
    fn the_first_exif_block_that_is_not_empty_is_taken() {
        let block = |content: &[u8]| segment(markers::APP1, &[EXIF, content].concat());
        let exif = |segments: &[Vec<u8>]| {
            let file = file(&[segments.concat(), frame(b"\x01\x02\x03"), scan()]);
            read(&file).expect("a good header").exif.map(<[u8]>::to_vec)
        };
        let xmp = segment(markers::APP1, b"http://ns.adobe.com/xap/1.0/\0<x/>");
        assert_eq!(exif(&[]), None);
        assert_eq!(exif(&[xmp.clone(), block(b"II"), block(b"MM")]), Some(b"II".to_vec()));
        assert_eq!(exif(&[block(b"MM"), xmp, block(b"II")]), Some(b"MM".to_vec()));
        assert_eq!(exif(&[block(b""), block(b"II")]), Some(b"II".to_vec()));
    }

    #[test]
    fn a_profile_is_put_together_in_the_order_of_its_pieces() {
        let piece = |number: u8, count: u8, data: &[u8]| {
            segment(markers::APP2, &[b"ICC_PROFILE\0", &[number, count][..], data].concat())
        };
        let profile = |pieces: &[Vec<u8>]| {
            let file = file(&[pieces.concat(), frame(b"\x01"), scan()]);
            read(&file).expect("a good header").profile()
        };
        assert_eq!(profile(&[]), None);
        assert_eq!(profile(&[piece(1, 1, b"abc")]), Some(b"abc".to_vec()));
        assert_eq!(profile(&[piece(2, 2, b"b"), piece(1, 2, b"a")]), Some(b"ab".to_vec()));
        let cut = segment(markers::APP2, b"ICC_PROFILE\0\x01");
        assert_eq!(profile(std::slice::from_ref(&cut)), None);
        assert_eq!(profile(&[cut, piece(1, 1, b"abc")]), Some(b"abc".to_vec()));
        for pieces in [
            vec![piece(1, 2, b"a")],
            vec![piece(2, 2, b"b"), piece(2, 2, b"b")],
            vec![piece(1, 1, b"a"), piece(2, 1, b"b")],
            vec![piece(0, 1, b"a")],
            (0..1000).map(|_| piece(1, 255, b"a")).collect(),
        ] {
            assert_eq!(profile(&pieces), None, "{}", pieces.len());
        }
    }

    #[test]
    fn unsupported_features_are_told_from_damage() {
        let odd = |at: usize, value: u8| {
            let mut frame = frame(b"\x01\x02\x03");
            frame[at] = value;
            frame
        };
        let code = |segments: &[Vec<u8>]| match read(&file(segments)).expect_err("no picture") {
            Error::Unsupported(_) => "unsupported",
            Error::Empty => "empty",
            Error::Damaged(_) => "damaged",
            other => panic!("{other}"),
        };
        let good = || frame(b"\x01\x02\x03");
        for (name, segments, says) in [
            ("12 bits", vec![odd(4, 12), scan()], "unsupported"),
            ("two channels", vec![frame(b"\x01\x02"), scan()], "unsupported"),
            ("five channels", vec![frame(b"\x01\x02\x03\x04\x05"), scan()], "unsupported"),
            ("a hierarchy", vec![segment(markers::DHP, &[8]), good(), scan()], "unsupported"),
            ("JPEG-LS", vec![segment(markers::SOF55, &[8]), scan()], "unsupported"),
            ("no width", vec![odd(8, 0), scan()], "empty"),
            ("no height", vec![odd(6, 0), scan()], "empty"),
            ("no height either", vec![odd(6, 0), scan(), segment(markers::DNL, &[0, 0])], "empty"),
            ("7 bits", vec![odd(4, 7), scan()], "damaged"),
            ("no channels", vec![frame(b""), scan()], "damaged"),
            ("a channel less", vec![odd(9, 4), scan()], "damaged"),
            ("no factor", vec![odd(11, 0x01), scan()], "damaged"),
            ("a factor of five", vec![odd(11, 0x15), scan()], "damaged"),
            ("no frame", vec![scan()], "damaged"),
            ("no scan", vec![good()], "damaged"),
            ("nothing", vec![], "damaged"),
        ] {
            assert_eq!(code(&segments), says, "{name}");
        }
        for marker in (0xc3..=0xcf).filter(|marker| ![markers::DHT, markers::DAC].contains(marker)) {
            assert_eq!(code(&[odd(1, marker), scan()]), "unsupported", "{marker:x}");
        }
    }

    #[test]
    fn segments_that_do_not_matter_may_contain_anything() {
        let good = file(&[frame(b"\x01\x02\x03"), scan()]);
        for odd in [
            segment(markers::DAC, &[]),
            segment(markers::DAC, &[0xff; 7]),
            segment(markers::DNL, &[0, 1]),
            segment(markers::APP1, b"http://ns.adobe.com/xmp/extension/\0cut"),
            segment(0xed, b"Photoshop 3.0\08BIM\x04"),
            segment(0xfe, b""),
            vec![0xff, 0xfe, 0, 0],
            vec![0xff, 0xd8, 0xff, 0xff, 0xff, 0x01, 1, 2, 3],
        ] {
            let file = [&good[..2], &odd, &good[2..]].concat();
            let info = read(&file).unwrap_or_else(|error| panic!("{odd:?}: {error:?}"));
            assert_eq!((info.size, info.channels), ((5, 7), Channels::YCbCr), "{odd:?}");
        }
    }

    #[test]
    fn a_height_that_comes_behind_the_first_scan_is_taken() {
        let mut open = frame(b"\x01");
        open[6] = 0;
        let data = vec![1, 2, 0xff, 0, 3, 0xff, 0xd0, 4];
        let file = file(&[open, scan(), data, segment(markers::DNL, &[1, 2])]);
        assert_eq!(read(&file).expect("a good header").size, (5, 258));
    }
}
