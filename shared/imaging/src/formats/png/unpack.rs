//! Unpacks a PNG's rows to samples: expands bits, looks up palettes, and turns the transparent colour into alpha.

use super::{
    chunks::{ColourType, PngInfo, Shape},
    rows::Row,
};
use crate::decode::samples::{SampleLayout, Samples};

/// Converts the rows of one picture to samples.
pub(crate) struct Unpack {
    shape: Shape,
    layout: SampleLayout,
    /// The RGBA colour of each index; those beyond the palette are black.
    palette: [[u8; 4]; 256],
    /// The transparent colour of tRNS, as stored.
    key: Option<[u16; 3]>,
    /// Samples of less than 8 bits, one per byte.
    values: Vec<u8>,
    narrow: Vec<u8>,
    wide: Vec<u16>,
}

impl Unpack {
    pub(super) fn new(shape: Shape, info: &PngInfo<'_>) -> Self {
        let transparency = info.transparency;
        let key = transparency.and_then(|key| transparent(&shape, key));
        let channels = match shape.colour {
            ColourType::Grey => 1 + usize::from(key.is_some()),
            ColourType::GreyAlpha => 2,
            ColourType::Rgb => 3 + usize::from(key.is_some()),
            ColourType::Indexed => 3 + usize::from(transparency.is_some_and(|alpha| !alpha.is_empty())),
            ColourType::Rgba => 4,
        };
        let mut palette = [[0, 0, 0, 255]; 256];
        for (entry, &[r, g, b]) in palette.iter_mut().zip(info.palette.unwrap_or_default().as_chunks().0) {
            *entry = [r, g, b, 255];
        }
        if shape.colour == ColourType::Indexed {
            for (entry, &alpha) in palette.iter_mut().zip(transparency.unwrap_or_default()) {
                entry[3] = alpha;
            }
        }
        let layout = SampleLayout { channels, wide: shape.depth == 16 };
        Self { shape, layout, palette, key, values: Vec::new(), narrow: Vec::new(), wide: Vec::new() }
    }

    /// The layout of the samples.
    pub(crate) fn layout(&self) -> SampleLayout {
        self.layout
    }

    /// The samples of a row.
    pub(crate) fn samples<'a>(&'a mut self, row: &Row<'a>) -> Samples<'a> {
        self.row(row.data, row.width)
    }

    /// The samples of `width` pixels.
    fn row<'a>(&'a mut self, data: &'a [u8], width: u32) -> Samples<'a> {
        let Self { shape, layout, palette, key, values, narrow, wide } = self;
        let depth = shape.depth;
        if depth == 16 {
            wide.clear();
            let samples = data.as_chunks().0.iter().map(|&sample| u16::from_be_bytes(sample));
            match key {
                None => wide.extend(samples),
                Some(key) => keyed(samples, shape.colour, *key, |value| value, u16::MAX, wide),
            }
            return Samples::Wide(wide);
        }
        let values = if depth < 8 {
            spread_bits(data, depth, width as usize, values);
            &*values
        } else {
            data
        };
        let scale = 255 / (u8::MAX >> (8 - depth));
        match (shape.colour, key) {
            (ColourType::Indexed, _) if layout.has_alpha() => {
                look_up(values, narrow, |index| palette[usize::from(index)]);
            }
            (ColourType::Indexed, _) => look_up(values, narrow, |index| {
                let [r, g, b, _] = palette[usize::from(index)];
                [r, g, b]
            }),
            (_, None) if depth == 8 => return Samples::Narrow(values),
            (_, None) => look_up(values, narrow, |value| [value * scale]),
            (colour, Some(key)) => {
                narrow.clear();
                keyed(values.iter().copied(), colour, *key, |value| value * scale, u8::MAX, narrow);
            }
        }
        Samples::Narrow(narrow)
    }
}

/// Replaces each value by its samples, one for each channel.
fn look_up<const N: usize>(values: &[u8], out: &mut Vec<u8>, of: impl Fn(u8) -> [u8; N]) {
    out.resize(values.len() * N, 0);
    for (out, &value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *out = of(value);
    }
}

/// Expands samples of less than 8 bits, the most significant first, to one byte each.
fn spread_bits(data: &[u8], depth: u8, width: usize, out: &mut Vec<u8>) {
    let (each, mask) = (8 / depth, u8::MAX >> (8 - depth));
    out.clear();
    for byte in data {
        out.extend((1..=each).map(|index| (byte >> (8 - index * depth)) & mask));
    }
    out.truncate(width);
}

