//! Views of a lossy picture for which most of its samples are needed. Its rows are converted to pixels as they arrive,
//! exactly as in libwebp (`src/dsp/upsampling.c`, `src/dsp/yuv.h`), and go into boxes ([`boxed`](super::super::boxed)).

use fearless_simd::{Level, Simd as _, dispatch};
use jpeg_codec::upsample::{twice, weigh};
use webp_codec::{Plane, Rows};

use super::Wanted;
use crate::{
    Deadline, ImageError, Limits,
    colour::Conversion,
    decode::samples::Samples,
    formats::webp::{self, WebpPicture},
    reduced::boxed::{BoxPlan, Reducer},
};

/// Decodes the wanted part of the picture. Missing rows are transparent if it has an alpha channel, otherwise grey.
pub(super) fn view(
    picture: &WebpPicture<'_>,
    wanted: Wanted,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let part = wanted.part(picture.size);
    let (width, height) = (part.width as usize, part.height);
    let plan = BoxPlan::new((part.width, height), wanted.within(part, (1.0, 1.0)), wanted.size);
    let held = u64::from(picture.size.0) * u64::from(picture.size.1) * picture.memory();
    let mut reducer = Reducer::new(plan, picture.layout(), false, Conversion::None, held, limits, deadline)?;
    let mut pixels = Pixels::new(width, picture.has_alpha);
    let (mut next, mut pushed) = (0, Ok(()));
    let mut push = |row: &[u8]| {
        if pushed.is_ok() {
            pushed = reducer.push(next, Samples::Narrow(row));
        }
        next += 1;
        pushed.is_ok() && !reducer.is_full()
    };
    let decoded = webp_codec::decode_rows(picture.data, part, true, &mut |rows| {
        pixels.take(&rows, &mut push) && deadline.check().is_ok()
    });
    webp::checked_outcome(decoded, limits, deadline)?;
    pixels.end(&mut push);
    pushed?;
    if !picture.has_alpha {
        reducer.push_unseen(next..height)?;
    }
    Ok(reducer.finish()?.0)
}

/// Converts bands of channel rows to rows of RGB, or of RGBA if there is alpha.
struct Pixels {
    width: usize,
    alpha: bool,
    /// The last chroma row, blue and red; empty before the first.
    above: [Vec<u8>; 2],
    /// The rows of luma and of alpha that wait for the chroma row below.
    waiting: Option<[Vec<u8>; 2]>,
    /// Upsampled chroma of a row, and a buffer for the sums.
    chroma: [Vec<u8>; 2],
    sums: Vec<u16>,
    row: Vec<u8>,
}

impl Pixels {
    fn new(width: usize, alpha: bool) -> Self {
        let half = width.div_ceil(2);
        Self {
            width,
            alpha,
            above: [const { Vec::new() }; 2],
            waiting: None,
            chroma: [vec![0; half * 2], vec![0; half * 2]],
            sums: vec![0; half + 2],
            row: vec![0; width * if alpha { 4 } else { 3 }],
        }
    }

