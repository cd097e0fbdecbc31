//! The markers of a file, and the segments behind them (ITU T.81, B.1.1).

use super::be16;
use crate::{Deadline, TimedOut};

/// Frames that are decoded here, to the last of them: baseline, extended sequential and progressive, coded by Huffman.
pub(crate) const SOF0: u8 = 0xc0;
pub(crate) const SOF2: u8 = 0xc2;
/// Huffman codes.
pub(crate) const DHT: u8 = 0xc4;
/// What arithmetic coding begins with: of no account without that.
pub(crate) const DAC: u8 = 0xcc;
/// The last marker of the range that frames' headers are in.
pub(crate) const SOF15: u8 = 0xcf;
/// The end of the image.
pub(crate) const EOI: u8 = 0xd9;
/// A scan.
pub(crate) const SOS: u8 = 0xda;
/// Quantisers.
pub(crate) const DQT: u8 = 0xdb;
/// The height of a frame whose header leaves it open.
pub(crate) const DNL: u8 = 0xdc;
/// How many MCUs there are between restart markers.
pub(crate) const DRI: u8 = 0xdd;
/// A hierarchy of frames.
pub(crate) const DHP: u8 = 0xde;
/// Segments for applications: JFIF, EXIF, ICC profiles and Adobe's own.
pub(crate) const APP0: u8 = 0xe0;
pub(crate) const APP1: u8 = 0xe1;
pub(crate) const APP2: u8 = 0xe2;
pub(crate) const APP14: u8 = 0xee;
/// A frame of JPEG-LS (ITU T.87).
pub(crate) const SOF55: u8 = 0xf7;

/// A marker, and what the segment behind it holds.
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    pub(crate) content: &'a [u8],
    /// Where it ends in the file.
    pub(super) end: usize,
}

/// The segments of a file, past fill bytes, restart markers, entropy-coded data and whatever else lies between them.
pub(crate) struct Segments<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next one; `None` where the image ends, or the file does within the segment.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(crate) fn following(&mut self, deadline: Deadline) -> Result<Option<Segment<'a>>, TimedOut> {
        while let Some((marker, behind)) = next_marker(self.data, self.at) {
            deadline.check()?;
            self.at = behind;
            if stands_alone(marker) {
                continue;
            }
            if marker == EOI {
                break;
            }
            // The length counts its own two bytes. A smaller one is that of an empty segment to libjpeg.
            let end = be16(self.data, behind).map(|length| behind + usize::from(length.max(2)));
            let content = end.and_then(|end| self.data.get(behind + 2..end));
            let Some((content, end)) = content.zip(end) else { break };
            self.at = end;
            return Ok(Some(Segment { marker, content, end }));
        }
        self.at = self.data.len();
        Ok(None)
    }
}

/// The next marker at or behind a place, past anything else; with where it ends.
pub(super) fn next_marker(data: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        // Whole runs first: a loop that the compiler makes vectors of.
        while let Some(run) = data.get(at..).and_then(<[u8]>::first_chunk::<64>)
            && !run.iter().fold(false, |found, &byte| found | (byte == 0xff))
        {
            at += 64;
        }
        at += data.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match *data.get(at + 1)? {
            0xff => at += 1,
            0 => at += 2,
            marker => return Some((marker, at + 2)),
        }
    }
}

/// Whether no segment follows the marker: it is a restart, the start of an image, TEM, or what damage made of something else.
fn stands_alone(marker: u8) -> bool {
    matches!(marker, 0x01..=0xbf | 0xd0..=0xd8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_past_stuffing_and_fill() {
        let mut data = vec![7; 100];
        data.extend([0xff, 0, 0xff, 0xff, 0xd3, 1, 0xff]);
        assert_eq!(next_marker(&data, 0), Some((0xd3, 105)));
        assert_eq!(next_marker(&data, 105), None);
        assert_eq!(next_marker(&data, 999), None);
    }

    #[test]
    fn segments_are_found_past_what_lies_between_them() {
        let file = [
            &[0xff, 0xd8, 0xff, 0xff, 0xff, APP1, 0, 3, 7, 1, 2, 0xff, 0, 0xff, 0xd3][..],
            // Lengths that do not count themselves.
            &[0xff, APP0, 0, 0, 0xff, APP2, 0, 1],
            &[0xff, DRI, 0, 4, 5, 6, 0xff, SOS, 0, 2, 9, 9, 0xff, 0, 0xff, DNL, 0, 3, 8, 0xff, APP1, 0, 9, 9],
        ]
        .concat();
        let mut segments = Segments::new(&file);
        let mut found = Vec::new();
        while let Some(Segment { marker, content, .. }) =
            segments.following(Deadline::none()).expect("no deadline")
        {
            found.push((marker, content));
        }
        let expected: [(u8, &[u8]); 6] =
            [(APP1, &[7]), (APP0, &[]), (APP2, &[]), (DRI, &[5, 6]), (SOS, &[]), (DNL, &[8])];
        assert_eq!(found, expected, "all but the one that is cut short");
        assert!(segments.following(Deadline::none()).expect("no deadline").is_none(), "and no more");
    }

    #[test]
    fn nothing_lies_behind_the_end_of_an_image() {
        let mut segments = Segments::new(&[0xff, 0xd8, 0xff, EOI, 0xff, APP1, 0, 3, 7]);
        assert!(segments.following(Deadline::none()).expect("no deadline").is_none());
        assert!(segments.following(Deadline::none()).expect("no deadline").is_none());
    }
}
