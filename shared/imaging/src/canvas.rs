//! Puts the picture on its background: padding around it, and a colour behind transparent pixels.

use jobs::colour::Colour;

use crate::{Deadline, Image, ImageError, layout::ThumbnailLayout};

/// Rows between two checks of the deadline.
const ROWS_PER_CHECK: usize = 256;

/// Puts the picture at the layout's place on a canvas of the given colour.
pub(crate) fn place(
    image: &mut Image,
    layout: &ThumbnailLayout,
    ground: Colour,
    deadline: Deadline,
) -> Result<(), ImageError> {
    let (width, height) = layout.canvas;
    let clear = ground == Colour::TRANSPARENT;
    if (width, height) == (image.width(), image.height()) && (clear || !image.has_alpha()) {
        return Ok(());
    }
    let row = width as usize * 4;
    let (left, top) = (layout.at.0 as usize * 4, layout.at.1 as usize);
    let mut canvas = ground.rgba().repeat(width as usize * height as usize);
    let rows = canvas.chunks_exact_mut(row).skip(top);
    let shown = image.rgba().chunks_exact(image.width() as usize * 4);
    for (index, (to, from)) in rows.zip(shown).enumerate() {
        if index % ROWS_PER_CHECK == 0 {
            deadline.check()?;
        }
        let to = to.get_mut(left..).and_then(|to| to.get_mut(..from.len()));
        let to = to.ok_or_else(|| ImageError::internal("place", "a picture beyond its canvas"))?;
        if clear || !image.has_alpha() {
            to.copy_from_slice(from);
        } else {
            for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                *to = over(*from, *to);
            }
        }
    }
    *image =
        Image::new(width, height, canvas).ok_or_else(|| ImageError::internal("place", "an empty canvas"))?;
    Ok(())
}

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
