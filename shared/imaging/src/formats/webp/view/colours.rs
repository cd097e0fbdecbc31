//! YUV to RGB as in WebP: ITU-R BT.601 in studio range (RFC 6386, 9.2).

/// Converts one pixel.
pub(super) fn from_yuv(luma: f32, blue: f32, red: f32) -> [u8; 3] {
    let (y, u, v) = (1.164_383 * (luma - 16.0), blue - 128.0, red - 128.0);
    // Add a half, because the conversion to integers truncates; it also clips.
    [y + 1.596_027 * v, y - 0.391_762 * u - 0.812_968 * v, y + 2.017_232 * u].map(|value| (value + 0.5) as u8)
}

/// Converts whole channels to opaque RGBA.
pub(super) fn to_opaque_rgba([luma, blue, red]: &[Vec<f32>; 3]) -> Vec<u8> {
    let mut rgba = vec![255; luma.len() * 4];
    let samples = luma.iter().zip(blue).zip(red);
    for (pixel, ((&luma, &blue), &red)) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(samples) {
        let [r, g, b, _] = pixel;
        [*r, *g, *b] = from_yuv(luma, blue, red);
    }
    rgba
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn studio_black_white_and_red_are_those_of_bt_601() {
        assert_eq!(from_yuv(16.0, 128.0, 128.0), [0, 0, 0]);
        assert_eq!(from_yuv(235.0, 128.0, 128.0), [255, 255, 255]);
        assert_eq!(from_yuv(126.0, 128.0, 128.0), [128, 128, 128]);
        assert_eq!(from_yuv(81.0, 90.0, 240.0), [254, 0, 0]);
        assert_eq!(from_yuv(255.0, 0.0, 255.0), [255, 225, 20]);
    }
}
