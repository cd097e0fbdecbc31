//! Reads the orientation, the one metadata field that is used.
//!
//! This parser is more forgiving than the decoders' own, because cameras and editors are careless. Like Pillow it
//! accepts a stray `Exif\0\0` before the TIFF header (common in WebP), a header whose 42 is in the other byte order,
//! and any numeric type where the standard says SHORT.
//!
//! More forgiving than the decoders' own readers, because cameras and editors are careless: a stray `Exif\0\0` before
//! the TIFF header (common in WebP), a header whose 42 is in the other byte order, and any type of number where the
//! standard says SHORT are all understood, as Pillow understands them.

use crate::orient::Orientation;

/// TIFF tag 274, `Orientation`; the same in EXIF.
const ORIENTATION: u16 = 0x0112;

/// The prefix that may stand before the TIFF header.
const PREFIX: &[u8] = b"Exif\0\0";

/// The orientation that an EXIF block (or a whole TIFF file) states in its first directory.
pub(crate) fn orientation(block: &[u8]) -> Option<Orientation> {
    let tiff = block.strip_prefix(PREFIX).unwrap_or(block);
    let number = first_directory_value(tiff, ORIENTATION)?;
    if number.fract() != 0.0 {
        return None;
    }
    Orientation::from_exif(number as u32)
}

/// The first value of a tag in the first directory, if it is a number and all of the tag's values lie within the block.
fn first_directory_value(tiff: &[u8], tag: u16) -> Option<f64> {
    let little = match tiff.first_chunk::<4>()? {
        [b'I', b'I', 42, 0] | [b'I', b'I', 0, 42] => true,
        [b'M', b'M', 0, 42] | [b'M', b'M', 42, 0] => false,
        _ => return None,
    };
    let unsigned = |at: usize, width: usize| {
        let bytes = tiff.get(at..)?.get(..width)?.iter();
        let add = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(if little { bytes.rev().fold(0, add) } else { bytes.fold(0, add) })
    };
    let directory = usize::try_from(unsigned(4, 4)?).ok()?;
    let entries = usize::try_from(unsigned(directory, 2)?).ok()?;
    (0..entries).find_map(|index| {
        let entry = directory.checked_add(2 + index * 12)?;
        if unsigned(entry, 2)? != u64::from(tag) {
            return None;
        }
        let kind = unsigned(entry + 2, 2)?;
        let width = match kind {
            1 | 6 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return None,
        };
        let count = usize::try_from(unsigned(entry + 4, 4)?).ok()?;
        let size = count.checked_mul(width).filter(|&size| size > 0)?;
        // Values of at most four bytes lie in the entry; larger ones lie at the offset that it gives.
        let place = usize::try_from(unsigned(entry + 8, 4)?).ok()?;
        let at = if size <= 4 { entry + 8 } else { place };
        tiff.get(at..)?.get(..size)?;
        let (first, half) = (unsigned(at, width)?, width / 2);
        Some(match kind {
            5 => unsigned(at, half)? as f64 / unsigned(at + half, half)? as f64,
            6 | 8 | 9 | 17 => signed(first, width) as f64,
            10 => signed(unsigned(at, half)?, half) as f64 / signed(unsigned(at + half, half)?, half) as f64,
            11 => f32::from_bits(first as u32).into(),
            12 => f64::from_bits(first),
            _ => first as f64,
        })
    })
}

