//! Windows icons and cursors. The largest picture in the file is shown, of several that large the one with the most
//! bits per pixel. Each picture is a PNG file, or a bitmap followed by a mask of transparent pixels.
//!
//! `image` 0.25.10 is not used. It shows nothing of a file that is cut off, even where only the mask is. It refuses
//! PNGs that are not RGBA, and icons whose directory states another length, size or depth than the picture has, which
//! are common.

use std::collections::HashSet;

use super::{bmp::Bitmap, png};
use crate::{
    Deadline, Format, ImageError, Limits,
    decode::{Decoded, pixelwise},
    formats::Codec,
    header::Header,
    pixels::is_opaque,
    scan::{le16, le32},
};

/// Windows icon or cursor, of which the largest picture is shown.
pub(crate) const FORMAT: Format =
    Format::new("ICO", &["image/vnd.microsoft.icon", "image/x-icon", "image/ico", "image/x-win-bitmap"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises,
    header,
    decode,
    view: None,
    animation: None,
    frames_in_file: None,
    writer: None,
};

const DIRECTORY: usize = 6;
const ENTRY: usize = 16;

/// The most directory entries that are read. No icon has more pictures.
const MAX_ENTRIES: u32 = 256;

/// Whether this is the beginning of an ICO or CUR file. The signature is so short that the first directory entry is
/// checked as well.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let [0, 0, 1 | 2, 0, ..] = bytes else { return false };
    let count = le16(bytes, 4).unwrap_or(0) as usize;
    let first = le32(bytes, DIRECTORY + 8).zip(le32(bytes, DIRECTORY + 12));
    let behind = |at: u32| at as usize >= DIRECTORY + count * ENTRY;
    count > 0 && first.is_some_and(|(length, at)| length > 0 && behind(at))
}

/// Reads the headers of the largest picture.
///
/// # Errors
/// Those of that picture, as [`Codec::read_header`]; [`ImageError::Corrupt`] where there is none.
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    best(bytes, limits, deadline).map(|(_, header)| header)
}

/// Decodes the largest picture.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let (picture, _) = best(bytes, limits, deadline)?;
    if is_png(picture) {
        return png::decode(picture, header, limits, deadline).map_err(of_icon);
    }
    let bitmap = Bitmap::read(picture, FORMAT)?.with_alpha();
    let start = bitmap.after_table();
    let table = picture.get(bitmap.table()..start).unwrap_or_default();
    let data = picture.get(start..).unwrap_or_default();
    let (mut decoded, colours) = bitmap.decode(table, data, header, deadline)?;
    // A bitmap of 32 bits has its own alpha, unless all of it is opaque; then, and for fewer bits, the mask applies.
    if bitmap.bits < 32 || is_opaque(&decoded.rgba) {
        let pixels = decoded.rgba.as_chunks_mut::<4>().0;
        let mask = match bitmap.profile_start().map(|at| at.saturating_sub(start)) {
            // A profile that begins where the mask should be: there is no mask.
            Some(end) if end < colours + bitmap.row_bytes(1) * header.stored.1 as usize => &[],
            _ => data.get(colours..).unwrap_or_default(),
        };
        for (out, row) in pixels.chunks_exact_mut(bitmap.width as usize).zip(mask.chunks(bitmap.row_bytes(1)))
        {
            let bits = row.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
            out.iter_mut().zip(bits).filter(|(_, bit)| *bit == 1).for_each(|(pixel, _)| pixel[3] = 0);
        }
    }
    Ok(Decoded { may_have_alpha: true, ..decoded })
}

