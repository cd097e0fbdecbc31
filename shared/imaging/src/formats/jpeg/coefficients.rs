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
//! Either every channel is returned as a plane at its own resolution ([`decode`]), or the whole picture is passed on
//! row by row, each channel with one sample per pixel ([`rows`]). The properties of the picture are read by
//! [`jpeg`](super::jpeg), which also refuses arithmetic, lossless and hierarchical coding, 12 bits, and two channels.
//!
//! At an eighth, luminance equals libjpeg-turbo's output at that scale (`jpeg_idct_1x1`), (dc × quantiser + 4) ÷ 8 +
//! 128. Whole pictures equal its output to the last bit (`jpeg_idct_islow`, fancy upsampling), so detectors find in
//! them what they find in programs that read JPEG by libjpeg-turbo, such as OpenCV and Pillow.

mod bits;
mod coding;
mod frame;
mod headers;
mod huffman;
pub(crate) mod markers;
mod planes;
mod progressive;
mod rows;
mod scan;
mod standard;
#[cfg(test)]
mod tests;
mod transform;

use self::{
    frame::Channel,
    headers::{Outline, ScanHeader},
    planes::Planes,
    rows::Rows,
    scan::Scan,
};
pub(crate) use self::{
    frame::{FrameFault, FrameHeader},
    rows::Receiver,
};
use crate::{Deadline, ImageError, Limits, TimedOut, plane::Plane};

/// The side of a block in pixels.
pub(crate) const BLOCK: u32 = 8;

/// The reason why decoding ends early.
enum EarlyEnd {
    /// There is no result: no reduction is suitable, or nothing can be read.
    Nothing,
    /// The time limit or a limit on memory.
    Refused(ImageError),
    /// The receiver wants no more rows.
    Enough,
}

impl From<TimedOut> for EarlyEnd {
    fn from(late: TimedOut) -> Self {
        Self::Refused(late.into())
    }
}

/// The properties of a channel, from which its reduction is chosen.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// The channel's index in the file.
    pub(crate) channel: usize,
    /// Samples per pixel of the picture, across and down; at most one.
    pub(crate) scale: (f64, f64),
    /// Whether the coefficients come in several scans, of which unneeded ones are skipped.
    pub(crate) progressive: bool,
}

/// Chooses the reduction of a channel; `None` if none is suitable.
pub(crate) type Choice<'a> = &'a dyn Fn(Sampling) -> Option<Side>;

/// Decodes the one, three or four channels of a JPEG of the given size, each at the reduction chosen for it. `None` if
/// a channel has no suitable reduction, or if the file shows nothing. Where data is cut short or damaged, the rest is
/// mid-grey.
///
/// # Errors
/// [`ImageError::DecoderMemory`], before the memory is taken, or [`ImageError::TimeLimit`].
pub(crate) fn decode(
    bytes: &[u8],
    size: (u32, u32),
    choice: Choice<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Option<Vec<(Side, Plane)>>, ImageError> {
    let planes = headers::read(bytes, size, choice, deadline).and_then(|outline| {
        let mut planes = Planes::new(&outline.frame);
        let seen = outline.decode(planes.bytes(), limits, deadline, |channels| {
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
/// Those of [`decode`], and those of the receiver.
pub(crate) fn rows(
    bytes: &[u8],
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
    receiver: Receiver<'_>,
) -> Result<bool, ImageError> {
    let seen = headers::read(bytes, size, &|_| Some(Side::Eight), deadline).and_then(|outline| {
        let mut rows = Rows::new(&outline.frame, receiver).ok_or(EarlyEnd::Nothing)?;
        outline.decode(rows.bytes(), limits, deadline, |channels| rows.push(channels))
    });
    match seen {
        Ok(seen) => Ok(seen),
        Err(EarlyEnd::Nothing | EarlyEnd::Enough) => Ok(false),
        Err(EarlyEnd::Refused(error)) => Err(error),
    }
}

/// The number of samples that a block is reduced to, across and down, from as many coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
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
    pub(crate) const REDUCED: [Self; 3] = [Self::One, Self::Two, Self::Four];

    pub(crate) const fn samples(self) -> usize {
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
        limits: &Limits,
        deadline: Deadline,
        mut push: impl FnMut(&[Channel]) -> Result<(), EarlyEnd>,
    ) -> Result<bool, EarlyEnd> {
        let Self { mut frame, scans } = self;
        let needed = progressive::needed(scans, &frame);
        if needed.is_empty() {
            return Err(EarlyEnd::Nothing);
        }
        let bytes = frame.bytes() + held + needed.iter().map(ScanHeader::bytes).sum::<u64>();
        limits.check_memory(bytes).map_err(EarlyEnd::Refused)?;
        let mut scans = Vec::with_capacity(needed.len());
        for header in needed {
            deadline.check()?;
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
                seen |= scan.read(row, &mut frame.channels, deadline)?;
            }
            if wanted {
                deadline.check()?;
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