/// Interprets the lowest `width` bytes of a number as two's complement.
fn signed(number: u64, width: usize) -> i64 {
    let unused = 64 - 8 * width as u32;
    (number << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with a directory of one entry, followed from offset 26 on by the bytes `behind`.
    fn block(little: bool, kind: u16, count: u32, value: &[u8; 4], behind: &[u8]) -> Vec<u8> {
        let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut out = if little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() };
        out.extend(long(8));
        out.extend(short(1));
        out.extend(short(ORIENTATION));
        out.extend(short(kind));
        out.extend(long(count));
        out.extend(value);
        out.extend(long(0));
        out.extend(behind);
        out
    }

    #[test]
    fn orientation_is_read_in_either_byte_order_and_of_any_type_of_number() {
        // Values that do not fit in the entry lie at offset 26.
        let (little, big) = ([26, 0, 0, 0], [0, 0, 0, 26]);
        for exif in [
            block(true, 1, 1, &[6, 0, 0, 0], &[]),
            block(true, 3, 1, &[6, 0, 0, 0], &[]),
            block(true, 4, 1, &[6, 0, 0, 0], &[]),
            block(true, 5, 1, &little, &[12, 0, 0, 0, 2, 0, 0, 0]),
            block(true, 6, 1, &[6, 0xff, 0xff, 0xff], &[]),
            block(true, 8, 1, &[6, 0, 0xff, 0xff], &[]),
            block(true, 9, 1, &[6, 0, 0, 0], &[]),
            block(true, 10, 1, &little, &[0xfa, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            block(true, 11, 1, &6_f32.to_le_bytes(), &[]),
            block(true, 12, 1, &little, &6_f64.to_le_bytes()),
            block(true, 13, 1, &[6, 0, 0, 0], &[]),
            block(true, 16, 1, &little, &6_u64.to_le_bytes()),
            block(true, 17, 1, &little, &6_u64.to_le_bytes()),
            block(false, 1, 1, &[6, 0, 0, 0], &[]),
            block(false, 3, 1, &[0, 6, 0, 0], &[]),
            block(false, 4, 1, &[0, 0, 0, 6], &[]),
            block(false, 5, 1, &big, &[0, 0, 0, 6, 0, 0, 0, 1]),
            block(false, 6, 1, &[6, 0, 0, 0], &[]),
            block(false, 8, 1, &[0, 6, 0, 0], &[]),
            block(false, 9, 1, &[0, 0, 0, 6], &[]),
            block(false, 12, 1, &big, &6_f64.to_be_bytes()),
            block(false, 16, 1, &big, &6_u64.to_be_bytes()),
        ] {
            assert_eq!(orientation(&exif), Orientation::from_exif(6), "{exif:?}");
            let prefixed = [PREFIX, &exif].concat();
            assert_eq!(orientation(&prefixed), Orientation::from_exif(6), "{prefixed:?}");
        }
    }

    #[test]
    fn of_several_values_the_first_counts() {
        for exif in [
            block(true, 1, 4, &[6, 1, 1, 1], &[]),
            block(true, 3, 2, &[6, 0, 3, 0], &[]),
            block(true, 3, 3, &[26, 0, 0, 0], &[6, 0, 3, 0, 3, 0]),
            block(false, 8, 3, &[0, 0, 0, 26], &[0, 6, 0, 3, 0, 3]),
            block(false, 4, 2, &[0, 0, 0, 26], &[0, 0, 0, 6, 0, 0, 0, 3]),
        ] {
            assert_eq!(orientation(&exif), Orientation::from_exif(6), "{exif:?}");
        }
    }

    #[test]
    fn a_header_whose_42_is_in_the_other_byte_order_is_understood() {
        let mut exif = block(true, 3, 1, &[6, 0, 0, 0], &[]);
        exif[2..4].reverse();
        assert_eq!(orientation(&exif), Orientation::from_exif(6));
        let mut exif = block(false, 3, 1, &[0, 6, 0, 0], &[]);
        exif[2..4].reverse();
        assert_eq!(orientation(&exif), Orientation::from_exif(6));
    }

    #[test]
    fn an_entry_that_is_cut_short_states_nothing() {
        let exif = block(true, 3, 1, &[6, 0, 0, 0], &[]);
        for length in 0..exif.len() {
            let says = orientation(&exif[..length]);
            assert_eq!(says, Orientation::from_exif(6).filter(|_| length >= 22), "{length} bytes");
        }
    }

    #[test]
    fn nonsense_states_no_orientation() {
        assert_eq!(orientation(b""), None);
        assert_eq!(orientation(PREFIX), None);
        assert_eq!(orientation(b"II\x2a\0\xff\xff\xff\xff"), None);
        for exif in [
            block(true, 3, 1, &[0, 0, 0, 0], &[]),
            block(true, 3, 1, &[9, 0, 0, 0], &[]),
            block(true, 2, 1, &[6, 0, 0, 0], &[]),
            block(true, 7, 1, &[6, 0, 0, 0], &[]),
            block(true, 99, 1, &[6, 0, 0, 0], &[]),
            block(true, 3, 0, &[6, 0, 0, 0], &[]),
            // More values than there are, and an offset beyond the block.
            block(true, 3, 9, &[26, 0, 0, 0], &[6, 0]),
            block(true, 3, u32::MAX, &[26, 0, 0, 0], &[6, 0]),
            block(true, 4, 2, &[0xff; 4], &[]),
            block(true, 8, 1, &[0xfa, 0xff, 0, 0], &[]),
            block(true, 9, 1, &[0xfa, 0xff, 0xff, 0xff], &[]),
            block(true, 5, 1, &[26, 0, 0, 0], &[13, 0, 0, 0, 2, 0, 0, 0]),
            block(true, 5, 1, &[26, 0, 0, 0], &[6, 0, 0, 0, 0, 0, 0, 0]),
            block(true, 11, 1, &6.5_f32.to_le_bytes(), &[]),
            block(true, 11, 1, &f32::NAN.to_le_bytes(), &[]),
            block(true, 11, 1, &1e30_f32.to_le_bytes(), &[]),
        ] {
            assert_eq!(orientation(&exif), None, "{exif:?}");
        }
    }
}
