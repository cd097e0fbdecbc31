//! Colour that is described by primaries and a transfer curve, as in PNG's cICP, gAMA and cHRM. Samples go through a
//! table to linear light, a matrix, and sRGB's curve.
//!
//! HDR by PQ or HLG (ITU-R BT.2100) is tone-mapped for an SDR screen: 203 cd/m² (reference white of BT.2408) becomes
//! white, and what is brighter is rolled off by the curve of BT.2390. The curve is applied to the largest channel, so
//! that hues stay. The picture is assumed to reach 1000 cd/m², or what cLLI says.
//!
//! PQ and HLG (ITU-R BT.2100) are brought down to what a screen without HDR shows: 203 cd/m² (BT.2408's white) are its
//! white, and what is brighter is rolled off by BT.2390's curve, on the largest channel, so that hues stay. The picture
//! is taken to reach 1000 cd/m², or what cLLI says.

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients,
    TransferCharacteristics, XyY,
};

use super::{conversion::Conversion, profile::INVISIBLE};
use crate::decode::samples::SampleLayout;

/// Luminance of white on an SDR screen, in cd/m² (ITU-R BT.2408).
const WHITE: f64 = 203.0;
/// Luminance of PQ's largest value, in cd/m².
const PQ_PEAK: f64 = 10_000.0;
/// Assumed peak luminance of a picture that does not state it, in cd/m².
const PEAK: f64 = 1000.0;
/// Entries of the table from linear light to sRGB, and of the table of the roll-off.
const STEPS: usize = 1 << 14;

/// Relative luminance of BT.2020's primaries, which HLG's system gamma depends on.
const LUMINANCE: [f32; 3] = [0.2627, 0.678, 0.0593];

pub(crate) struct Linear {
    /// The linear light of each sample value; 1 is white.
    curve: Vec<f32>,
    matrix: [[f32; 3]; 3],
    hdr: Option<Hdr>,
    /// The sRGB value of each step of linear light.
    encode: Vec<u8>,
}

struct Hdr {
    /// Whether the light is scene-referred, as in HLG.
    scene: bool,
    peak: f32,
    /// The roll-off's factor, indexed by the square root of the largest channel as a fraction of the peak.
    gain: Vec<f32>,
}

impl Linear {
    fn new(
        layout: SampleLayout,
        curve: impl Fn(f64) -> f64,
        matrix: [[f32; 3]; 3],
        hdr: Option<Hdr>,
    ) -> Self {
        let last = if layout.wide { u16::MAX } else { 255 };
        let light = |value: u16| curve(f64::from(value) / f64::from(last)) as f32;
        let encode = (0..=STEPS).map(|step| {
            (TransferCharacteristics::Srgb.gamma(step as f64 / STEPS as f64) * 255.0).round() as u8
        });
        // Grey has no primaries to convert.
        let matrix =
            if layout.is_grey() { [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] } else { matrix };
        Self { curve: (0..=last).map(light).collect(), matrix, hdr, encode: encode.collect() }
    }

    /// Converts three sample values, each an index into the curve, to sRGB.
    pub(super) fn convert(&self, rgb: [usize; 3]) -> [u8; 3] {
        let mut light = rgb.map(|value| self.curve[value]);
        if let Some(hdr) = &self.hdr {
            light = hdr.shown(light);
        }
        self.matrix.map(|row| {
            let value = row[0] * light[0] + row[1] * light[1] + row[2] * light[2];
            self.encode[(value.clamp(0.0, 1.0) * STEPS as f32 + 0.5) as usize]
        })
    }

    pub(super) fn changes_nothing(&self) -> bool {
        let scale = (self.curve.len() - 1) / 255;
        let same = |rgb: [usize; 3]| {
            let out = self.convert(rgb.map(|value| value * scale));
            out.iter().zip(rgb).all(|(out, value)| usize::from(*out).abs_diff(value) <= INVISIBLE.into())
        };
        let steps = || (0..=255).step_by(51);
        (0..256).all(|value| same([value; 3]))
            && steps().all(|r| steps().all(|g| steps().all(|b| same([r, g, b]))))
    }
}

impl Hdr {
    fn new(scene: bool, peak: f64) -> Self {
        let gain = (0..=STEPS).map(|step| {
            let nits = (step as f64 / STEPS as f64).powi(2) * peak;
            if nits > 0.0 { (rolled_off(nits, peak) / nits) as f32 } else { 1.0 }
        });
        Self { scene, peak: (peak / WHITE) as f32, gain: gain.collect() }
    }

