//! Interprets and validates the tags that describe a picture.

use std::borrow::Cow;

use super::{
    FORMAT,
    directory::{Directory, Entry, tag},
    old_jpeg::OldJpeg,
};
use crate::{ImageError, Limits};

/// The colour space of a pixel's samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ColourSpace {
    Grey {
        white_is_zero: bool,
    },
    Palette,
    Rgb,
    Cmyk,
    YCbCr,
    /// CIE L*a*b*; `signed` if a and b are stored in two's complement instead of shifted.
    Lab {
        signed: bool,
    },
}

impl ColourSpace {
    /// The number of samples.
    fn channels(self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::Lab { .. } => 3,
            Self::Cmyk => 4,
        }
    }
}

/// The number type of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SampleKind {
    Unsigned,
    Signed,
    Float,
}

/// The compression of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compression {
    None,
    PackBits,
    Lzw,
    Deflate,
    Zstd,
    Jpeg,
    /// JPEG as defined in TIFF 6.0, before Adobe's technical note 2.
    OldJpeg,
    WebP,
    Jpeg2000 {
        /// Whether the samples are luma and chroma, unless the stream itself says that they are converted to RGB.
        chroma: bool,
    },
    Fax(FaxKind),
}

impl Compression {
    /// Whether a chunk is a picture of its own, which is decoded whole and not by rows.
    pub(super) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::OldJpeg | Self::WebP | Self::Jpeg2000 { .. })
    }

    fn is_jpeg(self) -> bool {
        matches!(self, Self::Jpeg | Self::OldJpeg)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FaxKind {
    /// CCITT run lengths; each row begins at a multiple of so many bits.
    Rows { align: usize },
    /// ITU-T T.4, optionally with two-dimensional rows.
    Group3 { two_dimensional: bool },
    /// ITU-T T.6.
    Group4,
}

/// The transformation of samples before compression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Predictor {
    None,
    /// The difference of each sample from the one to its left.
    Horizontal,
    /// The bytes of a row's floats, all highest bytes first, each as the difference from the byte before.
    Float,
}

/// A page, as its directory describes it.
pub(super) struct Page<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: ColourSpace,
    /// Samples per pixel, including those that are not shown.
    pub(super) samples: usize,
    /// Bits per sample, 1–64.
    pub(super) bits: u32,
    pub(super) kind: SampleKind,
    /// The index of the alpha sample, and whether the others are premultiplied by it.
    pub(super) alpha: Option<(usize, bool)>,
    /// Whether each sample has its own chunks.
    pub(super) planar: bool,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether the lowest bit of a byte comes first.
    pub(super) reversed: bool,
    /// Pixels per chroma sample, across and down, if no JPEG defines it.
    pub(super) subsampling: (u32, u32),
    /// Size in pixels of a chunk, which is a strip or a tile.
    pub(super) chunk: (u32, u32),
    offsets: Entry<'a>,
    lengths: Option<Entry<'a>>,
    /// The parts that [`Compression::OldJpeg`] keeps outside the chunks.
    pub(super) old_jpeg: Option<OldJpeg<'a>>,
}

fn unsupported(what: String) -> ImageError {
    ImageError::UnsupportedFeature { format: FORMAT, source: what.into() }
}

fn corrupt(what: &'static str) -> ImageError {
    ImageError::corrupt(FORMAT, what)
}

