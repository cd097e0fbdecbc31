//! A conversion to sRGB that is made once and applied row by row, to 8 or to 16 bits: what has 16 is rounded after it.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, TransformExecutor, TransformOptions};

use super::{
    linear::Linear,
    profile::{MAX_PROFILE, changes_nothing},
};
use crate::decode::samples::{Layout, narrow};

type Transform<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// Pixels converted at once, on the stack.
const BATCH: usize = 1024;

/// What makes sRGB of a picture's numbers.
pub(crate) enum Conversion {
    /// They are sRGB.
    None,
    /// Grey by a profile: a colour for each value.
    Grey(Vec<[u8; 3]>),
    /// By a profile.
    Narrow(Transform<u8>),
    /// By a profile, 16 bits.
    Wide(Transform<u16>),
    /// By its primaries and its curve.
    Linear(Box<Linear>),
}

impl Conversion {
    /// By an ICC profile; `None` where it cannot be read, or is for other channels than these.
    pub(crate) fn icc(profile: &[u8], layout: Layout) -> Option<Self> {
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

    fn rgb(profile: &ColorProfile, layout: Layout) -> Option<Self> {
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

    fn grey(profile: &ColorProfile, layout: Layout) -> Option<Self> {
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

    /// By primaries and curve; nothing where that is sRGB by another name.
    pub(super) fn linear(linear: Linear) -> Self {
        if linear.changes_nothing() { Self::None } else { Self::Linear(Box::new(linear)) }
    }

    /// Converts straight-alpha RGBA of 8 bits where it lies; alpha stays.
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

    /// Converts straight-alpha RGBA of 16 bits, and rounds it to 8.
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