    /// Tone-maps linear light for an SDR screen.
    fn shown(&self, light: [f32; 3]) -> [f32; 3] {
        let mut light = light;
        if self.scene {
            // HLG's system gamma at 1000 cd/m² (BT.2100, table 5).
            let luminance: f32 = light.iter().zip(LUMINANCE).map(|(light, part)| light * part).sum();
            let system = luminance.max(0.0).powf(0.2) * self.peak;
            light = light.map(|value| value * system);
        }
        let largest = light.into_iter().fold(0.0, f32::max);
        let place = (largest / self.peak).clamp(0.0, 1.0).sqrt() * STEPS as f32;
        let gain = self.gain[(place + 0.5) as usize];
        light.map(|value| value * gain)
    }
}

/// BT.2390's roll-off (section 5.4.1) from a source that reaches `peak` to a screen that reaches [`WHITE`].
fn rolled_off(nits: f64, peak: f64) -> f64 {
    let pq = |nits: f64| TransferCharacteristics::Smpte2084.gamma(nits / PQ_PEAK);
    let whole = pq(peak);
    let (value, most) = (pq(nits) / whole, pq(WHITE) / whole);
    let knee = 1.5 * most - 0.5;
    if most >= 1.0 || value < knee {
        return nits;
    }
    let t = (value - knee) / (1.0 - knee);
    let (t2, t3) = (t * t, t * t * t);
    let value = (2.0 * t3 - 3.0 * t2 + 1.0) * knee
        + (t3 - 2.0 * t2 + t) * (1.0 - knee)
        + (3.0 * t2 - 2.0 * t3) * most;
    TransferCharacteristics::Smpte2084.linearize(value * whole) * PQ_PEAK
}

/// The matrix from linear light in this profile's primaries to that in sRGB's; `None` where the primaries make no
/// sense.
fn to_srgb_primaries(profile: &ColorProfile) -> Option<[[f32; 3]; 3]> {
    let matrix = profile.transform_matrix(&ColorProfile::new_srgb()).v;
    let sane = matrix.as_flattened().iter().all(|value| value.is_finite() && value.abs() < 100.0);
    sane.then(|| matrix.map(|row| row.map(|value| value as f32)))
}

impl Conversion {
    /// A conversion by cICP's code points (ITU-T H.273): primaries, transfer, matrix and range. `None` where a code
    /// point is unknown. `brightest` is the peak of cLLI, in cd/m².
    pub(crate) fn cicp(points: [u8; 4], brightest: Option<f64>, layout: SampleLayout) -> Option<Self> {
        let [primaries, transfer, 0, full @ 0..=1] = points else { return None };
        let transfer = TransferCharacteristics::try_from(transfer).ok()?;
        let primaries = CicpColorPrimaries::try_from(primaries).ok()?;
        if matches!(transfer, TransferCharacteristics::Reserved | TransferCharacteristics::Unspecified)
            || matches!(primaries, CicpColorPrimaries::Reserved | CicpColorPrimaries::Unspecified)
        {
            return None;
        }
        let profile = ColorProfile::new_from_cicp(CicpProfile {
            color_primaries: primaries,
            transfer_characteristics: TransferCharacteristics::Linear,
            matrix_coefficients: MatrixCoefficients::Identity,
            full_range: true,
        });
        let matrix = to_srgb_primaries(&profile)?;
        let full_range = move |value: f64| {
            // Narrow range: black is at 16 of 255 and white at 235, and correspondingly with 16 bits.
            if full == 1 { value } else { ((value * 255.0 - 16.0) / 219.0).clamp(0.0, 1.0) }
        };
        let linear = match transfer {
            TransferCharacteristics::Smpte2084 => {
                let peak = brightest.filter(|peak| (WHITE..=PQ_PEAK).contains(peak)).unwrap_or(PEAK);
                let curve = |value| transfer.linearize(full_range(value)) * PQ_PEAK / WHITE;
                Linear::new(layout, curve, matrix, Some(Hdr::new(false, peak)))
            }
            TransferCharacteristics::Hlg => {
                // BT.2100's inverse OETF of HLG; it yields scene light, of which 1 is the maximum.
                let curve = |value| match full_range(value) {
                    low if low <= 0.5 => low * low / 3.0,
                    high => (((high - 0.559_910_73) / 0.178_832_77).exp() + 0.284_668_92) / 12.0,
                };
                Linear::new(layout, curve, matrix, Some(Hdr::new(true, PEAK)))
            }
            _ => Linear::new(layout, |value| transfer.linearize(full_range(value)), matrix, None),
        };
        Some(Self::linear(linear))
    }

