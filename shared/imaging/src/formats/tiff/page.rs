//! What a directory's tags say about a picture, understood and held against what can be.

use std::borrow::Cow;

use super::{
    FORMAT,
    directory::{Directory, Entry, tag},
    old_jpeg::OldJpeg,
};
use crate::{ImageError, Limits};

/// What the samples of a pixel mean together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Colour {
    Grey {
        white_is_zero: bool,
    },
    Palette,
    Rgb,
    Cmyk,
    YCbCr,
    /// CIE L*a*b*; `signed` where a and b are stored as two's complement, not shifted.
    Lab {
        signed: bool,
    },
}

impl Colour {
    /// Samples that it takes.
    fn channels(self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::Lab { .. } => 3,
            Self::Cmyk => 4,
        }
    }
}

/// How one sample is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// How a chunk is packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compression {
    None,
    PackBits,
    Lzw,
    Deflate,
    Zstd,
    Jpeg,
    /// JPEG as TIFF 6.0 had it, before Adobe's technical note 2.
    OldJpeg,
    WebP,
    Jpeg2000 {
        /// Whether the samples are luma and chroma, unless the stream itself has turned them into RGB.
        chroma: bool,
    },
    Fax(FaxKind),
}

impl Compression {
    /// Whether a chunk is a picture of its own, which is decoded whole, and not rows.
    pub(super) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::OldJpeg | Self::WebP | Self::Jpeg2000 { .. })
    }

    fn is_jpeg(self) -> bool {
        matches!(self, Self::Jpeg | Self::OldJpeg)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FaxKind {
    /// CCITT's run lengths; rows begin at a multiple of so many bits.
    Rows { align: usize },
    /// ITU-T T.4, perhaps with rows that refer to the one before.
    Group3 { two_dimensional: bool },
    /// ITU-T T.6.
    Group4,
}

/// What is done to samples before they are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Predictor {
    None,
    /// Each sample is less the one to its left.
    Horizontal,
    /// The bytes of a row's floats, the highest of all first, each less the one before.
    Float,
}

/// A picture as its directory describes it.
pub(super) struct Page<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: Colour,
    /// Samples of a pixel, those included that are not shown.
    pub(super) samples: usize,
    /// Bits of a sample, 1–64.
    pub(super) bits: u32,
    pub(super) kind: Kind,
    /// Which sample is alpha, and whether the others were multiplied by it.
    pub(super) alpha: Option<(usize, bool)>,
    /// Whether each sample has chunks of its own.
    pub(super) planar: bool,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether the first bit of a byte is its lowest.
    pub(super) reversed: bool,
    /// How many pixels across and down have one chroma sample, where that is not said by a JPEG.
    pub(super) subsampling: (u32, u32),
    /// Pixels of a chunk, a strip or a tile, across and down.
    pub(super) chunk: (u32, u32),
    offsets: Entry<'a>,
    lengths: Option<Entry<'a>>,
    /// What [`Compression::OldJpeg`] keeps beside the chunks.
    pub(super) old_jpeg: Option<OldJpeg<'a>>,
}

fn unsupported(what: String) -> ImageError {
    ImageError::UnsupportedFeature { format: FORMAT, source: what.into() }
}

fn corrupt(what: &'static str) -> ImageError {
    ImageError::corrupt(FORMAT, what)
}

