//! The boxes of an AVIF file that are needed to find its picture: ISO/IEC 14496-12 (boxes, items) and 23008-12 (HEIF:
//! properties, references). Data beyond the end of the file counts as missing.
//!
//! This reader is Darkroom's own. The existing ones (`mp4parse`, `avif-parse`, `zenavif-parse`) are under the MPL-2.0,
//! which is not among the accepted licences, and none of them reads `clap`, sequences and files that are cut off.

use std::{borrow::Cow, collections::BTreeMap};

use super::properties::Property;
use crate::scan::be32;

/// The most items, properties, references or extents that are read. No picture has more.
const MOST: usize = 1 << 16;

/// Splits bytes into boxes, each with its type and content.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let kind = *bytes.get(4..)?.first_chunk()?;
        let (head, length) = match be32(bytes, 0)? {
            0 => (8, bytes.len()),
            1 => (16, usize::try_from(be(bytes, 8, 8)?).unwrap_or(usize::MAX)),
            length => (8, length as usize),
        };
        let (one, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        Some((kind, one.get(head..)?))
    })
}

/// The content of the first box of that type.
pub(super) fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(kind, _)| kind == wanted).map(|(_, content)| content)
}

/// Reads a big-endian unsigned number of `count` bytes, at most 8.
fn be(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(count)?)?;
    Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// A reader of consecutive numbers.
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl Numbers<'_> {
    pub(super) fn take(&mut self, count: usize) -> Option<u64> {
        let value = be(self.0, 0, count)?;
        self.0 = &self.0[count..];
        Some(value)
    }
}

/// The extents of an item, in the file or in the `idat` box: offset and length, where 0 means up to the end.
struct Extents {
    inside: bool,
    pieces: Vec<(usize, usize)>,
}

/// The metadata of a file's items.
#[derive(Default)]
pub(super) struct Meta<'a> {
    file: &'a [u8],
    data: &'a [u8],
    /// The item to show.
    pub(super) primary: u32,
    kinds: BTreeMap<u32, [u8; 4]>,
    places: BTreeMap<u32, Extents>,
    properties: Vec<Property<'a>>,
    /// The properties of each item, and whether the item must not be shown without understanding them.
    links: BTreeMap<u32, Vec<(usize, bool)>>,
    /// Each reference's type, the item that refers and the item that it refers to.
    references: Vec<([u8; 4], u32, u32)>,
}

impl<'a> Meta<'a> {
    /// Reads the `meta` box of a file; `None` if there is none or if it names no primary item.
    pub(super) fn read(file: &'a [u8]) -> Option<Self> {
        let meta = find(file, b"meta")?;
        let mut out = Self { file, ..Self::default() };
        let mut primary = None;
        for (kind, content) in boxes(meta.get(4..)?) {
            match &kind {
                b"pitm" => primary = be(content, 4, if content.first() == Some(&0) { 2 } else { 4 }),
                b"idat" => out.data = content,
                b"iinf" => out.read_kinds(content),
                b"iloc" => {
                    out.read_places(content);
                }
                b"iprp" => out.read_properties(content),
                b"iref" => out.read_references(content),
                _ => {}
            }
        }
        out.primary = u32::try_from(primary?).ok()?;
        Some(out)
    }

    /// Metadata without any items.
    pub(super) fn empty(file: &'a [u8]) -> Self {
        Self { file, ..Self::default() }
    }

    /// Adds a picture whose data is one extent of the file.
    pub(super) fn add(&mut self, item: u32, place: (usize, usize), properties: Vec<Property<'a>>) {
        self.kinds.insert(item, *b"av01");
        self.places.insert(item, Extents { inside: false, pieces: vec![place] });
        let links = self.properties.len()..self.properties.len() + properties.len();
        self.links.insert(item, links.map(|index| (index, false)).collect());
        self.properties.extend(properties);
    }

    /// Adds a reference of that type.
    pub(super) fn refer(&mut self, kind: [u8; 4], from: u32, to: u32) {
        self.references.push((kind, from, to));
    }

    fn read_kinds(&mut self, content: &[u8]) {
        let count = if content.first() == Some(&0) { 2 } else { 4 };
        for (kind, entry) in boxes(content.get(4 + count..).unwrap_or_default()).take(MOST) {
            // Item identifiers have 16 bits in version 2 and 32 bits in version 3.
            let width = if entry.first() == Some(&2) { 2 } else { 4 };
            let item = be(entry, 4, width).and_then(|item| u32::try_from(item).ok());
            let of = entry.get(6 + width..).and_then(<[u8]>::first_chunk).copied();
            if let (b"infe", Some(item), Some(of)) = (&kind, item, of) {
                self.kinds.entry(item).or_insert(of);
            }
        }
    }