impl<'a> Page<'a> {
    /// Interprets a directory.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::Corrupt`] for invalid tags, [`ImageError::UnsupportedFeature`] for valid
    /// ones that are not supported, or [`ImageError::TooManyPixels`].
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
        // Some writers of JPEG leave out the number of samples and their bits.
        let coloured = matches!(directory.number(tag::PHOTOMETRIC), Some(2 | 6));
        let said = directory.number_or(tag::SAMPLES, if compression.is_jpeg() && coloured { 3 } else { 1 });
        let samples = said.clamp(1, 1 << 16) as usize;
        let bits = bits(&directory, samples, if compression.is_picture() { 8 } else { 1 })?;
        let kind = kind(&directory)?;
        let mut colour = colour(&directory, samples, compression)?;
        if let (Compression::Jpeg2000 { chroma }, ColourSpace::YCbCr) = (&mut compression, colour) {
            // The decoder of the chunk converts it to RGB.
            (*chroma, colour) = (true, ColourSpace::Rgb);
        }
        if (compression, colour) == (Compression::OldJpeg, ColourSpace::Rgb) {
            // Some writers state RGB for YCbCr data; libtiff does not believe it either.
            colour = ColourSpace::YCbCr;
        }
        if colour.channels() > samples {
            return Err(corrupt("fewer samples than its colours have"));
        }
        let planar = samples > 1 && directory.number_or(tag::PLANAR, 1) == 2;
        let halved = colour == ColourSpace::YCbCr && !compression.is_picture();
        let subsampling = if halved { subsampling(&directory)? } else { (1, 1) };
        if subsampling != (1, 1) && (planar || bits != 8 || samples != 3) {
            return Err(unsupported(format!("{samples} samples of {bits} bits with chroma {subsampling:?}")));
        }
        if colour == ColourSpace::Palette && (bits > 8 || kind != SampleKind::Unsigned) {
            return Err(unsupported(format!("a palette of {bits} bits")));
        }
        if kind == SampleKind::Float && !matches!(bits, 16 | 24 | 32 | 64) {
            return Err(unsupported(format!("floats of {bits} bits")));
        }
        let wide =
            bits == 16 && kind == SampleKind::Unsigned && matches!(compression, Compression::Jpeg2000 { .. });
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
            // The tile is decoded whole, however little of it is shown.
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

    /// The chroma sampling factors for JPEGs that are constructed from the TIFF's tags.
    pub(super) fn jpeg_sampling(&self) -> (u8, u8) {
        let sampling =
            if self.colour == ColourSpace::YCbCr { subsampling(&self.directory).ok() } else { None };
        sampling.map_or((1, 1), |(across, down)| (across as u8, down as u8))
    }

    /// The number of chunks across and down.
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.width.div_ceil(self.chunk.0) as usize, self.height.div_ceil(self.chunk.1) as usize)
    }

    /// The number of samples per pixel in one chunk.
    pub(super) fn samples_in_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Bytes of an unpacked row of a chunk. If rows share chroma, it is a row of such groups.
    pub(super) fn row_bytes(&self) -> Option<usize> {
        let (across, down) = (self.subsampling.0 as usize, self.subsampling.1 as usize);
        let width = self.chunk.0 as usize;
        if (across, down) != (1, 1) {
            return width.div_ceil(across).checked_mul(across * down + 2);
        }
        let bits = width.checked_mul(self.samples_in_chunk())?.checked_mul(self.bits as usize)?;
        Some(bits.div_ceil(8))
    }

    /// Whether each pixel's four bytes hold one float, because the values of black and white are not known yet.
    pub(super) fn is_open_range(&self) -> bool {
        matches!(self.colour, ColourSpace::Grey { .. })
            && match self.kind {
                SampleKind::Unsigned => self.bits >= 32,
                SampleKind::Signed => self.bits > 8,
                SampleKind::Float => true,
            }
    }

    /// Whether a pixel's four bytes have no room for alpha, so that it is kept separately.
    pub(super) fn has_alpha_beside(&self) -> bool {
        self.alpha.is_some() && (self.colour == ColourSpace::Cmyk || self.is_open_range())
    }

    /// The bytes of the page's pixels: four each, and one more if alpha is kept separately.
    pub(super) fn picture_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * if self.has_alpha_beside() { 5 } else { 4 }
    }

    /// The bytes of an unpacked chunk, unless it is a picture.
    fn chunk_bytes(&self) -> usize {
        let rows = self.chunk.1.div_ceil(self.subsampling.1) as usize;
        self.row_bytes().and_then(|row| row.checked_mul(rows)).unwrap_or(usize::MAX)
    }

    /// The packed bytes of a chunk; `None` if there are none.
    pub(super) fn packed(&self, index: usize) -> Option<&'a [u8]> {
        if let Some(whole) = self.old_jpeg.as_ref().and_then(|jpeg| jpeg.whole) {
            return Some(whole).filter(|_| index == 0);
        }
        let at = usize::try_from(self.offsets.number(index)?).ok()?;
        let rest = self.directory.file().bytes.get(at..)?;
        let said = self.lengths.and_then(|lengths| lengths.number(index));
        let length = match said.and_then(|length| usize::try_from(length).ok()) {
            // Writers of sparse files leave out chunks in this way.
            Some(0) if at == 0 => return None,
            // Lengths of uncompressed chunks are often wrong, and not needed.
            _ if self.compression == Compression::None => self.chunk_bytes(),
            Some(length) if length > 0 => length,
            _ => rest.len(),
        };
        Some(&rest[..length.min(rest.len())]).filter(|packed| !packed.is_empty())
    }
}