impl<'a> Page<'a> {
    /// Understands a directory.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::Corrupt`] for what cannot be, [`ImageError::UnsupportedFeature`] for what
    /// cannot be shown, or [`ImageError::TooManyPixels`].
    pub(super) fn read(directory: Directory<'a>, limits: &Limits) -> Result<Self, ImageError> {
        let size = |tag| directory.number(tag).and_then(|side| u32::try_from(side).ok());
        let (Some(width), Some(height)) = (size(tag::WIDTH), size(tag::HEIGHT)) else {
            return Err(corrupt("no size"));
        };
        if width == 0 || height == 0 {
            return Err(ImageError::Empty);
        }
        limits.check_pixels(width, height, 1)?;
        let mut compression = compression(&directory)?;
        // Some writers of JPEGs leave out how many samples there are, and of how many bits.
        let coloured = matches!(directory.number(tag::PHOTOMETRIC), Some(2 | 6));
        let said = directory.number_or(tag::SAMPLES, if compression.is_jpeg() && coloured { 3 } else { 1 });
        let samples = said.clamp(1, 1 << 16) as usize;
        let bits = bits(&directory, samples, if compression.is_picture() { 8 } else { 1 })?;
        let kind = kind(&directory)?;
        let mut colour = colour(&directory, samples, compression)?;
        if let (Compression::Jpeg2000 { chroma }, Colour::YCbCr) = (&mut compression, colour) {
            // It is turned into RGB where the chunk is decoded.
            (*chroma, colour) = (true, Colour::Rgb);
        }
        if (compression, colour) == (Compression::OldJpeg, Colour::Rgb) {
            // Some writers say so, and never mean it: libtiff does not believe it either.
            colour = Colour::YCbCr;
        }
        if colour.channels() > samples {
            return Err(corrupt("fewer samples than its colours have"));
        }
        let planar = samples > 1 && directory.number_or(tag::PLANAR, 1) == 2;
        let halved = colour == Colour::YCbCr && !compression.is_picture();
        let subsampling = if halved { subsampling(&directory)? } else { (1, 1) };
        if subsampling != (1, 1) && (planar || bits != 8 || samples != 3) {
            return Err(unsupported(format!("{samples} samples of {bits} bits with chroma {subsampling:?}")));
        }
        if colour == Colour::Palette && (bits > 8 || kind != Kind::Unsigned) {
            return Err(unsupported(format!("a palette of {bits} bits")));
        }
        if kind == Kind::Float && !matches!(bits, 16 | 24 | 32 | 64) {
            return Err(unsupported(format!("floats of {bits} bits")));
        }
        let wide =
            bits == 16 && kind == Kind::Unsigned && matches!(compression, Compression::Jpeg2000 { .. });
        if compression.is_picture() && bits != 8 && !wide {
            return Err(unsupported(format!("{compression:?} of {bits} bits")));
        }
        if matches!(compression, Compression::Fax(_)) && (samples, bits) != (1, 1) {
            return Err(corrupt("fax of more than one bit"));
        }
        let (mut chunk, offsets, lengths) = chunks(&directory, width, height)?;
        let old_jpeg = (compression == Compression::OldJpeg).then(|| OldJpeg::read(&directory, &offsets));
        let old_jpeg = old_jpeg.transpose()?;
        if old_jpeg.as_ref().is_some_and(|jpeg| jpeg.whole.is_some()) {
            chunk = (width, height);
        }
        if compression.is_picture() {
            // It is decoded whole, however little of it is shown.
            limits.check_pixels(chunk.0, chunk.1, 1)?;
        }
        Ok(Self {
            width,
            height,
            colour,
            samples,
            bits,
            kind,
            alpha: alpha(&directory, colour, samples),
            planar,
            compression,
            predictor: predictor(&directory, compression, bits, kind)?,
            reversed: directory.number_or(tag::FILL_ORDER, 1) == 2,
            subsampling,
            chunk,
            offsets,
            lengths,
            old_jpeg,
            directory,
        })
    }

    /// How many pixels across and down have one chroma sample, where a JPEG does not say so itself.
    pub(super) fn jpeg_sampling(&self) -> (u8, u8) {
        let sampling = if self.colour == Colour::YCbCr { subsampling(&self.directory).ok() } else { None };
        sampling.map_or((1, 1), |(across, down)| (across as u8, down as u8))
    }

    /// Chunks across and down.
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.width.div_ceil(self.chunk.0) as usize, self.height.div_ceil(self.chunk.1) as usize)
    }

    /// Samples of a pixel that lie in one chunk.
    pub(super) fn samples_in_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Bytes of one row of a chunk, unpacked; with chroma that is shared by rows, of one row of such groups.
    pub(super) fn row_bytes(&self) -> Option<usize> {
        let (across, down) = (self.subsampling.0 as usize, self.subsampling.1 as usize);
        let width = self.chunk.0 as usize;
        if (across, down) != (1, 1) {
            return width.div_ceil(across).checked_mul(across * down + 2);
        }
        let bits = width.checked_mul(self.samples_in_chunk())?.checked_mul(self.bits as usize)?;
        Some(bits.div_ceil(8))
    }

    /// Whether a pixel's four bytes are to be one float, for what is black and what is white is not known yet.
    pub(super) fn is_open_range(&self) -> bool {
        matches!(self.colour, Colour::Grey { .. })
            && match self.kind {
                Kind::Unsigned => self.bits >= 32,
                Kind::Signed => self.bits > 8,
                Kind::Float => true,
            }
    }

    /// Whether alpha has no place among the four bytes of a pixel, and so is kept beside them.
    pub(super) fn has_alpha_beside(&self) -> bool {
        self.alpha.is_some() && (self.colour == Colour::Cmyk || self.is_open_range())
    }

    /// Bytes that the pixels of the page take: four each, and one for alpha that is kept beside them.
    pub(super) fn picture_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * if self.has_alpha_beside() { 5 } else { 4 }
    }

    /// Bytes of a chunk, unpacked, unless it is a picture.
    fn chunk_bytes(&self) -> usize {
        let rows = self.chunk.1.div_ceil(self.subsampling.1) as usize;
        self.row_bytes().and_then(|row| row.checked_mul(rows)).unwrap_or(usize::MAX)
    }

    /// The packed bytes of a chunk; `None` where there are none.
    pub(super) fn packed(&self, index: usize) -> Option<&'a [u8]> {
        if let Some(whole) = self.old_jpeg.as_ref().and_then(|jpeg| jpeg.whole) {
            return Some(whole).filter(|_| index == 0);
        }
        let at = usize::try_from(self.offsets.number(index)?).ok()?;
        let rest = self.directory.file().bytes.get(at..)?;
        let said = self.lengths.and_then(|lengths| lengths.number(index));
        let length = match said.and_then(|length| usize::try_from(length).ok()) {
            // A hole, which writers of sparse files leave.
            Some(0) if at == 0 => return None,
            // Lengths of what is not packed are often wrong, and of no use.
            _ if self.compression == Compression::None => self.chunk_bytes(),
            Some(length) if length > 0 => length,
            _ => rest.len(),
        };
        Some(&rest[..length.min(rest.len())]).filter(|packed| !packed.is_empty())
    }
}

