//! The headers of Windows and OS/2 bitmaps; `pixels` reads the pixels. An icon holds the same data without the first
//! fourteen bytes.
//!
//! The sources are Microsoft's documentation of `BITMAPFILEHEADER`, `BITMAPINFOHEADER` and `BITMAPV5HEADER`, and IBM's
//! of the OS/2 headers. The latter share only the first fields with the former, and are told apart by their lengths.
//!
//! `image` 0.25.10 is not used. It shows nothing of a file that is cut off. It refuses OS/2 headers of 16 and 64 bytes,
//! masks with alpha behind the header (compression 6), colour tables that claim to be too long, and runs that are
//! damaged or stored from the top, and it does not leave transparent what runs skip. `zune-bmp` 0.5.2 refuses damaged
//! runs, too.

mod pixels;

use crate::{
    Deadline, Format, ImageError,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    orient::Orientation,
    scan::{le16, le32},
};

/// Windows and OS/2 bitmap.
pub(crate) const FORMAT: Format = Format::new("BMP", &["image/bmp", "image/x-bmp", "image/x-ms-bmp"]);

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

/// Bytes before the bitmap's own header.
const FILE_HEADER: usize = 14;
/// The length of the header of OS/2 1.x, which has sides of 16 bits and colours of three bytes.
const CORE: u32 = 12;

/// How the pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    /// Uncompressed rows.
    Plain,
    /// Run-length encoding for 4, 8 or 24 bits.
    Runs,
}

/// A bitmap's own header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bitmap {
    /// The format of the file that it lies in.
    format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Whether rows are stored from top to bottom.
    from_top: bool,
    pub(super) bits: u16,
    packing: Packing,
    /// The bits of red, green, blue and alpha in a pixel of 16 or 32 bits.
    masks: [u32; 4],
    /// The number of colours in the table according to the header, and the bytes of each: three or four.
    colours: usize,
    colour_bytes: usize,
    /// Offset of the colour table from the start of this header.
    table: usize,
    /// Offset and length of the embedded ICC profile, from the start of this header.
    profile: Option<(usize, usize)>,
}

/// Whether this is the beginning of a BMP file. The two letters alone would match too much text, so the header after
/// them must have a known length.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let length = || bytes.strip_prefix(b"BM").and_then(|rest| le32(rest, FILE_HEADER - 2));
    matches!(length(), Some(CORE | 16..=64 | 108 | 124))
}

/// Reads the headers.
///
/// # Errors
/// [`ImageError::Corrupt`] where they are cut off or contradict themselves, [`ImageError::UnsupportedFeature`] for
/// compression that is meant for printers only (a JPEG inside, fax).
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let bitmap = Bitmap::read(bytes.get(FILE_HEADER..).unwrap_or_default(), FORMAT)?;
    Ok(Header {
        stored: (bitmap.width, bitmap.height),
        orientation: bitmap.orientation(),
        frames: 1,
        extra_bytes_per_pixel: 0,
        largest_frame: (0, 0),
    })
}

/// Decodes the picture as far as the file goes.
pub(super) fn decode(bytes: &[u8], header: &Header, deadline: Deadline) -> Result<Decoded, ImageError> {
    let dib = bytes.get(FILE_HEADER..).unwrap_or_default();
    let bitmap = Bitmap::read(dib, FORMAT)?;
    // The offset that the file states is used unless it points into the colour table or beyond the end.
    let first = bitmap.table + usize::from(bitmap.colours > 0);
    let said = le32(bytes, 10).and_then(|at| (at as usize).checked_sub(FILE_HEADER));
    let start = said.filter(|at| (first..dib.len()).contains(at)).unwrap_or(bitmap.after_table());
    let table = dib.get(bitmap.table..start.max(bitmap.table)).unwrap_or_default();
    let (mut decoded, _) = bitmap.decode(table, dib.get(start..).unwrap_or_default(), header, deadline)?;
    decoded.profile =
        bitmap.profile.and_then(|(at, length)| dib.get(at..at.checked_add(length)?)).map(<[u8]>::to_vec);
    Ok(decoded)
}