    fn read_places(&mut self, content: &[u8]) -> Option<()> {
        let mut numbers = Numbers(content);
        let version = numbers.take(1)?;
        numbers.take(3)?;
        let sizes = numbers.take(2)?;
        let size = |shift: u32| (sizes >> shift & 15) as usize;
        let (offset, length, base) = (size(12), size(8), size(4));
        let index = if version == 0 { 0 } else { size(0) };
        if [offset, length, base, index].iter().any(|size| !matches!(size, 0 | 4 | 8)) {
            return None;
        }
        let identifier = if version < 2 { 2 } else { 4 };
        let mut left = MOST;
        for _ in 0..numbers.take(identifier)? {
            let item = u32::try_from(numbers.take(identifier)?).ok()?;
            let method = if version == 0 { 0 } else { numbers.take(2)? & 15 };
            numbers.take(2)?;
            let start = numbers.take(base)?;
            let mut pieces = Vec::new();
            for _ in 0..numbers.take(2)? {
                left = left.checked_sub(1)?;
                numbers.take(index)?;
                let at = start.checked_add(numbers.take(offset)?)?;
                let bytes = numbers.take(length)?;
                pieces.push((usize::try_from(at).ok()?, usize::try_from(bytes).ok()?));
            }
            // Construction method 2, within another item, is not used for pictures.
            if method < 2 {
                self.places.entry(item).or_insert(Extents { inside: method == 1, pieces });
            }
        }
        Some(())
    }

    fn read_properties(&mut self, content: &'a [u8]) {
        for (kind, content) in boxes(content) {
            match &kind {
                b"ipco" if self.properties.is_empty() => {
                    let all = boxes(content).take(MOST);
                    self.properties = all.map(|(kind, content)| Property::read(kind, content)).collect();
                }
                b"ipma" => {
                    self.read_links(content);
                }
                _ => {}
            }
        }
    }

    fn read_links(&mut self, content: &[u8]) -> Option<()> {
        let mut numbers = Numbers(content);
        let (version, flags) = (numbers.take(1)?, numbers.take(3)?);
        let (bytes, essential) = if flags & 1 == 1 { (2, 0x8000) } else { (1, 0x80) };
        for _ in 0..numbers.take(4)? {
            let item = u32::try_from(numbers.take(if version == 0 { 2 } else { 4 })?).ok()?;
            let mut links = Vec::new();
            for _ in 0..numbers.take(1)? {
                let link = numbers.take(bytes)?;
                // Index 0 stands for no property.
                let index = usize::try_from(link & !essential).ok()?.checked_sub(1);
                links.extend(index.map(|index| (index, link & essential != 0)));
            }
            self.links.entry(item).or_insert(links);
        }
        Some(())
    }

    fn read_references(&mut self, content: &[u8]) {
        let width = if content.first() == Some(&0) { 2 } else { 4 };
        for (kind, content) in boxes(content.get(4..).unwrap_or_default()) {
            let mut numbers = Numbers(content);
            let (Some(from), Some(count)) = (numbers.take(width), numbers.take(2)) else { continue };
            for _ in 0..count {
                let Some(to) = numbers.take(width).filter(|_| self.references.len() < MOST) else { break };
                self.references.push((kind, from as u32, to as u32));
            }
        }
    }

    /// The type of an item: `av01` for a picture, `grid` for a grid of pictures.
    pub(super) fn kind(&self, item: u32) -> Option<[u8; 4]> {
        self.kinds.get(&item).copied()
    }

