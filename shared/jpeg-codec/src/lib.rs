//! Decodes a JPEG from its coefficients: reduced to a half, a quarter or an eighth without a full decode, or whole, row
//! by row.
//!
//! The DC coefficient of a block of 8 × 8 pixels is eight times their mean, so the DC coefficients are the picture at
//! an eighth of its size, reduced by a box filter. The three lowest AC coefficients in addition give four samples per
//! block, the fifteen lowest give sixteen: the picture at a quarter and at a half, with all frequencies that these can
//! hold.
//!
//! Baseline data must be read completely, because nothing else tells where each block begins, but the coefficients that
//! are not needed are only skipped, several of them with one table lookup. Of progressive data, only those scans are
//! read that contain a needed coefficient, or that others need in order to be read: a refinement scan must know which
//! coefficients were not zero before, for which one bit each is kept. The other scans are skipped by searching for the
//! next marker.
//!
//! Since the whole file is in memory, all scans are read side by side, each as far as one row of MCUs. What a scan says
//! of a block depends only on the same block in earlier scans. So for every kind of JPEG, progressive included, only
//! one row of MCUs of coefficients is held at a time. The price is a reader of 40 to 60 kB for each scan.
//!
//! [`Info::read`] reads the properties of the picture, and refuses what is not decoded. Either every channel is then
//! returned as a plane at its own resolution ([`decode`]), or the whole picture is passed on row by row, each channel
//! with one sample per pixel ([`rows`]). The caller makes colours of the channels.
//!
//! At an eighth, luminance equals libjpeg-turbo's output at that scale (`jpeg_idct_1x1`), (dc × quantiser + 4) ÷ 8 +
//! 128. Whole pictures equal its output to the last bit (`jpeg_idct_islow`, fancy upsampling), so detectors find in
//! them what they find in programs that read JPEG by libjpeg-turbo, such as OpenCV and Pillow.
//!
//! No bytes make this crate panic. What decoding may cost is given in [`Bounds`].
//!
//! ```
//! use jpeg_codec::{Bounds, Error, Info, Receiver, rows};
//!
//! /// The mean brightness of a picture.
//! fn brightness(file: &[u8]) -> Result<Option<f64>, Error> {
//!     let bounds = Bounds { bytes: 1 << 20, go_on: &|| true };
//!     let info = Info::read(file, bounds.go_on)?;
//!     let (width, height) = info.size;
//!     let mut sum = 0;
//!     let mut take = |_row: u32, channels: &[&[u8]]| {
//!         sum += channels[0].iter().map(|&sample| u64::from(sample)).sum::<u64>();
//!         Ok::<_, Error>(true)
//!     };
//!     let receiver = Receiver { channels: info.channels.count(), first: 0, held: 0, take: &mut take };
//!     let shown = rows(file, info.size, bounds, receiver)?;
//!     Ok(shown.then(|| sum as f64 / f64::from(width) / f64::from(height)))
//! }
//!
//! // A grey picture of 8 × 8 pixels: quantisers of 16, the standard's codes, and one block of which the first
//! // coefficient alone is not zero. Its difference is coded as 4 (101) in so many bits (1010), then follows the end of
//! // the block (1010).
//! let quantisers = [&[0xff, 0xdb, 0, 67, 0][..], &[16; 64]].concat();
//! let frame = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
//! let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0b1011_0101, 0b0101_1111];
//! let file = [&[0xff, 0xd8][..], &quantisers, &frame, &scan, &[0xff, 0xd9]].concat();
//! assert_eq!(brightness(&file), Ok(Some(148.0)));
//! assert_eq!(brightness(&file[..file.len() - 4]), Ok(None));
//! assert_eq!(brightness(b"GIF89a"), Err(Error::Damaged("no scan")));
//! ```

mod bits;
mod coding;
mod frame;
mod headers;
mod huffman;
mod info;
pub mod markers;
mod planes;
mod progressive;
mod rows;
mod scan;
mod standard;
#[cfg(test)]
mod tests;
mod transform;
pub mod upsample;

use self::{
    frame::Channel,
    headers::{Outline, ScanHeader},
    planes::Planes,
    rows::Rows,
    scan::Scan,
};
pub use self::{
    info::{Channels, Info},
    planes::Plane,
    rows::{Receiver, Take},
};

/// The side of a block in pixels.
pub const BLOCK: u32 = 8;

/// The reason why a file is refused, or why decoding ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is a JPEG of a kind that is not decoded.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The headers are invalid, or cut short.
    #[error("{0}")]
    Damaged(&'static str),
    /// A side of the picture is zero.
    #[error("a picture without pixels")]
    Empty,
    /// Decoding would hold more than [`Bounds::bytes`].
    #[error("more memory than the {max} bytes allowed")]
    Memory {
        /// The bytes that are allowed.
        max: u64,
    },
    /// The caller did not want more.
    #[error("stopped by the caller")]
    Stopped,
}

