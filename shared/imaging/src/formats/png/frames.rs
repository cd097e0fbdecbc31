//! Animated PNG, with frames composed as the specification says (PNG, third edition, 11.3.2 and 13.7).

use png::{AnimationControl, BlendOp, ColorType, DisposeOp, FrameControl, Reader, Transformations};

use super::{FORMAT, PngPicture};
use crate::{
    Deadline, ImageError, Limits,
    animation::{self, Animation, EachFrame},
    deadline::TimedReader,
    decode::{
        canvas::{Area, Canvas, Disposal},
        samples::{from_u16, to_rgba},
    },
    header::Header,
    resize::View,
};

/// The bytes that the decoder holds: the canvas, what was under a frame, and the frame's samples, which have 16 bits at
/// most.
pub(super) fn memory(header: &Header) -> u64 {
    // Two canvases of 8 bits, and samples of twice as many.
    4 * header.canvas_bytes()
}

/// Reads every frame.
pub(super) fn animation(
    bytes: &[u8],
    header: &Header,
    view: View,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Animation, ImageError> {
    let read = |each: &mut EachFrame<'_>| frames(bytes, header, limits, deadline, each);
    match animation::of_frames(header, view, deadline, read) {
        Ok(frames) => {
            let conversion = PngPicture::read(bytes, deadline)?.narrow_conversion();
            frames.map(|rgba| {
                conversion.narrow(rgba);
                deadline.check().map_err(ImageError::from)
            })
        }
        // If the first frame is damaged, the still picture shows as much as there is.
        Err(ImageError::Corrupt { .. }) => super::CODEC.view_of_still(bytes, header, view, limits, deadline),
        Err(error) => Err(error),
    }
}

/// Calls `each` for every frame, with the whole canvas and the frame's time in milliseconds, and returns how often the
/// animation is played (0 is for ever). The default image is left out if it is not a frame, and so is a frame that is
/// cut off by the end of the file.
///
/// # Errors
/// [`ImageError::Corrupt`] where there is no frame, [`ImageError::TimeLimit`], and those of `each`.
fn frames(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    deadline: Deadline,
    each: &mut EachFrame<'_>,
) -> Result<u32, ImageError> {
    let mut decoder = open(bytes, limits, deadline);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|error| refusal(error, deadline))?;
    let size = (reader.info().width, reader.info().height);
    if size != header.stored {
        return Err(ImageError::Corrupt { format: FORMAT, source: None });
    }
    let control = reader.info().animation_control;
    let default_image_is_frame = control.is_none() || reader.info().frame_control.is_some();
    let mut canvas = Canvas::new(size);
    let mut samples = vec![0; canvas.rgba.len() * 2];
    let mut shown = 0;
    if !default_image_is_frame {
        reader.next_frame(&mut samples).map_err(|error| refusal(error, deadline))?;
    }
    while shown < control.map_or(1, |control| control.num_frames) {
        deadline.check()?;
        if let Err(error) = reader.next_frame(&mut samples) {
            let refused = refusal(error, deadline);
            if shown == 0 || matches!(refused, ImageError::TimeLimit(_)) {
                return Err(refused);
            }
            break;
        }
        let frame = reader.info().frame_control.unwrap_or(FrameControl {
            width: size.0,
            height: size.1,
            ..FrameControl::default()
        });
        draw(&mut canvas, &mut samples, &reader, &frame, shown == 0)?;
        each(&canvas.rgba, milliseconds(&frame))?;
        shown += 1;
    }
    match control {
        Some(AnimationControl { num_plays, .. }) if shown > 0 => Ok(num_plays),
        None => Ok(1),
        Some(_) => Err(ImageError::Corrupt { format: FORMAT, source: None }),
    }
}

fn open<'a>(bytes: &'a [u8], limits: &Limits, deadline: Deadline) -> png::Decoder<TimedReader<'a>> {
    let own = png::Limits { bytes: usize::try_from(limits.max_decoder_bytes).unwrap_or(usize::MAX) };
    let mut decoder = png::Decoder::new_with_limits(TimedReader::new(bytes, deadline), own);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.ignore_checksums(true);
    decoder
}

/// Translates the decoder's error. A decoder that was stopped reports an error of its own.
fn refusal(error: png::DecodingError, deadline: Deadline) -> ImageError {
    match deadline.check() {
        Err(late) => late.into(),
        Ok(()) => ImageError::corrupt(FORMAT, error),
    }
}

/// The specification says that a denominator of 0 stands for 100.
fn milliseconds(frame: &FrameControl) -> u32 {
    let denominator = if frame.delay_den == 0 { 100 } else { u32::from(frame.delay_den) };
    (u32::from(frame.delay_num) * 1000 + denominator / 2) / denominator
}

/// Draws a frame's samples on the canvas.
fn draw(
    canvas: &mut Canvas,
    samples: &mut [u8],
    reader: &Reader<TimedReader<'_>>,
    frame: &FrameControl,
    first: bool,
) -> Result<(), ImageError> {
    let area = Area { left: frame.x_offset, top: frame.y_offset, width: frame.width, height: frame.height };
    let disposal = match frame.dispose_op {
        DisposeOp::None => Disposal::Keep,
        DisposeOp::Previous if !first => Disposal::Restore,
        DisposeOp::Previous | DisposeOp::Background => Disposal::Clear,
    };
    if area.pixels() * 8 > samples.len() || !into_rgba(samples, area.pixels(), reader.output_color_type()) {
        return Err(ImageError::Corrupt { format: FORMAT, source: None });
    }
    canvas.begin(area, disposal);
    canvas.lay(area, samples.as_chunks().0, frame.blend_op == BlendOp::Over);
    Ok(())
}

/// Converts samples of any kind to RGBA in place; false if the kind is unknown.
fn into_rgba(samples: &mut [u8], pixels: usize, (color, depth): (ColorType, png::BitDepth)) -> bool {
    fn wide<const N: usize>(raw: &[[u8; 2]]) -> [u8; N] {
        let mut native = [[0; 2]; 4];
        for (native, raw) in native.iter_mut().zip(raw) {
            *native = u16::from_be_bytes(*raw).to_ne_bytes();
        }
        from_u16(&native)
    }
    match (color, depth) {
        (ColorType::Grayscale, png::BitDepth::Eight) => to_rgba(samples, pixels, |[y]| [y, y, y, 255]),
        (ColorType::GrayscaleAlpha, png::BitDepth::Eight) => to_rgba(samples, pixels, |[y, a]| [y, y, y, a]),
        (ColorType::Rgb, png::BitDepth::Eight) => to_rgba(samples, pixels, |[r, g, b]| [r, g, b, 255]),
        (ColorType::Rgba, png::BitDepth::Eight) => {}
        (ColorType::Grayscale, png::BitDepth::Sixteen) => to_rgba(samples, pixels, |raw: [u8; 2]| {
            let [y] = wide(raw.as_chunks().0);
            [y, y, y, 255]
        }),
        (ColorType::GrayscaleAlpha, png::BitDepth::Sixteen) => to_rgba(samples, pixels, |raw: [u8; 4]| {
            let [y, a] = wide(raw.as_chunks().0);
            [y, y, y, a]
        }),
        (ColorType::Rgb, png::BitDepth::Sixteen) => to_rgba(samples, pixels, |raw: [u8; 6]| {
            let [r, g, b] = wide(raw.as_chunks().0);
            [r, g, b, 255]
        }),
        (ColorType::Rgba, png::BitDepth::Sixteen) => {
            to_rgba(samples, pixels, |raw: [u8; 8]| wide(raw.as_chunks().0));
        }
        _ => return false,
    }
    true
}