    /// The properties of an item.
    pub(super) fn properties(&self, item: u32) -> impl Iterator<Item = Property<'a>> {
        self.linked(item).map(|(property, _)| property)
    }

    /// Whether an item has an essential property that is not understood here.
    pub(super) fn asks_too_much(&self, item: u32) -> bool {
        self.linked(item).any(|(property, essential)| essential && matches!(property, Property::Other))
    }

    fn linked(&self, item: u32) -> impl Iterator<Item = (Property<'a>, bool)> {
        let links = self.links.get(&item).map(Vec::as_slice).unwrap_or_default();
        links.iter().filter_map(|&(index, essential)| Some((*self.properties.get(index)?, essential)))
    }

    /// The size that an item states.
    pub(super) fn size(&self, item: u32) -> Option<(u32, u32)> {
        self.properties(item).find_map(|property| match property {
            Property::Size(width, height) => Some((width, height)),
            _ => None,
        })
    }

    /// The items that a derived item is made of.
    pub(super) fn parts(&self, item: u32) -> Vec<u32> {
        let of = |(kind, from, _): &&([u8; 4], u32, u32)| kind == b"dimg" && *from == item;
        self.references.iter().filter(of).map(|(_, _, to)| *to).collect()
    }

    /// The item that holds another item's alpha, and whether the other's colours are premultiplied by it.
    pub(super) fn alpha(&self, item: u32) -> Option<(u32, bool)> {
        let is_alpha = |item: u32| self.properties(item).any(|property| property == Property::Alpha);
        let mut beside = self.references.iter().filter(|(kind, _, to)| kind == b"auxl" && *to == item);
        let alpha = beside.find(|(_, from, _)| is_alpha(*from))?.1;
        let premultiplied = self.references.contains(&(*b"prem", item, alpha));
        Some((alpha, premultiplied))
    }

    /// The data of an item, as far as the file has it.
    pub(super) fn data(&self, item: u32) -> Option<Cow<'a, [u8]>> {
        let place = self.places.get(&item)?;
        let from = if place.inside { self.data } else { self.file };
        let piece = |&(at, length): &(usize, usize)| {
            let rest = from.get(at..).unwrap_or_default();
            &rest[..if length == 0 { rest.len() } else { length.min(rest.len()) }]
        };
        match place.pieces.as_slice() {
            [one] => Some(Cow::Borrowed(piece(one))),
            // Extents may overlap, but their total must not exceed the file's length.
            several => {
                let total = several.iter().map(|one| piece(one).len()).fold(0, usize::saturating_add);
                (total <= self.file.len())
                    .then(|| Cow::Owned(several.iter().flat_map(piece).copied().collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
    }

    #[test]
    fn boxes_end_where_the_bytes_do() {
        let two = [one(b"free", b"abc"), one(b"mdat", b"")].concat();
        let kinds: Vec<_> = boxes(&two).collect();
        assert_eq!(kinds, [(*b"free", &b"abc"[..]), (*b"mdat", b"")]);
        assert_eq!(boxes(&two[..9]).next(), Some((*b"free", &b"a"[..])), "cut off");
        assert_eq!(boxes(b"\0\0\0\0mdatabc").next(), Some((*b"mdat", &b"abc"[..])), "to the end");
        assert_eq!(boxes(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x11abc").next(), Some((*b"mdat", &b"a"[..])));
        assert_eq!(boxes(b"\0\0\0\x02mdatabc").next(), None, "shorter than its own head");
    }

    #[test]
    fn an_item_is_put_together_from_its_pieces_and_never_longer_than_the_file() {
        // Item 7 has two extents with offsets and lengths of 4 bytes and no base offset.
        let places = |pieces: &[(u32, u32)]| {
            let mut out = b"\0\0\0\0\x44\0\0\x01\0\x07\0\0".to_vec();
            out.extend((pieces.len() as u16).to_be_bytes());
            pieces
                .iter()
                .for_each(|(at, length)| out.extend([at.to_be_bytes(), length.to_be_bytes()].concat()));
            out
        };
        let read = |pieces: &[(u32, u32)]| {
            let mut meta = Meta::empty(b"0123456789");
            meta.read_places(&places(pieces));
            meta.data(7).map(Cow::into_owned)
        };
        assert_eq!(read(&[(2, 3)]).as_deref(), Some(&b"234"[..]));
        assert_eq!(read(&[(7, 2), (0, 1)]).as_deref(), Some(&b"780"[..]));
        assert_eq!(read(&[(8, 100)]).as_deref(), Some(&b"89"[..]), "cut off");
        assert_eq!(read(&[(100, 1)]).as_deref(), Some(&b""[..]));
        assert_eq!(read(&[(0, 9), (0, 9)]), None);
    }

    #[test]
    fn places_without_a_length_are_counted_all_the_same() {
        // All fields have size 0, so that each item has 65,535 extents that occupy no byte.
        let many = b"\0\0\0\x03".iter().chain(b"\0\x01\0\0\xff\xff").chain(b"\0\x02\0\0\xff\xff").copied();
        let content: Vec<u8> = b"\0\0\0\0\0\0\0\x02".iter().copied().chain(many.skip(4)).collect();
        let mut meta = Meta::empty(b"");
        assert_eq!(meta.read_places(&content), None, "more than any picture has");
    }
}