/// Called from time to time; returns whether to go on.
type GoOn<'a> = &'a dyn Fn() -> bool;

/// What decoding may cost.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// The most bytes that are held at a time, by the decoder and by the caller together.
    pub bytes: u64,
    /// Called from time to time. When it returns false, decoding ends with [`Error::Stopped`].
    pub go_on: &'a dyn Fn() -> bool,
}

/// Asks whether to go on.
fn check(go_on: GoOn<'_>) -> Result<(), Error> {
    if go_on() { Ok(()) } else { Err(Error::Stopped) }
}

/// The reason why decoding ends early.
enum EarlyEnd {
    /// There is no result: no reduction is suitable, or nothing can be read.
    Nothing,
    /// The caller's bounds, or a receiver that failed.
    Refused(Error),
    /// The receiver wants no more rows.
    Enough,
}

impl From<Error> for EarlyEnd {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The properties of a channel, from which its reduction is chosen.
#[derive(Clone, Copy)]
pub struct Sampling {
    /// The channel's index in the file.
    pub channel: usize,
    /// Samples per pixel of the picture, across and down; at most one.
    pub scale: (f64, f64),
    /// Whether the coefficients come in several scans, of which unneeded ones are skipped.
    pub progressive: bool,
}

/// Chooses the reduction of a channel; `None` if none is suitable.
pub type Choice<'a> = &'a dyn Fn(Sampling) -> Option<Side>;

/// Decodes the one, three or four channels of a JPEG of the given size, each at the reduction chosen for it. `None` if
/// a channel has no suitable reduction, or if the file shows nothing. Where data is cut short or damaged, the rest is
/// mid-grey.
///
/// # Errors
/// [`Error::Memory`], before the memory is taken, or [`Error::Stopped`].
pub fn decode(
    bytes: &[u8],
    size: (u32, u32),
    choice: Choice<'_>,
    bounds: Bounds<'_>,
) -> Result<Option<Vec<(Side, Plane)>>, Error> {
    let planes = headers::read(bytes, size, choice, bounds.go_on).and_then(|outline| {
        let mut planes = Planes::new(&outline.frame);
        let seen = outline.decode(planes.bytes(), bounds, |channels| {
            planes.push(channels);
            Ok(())
        })?;
        Ok(seen.then(|| planes.finish()))
    });
    match planes {
        Ok(planes) => Ok(planes),
        Err(EarlyEnd::Nothing | EarlyEnd::Enough) => Ok(None),
        Err(EarlyEnd::Refused(error)) => Err(error),
    }
}

/// Passes the rows of a JPEG of the given size to the receiver, in order. Returns false if the file shows nothing,
/// whatever rows were passed on by then. Where data is cut short or damaged, the rest is mid-grey.
///
/// # Errors
/// Those of [`decode`], and those of the receiver.
pub fn rows<E: From<Error>>(
    bytes: &[u8],
    size: (u32, u32),
    bounds: Bounds<'_>,
    receiver: Receiver<'_, E>,
) -> Result<bool, E> {
    let Receiver { channels, first, held, take } = receiver;
    let mut failure = None;
    let mut pass = |y: u32, samples: &[&[u8]]| match take(y, samples) {
        Ok(true) => Ok(()),
        Ok(false) => Err(EarlyEnd::Enough),
        Err(error) => {
            failure = Some(error);
            Err(EarlyEnd::Nothing)
        }
    };
    let seen = headers::read(bytes, size, &|_| Some(Side::Eight), bounds.go_on).and_then(|outline| {
        let mut rows = Rows::new(&outline.frame, channels, first, &mut pass).ok_or(EarlyEnd::Nothing)?;
        outline.decode(rows.bytes() + held, bounds, |channels| rows.push(channels))
    });
    match (failure, seen) {
        (Some(error), _) => Err(error),
        (None, Ok(seen)) => Ok(seen),
        (None, Err(EarlyEnd::Nothing | EarlyEnd::Enough)) => Ok(false),
        (None, Err(EarlyEnd::Refused(error))) => Err(error.into()),
    }
}

/// The number of samples that a block is reduced to, across and down, from as many coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The picture at an eighth of its size.
    One,
    /// The picture at a quarter of its size.
    Two,
    /// The picture at half its size.
    Four,
    /// The whole picture.
    Eight,
}

impl Side {
    /// The sides of a reduced picture, the smallest first.
    pub const REDUCED: [Self; 3] = [Self::One, Self::Two, Self::Four];