/// The transparent colour of tRNS. Of samples with less than 16 bits, only the lowest bits count.
fn transparent(shape: &Shape, chunk: &[u8]) -> Option<[u16; 3]> {
    let mask = u16::MAX >> (16 - shape.depth);
    let samples = chunk.as_chunks::<2>().0;
    match (shape.colour, samples) {
        (ColourType::Grey, &[y, ..]) => Some([u16::from_be_bytes(y) & mask; 3]),
        (ColourType::Rgb, &[r, g, b, ..]) => Some([r, g, b].map(|sample| u16::from_be_bytes(sample) & mask)),
        _ => None,
    }
}

/// Adds an alpha channel to grey or RGB: zero where the colour equals the key, otherwise full.
fn keyed<T: Copy + Default + Into<u16>>(
    mut samples: impl Iterator<Item = T>,
    colour: ColourType,
    key: [u16; 3],
    scale: impl Fn(T) -> T,
    full: T,
    out: &mut Vec<T>,
) {
    let alpha = |is_key: bool| if is_key { T::default() } else { full };
    if colour == ColourType::Grey {
        out.extend(samples.flat_map(|value| [scale(value), alpha(value.into() == key[0])]));
    } else {
        while let (Some(r), Some(g), Some(b)) = (samples.next(), samples.next(), samples.next()) {
            out.extend([r, g, b, alpha([r, g, b].map(Into::into) == key)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(
        colour: ColourType,
        depth: u8,
        info: &PngInfo<'_>,
        data: &[u8],
        width: u32,
    ) -> (usize, Vec<u16>) {
        let shape = Shape { width, height: 1, colour, depth, interlaced: false };
        let mut unpack = Unpack::new(shape, info);
        let channels = unpack.layout().channels;
        let samples = match unpack.row(data, width) {
            Samples::Narrow(samples) => samples.iter().copied().map(u16::from).collect(),
            Samples::Wide(samples) => samples.to_vec(),
        };
        (channels, samples)
    }

    #[test]
    fn few_bits_are_spread_over_all_of_grey() {
        let info = PngInfo::default();
        assert_eq!(unpacked(ColourType::Grey, 1, &info, &[0b1010_0000], 3), (1, vec![255, 0, 255]));
        assert_eq!(
            unpacked(ColourType::Grey, 2, &info, &[0b0001_1011, 0xff], 5),
            (1, vec![0, 85, 170, 255, 255])
        );
        assert_eq!(unpacked(ColourType::Grey, 4, &info, &[0x0f, 0x70], 3), (1, vec![0, 255, 119]));
    }

    #[test]
    fn an_index_beyond_the_palette_is_black_and_alpha_beyond_its_table_full() {
        let info =
            PngInfo { palette: Some(&[1, 2, 3, 4, 5, 6]), transparency: Some(&[7]), ..PngInfo::default() };
        let pixels = vec![1, 2, 3, 7, 4, 5, 6, 255, 0, 0, 0, 255];
        assert_eq!(unpacked(ColourType::Indexed, 4, &info, &[0x01, 0x90], 3), (4, pixels));
        let opaque = PngInfo { palette: Some(&[1, 2, 3]), ..PngInfo::default() };
        assert_eq!(unpacked(ColourType::Indexed, 8, &opaque, &[0, 200], 2), (3, vec![1, 2, 3, 0, 0, 0]));
    }

    #[test]
    fn the_transparent_colour_is_compared_as_it_is_stored() {
        let grey = PngInfo { transparency: Some(&[0xff, 0xf2]), ..PngInfo::default() };
        assert_eq!(unpacked(ColourType::Grey, 4, &grey, &[0x12], 2), (2, vec![17, 255, 34, 0]));
        let rgb = PngInfo { transparency: Some(&[0, 1, 0, 2, 0, 3]), ..PngInfo::default() };
        let pixels = vec![1, 2, 3, 0, 1, 2, 4, 255];
        assert_eq!(unpacked(ColourType::Rgb, 8, &rgb, &[1, 2, 3, 1, 2, 4], 2), (4, pixels));
        let wide = [0, 1, 0, 2, 0, 3, 1, 1, 0, 2, 0, 3];
        let pixels = vec![1, 2, 3, 0, 257, 2, 3, 65_535];
        assert_eq!(unpacked(ColourType::Rgb, 16, &rgb, &wide, 2), (4, pixels));
    }
}