    /// Takes a band, and passes on the rows that it completes until no more are wanted. If the picture has alpha but
    /// the band has none, it stops.
    fn take(&mut self, rows: &Rows<'_>, push: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut alphas = match (self.alpha, rows.alpha) {
            (true, None) => return false,
            (_, alpha) => alpha.into_iter().flat_map(Plane::rows),
        };
        let mut lumas = rows.luma.rows();
        for chroma in rows.blue.rows().zip(rows.red.rows()) {
            let chroma = [chroma.0, chroma.1];
            let above = std::mem::take(&mut self.above);
            if let Some([luma, alpha]) = self.waiting.take()
                && !push(self.pixels(&luma, &alpha, above.each_ref().map(Vec::as_slice), chroma))
            {
                return false;
            }
            let Some(luma) = lumas.next() else { return true };
            let farther = if above[0].is_empty() { chroma } else { above.each_ref().map(Vec::as_slice) };
            if !push(self.pixels(luma, alphas.next().unwrap_or_default(), chroma, farther)) {
                return false;
            }
            // With an odd number of rows, the last one has no other below it.
            self.waiting =
                lumas.next().map(|luma| [luma.to_vec(), alphas.next().unwrap_or_default().to_vec()]);
            self.above = chroma.map(<[u8]>::to_vec);
        }
        true
    }

    /// Passes on the row that still waits, because no more chroma comes.
    fn end(&mut self, push: &mut dyn FnMut(&[u8]) -> bool) {
        let above = std::mem::take(&mut self.above);
        if let Some([luma, alpha]) = self.waiting.take() {
            let chroma = above.each_ref().map(Vec::as_slice);
            push(self.pixels(&luma, &alpha, chroma, chroma));
        }
    }

    /// Converts a row, given the nearer and the farther row of chroma.
    fn pixels(&mut self, luma: &[u8], alpha: &[u8], near: [&[u8]; 2], far: [&[u8]; 2]) -> &[u8] {
        let Self { width, chroma: [blue, red], sums, row, .. } = self;
        let luma = &luma[..*width];
        dispatch!(Level::new(), level => level.vectorize(
            #[inline(always)]
            || {
                for (out, (near, far)) in [&mut *blue, &mut *red].into_iter().zip(near.into_iter().zip(far)) {
                    weigh(near, far, sums);
                    twice::<8, 8, 4>(sums, out);
                }
                let samples = luma.iter().zip(blue.iter()).zip(red.iter());
                if alpha.is_empty() {
                    for (out, ((y, u), v)) in row.as_chunks_mut().0.iter_mut().zip(samples) {
                        *out = from_yuv(*y, *u, *v);
                    }
                } else {
                    for ((out, ((y, u), v)), alpha) in row.as_chunks_mut().0.iter_mut().zip(samples).zip(alpha) {
                        let [r, g, b] = from_yuv(*y, *u, *v);
                        *out = [r, g, b, *alpha];
                    }
                }
            }
        ));
        row
    }
}

/// Converts one pixel; products are in units of 2⁻⁸, sums in units of 2⁻⁶.
#[inline(always)]
fn from_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let times = |sample: u8, factor: i32| (i32::from(sample) * factor) >> 8;
    let y = times(y, 19_077);
    let rgb = [
        y + times(v, 26_149) - 14_234,
        y - times(u, 6_419) - times(v, 13_320) + 8_708,
        y + times(u, 33_050) - 17_685,
    ];
    rgb.map(|value| (value >> 6).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use webp_codec::{Part, decode_rgba, decode_rows};

    use super::*;

    #[test]
    fn pixels_are_those_of_libwebp() {
        for (name, file) in [
            ("even", &include_bytes!("../../../../tests/promises/samples/lossy.webp")[..]),
            ("alpha", include_bytes!("../../../../tests/promises/samples/lossy-alpha.webp")),
            ("odd", include_bytes!("../../../../tests/promises/samples/lossy-odd.webp")),
            ("a column", include_bytes!("../../../../tests/promises/samples/lossy-column.webp")),
        ] {
            let header = webp::header(file).expect(name);
            let container = webp::Container::read(file);
            let picture = webp::still_picture(&container, &header).expect(name);
            let (width, height) = picture.size;
            let mut expected = vec![0; (width * height * 4) as usize];
            decode_rgba(picture.data, picture.size, &mut expected, &mut || true).expect(name);
            let mut pixels = Pixels::new(width as usize, picture.has_alpha);
            let mut is = Vec::new();
            let mut push = |row: &[u8]| {
                if picture.has_alpha {
                    is.extend_from_slice(row);
                } else {
                    is.extend(row.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]));
                }
                true
            };
            let part = Part { left: 0, top: 0, width, height };
            decode_rows(picture.data, part, true, &mut |rows| pixels.take(&rows, &mut push)).expect(name);
            pixels.end(&mut push);
            assert_eq!(is, expected, "{name}");
        }
    }
}
