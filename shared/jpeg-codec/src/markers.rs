//! A file's markers and their segments (ITU T.81, B.1.1).

use super::{Error, GoOn, be16, check};

/// The first frame type that is decoded here: baseline, with Huffman coding.
pub const SOF0: u8 = 0xc0;
/// The last frame type that is decoded here: progressive, with Huffman coding. The extended sequential one is between
/// the two.
pub const SOF2: u8 = 0xc2;
/// Define Huffman tables.
pub const DHT: u8 = 0xc4;
/// Define arithmetic coding conditions, which are ignored in Huffman-coded files.
pub const DAC: u8 = 0xcc;
/// The last marker of the range of frame headers.
pub const SOF15: u8 = 0xcf;
/// End of image.
pub const EOI: u8 = 0xd9;
/// Start of scan.
pub const SOS: u8 = 0xda;
/// Define quantisation tables.
pub const DQT: u8 = 0xdb;
/// Define the number of lines: the height of a frame whose header leaves it open.
pub const DNL: u8 = 0xdc;
/// Define the restart interval, in MCUs.
pub const DRI: u8 = 0xdd;
/// Define a hierarchical progression.
pub const DHP: u8 = 0xde;
/// JFIF's segment.
pub const APP0: u8 = 0xe0;
/// The segment of EXIF.
pub const APP1: u8 = 0xe1;
/// The segments of an ICC profile.
pub const APP2: u8 = 0xe2;
/// Adobe's segment.
pub const APP14: u8 = 0xee;
/// The frame header of JPEG-LS (ITU T.87).
pub const SOF55: u8 = 0xf7;

/// A marker and the content of its segment.
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    pub(crate) content: &'a [u8],
    /// Offset of the end of the segment in the file.
    pub(super) end: usize,
}

/// The segments of a file. Fill bytes, restart markers, entropy-coded data and anything else between them is skipped.
pub(crate) struct Segments<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Returns the next segment; `None` at the end of the image, or if the file ends within the segment.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub(crate) fn following(&mut self, go_on: GoOn<'_>) -> Result<Option<Segment<'a>>, Error> {
        while let Some((marker, behind)) = next_marker(self.data, self.at) {
            check(go_on)?;
            self.at = behind;
            if stands_alone(marker) {
                continue;
            }
            if marker == EOI {
                break;
            }
            // The length includes its own two bytes. Like libjpeg, take a smaller one for an empty segment.
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

/// Finds the next marker at or after an offset. Returns it with the offset of its end.
pub(super) fn next_marker(data: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        // The compiler vectorises this loop over whole runs.
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

/// Whether the marker has no segment: restarts, start of image, TEM, and what damage made of other bytes.
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
        while let Some(Segment { marker, content, .. }) = segments.following(&|| true).expect("not stopped") {
            found.push((marker, content));
        }
        let expected: [(u8, &[u8]); 6] =
            [(APP1, &[7]), (APP0, &[]), (APP2, &[]), (DRI, &[5, 6]), (SOS, &[]), (DNL, &[8])];
        assert_eq!(found, expected, "all but the one that is cut short");
        assert!(segments.following(&|| true).expect("not stopped").is_none(), "and no more");
    }

    #[test]
    fn nothing_lies_behind_the_end_of_an_image() {
        let mut segments = Segments::new(&[0xff, 0xd8, 0xff, EOI, 0xff, APP1, 0, 3, 7]);
        assert!(segments.following(&|| true).expect("not stopped").is_none());
        assert!(segments.following(&|| true).expect("not stopped").is_none());
    }
}
