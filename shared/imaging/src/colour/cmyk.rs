//! CMYK to sRGB: by the embedded profile where that can be used, otherwise by (1 − ink) × (1 − black), as browsers and
//! Pillow do.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::profile::{BAND, MAX_PROFILE};
use crate::{Deadline, ImageError};

/// Converts pixels of four bytes (cyan, magenta, yellow and black; 255 is full ink) to opaque RGBA in sRGB.
///
/// # Errors
/// [`ImageError::TimeLimit`].
pub(crate) fn cmyk_to_srgb(
    cmyk: &[u8],
    profile: Option<&[u8]>,
    deadline: Deadline,
) -> Result<Vec<u8>, ImageError> {
    let inks = profile.filter(|profile| profile.len() <= MAX_PROFILE).and_then(|profile| {
        ColorProfile::new_from_slice(profile).ok().filter(|it| it.color_space == DataColorSpace::Cmyk)
    });
    // moxcms's layout RGBA stands for any four channels, those of the profile here.
    let transform = inks.and_then(|profile| {
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgba, options).ok()
    });
    let mut rgba = vec![255; cmyk.len()];
    for (inks, rgba) in cmyk.chunks(BAND).zip(rgba.chunks_mut(BAND)) {
        deadline.check()?;
        if transform.as_ref().is_none_or(|transform| transform.transform(inks, rgba).is_err()) {
            for (inks, pixel) in inks.as_chunks::<4>().0.iter().zip(rgba.as_chunks_mut::<4>().0) {
                *pixel = without_profile(*inks);
            }
        }
        // The transform carries the fourth channel, black, over as alpha; the result must be opaque.
        rgba.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
    }
    Ok(rgba)
}

fn without_profile([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 4] {
    let light = |ink: u8| {
        let product = u32::from(255 - ink) * u32::from(255 - black);
        ((product + 127) / 255) as u8
    };
    [light(cyan), light(magenta), light(yellow), 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(inks: [u8; 4], profile: Option<&[u8]>) -> Vec<u8> {
        cmyk_to_srgb(&inks, profile, Deadline::none()).expect("no deadline")
    }

    #[test]
    fn without_a_profile_ink_takes_light_away() {
        for (inks, rgba) in [
            ([0, 0, 0, 0], [255, 255, 255, 255]),
            ([0, 0, 0, 255], [0, 0, 0, 255]),
            ([255, 0, 0, 0], [0, 255, 255, 255]),
            ([0, 255, 255, 0], [255, 0, 0, 255]),
            ([0, 0, 255, 128], [127, 127, 0, 255]),
        ] {
            assert_eq!(converted(inks, None), rgba, "{inks:?}");
        }
    }

    #[test]
    fn a_profile_that_is_not_for_inks_is_left_out_of_account() {
        let srgb = ColorProfile::new_srgb().encode().expect("a profile of moxcms's own");
        for profile in [&srgb[..], b"not a profile"] {
            assert_eq!(converted([0, 255, 255, 0], Some(profile)), [255, 0, 0, 255]);
        }
    }
}