/// The one depth that all samples have.
fn bits(directory: &Directory<'_>, samples: usize, otherwise: u32) -> Result<u32, ImageError> {
    let Some(entry) = directory.entry(tag::BITS) else { return Ok(otherwise) };
    let first = entry.number(0).unwrap_or(0);
    let depths = (0..entry.count.min(samples)).map_while(|index| entry.number(index));
    if { depths }.any(|bits| bits != first) || !(1..=64).contains(&first) {
        return Err(unsupported(format!("samples of {first} bits and of others")));
    }
    Ok(first as u32)
}

fn kind(directory: &Directory<'_>) -> Result<Kind, ImageError> {
    match directory.number_or(tag::SAMPLE_FORMAT, 1) {
        1 | 4 => Ok(Kind::Unsigned),
        2 => Ok(Kind::Signed),
        3 => Ok(Kind::Float),
        other => Err(unsupported(format!("sample format {other}"))),
    }
}

fn compression(directory: &Directory<'_>) -> Result<Compression, ImageError> {
    Ok(match directory.number_or(tag::COMPRESSION, 1) {
        1 => Compression::None,
        2 => Compression::Fax(FaxKind::Rows { align: 8 }),
        3 => {
            let two_dimensional = directory.number_or(tag::T4_OPTIONS, 0) & 1 == 1;
            Compression::Fax(FaxKind::Group3 { two_dimensional })
        }
        4 => Compression::Fax(FaxKind::Group4),
        5 => Compression::Lzw,
        6 => Compression::OldJpeg,
        7 => Compression::Jpeg,
        8 | 32_946 => Compression::Deflate,
        32_771 => Compression::Fax(FaxKind::Rows { align: 16 }),
        32_773 => Compression::PackBits,
        // The second number is what each had before it was registered.
        50_000 | 34_926 => Compression::Zstd,
        50_001 | 34_927 => Compression::WebP,
        // Aperio's, with chroma and without; Leica's; and the registered one.
        33_003 => Compression::Jpeg2000 { chroma: true },
        33_004 | 33_005 | 34_712 => Compression::Jpeg2000 { chroma: false },
        other => {
            return Err(ImageError::UnsupportedCompression { format: FORMAT, compression: name(other) });
        }
    })
}

/// What a compression that is not decoded is called, by the numbers in the registries of Adobe and of libtiff.
fn name(compression: u64) -> Cow<'static, str> {
    Cow::Borrowed(match compression {
        9 | 10 | 34_661 => "JBIG",
        22_610 | 34_934 => "JPEG XR",
        32_766 => "NeXT's run lengths",
        32_809 => "ThunderScan",
        32_908 => "PixarFilm",
        32_909 => "PixarLog",
        34_676 => "SGI LogLuv (run lengths)",
        34_677 => "SGI LogLuv (24 bits)",
        34_713 => "Nikon's NEF",
        34_715 => "JBIG2",
        34_887 => "LERC",
        34_892 => "lossy JPEG of DNG",
        34_925 => "LZMA",
        34_933 => "PNG",
        50_002 | 52_546 => "JPEG XL",
        other => return format!("method {other}").into(),
    })
}

