//! JPEG as defined in TIFF 6.0 (section 22), which Adobe's technical note 2 replaced because it left too much open.
//! There are three kinds of files: with a complete JPEG in one place; with tables and headers in one place, and the
//! data in strips; and with separate tables only, and no headers. As in libtiff, missing parts are constructed, and
//! each strip is then decoded as a JPEG of its own.

use jpeg_codec::markers::{DAC, DHT, DQT, DRI, EOI, SOF0, SOF15, SOS};

use super::{
    FORMAT,
    directory::{Directory, Entry, tag},
    page::Page,
};
use crate::ImageError;

const SOI: [u8; 2] = [0xff, 0xd8];

/// TIFF's number for lossless JPEG.
const LOSSLESS: u64 = 14;

/// The most tables of one kind.
const TABLES: usize = 4;

/// The most bytes of tables that are copied. Four tables of each kind, even if each is redefined several times, take
/// less.
const MOST_TABLE_BYTES: usize = 1 << 16;

/// The parts of the JPEG that the file keeps outside its strips.
pub(super) struct OldJpeg<'a> {
    /// The whole picture, if it is one JPEG.
    pub(super) whole: Option<&'a [u8]>,
    /// Tables and the restart interval, as JPEG segments.
    tables: Vec<u8>,
    /// The frame header.
    frame: Option<Segment<'a>>,
    /// The scan header, without its marker.
    scan: Option<&'a [u8]>,
    /// The numbers of each component's tables, if there is no header: quantisation, DC and AC.
    components: Vec<[u8; 3]>,
}

/// A segment's marker, and its content after the length.
#[derive(Clone, Copy)]
struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
}

impl Segment<'_> {
    fn is_frame(&self) -> bool {
        // JPG is reserved, though it lies within the range.
        matches!(self.marker, SOF0..=SOF15) && !matches!(self.marker, DHT | 0xc8 | DAC)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.content.len() + 2).unwrap_or(u16::MAX);
        out.extend([0xff, self.marker]);
        out.extend(length.to_be_bytes());
        out.extend(self.content);
    }
}

/// Iterates over the segments at the beginning of a JPEG, or of a part of one, up to the scan. A file may have millions
/// of them, so they are not stored but parsed again for each use.
#[derive(Clone, Default)]
struct Segments<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Segments<'a> {
    fn of(stream: &'a [u8]) -> Self {
        Self { rest: stream.strip_prefix(&SOI).unwrap_or(stream), ended: false }
    }

    /// Whether there is a segment with that marker.
    fn have(&self, marker: u8) -> bool {
        self.clone().any(|segment| segment.marker == marker)
    }

    fn frame_header(&self) -> Option<Segment<'a>> {
        self.clone().find(Segment::is_frame)
    }

    /// The content of the scan header.
    fn scan_header(&self) -> Option<&'a [u8]> {
        self.clone().find(|segment| segment.marker == SOS).map(|segment| segment.content)
    }

    /// Writes the tables and the restart interval, up to a limit that exceeds what any decoder can use.
    fn write_tables(&self, out: &mut Vec<u8>) {
        let most = out.len() + MOST_TABLE_BYTES;
        for segment in self.clone().filter(|segment| matches!(segment.marker, DHT | DQT | DRI)) {
            if out.len() > most {
                break;
            }
            segment.write(out);
        }
    }

    /// The bytes after the scan header, or from the first that are not a segment.
    fn behind(mut self) -> &'a [u8] {
        while self.next().is_some() {}
        self.rest
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let [0xff, marker @ 0xc0..=0xfe, high, low, behind @ ..] = self.rest else { return None };
        // End and restart markers have no length.
        if self.ended || matches!(*marker, 0xd0..=0xd9) {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        let (content, rest) = behind.split_at_checked(length)?;
        self.rest = rest;
        self.ended = *marker == SOS;
        Some(Segment { marker: *marker, content })
    }
}

impl<'a> OldJpeg<'a> {
    /// Reads the JPEG's parts from a directory; `offsets` are those of its chunks.
    ///
    /// # Errors
    /// [`ImageError::UnsupportedCompression`] for lossless JPEG.
    pub(super) fn read(directory: &Directory<'a>, offsets: &Entry<'_>) -> Result<Self, ImageError> {
        if directory.number(tag::JPEG_PROCESS) == Some(LOSSLESS) {
            let compression = "lossless JPEG".into();
            return Err(ImageError::UnsupportedCompression { format: FORMAT, compression });
        }
        let bytes = directory.file().bytes;
        // The tag for the length of the stream is often wrong, so it is not used.
        let stream = directory.number(tag::JPEG_STREAM).and_then(|at| bytes.get(usize::try_from(at).ok()?..));
        let segments = stream.map(Segments::of).unwrap_or_default();
        let (frame, scan) = (segments.frame_header(), segments.scan_header());
        let mut tables = Vec::new();
        segments.write_tables(&mut tables);
        let mut components = Vec::new();
        if !segments.have(DQT) {
            components = separate_tables(directory, &mut tables);
        }
        if !segments.have(DRI)
            && let Some(interval) =
                directory.number(tag::JPEG_RESTART).and_then(|count| u16::try_from(count).ok())
            && interval > 0
        {
            Segment { marker: DRI, content: &interval.to_be_bytes() }.write(&mut tables);
        }
        let is_jpeg = stream.is_some_and(|stream| stream.starts_with(&SOI));
        // Strips that lie after the headers contain parts of the data. If there is only one strip, and it follows the
        // headers directly, the JPEG may be complete.
        let data_at = (bytes.len() - segments.behind().len()) as u64;
        let first = offsets.number(0).unwrap_or_default();
        let in_strips = first > data_at || first == data_at && offsets.count > 1;
        let whole = stream.filter(|_| is_jpeg && frame.is_some() && scan.is_some() && !in_strips);
        Ok(Self { whole, tables, frame, scan, components })
    }

