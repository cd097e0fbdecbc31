//! The one field that is read from metadata: the orientation.
//!
//! More forgiving than the decoders' own readers, because cameras and editors are careless: a stray `Exif\0\0` before
//! the TIFF header (common in WebP), and LONG or BYTE where the standard says SHORT, are all understood.

use crate::orient::Orientation;

/// TIFF tag 274, `Orientation`; the same in EXIF.
const ORIENTATION: u16 = 0x0112;

/// The orientation that an EXIF block (or a whole TIFF file) states in its first directory.
pub(crate) fn orientation(block: &[u8]) -> Option<Orientation> {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    Orientation::from_exif(first_directory_value(tiff, ORIENTATION)?)
}

/// The first value of a tag in the first directory, where it is a whole number that the entry itself holds.
fn first_directory_value(tiff: &[u8], tag: u16) -> Option<u32> {
    let little = match tiff.first_chunk::<4>()? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = usize::from(short(directory)?);
    (0..entries).find_map(|index| {
        let entry = directory.checked_add(2 + index * 12)?;
        if short(entry)? != tag {
            return None;
        }
        let value = entry.checked_add(8)?;
        match short(entry + 2)? {
            1 => tiff.get(value).copied().map(u32::from),
            3 => short(value).map(u32::from),
            4 => long(value),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(little: bool, kind: u16, value: &[u8; 4]) -> Vec<u8> {
        let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut out = if little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() };
        out.extend(long(8));
        out.extend(short(1));
        out.extend(short(ORIENTATION));
        out.extend(short(kind));
        out.extend(long(1));
        out.extend(value);
        out.extend(long(0));
        out
    }

    #[test]
    fn orientation_is_read_in_either_byte_order_and_any_whole_number_type() {
        for exif in [
            block(true, 3, &[6, 0, 0, 0]),
            block(true, 4, &[6, 0, 0, 0]),
            block(true, 1, &[6, 0, 0, 0]),
            block(false, 3, &[0, 6, 0, 0]),
            block(false, 4, &[0, 0, 0, 6]),
        ] {
            assert_eq!(orientation(&exif), Orientation::from_exif(6));
            assert_eq!(orientation(&[b"Exif\0\0", &exif[..]].concat()), Orientation::from_exif(6));
        }
    }

    #[test]
    fn nonsense_states_no_orientation() {
        assert_eq!(orientation(b""), None);
        assert_eq!(orientation(&block(true, 3, &[9, 0, 0, 0])), None);
        assert_eq!(orientation(&block(true, 2, &[6, 0, 0, 0])), None);
        assert_eq!(orientation(b"II\x2a\0\xff\xff\xff\xff"), None);
        assert_eq!(orientation(&block(true, 3, &[6, 0, 0, 0])[..15]), None);
    }
}
