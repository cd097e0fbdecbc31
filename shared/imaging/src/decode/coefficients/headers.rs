//! What a file's headers say: the frame, and where its scans are.

use super::{
    Choice, Stop, be16,
    frame::{Frame, Quantisers},
    huffman::Codes,
    scan::{self, Band, Coding},
    standard,
};
use crate::Deadline;

/// No encoder makes as many scans: some ten are usual.
const MOST_SCANS: usize = 1000;

/// The frame, and its scans in the order of the file.
pub(super) struct Outline<'a> {
    pub(super) frame: Frame,
    pub(super) scans: Vec<Header<'a>>,
}

/// A scan's header, with the tables as they are then.
pub(super) struct Header<'a> {
    pub(super) channels: Vec<Selected>,
    pub(super) coding: Coding,
    pub(super) tables: Tables<'a>,
    pub(super) data: &'a [u8],
    /// Where the scan's own data begins.
    pub(super) at: usize,
}

/// A channel of a scan, by its place in the frame, and the numbers of its codes.
#[derive(Clone, Copy)]
pub(super) struct Selected {
    pub(super) channel: usize,
    pub(super) dc: u8,
    pub(super) ac: u8,
}

/// Definitions as the file has them, the latest ones of each number.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    /// Of quantisers, each of one or of two bytes.
    quantisers: [Option<&'a [u8]>; 4],
    /// Of codes: how many there are of each length, and their symbols.
    dc: [Option<&'a [u8]>; 4],
    ac: [Option<&'a [u8]>; 4],
    /// MCUs between restart markers, or none.
    pub(super) restart: usize,
}

/// Reads the headers of a picture of that size, as far as a scan to come may add to it. Of a progressive picture that has a
/// scan, whatever makes no sense is where the file ends.
pub(super) fn read<'a>(
    data: &'a [u8],
    size: (u32, u32),
    choice: Choice<'_>,
    deadline: Deadline,
) -> Result<Outline<'a>, Stop> {
    let (mut tables, mut outline, mut at) = (Tables::standard(), None::<Outline<'_>>, 0);
    while let Some((marker, behind)) = scan::next_marker(data, at) {
        deadline.check()?;
        at = behind;
        if scan::stands_alone(marker) {
            continue;
        }
        if marker == 0xd9 {
            break;
        }
        let Some(end) = be16(data, at).map(|length| at + usize::from(length)) else { break };
        let Some(segment) = data.get(at + 2..end) else { break };
        at = end;
        let understood = match (marker, &mut outline) {
            (0xc0..=0xc2, None) => {
                let frame = Frame::parse(segment, marker == 0xc2, choice);
                // Of no other size than the one whose limits were checked.
                outline = frame
                    .filter(|frame| (frame.width, frame.height) == size)
                    .map(|frame| Outline { frame, scans: Vec::new() });
                outline.as_ref().map(|_| ())
            }
            (0xc4, _) => tables.define_codes(segment),
            // A second frame; lossless, hierarchical, arithmetic; a height that comes later.
            (0xc0..=0xcf | 0xdc, _) => None,
            (0xda, None) => None,
            (0xda, Some(outline)) if outline.scans.len() == MOST_SCANS => return Err(Stop::Odd),
            (0xda, Some(outline)) => outline.add(segment, tables, (data, at)),
            (0xdb, _) => tables.define_quantisers(segment),
            (0xdd, _) => be16(segment, 0).map(|restart| tables.restart = restart.into()),
            _ => Some(()),
        };
        match &outline {
            _ if understood.is_some() => {}
            Some(Outline { frame, scans }) if frame.progressive && !scans.is_empty() => break,
            _ => return Err(Stop::Odd),
        }
        if marker == 0xda && outline.as_ref().is_some_and(Outline::is_whole) {
            break;
        }
    }
    outline.filter(|outline| !outline.scans.is_empty()).ok_or(Stop::Odd)
}

impl<'a> Tables<'a> {
    /// Those that a file begins with: the standard's own codes (ITU T.81, K.3), which Motion JPEG leaves out.
    fn standard() -> Self {
        Self {
            quantisers: [None; 4],
            dc: [Some(standard::DC_LUMINANCE), Some(standard::DC_CHROMINANCE), None, None],
            ac: [Some(standard::AC_LUMINANCE), Some(standard::AC_CHROMINANCE), None, None],
            restart: 0,
        }
    }

    /// The codes of that number for differences of DC coefficients, and for AC coefficients.
    pub(super) fn dc(&self, number: u8) -> Option<Codes> {
        Codes::new((*self.dc.get(usize::from(number))?)?)
    }

    pub(super) fn ac(&self, number: u8) -> Option<Codes> {
        Codes::new((*self.ac.get(usize::from(number))?)?)
    }

    /// The quantisers of that number.
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

impl<'a> Header<'a> {
    fn parse(
        segment: &[u8],
        frame: &Frame,
        tables: Tables<'a>,
        (data, at): (&'a [u8], usize),
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
            let channel = frame.channels.iter().position(|channel| channel.id == id)?;
            if channels.iter().any(|selected| selected.channel == channel) {
                return None;
            }
            channels.push(Selected { channel, dc: codes >> 4, ac: codes & 15 });
        }
        (!channels.is_empty()).then_some(Self { channels, coding, tables, data, at })
    }

    /// Whether that channel is in the scan.
    fn has(&self, channel: usize) -> bool {
        self.channels.iter().any(|selected| selected.channel == channel)
    }

    /// Bytes that it takes, with what reads the scan.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Self>() + scan::bytes(self.coding, self.channels.len())) as u64
    }
}

impl<'a> Outline<'a> {
    /// Takes a scan's header; `None` where it makes no sense, or a channel that comes at once comes again.
    fn add(&mut self, segment: &[u8], tables: Tables<'a>, place: (&'a [u8], usize)) -> Option<()> {
        let Self { frame, scans } = self;
        let header = Header::parse(segment, frame, tables, place)?;
        for &Selected { channel, .. } in &header.channels {
            if !frame.progressive && scans.iter().any(|scan| scan.has(channel)) {
                return None;
            }
            let channel = &mut frame.channels[channel];
            // Those that there are when its first scan begins.
            channel.quantisers = channel.quantisers.or_else(|| tables.quantisers(channel.table));
            channel.quantisers?;
        }
        scans.push(header);
        Some(())
    }

    /// Whether no scan to come can add anything.
    fn is_whole(&self) -> bool {
        let Self { frame, scans } = self;
        // The last bit of a channel's DC; with all else, if that is not wanted or comes along with it.
        let ends = |scan: &Header<'_>| {
            matches!(scan.coding, Coding::Baseline | Coding::First(0) | Coding::Refinement(0))
        };
        let whole = |channel| scans.iter().any(|scan| ends(scan) && scan.has(channel));
        (!frame.progressive || frame.is_shallow()) && (0..frame.channels.len()).all(whole)
    }
}
