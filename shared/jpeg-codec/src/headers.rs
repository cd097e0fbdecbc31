//! Reads a file's headers: the frame, and the scans with their offsets.

use super::{
    Choice, EarlyEnd, GoOn, be16,
    coding::{Band, Coding},
    frame::{Frame, FrameHeader, Quantisers},
    huffman::Codes,
    markers::{self, Segment, Segments},
    standard,
};

/// The most scans that are read. Encoders write some ten.
const MOST_SCANS: usize = 1000;

/// The frame, and its scans in the order of the file.
pub(super) struct Outline<'a> {
    pub(super) frame: Frame,
    pub(super) scans: Vec<ScanHeader<'a>>,
}

/// A scan's header, with the tables that apply to it.
pub(super) struct ScanHeader<'a> {
    pub(super) channels: Vec<Selected>,
    pub(super) coding: Coding,
    pub(super) tables: Tables<'a>,
    pub(super) data: &'a [u8],
    /// Offset of the scan's entropy-coded data.
    pub(super) at: usize,
}

/// A channel of a scan: its index in the frame, and the numbers of its Huffman tables.
#[derive(Clone, Copy)]
pub(super) struct Selected {
    pub(super) channel: usize,
    pub(super) dc: u8,
    pub(super) ac: u8,
}

