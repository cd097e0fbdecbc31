//! Grey as scikit-image's `rgb2gray(rgba2rgb(image))` defines it.

/// How many steps grey has from 0 to 1 where pixels are opaque.
pub(crate) const UNITS: f32 = 2_550_000.0;

/// Fills `out` with the grey, 0 to 1, of the RGBA8 pixels in `rgba` (four bytes for each of `out`).
///
/// Rec. 709 luma of the sRGB values, 0.2125 R + 0.7154 G + 0.0721 B, straight alpha composited over white. For an
/// opaque pixel the luma is an exact whole number of 1/2,550,000 before the one division, so that equal or mirrored
/// pixels give equal or mirrored grey to the last bit.
pub(crate) fn luma(rgba: &[u8], out: &mut [f32]) {
    for (grey, pixel) in out.iter_mut().zip(rgba.as_chunks::<4>().0) {
        let [r, g, b, a] = *pixel;
        let luma = f32::from(r) * 2125.0 + f32::from(g) * 7154.0 + f32::from(b) * 721.0;
        let a = f32::from(a);
        *grey = (luma * a + UNITS * (255.0 - a)) / (UNITS * 255.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
