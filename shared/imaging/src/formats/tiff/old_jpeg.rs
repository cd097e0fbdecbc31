//! JPEG as TIFF 6.0 had it (section 22), before Adobe's technical note 2 gave it up for what it left open. A file has
//! all of a JPEG in one place; or its tables and headers in one place and what they are for in strips; or its tables
//! alone, each by itself, and nothing of a header. As libtiff does, what is lacking is made up, and each strip is
//! read as a JPEG of its own.

use super::{
    FORMAT,
    directory::{Directory, Entry, tag},
    page::Page,
};
use crate::{
    ImageError,
    formats::jpeg::coefficients::markers::{DAC, DHT, DQT, DRI, EOI, SOF0, SOF15, SOS},
};

const SOI: [u8; 2] = [0xff, 0xd8];

/// The number that TIFF has for JPEG without loss.
const LOSSLESS: u64 = 14;

/// Tables of one kind at most.
const TABLES: usize = 4;

/// Bytes of tables that are taken over: four of each kind, each several times anew, have less.
const MOST_TABLE_BYTES: usize = 1 << 16;

/// What a file keeps beside its strips.
pub(super) struct OldJpeg<'a> {
    /// All of the picture, where it is one JPEG.
    pub(super) whole: Option<&'a [u8]>,
    /// Tables and the restart interval, as segments of a JPEG.
    tables: Vec<u8>,
    /// The frame's header.
    frame: Option<Segment<'a>>,
    /// The scan's header, less its marker.
    scan: Option<&'a [u8]>,
    /// Which tables each component is decoded with, where no header says: quantisation, DC and AC.
    components: Vec<[u8; 3]>,
}

/// A segment's marker, and what it has behind its length.
#[derive(Clone, Copy)]
struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
}

impl Segment<'_> {
    fn is_frame(&self) -> bool {
        // Of the range, JPG is reserved.
        matches!(self.marker, SOF0..=SOF15) && !matches!(self.marker, DHT | 0xc8 | DAC)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.content.len() + 2).unwrap_or(u16::MAX);
        out.extend([0xff, self.marker]);
        out.extend(length.to_be_bytes());
        out.extend(self.content);
    }
}

/// The segments at the beginning of a JPEG, or of a part of one, up to its scan. A file may have millions of them, so
/// they are gone through again rather than kept.
#[derive(Clone, Default)]
struct Segments<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Segments<'a> {
    fn of(stream: &'a [u8]) -> Self {
        Self { rest: stream.strip_prefix(&SOI).unwrap_or(stream), ended: false }
    }

    /// Whether there is one with that marker.
    fn have(&self, marker: u8) -> bool {
        self.clone().any(|segment| segment.marker == marker)
    }

    fn frame_header(&self) -> Option<Segment<'a>> {
        self.clone().find(Segment::is_frame)
    }

    /// What the scan's header holds.
    fn scan_header(&self) -> Option<&'a [u8]> {
        self.clone().find(|segment| segment.marker == SOS).map(|segment| segment.content)
    }

    /// Writes the tables and the restart interval, up to more than a decoder can have use for.
    fn write_tables(&self, out: &mut Vec<u8>) {
        let most = out.len() + MOST_TABLE_BYTES;
        for segment in self.clone().filter(|segment| matches!(segment.marker, DHT | DQT | DRI)) {
            if out.len() > most {
                break;
            }
            segment.write(out);
        }
    }

    /// What comes behind the scan's header, or is no segment.
    fn behind(mut self) -> &'a [u8] {
        while self.next().is_some() {}
        self.rest
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let [0xff, marker @ 0xc0..=0xfe, high, low, behind @ ..] = self.rest else { return None };
        // An end, a restart: none of them has a length.
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
    /// What a directory says; `offsets` are those of its chunks.
    ///
    /// # Errors
    /// [`ImageError::UnsupportedCompression`] for JPEG without loss.
    pub(super) fn read(directory: &Directory<'a>, offsets: &Entry<'_>) -> Result<Self, ImageError> {
        if directory.number(tag::JPEG_PROCESS) == Some(LOSSLESS) {
            let compression = "lossless JPEG".into();
            return Err(ImageError::UnsupportedCompression { format: FORMAT, compression });
        }
        let bytes = directory.file().bytes;
        // How long it is, which the file may say, is often wrong.
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
        // Strips that lie behind the headers each have a part of the data; only where there is one strip may it be what the
        // JPEG goes on with.
        let data_at = (bytes.len() - segments.behind().len()) as u64;
        let first = offsets.number(0).unwrap_or_default();
        let in_strips = first > data_at || first == data_at && offsets.count > 1;
        let whole = stream.filter(|_| is_jpeg && frame.is_some() && scan.is_some() && !in_strips);
        Ok(Self { whole, tables, frame, scan, components })
    }

    /// A chunk as a file of its own; `None` where there is nothing that it could be read by.
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
            // What it says of the picture is for all strips.
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

    /// The components of a frame, by what the TIFF says: their number, and of each its name, its sampling and its
    /// table.
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

    /// The header of a scan of all components of a frame, whose header this is.
    fn scan_components(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let components = frame.get(6..)?.as_chunks::<3>().0;
        let mut out = vec![u8::try_from(components.len()).ok()?];
        for (index, [name, ..]) in components.iter().enumerate() {
            let by_order = [0, u8::from(index > 0), u8::from(index > 0)];
            let [_, dc, ac] = self.components.get(index).copied().unwrap_or(by_order);
            out.extend([*name, dc << 4 | ac]);
        }
        // All coefficients, at once, to the last bit.
        out.extend([0, 63, 0]);
        Some(out)
    }
}

/// Writes the tables that the directory names one by one, each once, and gives those of each component.
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
    // Sixteen counts of codes by their length, and that many values.
    let codes =
        |rest: &[u8]| Some(16 + rest.get(..16)?.iter().map(|count| usize::from(*count)).sum::<usize>());
    let quantisation = written(tag::JPEG_QUANTISATION, DQT, 0, |_| Some(64));
    let dc = written(tag::JPEG_DC_CODES, DHT, 0, codes);
    let ac = written(tag::JPEG_AC_CODES, DHT, 1, codes);
    quantisation.iter().zip(dc).zip(ac).map(|((quantisation, dc), ac)| [*quantisation, dc, ac]).collect()
}