/// The latest definition of each table.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    /// Quantisation tables, with values of one or two bytes.
    quantisers: [Option<&'a [u8]>; 4],
    /// Huffman tables: the number of codes of each length, followed by the symbols.
    dc: [Option<&'a [u8]>; 4],
    ac: [Option<&'a [u8]>; 4],
    /// MCUs between restart markers; 0 if there are none.
    pub(super) restart: usize,
}

/// Reads the headers of a picture of that size, as long as another scan could add to it. After the first scan, an
/// invalid header counts as the end of the file.
pub(super) fn read<'a>(
    data: &'a [u8],
    size: (u32, u32),
    choice: Choice<'_>,
    go_on: GoOn<'_>,
) -> Result<Outline<'a>, EarlyEnd> {
    let (mut tables, mut outline, mut segments) =
        (Tables::standard(), None::<Outline<'_>>, Segments::new(data));
    while let Some(Segment { marker, content, end }) = segments.following(go_on)? {
        let understood = match (marker, &mut outline) {
            (markers::DHT, _) => tables.define_codes(content),
            (markers::DQT, _) => tables.define_quantisers(content),
            (markers::DRI, _) => {
                tables.restart = be16(content, 0).map_or(tables.restart, usize::from);
                Some(())
            }
            (markers::SOF0..=markers::SOF2, None) => {
                let header = FrameHeader::parse(content).ok();
                let frame = header.and_then(|it| Frame::new(&it, size, marker == markers::SOF2, choice));
                outline = frame.map(|frame| Outline { frame, scans: Vec::new() });
                outline.as_ref().map(|_| ())
            }
            (markers::SOS, Some(outline)) => outline.add(content, tables, (data, end)),
            (markers::DAC, _) => Some(()),
            // A second frame, a frame that is not supported, or a scan before any frame.
            (markers::SOF0..=markers::SOF15 | markers::SOS, _) => None,
            _ => Some(()),
        };
        let whole = marker == markers::SOS && outline.as_ref().is_some_and(Outline::is_whole);
        if whole || understood.is_none() {
            break;
        }
    }
    outline.filter(|outline| !outline.scans.is_empty()).ok_or(EarlyEnd::Nothing)
}

impl<'a> Tables<'a> {
    /// The tables at the beginning of a file: the standard's Huffman tables (ITU T.81, K.3), which Motion JPEG leaves
    /// out.
    fn standard() -> Self {
        Self {
            quantisers: [None; 4],
            dc: [Some(standard::DC_LUMINANCE), Some(standard::DC_CHROMINANCE), None, None],
            ac: [Some(standard::AC_LUMINANCE), Some(standard::AC_CHROMINANCE), None, None],
            restart: 0,
        }
    }

    /// The Huffman table of that number for differences of DC coefficients, or for AC coefficients.
    pub(super) fn dc(&self, number: u8) -> Option<Codes> {
        Codes::new((*self.dc.get(usize::from(number))?)?)
    }

    pub(super) fn ac(&self, number: u8) -> Option<Codes> {
        Codes::new((*self.ac.get(usize::from(number))?)?)
    }

    /// The quantisation table of that number.
    fn quantisers(&self, number: usize) -> Option<Quantisers> {
        let table = (*self.quantisers.get(number)?)?;
        let mut quantisers = [0; 64];
        for (place, quantiser) in quantisers.iter_mut().enumerate() {
            *quantiser = if table.len() == 64 { table[place].into() } else { be16(table, place * 2)? };
        }
        Some(quantisers)
    }

    fn define_quantisers(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let (table, rest) = rest.split_at_checked(if which >> 4 == 0 { 64 } else { 128 })?;
            *self.quantisers.get_mut(usize::from(which & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    fn define_codes(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let Some((&which, rest)) = segment.split_first() {
            let symbols: usize = rest.get(..16)?.iter().map(|&count| usize::from(count)).sum();
            let (codes, rest) = rest.split_at_checked(16 + symbols)?;
            let tables = if which >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(which & 15))? = Some(codes);
            segment = rest;
        }
        Some(())
    }
}

impl<'a> ScanHeader<'a> {
    /// Parses a scan's header; `None` if it is invalid.
    fn parse(
        segment: &[u8],
        frame: &Frame,
        tables: Tables<'a>,
        (data, at): (&'a [u8], usize),
        before: &[Self],
    ) -> Option<Self> {
        let (&count, rest) = segment.split_first()?;
        let (named, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        let &[first, last, bits, ..] = rest else { return None };
        let (high, low) = (bits >> 4, bits & 15);
        let coding = match (frame.progressive, first, last, high) {
            (false, ..) => Coding::Baseline,
            (true, 1..=63, ..) if first <= last && last < 64 && count == 1 && low < 14 => {
                let band = Band { first: first.into(), last: last.into(), low };
                if high == 0 { Coding::Band(band) } else { Coding::BandRefinement(band) }
            }
            (true, 0, 0, 0) if low < 14 => Coding::First(low),
            (true, 0, 0, _) if low < 14 => Coding::Refinement(low),
            _ => return None,
        };
        let mut channels = Vec::<Selected>::with_capacity(count.into());
        for &[id, codes] in named.as_chunks::<2>().0 {
            // Ids may occur more than once. An id then stands for the first channel that is not in this scan yet, and
            // whose coefficients no earlier scan had.
            let free = |channel: &usize| {
                frame.channels[*channel].id == id
                    && !channels.iter().any(|selected| selected.channel == *channel)
            };
            let came = |channel| before.iter().any(|scan| scan.coding == coding && scan.has(channel));
            let mut those = (0..frame.channels.len()).filter(free);
            let first = those.next()?;
            let channel = if came(first) { those.find(|&it| !came(it)).unwrap_or(first) } else { first };
            channels.push(Selected { channel, dc: codes >> 4, ac: codes & 15 });
        }
        (!channels.is_empty()).then_some(Self { channels, coding, tables, data, at })
    }

    /// Whether the channel is in the scan.
    fn has(&self, channel: usize) -> bool {
        self.channels.iter().any(|selected| selected.channel == channel)
    }
}

impl<'a> Outline<'a> {
    /// Adds a scan; `None` if its header is invalid, or if there are more scans than are accepted. A channel that is
    /// coded sequentially counts only once: further scans of it are ignored.
    fn add(&mut self, segment: &[u8], tables: Tables<'a>, place: (&'a [u8], usize)) -> Option<()> {
        let Self { frame, scans } = self;
        let header = ScanHeader::parse(segment, frame, tables, place, scans)?;
        let came = |selected: &Selected| scans.iter().any(|scan| scan.has(selected.channel));
        if !frame.progressive && header.channels.iter().any(came) {
            return Some(());
        }
        if scans.len() == MOST_SCANS {
            return None;
        }
        for &Selected { channel, .. } in &header.channels {
            let channel = &mut frame.channels[channel];
            // The table that applies when the channel's first scan begins.
            channel.quantisers = channel.quantisers.or_else(|| tables.quantisers(channel.table));
            channel.quantisers?;
        }
        scans.push(header);
        Some(())
    }

    /// Whether no further scan can add anything.
    fn is_whole(&self) -> bool {
        let Self { frame, scans } = self;
        // The scan that brings the last bit of a channel's DC completes the channel, if that is all that is needed of
        // it or if the AC comes in the same scan.
        let ends = |scan: &ScanHeader<'_>| {
            matches!(scan.coding, Coding::Baseline | Coding::First(0) | Coding::Refinement(0))
        };
        let whole = |channel| scans.iter().any(|scan| ends(scan) && scan.has(channel));
        (!frame.progressive || frame.is_shallow()) && (0..frame.channels.len()).all(whole)
    }
}
