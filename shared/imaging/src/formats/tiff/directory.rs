//! A TIFF file's directories: lists of tags with values, in either byte order, with offsets of 32 bits (TIFF 6.0) or 64
//! bits (BigTIFF). Nothing is copied: a value is read from the file when it is needed, and values beyond the end of the
//! file count as missing.

/// The tags that are read.
pub(super) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const SUBFILE_TYPE: u16 = 255;
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const BITS: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const INK_SET: u16 = 332;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_LENGTHS: u16 = 279;
    pub(crate) const PLANAR: u16 = 284;
    pub(crate) const T4_OPTIONS: u16 = 292;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOURS: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_HEIGHT: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_LENGTHS: u16 = 325;
    pub(crate) const SUB_DIRECTORIES: u16 = 330;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const JPEG_PROCESS: u16 = 512;
    pub(crate) const JPEG_STREAM: u16 = 513;
    pub(crate) const JPEG_RESTART: u16 = 515;
    pub(crate) const JPEG_QUANTISATION: u16 = 519;
    pub(crate) const JPEG_DC_CODES: u16 = 520;
    pub(crate) const JPEG_AC_CODES: u16 = 521;
    pub(crate) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(crate) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(crate) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(crate) const ICC_PROFILE: u16 = 34_675;
    pub(crate) const DNG_VERSION: u16 = 50_706;
}

/// The most entries of a directory that are read, as in libtiff. Each tag is searched among all of them, in every page.
const MOST_ENTRIES: usize = 4096;

/// A whole file.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    little: bool,
    big: bool,
}

impl<'a> File<'a> {
    /// Opens the file, and returns the offset of its first directory.
    pub(super) fn open(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (little, big) = match *bytes.first_chunk()? {
            [b'I', b'I', version @ (42 | 43), 0] => (true, version == 43),
            [b'M', b'M', 0, version @ (42 | 43)] => (false, version == 43),
            _ => return None,
        };
        let file = Self { bytes, little, big };
        let first = if big { file.u64(8)? } else { file.u32(4)?.into() };
        Some((file, usize::try_from(first).ok()?))
    }

    /// Whether the file is little-endian.
    pub(super) fn little(&self) -> bool {
        self.little
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    /// Reads the directory at that offset. Entries beyond the end of the file or beyond the limit are left out.
    pub(super) fn directory(&self, at: usize) -> Option<Directory<'a>> {
        let (count, head, entry) =
            if self.big { (self.u64(at)?, 8, 20) } else { (self.u16(at)?.into(), 2, 12) };
        let first = at.checked_add(head)?;
        let there = self.bytes.len().saturating_sub(first) / entry;
        let entries = usize::try_from(count).unwrap_or(usize::MAX).min(there).min(MOST_ENTRIES);
        Some(Directory { file: *self, first, entries })
    }
}

/// One directory.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    file: File<'a>,
    /// Offset of the first entry.
    first: usize,
    entries: usize,
}

impl<'a> Directory<'a> {
    pub(super) fn file(&self) -> File<'a> {
        self.file
    }

    /// The offset of the next directory, if there is one.
    pub(super) fn next(&self) -> Option<usize> {
        let at = self.first + self.entries * if self.file.big { 20 } else { 12 };
        let next = if self.file.big { self.file.u64(at)? } else { self.file.u32(at)?.into() };
        usize::try_from(next).ok().filter(|&at| at > 0)
    }

    /// The values of a tag.
    pub(super) fn entry(&self, tag: u16) -> Option<Entry<'a>> {
        let file = &self.file;
        let (size, room) = if file.big { (20, 8) } else { (12, 4) };
        let at = (0..self.entries).map(|index| self.first + index * size);
        let at = { at }.find(|&at| file.u16(at) == Some(tag))?;
        let kind = file.u16(at + 2)?;
        let width = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        let (count, value) = if file.big {
            (usize::try_from(file.u64(at + 4)?).ok()?, at + 12)
        } else {
            (file.u32(at + 4)? as usize, at + 8)
        };
        // Values that fit in the entry lie there; larger ones lie at the offset that it gives.
        let value = match count.checked_mul(width) {
            Some(length) if length <= room => value,
            _ if file.big => usize::try_from(file.u64(value)?).ok()?,
            _ => file.u32(value)? as usize,
        };
        Some(Entry { file: *file, kind, width, count, value })
    }

    /// The first value of a tag, if it is a whole number.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.entry(tag)?.number(0)
    }

    /// The same, or a default if there is no such tag.
    pub(super) fn number_or(&self, tag: u16, default: u64) -> u64 {
        self.number(tag).unwrap_or(default)
    }
}

/// The values of one tag.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    file: File<'a>,
    kind: u16,
    /// Bytes of one value.
    width: usize,
    pub(super) count: usize,
    value: usize,
}

impl<'a> Entry<'a> {
    fn at(&self, index: usize) -> Option<usize> {
        if index >= self.count {
            return None;
        }
        self.value.checked_add(index.checked_mul(self.width)?)
    }

    /// One value, if it is a whole number that is not negative.
    pub(super) fn number(&self, index: usize) -> Option<u64> {
        let at = self.at(index)?;
        match self.kind {
            1 | 7 => self.file.bytes.get(at).copied().map(u64::from),
            3 => self.file.u16(at).map(u64::from),
            4 | 13 => self.file.u32(at).map(u64::from),
            16 | 18 => self.file.u64(at),
            6 => u64::try_from(self.file.bytes.get(at)?.cast_signed()).ok(),
            17 => u64::try_from(self.file.u64(at)?.cast_signed()).ok(),
            8 => u64::try_from(self.file.u16(at)?.cast_signed()).ok(),
            9 => u64::try_from(self.file.u32(at)?.cast_signed()).ok(),
            _ => None,
        }
    }

    /// One value of any numeric type.
    pub(super) fn real(&self, index: usize) -> Option<f64> {
        let at = self.at(index)?;
        match self.kind {
            5 => Some(f64::from(self.file.u32(at)?) / f64::from(self.file.u32(at + 4)?)),
            11 => self.file.u32(at).map(|bits| f32::from_bits(bits).into()),
            12 => self.file.u64(at).map(f64::from_bits),
            _ => self.number(index).map(|value| value as f64),
        }
    }

    /// The bytes of the values, as far as the file has them.
    pub(super) fn raw(&self) -> &'a [u8] {
        let rest = self.file.bytes.get(self.value..).unwrap_or_default();
        &rest[..self.count.saturating_mul(self.width).min(rest.len())]
    }
}
