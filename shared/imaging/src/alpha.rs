//! Pixels that can be seen through.

/// One colour over another, both with straight alpha (Porter and Duff's "over"), rounded to nearest.
pub(crate) fn over(upper: [u8; 4], lower: [u8; 4]) -> [u8; 4] {
    // Both shares are in units of 1/255², so that they stay integers.
    let [upper_share, lower_share] = {
        let (upper, lower) = (u32::from(upper[3]), u32::from(lower[3]));
        [upper * 255, lower * (255 - upper)]
    };
    let alpha = upper_share + lower_share;
    if alpha == 0 {
        return [0; 4];
    }
    let mixed = |channel: usize| {
        let (upper, lower) = (u32::from(upper[channel]), u32::from(lower[channel]));
        ((upper * upper_share + lower * lower_share + alpha / 2) / alpha) as u8
    };
    [mixed(0), mixed(1), mixed(2), ((alpha + 127) / 255) as u8]
}

/// Converts a premultiplied pixel to straight alpha.
pub(crate) fn unpremultiply(pixel: &mut [u8; 4]) {
    let alpha = u32::from(pixel[3]);
    for value in &mut pixel[..3] {
        let whole = (u32::from(*value) * 255 + alpha / 2).checked_div(alpha);
        *value = whole.unwrap_or(0).min(255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn opaque_hides_clear_shows_and_half_mixes() {
        let (red, blue) = ([255, 0, 0, 255], [0, 0, 255, 255]);
        assert_eq!(over(red, blue), red);
        assert_eq!(over([9, 9, 9, 0], blue), blue);
        assert_eq!(over([255, 0, 0, 128], blue), [128, 0, 127, 255]);
        assert_eq!(over([255, 0, 0, 128], [0; 4]), [255, 0, 0, 128]);
        assert_eq!(over([255, 0, 0, 0], [0, 0, 255, 0]), [0; 4]);
        // Two halves cover three quarters together, and the upper one has two thirds of that.
        assert_eq!(over([255, 0, 0, 128], [0, 0, 255, 128]), [170, 0, 85, 192]);
    }

    proptest! {
        #[test]
        fn over_is_porter_and_duffs(upper: [u8; 4], lower: [u8; 4]) {
            let part = |value: u8| f64::from(value) / 255.0;
            let (a, b) = (part(upper[3]), part(lower[3]));
            let alpha = a + b * (1.0 - a);
            let found = over(upper, lower);
            prop_assert!((part(found[3]) - alpha).abs() <= 0.5 / 255.0 + 1e-9);
            for channel in 0..3 {
                let mixed = (part(upper[channel]) * a + part(lower[channel]) * b * (1.0 - a)) / alpha.max(1e-9);
                prop_assert!(alpha == 0.0 || (part(found[channel]) - mixed).abs() <= 0.5 / 255.0 + 1e-9);
            }
        }
    }
}