    /// A chunk as a complete file; `None` if tables or headers are missing.
    pub(super) fn file(&self, page: &Page<'_>, packed: &[u8]) -> Option<Vec<u8>> {
        if self.whole.is_some() {
            return Some(packed.to_vec());
        }
        let own = Segments::of(packed);
        let mut out = SOI.to_vec();
        out.extend(&self.tables);
        own.write_tables(&mut out);
        let size = [page.chunk.1, page.chunk.0].map(|side| u16::try_from(side).ok());
        let [Some(height), Some(width)] = size else { return None };
        let frame = own.frame_header().or(self.frame);
        let header = match frame.map(|frame| frame.content) {
            // The frame header applies to all strips, except for the size.
            Some([precision, _, _, _, _, components @ ..]) => {
                [&[*precision][..], &height.to_be_bytes()[..], &width.to_be_bytes(), components].concat()
            }
            Some(_) => return None,
            None => {
                [&[8][..], &height.to_be_bytes()[..], &width.to_be_bytes(), &self.frame_components(page)?]
                    .concat()
            }
        };
        Segment { marker: frame.map_or(SOF0, |frame| frame.marker), content: &header }.write(&mut out);
        match own.scan_header().or(self.scan) {
            Some(content) => Segment { marker: SOS, content }.write(&mut out),
            None => Segment { marker: SOS, content: &self.scan_components(&header)? }.write(&mut out),
        }
        out.extend(own.behind());
        out.extend([0xff, EOI]);
        Some(out)
    }

    /// Constructs the components of a frame from the TIFF's tags: their number, and for each its id, sampling factors
    /// and quantisation table.
    fn frame_components(&self, page: &Page<'_>) -> Option<Vec<u8>> {
        let count = page.samples_in_chunk();
        if !(1..=TABLES).contains(&count) || self.components.len() < count {
            return None;
        }
        let (across, down) = page.jpeg_sampling();
        let mut out = vec![count as u8];
        for (index, [table, ..]) in self.components.iter().take(count).enumerate() {
            let sampling = if index == 0 && count > 1 { across << 4 | down } else { 0x11 };
            out.extend([index as u8 + 1, sampling, *table]);
        }
        Some(out)
    }

    /// Constructs the scan header for all components of this frame header.
    fn scan_components(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let components = frame.get(6..)?.as_chunks::<3>().0;
        let mut out = vec![u8::try_from(components.len()).ok()?];
        for (index, [name, ..]) in components.iter().enumerate() {
            let by_order = [0, u8::from(index > 0), u8::from(index > 0)];
            let [_, dc, ac] = self.components.get(index).copied().unwrap_or(by_order);
            out.extend([*name, dc << 4 | ac]);
        }
        // All coefficients at once, with full precision.
        out.extend([0, 63, 0]);
        Some(out)
    }
}

/// Writes the tables that the directory refers to one by one, each once, and returns the table numbers of each
/// component.
fn separate_tables(directory: &Directory<'_>, out: &mut Vec<u8>) -> Vec<[u8; 3]> {
    let bytes = directory.file().bytes;
    let mut written = |name: u16, marker: u8, class: u8, length: fn(&[u8]) -> Option<usize>| {
        let (mut distinct, mut of_component) = (Vec::<&[u8]>::new(), Vec::new());
        let Some(entry) = directory.entry(name) else { return of_component };
        for index in 0..entry.count.min(TABLES) {
            let at = entry.number(index).and_then(|at| usize::try_from(at).ok());
            let table = at.and_then(|at| bytes.get(at..)).and_then(|rest| rest.get(..length(rest)?));
            let Some(table) = table else { break };
            let place = distinct.iter().position(|other| *other == table).unwrap_or_else(|| {
                let content = [&[class << 4 | distinct.len() as u8][..], table].concat();
                Segment { marker, content: &content }.write(out);
                distinct.push(table);
                distinct.len() - 1
            });
            of_component.push(place as u8);
        }
        of_component
    };
    // Sixteen counts of codes by length, followed by that many symbols.
    let codes =
        |rest: &[u8]| Some(16 + rest.get(..16)?.iter().map(|count| usize::from(*count)).sum::<usize>());
    let quantisation = written(tag::JPEG_QUANTISATION, DQT, 0, |_| Some(64));
    let dc = written(tag::JPEG_DC_CODES, DHT, 0, codes);
    let ac = written(tag::JPEG_AC_CODES, DHT, 1, codes);
    quantisation.iter().zip(dc).zip(ac).map(|((quantisation, dc), ac)| [*quantisation, dc, ac]).collect()
}
