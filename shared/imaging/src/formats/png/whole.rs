//! Checks that a file is sound from end to end, and strips it of everything but the picture.

use std::io::Cursor;

use super::chunks::Chunks;

/// Keeps only the chunks that make up the picture. `None` if the result has more than `most` bytes, or if the file is
/// an animation, has colours other than sRGB, is damaged anywhere, or ends early.
pub(crate) fn without_metadata(file: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut kept = file.get(..8)?.to_vec();
    let mut ended = false;
    for chunk in Chunks::of(file) {
        if !chunk.is_sound() {
            return None;
        }
        match &chunk.kind {
            b"acTL" | b"iCCP" | b"cICP" | b"cHRM" => return None,
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND" => {
                kept.extend((chunk.data.len() as u32).to_be_bytes());
                kept.extend(chunk.kind);
                // The size check comes first, because decoding the kept file below does not check the deadline.
                if kept.len() + chunk.data.len() > most {
                    return None;
                }
                kept.extend(chunk.data);
                kept.extend(chunk.checksum?.to_be_bytes());
                ended = chunk.kind == *b"IEND";
            }
            // An ancillary chunk that does not matter for the picture.
            kind if kind[0].is_ascii_lowercase() => {}
            _ => return None,
        }
    }
    // A strict decoder must accept the result.
    let mut reader = png::Decoder::new(Cursor::new(&kept)).read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size()?];
    reader.next_frame(&mut pixels).ok()?;
    (ended && kept.len() <= most).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deadline, Image, encode};

    fn plain() -> Vec<u8> {
        let rgba = (0..64 * 64_u32).flat_map(|at| [at as u8, (at >> 6) as u8, 7, (at >> 4) as u8]).collect();
        let image = Image::new(64, 64, rgba).expect("a picture");
        encode::encode(&image, &crate::formats::png::WRITER, 100, Deadline::none()).expect("a file").bytes
    }

    /// The file with a chunk inserted after its header.
    fn with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let plain = plain();
        let body = [kind.as_slice(), data].concat();
        let length = (data.len() as u32).to_be_bytes();
        [&plain[..33], &length, &body, &crc32fast::hash(&body).to_be_bytes(), &plain[33..]].concat()
    }

    /// The stripped file, whatever its size.
    fn kept(file: &[u8]) -> Option<Vec<u8>> {
        without_metadata(file, usize::MAX)
    }

    #[test]
    fn a_sound_file_without_metadata_is_the_same_bytes() {
        assert_eq!(kept(&plain()), Some(plain()));
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let plain = plain();
        assert_eq!(without_metadata(&plain, plain.len()), Some(plain.clone()));
        assert_eq!(without_metadata(&plain, plain.len() - 1), None);
        assert_eq!(
            without_metadata(&with(b"tEXt", &[0; 5000]), plain.len()),
            Some(plain),
            "metadata does not count"
        );
    }

    #[test]
    fn chunks_beside_the_picture_are_left_out() {
        for kind in [b"tEXt", b"eXIf", b"tIME", b"sRGB"] {
            assert_eq!(kept(&with(kind, &[0])), Some(plain()), "{kind:?}");
        }
        assert_eq!(kept(&[&plain()[..], b"behind the end"].concat()), Some(plain()));
    }

    #[test]
    fn odd_or_damaged_files_are_not_kept() {
        for kind in [b"acTL", b"iCCP", b"cICP", b"cHRM", b"ABCD"] {
            assert_eq!(kept(&with(kind, &[0; 8])), None, "{kind:?}");
        }
        let plain = plain();
        for at in 0..plain.len() {
            assert_eq!(kept(&plain[..at]), None, "{at} bytes");
            let mut damaged = plain.clone();
            damaged[at] ^= 4;
            assert_eq!(kept(&damaged), None, "a bit of byte {at}");
        }
    }
}
