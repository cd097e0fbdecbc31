//! An AVIF sequence without a still picture: the first frame of its first picture track, and that frame's alpha. They
//! are described in the form of a still's items.

use super::{
    boxes::{Meta, Numbers, boxes, find},
    properties::Property,
};
use crate::scan::be32;

/// Offset of the boxes in a visual sample entry.
const ENTRY: usize = 78;

/// The first frame, as the primary item.
pub(super) fn first_frame(file: &[u8]) -> Option<Meta<'_>> {
    let movie = find(file, b"moov")?;
    let tracks = || boxes(movie).filter(|(kind, _)| kind == b"trak").map(|(_, content)| content);
    let colour = tracks().find_map(|track| Track::read(track, &[b"pict", b"vide"]))?;
    let mut meta = Meta::empty(file);
    meta.primary = 1;
    meta.add(1, colour.place, colour.properties);
    let beside = |track: &Track<'_>| track.beside == Some(colour.number);
    if let Some(alpha) = tracks().filter_map(|track| Track::read(track, &[b"auxv"])).find(beside) {
        let said = alpha.properties.into_iter().chain([Property::Alpha]);
        meta.add(2, alpha.place, said.collect());
        meta.refer(*b"auxl", 2, 1);
        if colour.multiplied_by == Some(alpha.number) {
            meta.refer(*b"prem", 1, 2);
        }
    }
    Some(meta)
}

/// The number of frames in the longest picture track; `None` if there is no such track. Frames for which the file has
/// no room are not counted.
pub(super) fn frames(file: &[u8]) -> Option<u32> {
    let movie = find(file, b"moov")?;
    let tracks = boxes(movie).filter(|(kind, _)| kind == b"trak").map(|(_, content)| content);
    tracks.filter_map(|track| samples(track, file.len())).max()
}

/// The number of samples in a picture track.
fn samples(track: &[u8], file: usize) -> Option<u32> {
    let media = find(track, b"mdia")?;
    let handler: &[u8; 4] = find(media, b"hdlr")?.get(8..)?.first_chunk()?;
    if !matches!(handler, b"pict" | b"vide") {
        return None;
    }
    let sizes = find(find(find(media, b"minf")?, b"stbl")?, b"stsz")?;
    let room = match be32(sizes, 4)? as usize {
        0 => sizes.len().saturating_sub(12) / 4,
        each => file / each,
    };
    Some(be32(sizes, 8)?.min(u32::try_from(room).unwrap_or(u32::MAX)))
}

struct Track<'a> {
    number: u32,
    /// The track for which this one is auxiliary.
    beside: Option<u32>,
    multiplied_by: Option<u32>,
    /// Offset and length of the first frame in the file.
    place: (usize, usize),
    properties: Vec<Property<'a>>,
}

impl<'a> Track<'a> {
    fn read(track: &'a [u8], handlers: &[&[u8; 4]]) -> Option<Self> {
        let media = find(track, b"mdia")?;
        let handler: &[u8; 4] = find(media, b"hdlr")?.get(8..)?.first_chunk()?;
        if !handlers.contains(&handler) {
            return None;
        }
        let head = find(track, b"tkhd")?;
        let number = be32(head, if head.first() == Some(&1) { 20 } else { 12 })?;
        let references = find(track, b"tref").unwrap_or_default();
        let refers = |kind: &[u8; 4]| find(references, kind).and_then(|content| be32(content, 0));
        let table = find(find(media, b"minf")?, b"stbl")?;
        let entry = find(find(table, b"stsd")?.get(8..)?, b"av01")?;
        let side = |at: usize| Some(u32::from(u16::from_be_bytes(*entry.get(at..)?.first_chunk()?)));
        let mut properties = vec![Property::Size(side(24)?, side(26)?)];
        properties.extend(boxes(entry.get(ENTRY..)?).map(|(kind, content)| Property::read(kind, content)));
        Some(Self {
            number,
            beside: refers(b"auxl"),
            multiplied_by: refers(b"prem"),
            place: (first_offset(table)?, first_length(table)?),
            properties,
        })
    }
}

fn first_offset(table: &[u8]) -> Option<usize> {
    let (chunks, width) = match find(table, b"stco") {
        Some(chunks) => (chunks, 4),
        None => (find(table, b"co64")?, 8),
    };
    usize::try_from(Numbers(chunks.get(8..)?).take(width)?).ok()
}

fn first_length(table: &[u8]) -> Option<usize> {
    let sizes = find(table, b"stsz")?;
    let length = match be32(sizes, 4)? {
        0 => be32(sizes, 12)?,
        all => all,
    };
    (length > 0).then_some(length as usize)
}
