//! Undoes the transforms that made the picture easier to compress, row by row (RFC 9649, 3.5).

use super::{
    Memory, ReadFault,
    bits::Bits,
    pixels::{self, Blocks},
    predict,
};
use crate::Deadline;

/// Masks of the channels in a pixel.
const GREEN: u32 = 0x0000_ff00;
const RED_AND_BLUE: u32 = 0x00ff_00ff;

/// One of the four transforms.
pub(super) enum Transform {
    Predictor(Predictor),
    Colour(Blocks<[i8; 3]>),
    /// Green was subtracted from red and blue.
    Green,
    Palette(Palette),
}

/// The predictor of each block, and the previous row.
pub(super) struct Predictor {
    modes: Blocks<u8>,
    above: Vec<u32>,
}

/// The colours that indices stand for; a pixel holds `1 << bits` indices.
pub(super) struct Palette {
    colours: Box<[u32; 256]>,
    bits: u32,
    width: usize,
}

impl Transform {
    /// Reads the transforms of a picture of that size in their order, and returns the width of the stored picture.
    pub(super) fn read_all(
        bits: &mut Bits<'_>,
        (width, height): (u32, u32),
        memory: &mut Memory<'_>,
        deadline: Deadline,
    ) -> Result<(Vec<Self>, u32), ReadFault> {
        let (mut transforms, mut width, mut seen) = (Vec::new(), width, [false; 4]);
        while bits.flag() {
            let kind = bits.read(2);
            if std::mem::replace(&mut seen[kind as usize & 3], true) {
                return Err(ReadFault::Data);
            }
            let size = (width, height);
            transforms.push(match kind {
                0 => {
                    let modes = Blocks::read(bits, size, memory, deadline, |pixel| (pixel >> 8) as u8 & 15)?;
                    memory.take(4 * (u64::from(width) + 1))?;
                    Self::Predictor(Predictor { modes, above: vec![0; width as usize + 1] })
                }
                1 => Self::Colour(Blocks::read(bits, size, memory, deadline, |pixel| {
                    [pixel, pixel >> 8, pixel >> 16].map(|value| value as i8)
                })?),
                2 => Self::Green,
                _ => {
                    let palette = Palette::read(bits, width as usize, memory, deadline)?;
                    width = width.div_ceil(1 << palette.bits);
                    Self::Palette(palette)
                }
            });
        }
        Ok((transforms, width))
    }

    /// Undoes the transform in row `y`, which is at the start of `line`. There must be room for the result, which may
    /// be longer.
    pub(super) fn undo(&mut self, y: usize, line: &mut [u32], width: usize) -> usize {
        match self {
            Self::Predictor(Predictor { modes, above }) => {
                let row = (y > 0).then(|| modes.row(y));
                predict::undo(&mut line[..width], above, row, modes.bits);
            }
            Self::Colour(blocks) => {
                for (pixels, &by) in line[..width].chunks_mut(1 << blocks.bits).zip(blocks.row(y)) {
                    pixels.iter_mut().for_each(|pixel| *pixel = correlated(*pixel, by));
                }
            }
            Self::Green => {
                for pixel in &mut line[..width] {
                    let green = *pixel >> 8 & 0xff;
                    let added = (*pixel & RED_AND_BLUE).wrapping_add(green << 16 | green) & RED_AND_BLUE;
                    *pixel = *pixel & !RED_AND_BLUE | added;
                }
            }
            Self::Palette(palette) => {
                palette.undo(&mut line[..palette.width]);
                return palette.width;
            }
        }
        width
    }
}

/// Adds to red and blue the parts that were predicted from other channels. The factors are signed and in units of 1/32:
/// green's in red, green's in blue, and red's in blue.
#[inline(always)]
fn correlated(pixel: u32, [green_red, green_blue, red_blue]: [i8; 3]) -> u32 {
    let part = |of: i8, value: u32| ((i16::from(of) * i16::from(value as i8)) >> 5) as u32;
    let green = pixel >> 8;
    let red = (pixel >> 16).wrapping_add(part(green_red, green)) & 0xff;
    let blue = pixel.wrapping_add(part(green_blue, green)).wrapping_add(part(red_blue, red)) & 0xff;
    pixel & (0xff00_0000 | GREEN) | red << 16 | blue
}

impl Palette {
    fn read(
        bits: &mut Bits<'_>,
        width: usize,
        memory: &mut Memory<'_>,
        deadline: Deadline,
    ) -> Result<Self, ReadFault> {
        let count = bits.read(8) + 1;
        // Indices without a colour are transparent.
        let mut colours = Box::new([0; 256]);
        memory.take(size_of_val(&*colours) as u64)?;
        pixels::read(bits, (count, 1), memory, deadline, &mut |row| {
            let mut last = 0;
            for (colour, &step) in colours.iter_mut().zip(row) {
                last = predict::add(last, step);
                *colour = last;
            }
        })?;
        let bits = match count {
            1..=2 => 3,
            3..=4 => 2,
            5..=16 => 1,
            _ => 0,
        };
        Ok(Self { colours, bits, width })
    }

    /// Expands the indices in place. It goes backwards, because every pixel becomes as many as it holds indices.
    fn undo(&self, line: &mut [u32]) {
        let colour = |place: u32| self.colours[place as usize & 0xff];
        if self.bits == 0 {
            line.iter_mut().for_each(|pixel| *pixel = colour(*pixel >> 8));
            return;
        }
        let size = 8 >> self.bits;
        for x in (0..line.len()).rev() {
            let packed = line[x >> self.bits] >> 8 & 0xff;
            let place = (x & ((1 << self.bits) - 1)) as u32 * size;
            line[x] = colour(packed >> place & ((1 << size) - 1));
        }
    }
}
