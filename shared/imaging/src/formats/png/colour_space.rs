//! The colour space of a PNG, by the first of cICP, iCCP, sRGB, and gAMA with cHRM that is present and valid (PNG,
//! third edition, 4.3 and 13.13). Without any of them the picture is sRGB. So is a picture with gAMA alone: many
//! encoders write it without meaning it, and libvips, sharp and Pillow ignore it.

use fdeflate::decompress_to_vec_bounded;

use super::chunks::PngInfo;
use crate::{colour::Conversion, decode::samples::SampleLayout, scan::be32};

/// The most bytes that a profile is decompressed to; larger profiles are ignored.
const MAX_PROFILE: usize = 4 << 20;

pub(super) fn conversion(info: &PngInfo<'_>, layout: SampleLayout) -> Conversion {
    by_code_points(info, layout)
        .or_else(|| by_profile(info, layout))
        .or_else(|| info.srgb.filter(|intent| matches!(intent, [0..=3])).map(|_| Conversion::None))
        .or_else(|| by_gamma(info, layout))
        .unwrap_or(Conversion::None)
}

fn by_code_points(info: &PngInfo<'_>, layout: SampleLayout) -> Option<Conversion> {
    /// cLLI counts in ten-thousandths of a candela per square metre.
    const UNIT: f64 = 10_000.0;
    let points = info.cicp?.as_array()?;
    let brightest = info.light.and_then(|light| be32(light, 0)).map(|most| f64::from(most) / UNIT);
    Conversion::cicp(*points, brightest, layout)
}

/// The contents of iCCP are a name of up to 79 bytes, a zero, the compression method (0 is deflate), and the profile.
fn by_profile(info: &PngInfo<'_>, layout: SampleLayout) -> Option<Conversion> {
    let chunk = info.profile?;
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let [0, packed @ ..] = chunk.get(name + 1..)? else { return None };
    let profile = decompress_to_vec_bounded(packed, MAX_PROFILE).ok()?;
    Conversion::icc(&profile, layout)
}

/// gAMA and cHRM count in hundred-thousandths.
fn by_gamma(info: &PngInfo<'_>, layout: SampleLayout) -> Option<Conversion> {
    const UNIT: f64 = 100_000.0;
    let value = |chunk: &[u8], at: usize| be32(chunk, at).map(|value| f64::from(value) / UNIT);
    let gamma = value(info.gamma?, 0)?;
    let chunk = info.chromaticities.filter(|chunk| chunk.len() == 32)?;
    let points = std::array::from_fn(|index| value(chunk, index * 4).unwrap_or_default());
    Conversion::gamma(gamma, points, layout)
}
