//! Grey as scikit-image's `rgb2gray(rgba2rgb(image))` defines it.

use crate::kernels::wide;

/// The steps of grey between 0 and 1 for an opaque pixel: 255 levels times weights that sum to 10,000.
pub(crate) const UNITS: f32 = 2_550_000.0;

/// Fills `out` with the grey, 0 to 1, of the RGBA8 pixels in `rgba` (four bytes for each of `out`).
///
/// Rec. 709 luma of the sRGB values, 0.2125 R + 0.7154 G + 0.0721 B, straight alpha composited over white. For an
/// opaque pixel the luma is an exact whole number of 1/2,550,000 before the one division, so that equal or mirrored
/// pixels give equal or mirrored grey to the last bit.
pub(crate) fn luma(rgba: &[u8], out: &mut [f32]) {
    wide(
        #[inline(always)]
        || {
            for (grey, pixel) in out.iter_mut().zip(rgba.as_chunks::<4>().0) {
                let luma = weighted(*pixel);
                let a = f32::from(pixel[3]);
                *grey = (luma * a + UNITS * (255.0 - a)) / (UNITS * 255.0);
            }
        },
    );
}

/// Fills `out` with the same grey, rounded to 0 to 255, halves upwards.
pub(crate) fn bytes(rgba: &[u8], out: &mut [u8]) {
    let pixels = rgba.as_chunks::<4>().0;
    wide(
        #[inline(always)]
        || {
            // From 2²³ on floats are one apart: adding this rounds a number, and its last bits are then the whole
            // number.
            const WHOLE: f32 = 8_388_608.0;
            let all = pixels.iter().fold(u32::MAX, |all, pixel| all & u32::from_le_bytes(*pixel));
            if all >> 24 == 255 {
                for (grey, pixel) in out.iter_mut().zip(pixels) {
                    let pixel = u32::from_le_bytes(*pixel).cast_signed();
                    let [r, g, b] = [0, 8, 16].map(|shift| (pixel >> shift & 255) as f32);
                    // A half in units of 10,000 would round to even: this is a little more, so that halves go upwards.
                    let luma = r * 2125.0 + g * 7154.0 + b * 721.0 + 0.5;
                    *grey = (luma * 1e-4 + WHOLE).to_bits() as u8;
                }
            } else {
                for (grey, pixel) in out.iter_mut().zip(pixels) {
                    let (luma, a) = (weighted(*pixel) as u32, u32::from(pixel[3]));
                    let white = UNITS as u32;
                    *grey = ((luma * a + white * (255 - a) + white / 2) / white) as u8;
                }
            }
        },
    );
}

/// Fills `out` with the same grey in double precision. It equals scikit-image's to the last bit on processors where
/// NumPy's product of a matrix and a vector fuses multiplications with additions.
pub(crate) fn exact(rgba: &[u8], out: &mut [f64]) {
    wide(
        #[inline(always)]
        || {
            for (grey, pixel) in out.iter_mut().zip(rgba.as_chunks::<4>().0) {
                let [r, g, b, a] = pixel.map(|v| f64::from(v) * (1.0 / 255.0));
                let over_white = |c: f64| if a < 1.0 { 1.0 - a + a * c } else { c };
                let [r, g, b] = [r, g, b].map(over_white);
                *grey = b.mul_add(0.0721, r.mul_add(0.2125, g * 0.7154));
            }
        },
    );
}

/// The luma of a pixel, alpha aside, in units of 1/10,000 of a level: a whole number.
#[inline(always)]
fn weighted([r, g, b, _]: [u8; 4]) -> f32 {
    f32::from(r) * 2125.0 + f32::from(g) * 7154.0 + f32::from(b) * 721.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_grey() {
        let mut pixels = Vec::new();
        for i in 0..200_000u32 {
            let [r, g, b, a] = i.wrapping_mul(2_654_435_761).to_le_bytes();
            pixels.push([r, g, b, if i < 100_000 { 255 } else { a }]);
        }
        for pixels in [&pixels[..100_000], &pixels[100_000..]] {
            let mut grey = vec![0; pixels.len()];
            bytes(pixels.as_flattened(), &mut grey);
            for ([r, g, b, a], is) in pixels.iter().zip(grey) {
                let luma = u64::from(*r) * 2125 + u64::from(*g) * 7154 + u64::from(*b) * 721;
                let (a, white) = (u64::from(*a), 2_550_000);
                let expected = (2 * (luma * a + white * (255 - a)) + white) / (2 * white);
                assert_eq!(u64::from(is), expected, "{r} {g} {b} {a}");
            }
        }
        let mut half = [0];
        bytes(&[0, 40, 40, 255], &mut half);
        assert_eq!(half, [32], "a luma of 31.5");
        let greys: Vec<[u8; 4]> = (0..=255).map(|v| [v, v, v, 255]).collect();
        let mut same = [0; 256];
        bytes(greys.as_flattened(), &mut same);
        assert!(same.iter().zip(0..=255).all(|(is, v)| *is == v), "grey stays as it is");
    }

    #[test]
    fn weights_and_alpha_are_those_of_scikit_image() {
        let pixels =
            [[255, 255, 255, 255], [0, 0, 0, 255], [255, 0, 0, 255], [10, 20, 30, 128], [9, 9, 9, 0]];
        let mut grey = [0.0; 5];
        luma(pixels.as_flattened(), &mut grey);
        // rgb2gray(rgba2rgb(…)) of scikit-image 0.26 gives the last two.
        for (is, expected) in grey.into_iter().zip([1.0, 0.0, 0.2125, 0.534_644_95, 1.0]) {
            assert!((is - expected).abs() < 1e-6, "{is} is not {expected}");
        }
        let mut exact = [0.0; 5];
        super::exact(pixels.as_flattened(), &mut exact);
        for (is, expected) in exact.into_iter().zip([1.0, 0.0, 0.2125, 0.534_644_95, 1.0]) {
            assert!((is - expected).abs() < 1e-8, "{is} is not {expected}");
        }
    }
}
