//! Converts pixels to sRGB: from an embedded ICC profile, by `moxcms`, or from what the file says of its colours in
//! another way. A conversion that is applied row by row is a [`Conversion`].

mod cmyk;
mod conversion;
mod linear;
mod profile;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use self::profile::{BAND, MAX_PROFILE, changes_nothing};
pub(crate) use self::{cmyk::cmyk_to_srgb, conversion::Conversion};
use crate::{Deadline, ImageError};

/// Converts straight-alpha RGBA pixels to sRGB. A profile that cannot be read is ignored, and so is one for other
/// channels than the decoder gave (CMYK is RGB by now): the pixels are then taken for sRGB, as viewers without colour
/// management do.
pub(crate) fn to_srgb(rgba: &mut [u8], profile: &[u8], deadline: Deadline) -> Result<(), ImageError> {
    if profile.len() > MAX_PROFILE {
        return Ok(());
    }
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return Ok(()) };
    match profile.color_space {
        DataColorSpace::Rgb => convert_rgb(rgba, &profile, deadline),
        DataColorSpace::Gray => {
            convert_grey(rgba, &profile);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn convert_rgb(rgba: &mut [u8], profile: &ColorProfile, deadline: Deadline) -> Result<(), ImageError> {
    let transform = profile.create_transform_8bit(
        Layout::Rgba,
        &ColorProfile::new_srgb(),
        Layout::Rgba,
        TransformOptions::default(),
    );
    let Ok(transform) = transform else { return Ok(()) };
    if changes_nothing(&*transform) {
        return Ok(());
    }
    let mut before = vec![0; BAND.min(rgba.len())];
    for band in rgba.chunks_mut(BAND) {
        deadline.check()?;
        let before = &mut before[..band.len()];
        before.copy_from_slice(band);
        if transform.transform(before, band).is_err() {
            band.copy_from_slice(before);
        }
    }
    Ok(())
}

/// Grey has only 256 values, so a table holds the whole conversion.
fn convert_grey(rgba: &mut [u8], profile: &ColorProfile) {
    let transform = profile.create_transform_8bit(
        Layout::Gray,
        &ColorProfile::new_srgb(),
        Layout::Rgb,
        TransformOptions::default(),
    );
    let values: [u8; 256] = std::array::from_fn(|value| value as u8);
    let mut table = [0; 256 * 3];
    if !transform.is_ok_and(|transform| transform.transform(&values, &mut table).is_ok()) {
        return;
    }
    let (table, pixels) = (table.as_chunks::<3>().0, rgba.as_chunks_mut::<4>().0);
    // A grey profile says nothing of a picture that has colours.
    if pixels.iter().all(|[r, g, b, _]| r == g && g == b) {
        for [r, g, b, _] in pixels {
            [*r, *g, *b] = table[usize::from(*r)];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    fn converted(profile: &ColorProfile, pixel: [u8; 4]) -> [u8; 4] {
        let mut rgba = pixel;
        let icc = profile.encode().expect("a profile of moxcms's own");
        to_srgb(&mut rgba, &icc, Deadline::none()).expect("no deadline");
        rgba
    }

    #[test]
    fn display_p3_becomes_srgb_with_alpha_untouched() {
        let p3 = ColorProfile::new_display_p3();
        // The two sets of primaries turn P3 (200, 100, 100) into sRGB (213, 94, 97).
        let [r, g, b, a] = converted(&p3, [200, 100, 100, 77]);
        assert!(r.abs_diff(213) <= 2 && g.abs_diff(94) <= 2 && b.abs_diff(97) <= 2, "{r} {g} {b}");
        assert_eq!(a, 77);
        let white = converted(&p3, [255; 4]);
        assert!(white.iter().all(|&v| v >= 254), "white stays white: {white:?}");
    }

    #[test]
    fn srgb_is_left_as_it_is_to_the_bit() {
        assert_eq!(converted(&ColorProfile::new_srgb(), [12, 34, 56, 78]), [12, 34, 56, 78]);
    }

    #[test]
    fn a_grey_profile_with_another_gamma_changes_grey() {
        let linear = ColorProfile::new_gray_with_gamma(1.0);
        let [r, g, b, _] = converted(&linear, [55, 55, 55, 255]);
        assert!(r == g && g == b && r.abs_diff(128) <= 2, "linear 55 is sRGB 128: {r} {g} {b}");
    }

    #[test]
    fn a_profile_that_cannot_be_read_is_left_out_of_account() {
        let mut rgba = [1, 2, 3, 4];
        to_srgb(&mut rgba, b"not a profile", Deadline::none()).expect("no deadline");
        assert_eq!(rgba, [1, 2, 3, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_profile_is_answered(
            which in 0..4_usize, flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
            near_the_front in any::<bool>(), cut in any::<Option<Index>>(),
        ) {
            let profiles = [
                ColorProfile::new_display_p3(),
                ColorProfile::new_srgb(),
                ColorProfile::new_gray_with_gamma(2.2),
                ColorProfile::new_adobe_rgb(),
            ];
            let mut icc = profiles[which].encode().expect("a profile of moxcms's own");
            let reach = if near_the_front { icc.len().min(260) } else { icc.len() };
            for (at, mask) in flips {
                icc[at.index(reach)] ^= mask;
            }
            if let Some(cut) = cut {
                icc.truncate(cut.index(icc.len()));
            }
            let mut rgba = [0, 127, 255, 9].repeat(16);
            to_srgb(&mut rgba, &icc, Deadline::none()).expect("no deadline");
            prop_assert_eq!(rgba[3], 9);
        }
    }
}
