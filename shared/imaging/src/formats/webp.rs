//! WebP, still and animated. The container is read here. Pictures are decoded by libwebp (`webp-codec`), except for
//! lossless stills, which are decoded by [`lossless`].

mod container;
mod frames;
mod lossless;
mod view;
pub(crate) mod write;

use webp_codec::{End, Error, Outcome};

pub(crate) use self::{
    container::{Container, WebpPicture},
    lossless::Rows,
};
use crate::{
    Deadline, Format, ImageError, Limits,
    decode::{
        Decoded,
        samples::{SampleLayout, UNSEEN},
    },
    exif,
    formats::{Codec, ReadAnimation, Writer},
    header::Header,
    orient::Orientation,
};

/// WebP, lossy or lossless, still or animated.
pub(crate) const FORMAT: Format = Format::new("WebP", &["image/webp"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises: |bytes| matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]),
    header: |bytes, _, _| header(bytes),
    decode,
    view: Some(view::view),
    animation: Some(ReadAnimation { memory: Header::decoding_bytes, read: frames::animation }),
    frames_in_file: None,
    writer: Some(&WRITER),
};

pub(crate) static WRITER: Writer = Writer {
    format: FORMAT,
    extension: "webp",
    encode_still: write::encode_still,
    encode_animated: Some(write::encode_animated),
    frames: |bytes| header(bytes).map_or(1, |header| header.frames),
    strip_metadata: None,
};

/// Bytes per pixel of a frame that is drawn on its canvas, and of an alpha channel within libwebp, which decodes it as
/// a lossless picture.
const FRAME: u64 = 4;
const ALPHA: u64 = 1 + 4;

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`].
pub(crate) fn header(bytes: &[u8]) -> Result<Header, ImageError> {
    let file = Container::read(bytes);
    let (size, extra_bytes_per_pixel) = if file.scan.animated {
        (None, FRAME + ALPHA)
    } else {
        let picture = file.picture.ok_or_else(corrupt)?;
        (Some(picture.size), picture.memory())
    };
    Ok(Header {
        stored: file.canvas.or(size).ok_or_else(corrupt)?,
        orientation: file.scan.exif.and_then(exif::orientation).unwrap_or(Orientation::UPRIGHT),
        frames: file.scan.frames.max(1),
        extra_bytes_per_pixel,
        largest_frame: file.scan.largest_frame,
    })
}

/// Decodes the picture, or the first frame of an animation on its canvas, as far as the file goes. The missing part is
/// transparent if the picture has an alpha channel, and grey otherwise; the file is corrupt only if nothing can be
/// shown.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let file = Container::read(bytes);
    let (rgba, may_have_alpha) = if file.scan.animated {
        (frames::first(&file, header.stored, limits, deadline)?, true)
    } else {
        let still = still_picture(&file, header).ok_or_else(corrupt)?;
        (picture(&still, limits, deadline)?, still.has_alpha)
    };
    Ok(Decoded { rgba, may_have_alpha, profile: file.scan.profile.map(<[u8]>::to_vec) })
}

/// The picture of a file that has only one.
pub(super) fn only_picture(bytes: &[u8]) -> Option<WebpPicture<'_>> {
    let file = Container::read(bytes);
    file.picture.filter(|_| !file.scan.animated)
}

/// Decodes a picture to RGBA, as far as it goes.
///
/// # Errors
/// As [`decode`].
pub(super) fn picture(
    picture: &WebpPicture<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    if picture.lossless {
        lossless::pixels(picture, limits, deadline)
    } else {
        Ok(pixels(picture, limits, deadline)?.0)
    }
}

/// The embedded ICC profile.
fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    Container::read(bytes).scan.profile.map(<[u8]>::to_vec)
}

/// The picture of a file that is not an animation; `None` if its size is not that of the header.
pub(crate) fn still_picture<'a>(file: &Container<'a>, header: &Header) -> Option<WebpPicture<'a>> {
    file.picture.filter(|picture| !file.scan.animated && picture.size == header.stored)
}

impl WebpPicture<'_> {
    /// The layout of a row's samples.
    pub(crate) fn layout(&self) -> SampleLayout {
        SampleLayout { channels: if self.has_alpha { 4 } else { 3 }, wide: false }
    }

    /// Bytes per pixel that libwebp takes in addition; it does not decode lossless pictures.
    pub(crate) fn memory(&self) -> u64 {
        if self.has_alpha && !self.lossless { ALPHA } else { 0 }
    }
}

/// Decodes the pixels of a picture as far as possible, and returns whether it is complete. At least some pixels can be
/// shown.
fn pixels(
    picture: &WebpPicture<'_>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<(Vec<u8>, bool), ImageError> {
    let (width, height) = picture.size;
    let mut rgba = vec![0; width as usize * height as usize * 4];
    let go_on = &mut || deadline.check().is_ok();
    let decoded = webp_codec::decode_rgba(picture.data, picture.size, &mut rgba, go_on);
    let Outcome { rows, end } = checked_outcome(decoded, limits, deadline)?;
    if !picture.has_alpha {
        grey_from(&mut rgba, width, rows);
    }
    Ok((rgba, end == End::Whole))
}

/// Fills the rows from `rows` on with grey.
pub(crate) fn grey_from(rgba: &mut [u8], width: u32, rows: u32) {
    let rest = rgba.as_chunks_mut::<4>().0.iter_mut().skip(rows as usize * width as usize);
    rest.for_each(|pixel| *pixel = [UNSEEN, UNSEEN, UNSEEN, 255]);
}

/// Returns how far a picture could be decoded, which is at least some rows.
///
/// # Errors
/// [`ImageError::Corrupt`], [`ImageError::DecoderMemory`] or [`ImageError::TimeLimit`].
pub(crate) fn checked_outcome(
    decoded: Result<Outcome, Error>,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Outcome, ImageError> {
    deadline.check()?;
    match decoded {
        Ok(Outcome { end: End::OutOfMemory, .. }) | Err(Error::OutOfMemory) => {
            Err(ImageError::DecoderMemory {
                max: limits.max_decoder_bytes,
                source: Some(Error::OutOfMemory.into()),
            })
        }
        Ok(Outcome { rows: 0, .. }) => Err(corrupt()),
        Ok(outcome) => Ok(outcome),
        Err(error) => Err(ImageError::corrupt(FORMAT, error)),
    }
}

fn corrupt() -> ImageError {
    ImageError::Corrupt { format: FORMAT, source: None }
}