impl Bitmap {
    /// Reads the header at the beginning of these bytes.
    pub(super) fn read(dib: &[u8], format: Format) -> Result<Self, ImageError> {
        let unreadable = || pixelwise::unreadable(format);
        let length = le32(dib, 0).ok_or_else(unreadable)?;
        let (width, height, bits) = if length == CORE {
            (le16(dib, 4), le16(dib, 6).map(u32::cast_signed), le16(dib, 10))
        } else {
            (le32(dib, 4), le32(dib, 8).map(u32::cast_signed), le16(dib, 14))
        };
        let (Some(width), Some(height), Some(bits)) = (width, height, bits) else { return Err(unreadable()) };
        if width > i32::MAX as u32 {
            return Err(unreadable());
        }
        // A short OS/2 2.x header ends before some of the fields, which then count as zero.
        let field = |at: usize| if length as usize >= at + 4 { le32(dib, at).unwrap_or(0) } else { 0 };
        let (compression, bits) = (field(16), bits as u16);
        let windows = matches!(length, 40 | 52 | 56 | 108 | 124);
        let unsupported = || ImageError::UnsupportedFeature {
            format,
            source: format!("compression {compression} with {bits} bits").into(),
        };
        let packing = match (compression, bits) {
            (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) => Packing::Plain,
            (1, 8) | (2, 4) => Packing::Runs,
            (4, 24) if !windows => Packing::Runs,
            (3 | 6, 16 | 32) if windows => Packing::Plain,
            _ => return Err(unsupported()),
        };
        let mut table = length as usize;
        let mut masks = default_masks(bits);
        if matches!(compression, 3 | 6) {
            // The masks follow the header if it has no room for them.
            let count = if length >= 56 || compression == 6 { 4 } else { 3 };
            let stored: [u32; 4] =
                std::array::from_fn(|at| if at < count { le32(dib, 40 + at * 4).unwrap_or(0) } else { 0 });
            if length == 40 {
                table += count * 4;
            }
            masks = stored;
        }
        let said = field(32) as usize;
        let all = if bits <= 8 { 1 << bits } else { 0 };
        Ok(Self {
            format,
            width,
            height: height.unsigned_abs(),
            from_top: height < 0,
            bits,
            packing,
            masks,
            colours: if length == CORE || said == 0 || said > all { all } else { said },
            colour_bytes: if length == CORE { 3 } else { 4 },
            table,
            profile: (length >= 124 && field(56) == u32::from_be_bytes(*b"MBED"))
                .then(|| (field(112) as usize, field(116) as usize)),
        })
    }

    /// The same bitmap, in which the last byte of 32 bits is alpha whatever the header says, as in icons.
    pub(super) fn with_alpha(mut self) -> Self {
        if self.bits == 32 && self.masks[3] == 0 {
            self.masks[3] = 0xff00_0000;
        }
        self
    }

    /// Rows that are stored from the bottom up are treated as an EXIF orientation.
    pub(super) fn orientation(&self) -> Orientation {
        let number = if self.from_top { 1 } else { 4 };
        Orientation::from_exif(number).unwrap_or(Orientation::UPRIGHT)
    }

    /// Where the pixels begin if the file does not tell, from the start of this header.
    pub(super) fn after_table(&self) -> usize {
        self.table + self.colours * self.colour_bytes
    }

    /// Offset of the embedded ICC profile from the start of this header.
    pub(super) fn profile_start(&self) -> Option<usize> {
        self.profile.map(|(at, _)| at)
    }

    /// Offset of the colour table from the start of this header.
    pub(super) fn table(&self) -> usize {
        self.table
    }

    /// Bytes of a stored row with this many bits per pixel. Rows are padded to multiples of four bytes.
    pub(super) fn row_bytes(&self, bits: u16) -> usize {
        (self.width as usize * usize::from(bits)).div_ceil(32) * 4
    }
}

/// The masks of red, green, blue and alpha that apply if the header has none.
fn default_masks(bits: u16) -> [u32; 4] {
    if bits == 16 { [0x7c00, 0x03e0, 0x001f, 0] } else { [0xff_0000, 0xff00, 0xff, 0] }
}
