//! Converts rows of decoded planes to RGBA in sRGB.

use super::{av1::Planes, matrix::Matrix};
use crate::{colour::Conversion, decode::samples::SampleLayout};

/// What the planes of a picture hold.
#[derive(Clone, Copy)]
pub(super) enum Channel<'a> {
    /// Red, green and blue, or grey. The alpha of each pixel is already in the row, and colours may be premultiplied by
    /// it.
    Colour {
        to_srgb: &'a Conversion,
        premultiplied: bool,
    },
    Alpha,
}

/// The sample layout in which the rows of these planes are given to a [`Conversion`].
pub(super) fn layout(planes: &Planes) -> SampleLayout {
    SampleLayout { channels: if planes.chroma.is_some() { 3 } else { 1 }, wide: planes.bits > 8 }
}

pub(super) struct Rows<'a> {
    planes: &'a Planes,
    matrix: Matrix,
    luma: Vec<u16>,
    near: Vec<u16>,
    far: Vec<u16>,
    mixed: Vec<f32>,
    /// Blue and red differences, one of each per pixel.
    chroma: [Vec<f32>; 2],
    wide: Vec<[u16; 4]>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(planes: &'a Planes, matrix: Matrix) -> Self {
        let width = planes.width;
        let (row, chroma) = (vec![0; width], vec![0.0; width]);
        let (near, far, mixed) = (row.clone(), row.clone(), chroma.clone());
        Self {
            planes,
            matrix,
            luma: row,
            near,
            far,
            mixed,
            chroma: [chroma.clone(), chroma],
            wide: Vec::new(),
        }
    }

    /// Converts one row without its first `skip` pixels, as far as `out` is long.
    pub(super) fn convert(&mut self, row: usize, channel: Channel<'_>, skip: usize, out: &mut [[u8; 4]]) {
        self.planes.row(0, row, &mut self.luma);
        let length = out.len().min(self.luma.len().saturating_sub(skip));
        let out = &mut out[..length];
        match channel {
            Channel::Alpha => {
                let luma = &self.luma[skip..];
                out.iter_mut().zip(luma).for_each(|(pixel, &luma)| pixel[3] = eight(self.matrix.luma(luma)));
            }
            Channel::Colour { to_srgb, premultiplied } => {
                if self.planes.chroma.is_some() {
                    self.spread(0, row);
                    self.spread(1, row);
                }
                if layout(self.planes).wide {
                    let mut wide = std::mem::take(&mut self.wide);
                    wide.resize(length, [0; 4]);
                    self.pixels(skip, premultiplied, out.iter().map(|pixel| pixel[3]), |at, rgb, alpha| {
                        let [r, g, b] = rgb.map(|value| (value * 65_535.0 + 0.5) as u16);
                        wide[at] = [r, g, b, u16::from(alpha) * 257];
                    });
                    to_srgb.wide(&wide, out);
                    self.wide = wide;
                } else {
                    for (at, pixel) in out.iter_mut().enumerate() {
                        let [r, g, b] = self.pixel(skip + at, premultiplied, pixel[3]).map(eight);
                        *pixel = [r, g, b, pixel[3]];
                    }
                    to_srgb.narrow(out.as_flattened_mut());
                }
            }
        }
    }

    fn pixels(
        &self,
        skip: usize,
        premultiplied: bool,
        alphas: impl Iterator<Item = u8>,
        mut put: impl FnMut(usize, [f32; 3], u8),
    ) {
        for (at, alpha) in alphas.enumerate() {
            put(at, self.pixel(skip + at, premultiplied, alpha), alpha);
        }
    }

    /// R'G'B' of a pixel of the row.
    #[inline]
    fn pixel(&self, at: usize, premultiplied: bool, alpha: u8) -> [f32; 3] {
        let [blue, red] = &self.chroma;
        let rgb = match self.planes.chroma {
            Some(_) => self.matrix.rgb(self.luma[at], blue[at], red[at]),
            None => [self.matrix.luma(self.luma[at]); 3],
        };
        if !premultiplied || alpha == 0 {
            return rgb;
        }
        rgb.map(|value| value * 255.0 / f32::from(alpha))
    }

    /// Upsamples one chroma plane for a row. Subsampled chroma is interpolated linearly, three quarters of the nearest
    /// sample and one quarter of the next, across and down, as if samples lay at the centres of their pixels.
    fn spread(&mut self, which: usize, row: usize) {
        let Some((across, down)) = self.planes.chroma else { return };
        let count = |side: usize, shared: bool| if shared { side.div_ceil(2) } else { side };
        let (samples, lines) = (count(self.planes.width, across), count(self.planes.height, down));
        let (near, far, mixed) =
            (&mut self.near[..samples], &mut self.far[..samples], &mut self.mixed[..samples]);
        let line = if down { row / 2 } else { row };
        self.planes.row(which + 1, line, near);
        if down {
            let other =
                if row.is_multiple_of(2) { line.saturating_sub(1) } else { (line + 1).min(lines - 1) };
            self.planes.row(which + 1, other, far);
            for ((mixed, &near), &far) in mixed.iter_mut().zip(&*near).zip(&*far) {
                *mixed = (3.0 * f32::from(near) + f32::from(far)) / 4.0;
            }
        } else {
            mixed.iter_mut().zip(&*near).for_each(|(mixed, &near)| *mixed = near.into());
        }
        let chroma = &mut self.chroma[which];
        if !across {
            chroma.copy_from_slice(mixed);
            return;
        }
        for (at, pair) in chroma.chunks_mut(2).enumerate() {
            let here = 3.0 * mixed[at];
            let sides = [mixed[at.saturating_sub(1)], mixed[(at + 1).min(samples - 1)]];
            pair.iter_mut().zip(sides).for_each(|(out, side)| *out = (here + side) / 4.0);
        }
    }
}

fn eight(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}