    /// A conversion by PNG's gAMA (the file's exponent, such as 0.45) and cHRM (x and y of white, red, green and blue).
    /// `None` where they make no sense.
    pub(crate) fn gamma(gamma: f64, points: [f64; 8], layout: SampleLayout) -> Option<Self> {
        /// An exponent this close to sRGB's is taken for sRGB itself; this is libpng's threshold.
        const NEAR: f64 = 0.05;
        let (meant, exponent) = ((gamma * 2.2 - 1.0).abs() < NEAR, 1.0 / gamma);
        if !meant && !(0.1..=10.0).contains(&exponent) {
            return None;
        }
        let [white, red, green, blue] = [0, 2, 4, 6].map(|at| (points[at], points[at + 1]));
        let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
        if white.1 < 0.01 || area.abs() < 0.001 {
            return None;
        }
        let point = |(x, y): (f64, f64)| Chromaticity { x: x as f32, y: y as f32 };
        let primaries = ColorPrimaries { red: point(red), green: point(green), blue: point(blue) };
        let mut profile = ColorProfile::new_srgb();
        profile.update_rgb_colorimetry(XyY { x: white.0, y: white.1, yb: 1.0 }, primaries);
        let matrix = to_srgb_primaries(&profile)?;
        let linear = if meant {
            Linear::new(layout, |value| TransferCharacteristics::Srgb.linearize(value), matrix, None)
        } else {
            Linear::new(layout, |value| value.powf(exponent), matrix, None)
        };
        Some(Self::linear(linear))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGB: SampleLayout = SampleLayout { channels: 3, wide: false };
    /// The chromaticities of sRGB's white, red, green and blue.
    const POINTS: [f64; 8] = [0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06];

    fn converted(conversion: Option<Conversion>, rgb: [u8; 3]) -> [u8; 3] {
        let mut rgba = [rgb[0], rgb[1], rgb[2], 9];
        conversion.expect("a conversion").narrow(&mut rgba);
        assert_eq!(rgba[3], 9);
        [rgba[0], rgba[1], rgba[2]]
    }

    fn near(a: [u8; 3], b: [u8; 3], tolerance: u8) -> bool {
        a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance)
    }

    #[test]
    fn srgb_by_any_name_is_left_alone() {
        assert!(matches!(Conversion::cicp([1, 13, 0, 1], None, RGB), Some(Conversion::None)));
        assert!(matches!(Conversion::gamma(0.45455, POINTS, RGB), Some(Conversion::None)));
    }

    #[test]
    fn display_p3_by_code_points_is_display_p3() {
        let out = converted(Conversion::cicp([12, 13, 0, 1], None, RGB), [200, 100, 100]);
        assert!(near(out, [213, 94, 97], 2), "{out:?}");
    }

    #[test]
    fn another_gamma_changes_what_lies_between_black_and_white() {
        let linear = Conversion::gamma(1.0, POINTS, RGB);
        assert!(near(converted(linear, [0, 55, 255]), [0, 128, 255], 1));
        let grey = SampleLayout { channels: 1, wide: true };
        let mut out = [[0; 4]];
        Conversion::gamma(1.0, POINTS, grey)
            .expect("linear")
            .wide(&[[14_135, 14_135, 14_135, 65_535]], &mut out);
        assert!(near([out[0][0], out[0][1], out[0][2]], [128; 3], 1) && out[0][3] == 255, "{out:?}");
    }

    #[test]
    fn values_that_make_no_sense_are_ignored() {
        assert!(Conversion::cicp([2, 13, 0, 1], None, RGB).is_none());
        assert!(Conversion::cicp([9, 2, 0, 1], None, RGB).is_none());
        assert!(Conversion::cicp([9, 16, 9, 1], None, RGB).is_none());
        assert!(Conversion::cicp([9, 16, 0, 7], None, RGB).is_none());
        assert!(Conversion::gamma(0.0, POINTS, RGB).is_none());
        assert!(Conversion::gamma(0.45455, [0.0; 8], RGB).is_none());
    }

    #[test]
    fn hdr_is_brought_down_to_what_a_plain_screen_shows() {
        for transfer in [16, 18] {
            let hdr = |rgb| converted(Conversion::cicp([9, transfer, 0, 1], None, RGB), rgb);
            assert_eq!(hdr([0; 3]), [0; 3]);
            let ramp: Vec<u8> = (0..=255).map(|value| hdr([value; 3])[1]).collect();
            assert!(ramp.is_sorted(), "brighter stays brighter: {ramp:?}");
            assert!(ramp[255] >= 254, "{ramp:?}");
            // Reference white (203 cd/m²) stays light, and leaves room above it.
            let page = if transfer == 16 { 148 } else { 191 };
            assert!((190..250).contains(&ramp[page]), "{}", ramp[page]);
            let [r, g, b] = hdr([150, 80, 80]);
            assert!(r > g && r > b, "red stays red: {r} {g} {b}");
        }
    }

    #[test]
    fn narrow_range_reaches_from_16_to_235() {
        let narrow = Conversion::cicp([1, 13, 0, 0], None, RGB);
        assert!(near(converted(narrow, [16, 126, 235]), [0, 128, 255], 1));
    }
}