fn colour(directory: &Directory<'_>, samples: usize, compression: Compression) -> Result<Colour, ImageError> {
    // Where nothing is said, what the number of samples suggests; faxes are black on white.
    let are_inks = directory.number_or(tag::INK_SET, 0) == 1;
    let otherwise = match (samples, compression) {
        (_, Compression::Fax(_)) => 0,
        (4.., _) if are_inks => 5,
        (1 | 2, _) => 1,
        _ => 2,
    };
    Ok(match directory.number_or(tag::PHOTOMETRIC, otherwise) {
        0 => Colour::Grey { white_is_zero: true },
        1 | 4 => Colour::Grey { white_is_zero: false },
        2 | 6 if samples < 3 => Colour::Grey { white_is_zero: false },
        2 => Colour::Rgb,
        3 => Colour::Palette,
        5 => Colour::Cmyk,
        6 => Colour::YCbCr,
        8 if samples < 3 => Colour::Grey { white_is_zero: false },
        8 => Colour::Lab { signed: true },
        9 => Colour::Lab { signed: false },
        other => return Err(unsupported(format!("photometric interpretation {other}"))),
    })
}

/// Which sample is alpha. One that nobody explains is alpha beside RGB and grey where it is the only one, as many
/// writers leave the explanation out; one that is said to be something else is not shown.
fn alpha(directory: &Directory<'_>, colour: Colour, samples: usize) -> Option<(usize, bool)> {
    let first = colour.channels();
    if samples <= first {
        return None;
    }
    let Some(entry) = directory.entry(tag::EXTRA_SAMPLES) else {
        return (samples == first + 1 && matches!(colour, Colour::Rgb | Colour::Grey { .. }))
            .then_some((first, false));
    };
    (first..samples).zip(0..entry.count).find_map(|(sample, index)| match entry.number(index)? {
        1 => Some((sample, true)),
        2 => Some((sample, false)),
        _ => None,
    })
}

fn subsampling(directory: &Directory<'_>) -> Result<(u32, u32), ImageError> {
    let Some(entry) = directory.entry(tag::YCBCR_SUBSAMPLING) else { return Ok((2, 2)) };
    match (entry.number(0), entry.number(1)) {
        (Some(across @ (1 | 2 | 4)), Some(down @ (1 | 2 | 4))) => Ok((across as u32, down as u32)),
        _ => Err(corrupt("chroma shared by a strange number of pixels")),
    }
}

/// The predictor: part of LZW, of deflate and of zstd, and of no other compression whatever the tag says.
fn predictor(
    directory: &Directory<'_>,
    compression: Compression,
    bits: u32,
    kind: Kind,
) -> Result<Predictor, ImageError> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    match (directory.number_or(tag::PREDICTOR, 1), bits) {
        (0 | 1, _) => Ok(Predictor::None),
        (2, 8 | 16 | 32 | 64) => Ok(Predictor::Horizontal),
        (3, 16 | 24 | 32 | 64) if kind == Kind::Float => Ok(Predictor::Float),
        (other, bits) => Err(unsupported(format!("predictor {other} with {bits} bits"))),
    }
}

/// How far tiles may go beyond the page: to the next multiple of this. Those that are written are a quarter of it at most, as
/// a rule.
const MAX_TILE: u32 = 4096;

/// A chunk's size, and where the chunks lie.
type Chunks<'a> = ((u32, u32), Entry<'a>, Option<Entry<'a>>);

fn chunks<'a>(directory: &Directory<'a>, width: u32, height: u32) -> Result<Chunks<'a>, ImageError> {
    let entry = |one, other| directory.entry(one).or_else(|| directory.entry(other));
    let side = |tag| directory.number(tag).map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let (size, offsets, lengths) = match side(tag::TILE_WIDTH).zip(side(tag::TILE_HEIGHT)) {
        Some(tile) => {
            let most = |side: u32| side.checked_next_multiple_of(MAX_TILE).unwrap_or(u32::MAX);
            if tile.0 > most(width) || tile.1 > most(height) {
                return Err(corrupt("tiles far larger than the page"));
            }
            (tile, entry(tag::TILE_OFFSETS, tag::STRIP_OFFSETS), entry(tag::TILE_LENGTHS, tag::STRIP_LENGTHS))
        }
        None => {
            let rows = side(tag::ROWS_PER_STRIP).filter(|&rows| rows > 0).unwrap_or(height).min(height);
            ((width, rows), directory.entry(tag::STRIP_OFFSETS), directory.entry(tag::STRIP_LENGTHS))
        }
    };
    match offsets {
        Some(offsets) if size.0 > 0 && size.1 > 0 => Ok((size, offsets, lengths)),
        _ => Err(corrupt("no strips and no tiles")),
    }
}
