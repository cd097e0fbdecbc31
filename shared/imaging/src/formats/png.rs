//! PNG, including the default image of APNG: reads rows from the file, and builds the whole picture from them.
//!
//! The `png` crate stops at damaged data and withholds up to 32 KB before it, but as much as possible shall be shown,
//! as in browsers. So this module walks the chunks ([`chunks`]), lets `fdeflate` decompress the data ([`inflate`]), and
//! undoes filters, interlacing and bit depths ([`unfilter`], [`rows`], [`unpack`]). Most of the time goes into
//! decompressing and into Paeth's filter, which is faster here than in `png` (`infra/bench/RESULTS.md`).

mod chunks;
mod colour_space;
mod frames;
mod inflate;
mod rows;
mod unfilter;
mod unpack;
mod view;
mod whole;
mod write;

use chunks::{PngInfo, Shape};
pub(crate) use rows::Rows;
use unpack::Unpack;

use crate::{
    Deadline, Format, ImageError, Limits,
    colour::Conversion,
    decode::{
        Decoded,
        samples::{self, SampleLayout, Samples},
    },
    exif,
    formats::{Codec, ReadAnimation, Writer},
    header::Header,
    orient::Orientation,
};

/// PNG, including APNG.
pub(crate) const FORMAT: Format =
    Format::new("PNG", &["image/png", "image/apng", "image/x-png", "image/vnd.mozilla.apng"]);

pub(crate) static CODEC: Codec = Codec {
    format: FORMAT,
    recognises: |bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
    header,
    decode,
    view: Some(view::view),
    animation: Some(ReadAnimation { memory: frames::memory, read: frames::animation }),
    frames_in_file: None,
    writer: Some(&WRITER),
};

pub(crate) static WRITER: Writer = Writer {
    format: FORMAT,
    extension: "png",
    encode_still: |image, _, deadline| write::encode_still(image, deadline),
    encode_animated: None,
    frames: |_| 1,
    strip_metadata: Some(|bytes, header, most, _| {
        Ok(if header.frames == 1 { whole::without_metadata(bytes, most) } else { None })
    }),
};

/// Reads the headers.
///
/// # Errors
/// As [`Codec::read_header`].
pub(crate) fn header(bytes: &[u8], limits: &Limits, deadline: Deadline) -> Result<Header, ImageError> {
    let scan = chunks::scan(bytes, deadline)?;
    let header = Header {
        stored: chunks::size(bytes).unwrap_or((1, 1)),
        orientation: scan.exif.and_then(exif::orientation).unwrap_or(Orientation::UPRIGHT),
        frames: scan.frames,
        extra_bytes_per_pixel: 0,
        largest_frame: (0, 0),
    };
    // A picture that claims to be huge is refused for that, whatever else is wrong with it.
    header.check(limits)?;
    PngPicture::read(bytes, deadline)?;
    Ok(header)
}

/// The headers of a still picture in a PNG file.
pub(crate) struct PngPicture<'a> {
    file: &'a [u8],
    shape: Shape,
    info: PngInfo<'a>,
}

impl<'a> PngPicture<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`ImageError::Corrupt`] where they cannot be read, or no pixel data follows them; [`ImageError::TimeLimit`].
    pub(crate) fn read(file: &'a [u8], deadline: Deadline) -> Result<Self, ImageError> {
        let (shape, info) = (chunks::shape(file)?, PngInfo::read(file, deadline)?);
        let missing = match (shape.colour, info) {
            (_, PngInfo { has_data: false, .. }) => Some("no image data"),
            (chunks::ColourType::Indexed, PngInfo { palette: None, .. }) => Some("no palette"),
            _ => None,
        };
        match missing {
            Some(what) => Err(ImageError::corrupt(FORMAT, what)),
            None => Ok(Self { file, shape, info }),
        }
    }

    /// Whether rows come in Adam7's order instead of from top to bottom.
    pub(crate) fn is_interlaced(&self) -> bool {
        self.shape.interlaced
    }

    /// Returns a reader of the picture's rows.
    ///
    /// # Errors
    /// [`ImageError::DecoderMemory`] where a few rows are more than the limit allows.
    pub(crate) fn rows(&self, limits: &Limits, deadline: Deadline) -> Result<Rows<'a>, ImageError> {
        Rows::new(self.file, self.shape, limits, deadline)
    }

    /// Returns a converter from rows to samples.
    pub(crate) fn unpack(&self) -> Unpack {
        Unpack::new(self.shape, &self.info)
    }

    /// Returns the conversion of the samples to sRGB.
    pub(crate) fn conversion(&self) -> Conversion {
        colour_space::conversion(&self.info, self.unpack().layout())
    }

    /// Returns the conversion to sRGB for samples that are RGBA of 8 bits already.
    pub(crate) fn narrow_conversion(&self) -> Conversion {
        colour_space::conversion(&self.info, SampleLayout { wide: false, ..self.unpack().layout() })
    }
}

/// Decodes the picture; of an APNG, its default image. Missing rows are transparent. In an interlaced picture, earlier
/// passes stand in for missing later ones.
pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Decoded, ImageError> {
    let picture = PngPicture::read(bytes, deadline)?;
    let (mut rows, mut unpack) = (picture.rows(limits, deadline)?, picture.unpack());
    let (layout, conversion) = (unpack.layout(), picture.conversion());
    let (width, height) = (header.stored.0 as usize, header.stored.1 as usize);
    if (picture.shape.width, picture.shape.height) != header.stored {
        return Err(ImageError::Corrupt { format: FORMAT, source: None });
    }
    let mut rgba = vec![0; width * height * 4];
    let pixels = rgba.as_chunks_mut::<4>().0;
    let (mut line, mut wide) = (vec![[0; 4]; width], Vec::new());
    let mut shown = false;
    while let Some(row) = rows.next()? {
        shown = true;
        let line = &mut line[..row.width as usize];
        match unpack.samples(&row) {
            Samples::Narrow(samples) => {
                samples::spread(samples, layout.channels, 255, line);
                conversion.narrow(line.as_flattened_mut());
            }
            Samples::Wide(samples) => {
                wide.resize(line.len(), [0; 4]);
                samples::spread(samples, layout.channels, u16::MAX, &mut wide);
                conversion.wide(&wide, line);
            }
        }
        let out = &mut pixels[row.y as usize * width..][..width];
        if row.step == 1 {
            out.copy_from_slice(line);
        } else {
            let places = out.iter_mut().skip(row.left as usize).step_by(row.step as usize);
            places.zip(&*line).for_each(|(out, pixel)| *out = *pixel);
        }
    }
    let complete = rows.is_complete();
    if !shown {
        return Err(ImageError::corrupt(FORMAT, "no row can be decoded"));
    }
    if !complete && picture.is_interlaced() {
        for y in 0..header.stored.1 {
            for x in 0..header.stored.0 {
                if let Some((left, top)) = rows.stand_in(x, y) {
                    pixels[y as usize * width + x as usize] = pixels[top as usize * width + left as usize];
                }
            }
        }
    }
    Ok(Decoded { rgba, may_have_alpha: layout.has_alpha() || !complete, profile: None })
}