    /// The number of samples, across as well as down.
    #[must_use]
    pub const fn samples(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    const fn coefficients(self) -> usize {
        self.samples() * self.samples()
    }

    fn kept(self) -> KeptCoefficients {
        static PLACES: [[u8; 64]; 4] =
            [places(Side::One), places(Side::Two), places(Side::Four), places(Side::Eight)];
        let places = &PLACES[self as usize];
        let last = (0..64).rev().find(|&at| places[at as usize] != u8::MAX).unwrap_or_default();
        KeptCoefficients { places, last, count: self.coefficients() }
    }
}

/// The coefficients of a block that are kept, and where they are stored.
#[derive(Clone, Copy)]
struct KeptCoefficients {
    /// The storage place of each coefficient, indexed by its place in the file; `u8::MAX` for those that are not kept.
    places: &'static [u8; 64],
    /// The last coefficient in the file that is kept.
    last: u32,
    /// The number of coefficients that are kept.
    count: usize,
}

impl KeptCoefficients {
    /// A bit mask of the coefficients, in the order of the file.
    fn bits(self) -> u64 {
        (0..64).filter(|&at| self.places[at] != u8::MAX).fold(0, |kept, at| kept | 1 << at)
    }

    /// The kept coefficients of the block at `place`.
    #[inline(always)]
    fn block(self, coefficients: &mut [i16], place: usize) -> Option<&mut [i16]> {
        coefficients.get_mut(place * self.count..)?.get_mut(..self.count)
    }

    #[inline(always)]
    fn of(self, block: &mut [i16], at: usize) -> Option<&mut i16> {
        block.get_mut(usize::from(*self.places.get(at)?))
    }

    #[inline(always)]
    fn put(self, block: &mut [i16], at: usize, value: i32) {
        if let Some(place) = self.of(block, at) {
            *place = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
}

impl Outline<'_> {
    /// Reads row after row of MCUs from all scans and passes each to `push`. Returns whether the rows that were read
    /// contained any data. `held` is the number of bytes that the caller holds.
    fn decode(
        self,
        held: u64,
        bounds: Bounds<'_>,
        mut push: impl FnMut(&[Channel]) -> Result<(), EarlyEnd>,
    ) -> Result<bool, EarlyEnd> {
        let Self { mut frame, scans } = self;
        let needed = progressive::needed(scans, &frame);
        if needed.is_empty() {
            return Err(EarlyEnd::Nothing);
        }
        let bytes = frame.bytes() + held + needed.iter().map(ScanHeader::bytes).sum::<u64>();
        if bytes > bounds.bytes {
            return Err(EarlyEnd::Refused(Error::Memory { max: bounds.bytes }));
        }
        let mut scans = Vec::with_capacity(needed.len());
        for header in needed {
            check(bounds.go_on)?;
            match Scan::new(&frame, header) {
                Some(scan) => scans.push(scan),
                // Scans that came before are shown.
                None if !scans.is_empty() => break,
                None => return Err(EarlyEnd::Nothing),
            }
        }
        frame.make_room();
        let (mut seen, mut wanted) = (false, true);
        for row in 0..frame.mcu_rows() {
            for scan in &mut scans {
                seen |= scan.read(row, &mut frame.channels, bounds.go_on)?;
            }
            if wanted {
                check(bounds.go_on)?;
                match push(&frame.channels) {
                    Err(EarlyEnd::Enough) => wanted = false,
                    other => other?,
                }
            }
            if seen && !wanted {
                break;
            }
            frame.clear();
        }
        Ok(seen)
    }
}

/// The column and row in the block of each coefficient, in the order of the file (ITU T.81, figure A.6).
const ZIGZAG: [(u8, u8); 64] = {
    let mut order = [(0, 0); 64];
    let (mut x, mut y, mut place) = (0_u8, 0_u8, 0);
    while place < 64 {
        order[place] = (x, y);
        if (x + y).is_multiple_of(2) {
            if x == 7 {
                y += 1;
            } else if y == 0 {
                x += 1;
            } else {
                x += 1;
                y -= 1;
            }
        } else if y == 7 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            x -= 1;
            y += 1;
        }
        place += 1;
    }
    order
};

/// The storage place of each coefficient in the order of the file; `u8::MAX` for those that are not kept.
const fn places(side: Side) -> [u8; 64] {
    let mut places = [u8::MAX; 64];
    let mut at = 0;
    while at < 64 {
        let (x, y) = ZIGZAG[at];
        if (x as usize) < side.samples() && (y as usize) < side.samples() {
            places[at] = y * side.samples() as u8 + x;
        }
        at += 1;
    }
    places
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
