//! A JPEG from its coefficients: at a half, a quarter or an eighth of its size without decoding it, or whole, row by row.
//!
//! The DC coefficient of a block of 8 × 8 pixels is their mean (times eight), so the DC coefficients are the picture at an
//! eighth, reduced by a box filter. With the three lowest AC coefficients beside it a block has four samples, with the
//! fifteen lowest sixteen: the picture at a quarter and at a half, all of whose frequencies are still there.
//!
//! Baseline data must be read through to find where each block begins, but the other AC coefficients are only passed
//! over, several at one look into a table. Of progressive data, only those scans are read that hold a coefficient which is kept,
//! or on which the reading of one depends (a refinement needs to know which coefficients were not zero before: one
//! bit for each is remembered); the others are skipped by a search for the next marker.
//!
//! Since the whole file is at hand, all scans are read side by side, each as far as a row of MCUs reaches: what a scan
//! says of a block depends on nothing but that block in the scans before. So of every kind of JPEG, progressive too, the
//! coefficients of a single row of MCUs are held at a time. That takes a reader for each scan, of 40 to 60 kB.
//!
//! Either every channel comes as its own plane at its own resolution ([`decode`]), or the whole picture is handed on row by
//! row, each channel with a sample for each pixel ([`rows`]). What the headers say of the picture is for
//! [`jpeg`](super::jpeg) to read, and to refuse: arithmetic, lossless and hierarchical coding, 12 bits, two channels.
//!
//! At an eighth, luminance equals libjpeg-turbo's output at that scale (`jpeg_idct_1x1`), (dc × quantiser + 4) ÷ 8 + 128.
//! Complete pictures equal its output to the last bit (`jpeg_idct_islow`, fancy upsampling), so what
//! is found in them is what programs find that read JPEGs by libjpeg-turbo, as OpenCV and Pillow do.

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
    headers::{Header, Outline},
    planes::Planes,
    rows::Rows,
    scan::Scan,
};
pub(crate) use self::{
    frame::{Fault, FrameHeader},
    rows::Receiver,
};
use crate::{Deadline, ImageError, Limits, TimedOut, plane::Plane};

/// The side of a block.
pub(crate) const BLOCK: u32 = 8;

/// Why nothing more is decoded.
enum Stop {
    /// There is nothing to be had: no reduction will do, or there is nothing that can be read.
    Nothing,
    /// Too late, or too much.
    Refused(ImageError),
    /// No more rows are wanted.
    Enough,
}

impl From<TimedOut> for Stop {
    fn from(late: TimedOut) -> Self {
        Self::Refused(late.into())
    }
}

/// A channel, for choosing what is made of it.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// Which it is in the file.
    pub(crate) channel: usize,
    /// Samples for one pixel of the picture, across and down, at most one.
    pub(crate) scale: (f64, f64),
    /// Whether its coefficients come in several scans, of which those are skipped that hold nothing of what is wanted.
    pub(crate) progressive: bool,
}

/// Which reduction a channel is wanted at; `None` where none will do.
pub(crate) type Choice<'a> = &'a dyn Fn(Sampling) -> Option<Side>;

/// The channels of a JPEG of the given size, one, three or four, each at the reduction of its choice. `None` where no reduction
/// will do for one, or the file shows nothing. Of data that is cut short or damaged, what there is, the rest mid-grey.
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
        Err(Stop::Nothing | Stop::Enough) => Ok(None),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// Gives the rows of a JPEG of the given size to their receiver, in order. False, whatever was given by then, where the file
/// shows nothing. Of data that is cut short or damaged, what there is, the rest mid-grey.
///
/// # Errors
/// As [`decode`], and what the receiver fails with.
pub(crate) fn rows(
    bytes: &[u8],
    size: (u32, u32),
    limits: &Limits,
    deadline: Deadline,
    receiver: Receiver<'_>,
) -> Result<bool, ImageError> {
    let seen = headers::read(bytes, size, &|_| Some(Side::Eight), deadline).and_then(|outline| {
        let mut rows = Rows::new(&outline.frame, receiver).ok_or(Stop::Nothing)?;
        outline.decode(rows.bytes(), limits, deadline, |channels| rows.push(channels))
    });
    match seen {
        Ok(seen) => Ok(seen),
        Err(Stop::Nothing | Stop::Enough) => Ok(false),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// How many samples are made of a block, across and down, from as many coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The picture at an eighth.
    One,
    /// At a quarter.
    Two,
    /// At a half.
    Four,
    /// Not reduced.
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

    fn kept(self) -> Kept {
        static PLACES: [[u8; 64]; 4] =
            [places(Side::One), places(Side::Two), places(Side::Four), places(Side::Eight)];
        let places = &PLACES[self as usize];
        let last = (0..64).rev().find(|&at| places[at as usize] != u8::MAX).unwrap_or_default();
        Kept { places, last, count: self.coefficients() }
    }
}

/// Where in a block the coefficients go that are kept of it.
#[derive(Clone, Copy)]
struct Kept {
    /// By their place in the file; `u8::MAX` for those that are not kept.
    places: &'static [u8; 64],
    /// The last one in the file.
    last: u32,
    /// How many there are.
    count: usize,
}

impl Kept {
    /// A bit for each, in the order of the file.
    fn bits(self) -> u64 {
        (0..64).filter(|&at| self.places[at] != u8::MAX).fold(0, |kept, at| kept | 1 << at)
    }

    /// Those of a block, by its place.
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
    /// Reads a row of MCUs after the other, from all scans, and gives each to `push`. Says whether there was anything in
    /// those that were read. `held` are the bytes that the caller holds beside.
    fn decode(
        self,
        held: u64,
        limits: &Limits,
        deadline: Deadline,
        mut push: impl FnMut(&[Channel]) -> Result<(), Stop>,
    ) -> Result<bool, Stop> {
        let Self { mut frame, scans } = self;
        let needed = progressive::needed(scans, &frame);
        if needed.is_empty() {
            return Err(Stop::Nothing);
        }
        let bytes = frame.bytes() + held + needed.iter().map(Header::bytes).sum::<u64>();
        limits.check_memory(bytes).map_err(Stop::Refused)?;
        let mut scans = Vec::with_capacity(needed.len());
        for header in needed {
            deadline.check()?;
            match Scan::new(&frame, header) {
                Some(scan) => scans.push(scan),
                // What came before it is shown.
                None if !scans.is_empty() => break,
                None => return Err(Stop::Nothing),
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
                    Err(Stop::Enough) => wanted = false,
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

/// By a coefficient's place in the file: its column and row in the block (ITU T.81, figure A.6).
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

/// Where in a block the coefficients go, by their place in the file; `u8::MAX` for those that are not kept.
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