/// The bytes and the header of the picture to show: the largest one that can be read, going by its own header.
fn best<'a>(bytes: &'a [u8], limits: &Limits, deadline: Deadline) -> Result<(&'a [u8], Header), ImageError> {
    let count = le16(bytes, 4).unwrap_or(0).min(MAX_ENTRIES) as usize;
    let mut best: Option<((u64, u16), &[u8], Header)> = None;
    let mut seen = HashSet::new();
    let mut refusal = pixelwise::unreadable(FORMAT);
    for index in 0..count {
        let entry = bytes.get(DIRECTORY + index * ENTRY..).unwrap_or_default();
        let at = le32(entry, 12).map_or(usize::MAX, |at| at as usize);
        let length = le32(entry, 8).unwrap_or(0) as usize;
        // Wrong lengths in the directory are common, and the pictures know their own.
        let Some(picture) = bytes.get(at..).filter(|rest| !rest.is_empty() && length > 0) else { continue };
        if !seen.insert(at) {
            continue;
        }
        match inner_header(picture, limits, deadline) {
            Ok((header, bits)) => {
                let rank = (u64::from(header.stored.0) * u64::from(header.stored.1), bits);
                if best.as_ref().is_none_or(|(other, ..)| rank > *other) {
                    best = Some((rank, picture, header));
                }
            }
            Err(late @ ImageError::TimeLimit(_)) => return Err(late),
            Err(error) => refusal = error,
        }
    }
    best.map(|(_, picture, header)| (picture, header)).ok_or(refusal)
}

/// The header of one picture, and its bits per pixel.
fn inner_header(picture: &[u8], limits: &Limits, deadline: Deadline) -> Result<(Header, u16), ImageError> {
    if is_png(picture) {
        let header = png::header(picture, limits, deadline).map_err(of_icon)?;
        return Ok((Header { frames: 1, ..header }, 32));
    }
    let bitmap = Bitmap::read(picture, FORMAT)?;
    let header = Header {
        // The stored height includes the mask.
        stored: (bitmap.width, bitmap.height / 2),
        orientation: bitmap.orientation(),
        frames: 1,
        extra_bytes_per_pixel: 0,
        largest_frame: (0, 0),
    };
    Ok((header, bitmap.bits))
}

fn is_png(picture: &[u8]) -> bool {
    picture.starts_with(b"\x89PNG")
}

/// Reports an error in the PNG inside as one of the icon.
fn of_icon(error: ImageError) -> ImageError {
    match error {
        ImageError::Corrupt { source, .. } => ImageError::Corrupt { format: FORMAT, source },
        ImageError::UnsupportedFeature { source, .. } => {
            ImageError::UnsupportedFeature { format: FORMAT, source }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::looks;

    /// An icon of as many PNGs as are read, each of which begins elsewhere and goes on with the same empty chunks up to
    /// the end of the file.
    fn pngs_that_share_their_chunks(chunks: usize) -> Vec<u8> {
        const HEAD: usize = 16;
        let pictures = MAX_ENTRIES as usize;
        let heads = DIRECTORY + pictures * ENTRY;
        let tail = heads + pictures * HEAD + 4;
        let mut file = vec![0, 0, 1, 0];
        file.extend((pictures as u16).to_le_bytes());
        for at in (heads..).step_by(HEAD).take(pictures) {
            file.extend([0; 8]);
            file.extend([1, 0, 0, 0]);
            file.extend((at as u32).to_le_bytes());
        }
        for at in (heads..).step_by(HEAD).take(pictures) {
            // A chunk that reaches over the other heads; its checksum is wrong.
            file.extend(b"\x89PNG\r\n\x1a\n");
            file.extend(((tail - 4 - at - HEAD) as u32).to_be_bytes());
            file.extend(b"skIP");
        }
        file.extend([0; 4]);
        file.extend(b"\0\0\0\0emTY\0\0\0\0".repeat(chunks));
        file
    }

    #[test]
    fn a_time_limit_stops_the_walk_over_chunks_that_all_pictures_share() {
        let file = pngs_that_share_their_chunks(3000);
        assert!(recognises(&file));
        let read = |deadline| header(&file, &Limits::default(), deadline);
        let taken = looks::taken(read);
        assert!(taken >= MAX_ENTRIES * 3, "{taken} looks: one for every thousand chunks of every picture");
        for passes in [0, 1, taken / 2, taken - 1] {
            let late = looks::passing_after(passes, read);
            assert!(matches!(late, Err(ImageError::TimeLimit(_))), "at {passes} of {taken}: {late:?}");
        }
    }
}
