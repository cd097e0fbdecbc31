//! A conversion to sRGB that is set up once and applied row by row. 16-bit samples are converted as such and rounded to
//! 8 bits afterwards.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, TransformExecutor, TransformOptions};

use super::{
    linear::Linear,
    profile::{MAX_PROFILE, changes_nothing},
};
use crate::decode::samples::{SampleLayout, narrow};

type Transform<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// How many pixels are converted at once; they lie on the stack.
const BATCH: usize = 1024;

/// How the samples of a picture become sRGB.
pub(crate) enum Conversion {
    /// The samples are sRGB already.
    None,
    /// A table with the colour of each grey value, made from a profile.
    Grey(Vec<[u8; 3]>),
    /// A profile's transform for 8-bit samples.
    Narrow(Transform<u8>),
    /// A profile's transform for 16-bit samples.
    Wide(Transform<u16>),
    /// Primaries and a transfer curve.
    Linear(Box<Linear>),
}

impl Conversion {
    /// A conversion from an ICC profile; `None` where the profile cannot be read, or is for other channels than these.
    pub(crate) fn icc(profile: &[u8], layout: SampleLayout) -> Option<Self> {
        if profile.len() > MAX_PROFILE {
            return None;
        }
        let profile = ColorProfile::new_from_slice(profile).ok()?;
        match profile.color_space {
            DataColorSpace::Rgb => Self::rgb(&profile, layout),
            DataColorSpace::Gray if layout.is_grey() => Self::grey(&profile, layout),
            _ => None,
        }
    }

    fn rgb(profile: &ColorProfile, layout: SampleLayout) -> Option<Self> {
        const RGBA: moxcms::Layout = moxcms::Layout::Rgba;
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        let transform = profile.create_transform_8bit(RGBA, &srgb, RGBA, options).ok()?;
        if changes_nothing(&*transform) {
            return Some(Self::None);
        }
        if layout.wide {
            return profile.create_transform_16bit(RGBA, &srgb, RGBA, options).ok().map(Self::Wide);
        }
        Some(Self::Narrow(transform))
    }

    fn grey(profile: &ColorProfile, layout: SampleLayout) -> Option<Self> {
        let values: Vec<u16> =
            if layout.wide { (0..=u16::MAX).collect() } else { (0..=255).map(|value| value * 257).collect() };
        let mut table = vec![0; values.len() * 3];
        let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
        profile
            .create_transform_16bit(moxcms::Layout::Gray, &srgb, moxcms::Layout::Rgb, options)
            .ok()?
            .transform(&values, &mut table)
            .ok()?;
        Some(Self::Grey(table.as_chunks::<3>().0.iter().map(|rgb| rgb.map(narrow)).collect()))
    }

    /// A conversion by primaries and curve, or none where they amount to sRGB.
    pub(super) fn linear(linear: Linear) -> Self {
        if linear.changes_nothing() { Self::None } else { Self::Linear(Box::new(linear)) }
    }

    /// Converts 8-bit straight-alpha RGBA in place; alpha is left as it is.
    pub(crate) fn narrow(&self, rgba: &mut [u8]) {
        match self {
            Self::None | Self::Wide(_) => {}
            Self::Grey(table) => {
                for [r, g, b, _] in rgba.as_chunks_mut().0 {
                    [*r, *g, *b] = table[usize::from(*r)];
                }
            }
            Self::Narrow(transform) => {
                let mut before = [0; BATCH * 4];
                for band in rgba.chunks_mut(BATCH * 4) {
                    let before = &mut before[..band.len()];
                    before.copy_from_slice(band);
                    if transform.transform(before, band).is_err() {
                        band.copy_from_slice(before);
                    }
                }
            }
            Self::Linear(linear) => {
                for [r, g, b, _] in rgba.as_chunks_mut().0 {
                    [*r, *g, *b] = linear.convert([*r, *g, *b].map(usize::from));
                }
            }
        }
    }

    /// Converts 16-bit straight-alpha RGBA and rounds it to 8 bits.
    pub(crate) fn wide(&self, from: &[[u16; 4]], to: &mut [[u8; 4]]) {
        match self {
            Self::None | Self::Narrow(_) => {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from.map(narrow));
            }
            Self::Grey(table) => {
                for (to, &[y, _, _, a]) in to.iter_mut().zip(from) {
                    let [r, g, b] = table[usize::from(y)];
                    *to = [r, g, b, narrow(a)];
                }
            }
            Self::Wide(transform) => {
                let mut after = [[0_u16; 4]; BATCH];
                for (to, from) in to.chunks_mut(BATCH).zip(from.chunks(BATCH)) {
                    let after = &mut after[..from.len()];
                    if transform.transform(from.as_flattened(), after.as_flattened_mut()).is_err() {
                        after.copy_from_slice(from);
                    }
                    for ((to, after), from) in to.iter_mut().zip(after).zip(from) {
                        *to = [after[0], after[1], after[2], from[3]].map(narrow);
                    }
                }
            }
            Self::Linear(linear) => {
                for (to, &[r, g, b, a]) in to.iter_mut().zip(from) {
                    let [r, g, b] = linear.convert([r, g, b].map(usize::from));
                    *to = [r, g, b, narrow(a)];
                }
            }
        }
    }
}