/// The number of bits, which all samples must share.
fn bits(directory: &Directory<'_>, samples: usize, otherwise: u32) -> Result<u32, ImageError> {
    let Some(entry) = directory.entry(tag::BITS) else { return Ok(otherwise) };
    let first = entry.number(0).unwrap_or(0);
    let depths = (0..entry.count.min(samples)).map_while(|index| entry.number(index));
    if { depths }.any(|bits| bits != first) || !(1..=64).contains(&first) {
        return Err(unsupported(format!("samples of {first} bits and of others")));
    }
    Ok(first as u32)
}

fn kind(directory: &Directory<'_>) -> Result<SampleKind, ImageError> {
    match directory.number_or(tag::SAMPLE_FORMAT, 1) {
        1 | 4 => Ok(SampleKind::Unsigned),
        2 => Ok(SampleKind::Signed),
        3 => Ok(SampleKind::Float),
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
        // The second number of each was used before the first was registered.
        50_000 | 34_926 => Compression::Zstd,
        50_001 | 34_927 => Compression::WebP,
        // Aperio's two numbers, with chroma and without; Leica's; and the registered one.
        33_003 => Compression::Jpeg2000 { chroma: true },
        33_004 | 33_005 | 34_712 => Compression::Jpeg2000 { chroma: false },
        other => {
            return Err(ImageError::UnsupportedCompression { format: FORMAT, compression: name(other) });
        }
    })
}

/// The name of a compression that is not supported, from the registries of Adobe and libtiff.
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

fn colour(
    directory: &Directory<'_>,
    samples: usize,
    compression: Compression,
) -> Result<ColourSpace, ImageError> {
    // If the tag is missing, the number of samples decides; faxes are black on white.
    let are_inks = directory.number_or(tag::INK_SET, 0) == 1;
    let otherwise = match (samples, compression) {
        (_, Compression::Fax(_)) => 0,
        (4.., _) if are_inks => 5,
        (1 | 2, _) => 1,
        _ => 2,
    };
    Ok(match directory.number_or(tag::PHOTOMETRIC, otherwise) {
        0 => ColourSpace::Grey { white_is_zero: true },
        1 | 4 => ColourSpace::Grey { white_is_zero: false },
        2 | 6 if samples < 3 => ColourSpace::Grey { white_is_zero: false },
        2 => ColourSpace::Rgb,
        3 => ColourSpace::Palette,
        5 => ColourSpace::Cmyk,
        6 => ColourSpace::YCbCr,
        8 if samples < 3 => ColourSpace::Grey { white_is_zero: false },
        8 => ColourSpace::Lab { signed: true },
        9 => ColourSpace::Lab { signed: false },
        other => return Err(unsupported(format!("photometric interpretation {other}"))),
    })
}

/// Finds the alpha sample. A single extra sample without an explanation is alpha beside RGB or grey, because many
/// writers leave the explanation out; an extra sample that is said to be something else is not shown.
fn alpha(directory: &Directory<'_>, colour: ColourSpace, samples: usize) -> Option<(usize, bool)> {
    let first = colour.channels();
    if samples <= first {
        return None;
    }
    let Some(entry) = directory.entry(tag::EXTRA_SAMPLES) else {
        return (samples == first + 1 && matches!(colour, ColourSpace::Rgb | ColourSpace::Grey { .. }))
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

/// The predictor. It applies to LZW, deflate and zstd only, whatever the tag says.
fn predictor(
    directory: &Directory<'_>,
    compression: Compression,
    bits: u32,
    kind: SampleKind,
) -> Result<Predictor, ImageError> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    match (directory.number_or(tag::PREDICTOR, 1), bits) {
        (0 | 1, _) => Ok(Predictor::None),
        (2, 8 | 16 | 32 | 64) => Ok(Predictor::Horizontal),
        (3, 16 | 24 | 32 | 64) if kind == SampleKind::Float => Ok(Predictor::Float),
        (other, bits) => Err(unsupported(format!("predictor {other} with {bits} bits"))),
    }
}

/// The limit on tiles that exceed the page: they may be as large as the page, rounded up to a multiple of this. Usual
/// tiles are a quarter of it at most.
const MAX_TILE: u32 = 4096;

/// The size of a chunk, and the offsets and lengths of all chunks.
type ChunkGrid<'a> = ((u32, u32), Entry<'a>, Option<Entry<'a>>);

fn chunks<'a>(directory: &Directory<'a>, width: u32, height: u32) -> Result<ChunkGrid<'a>, ImageError> {
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
