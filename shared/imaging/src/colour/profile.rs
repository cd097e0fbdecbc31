//! What every conversion of a profile's colours goes by.

use moxcms::TransformExecutor;

/// Larger profiles than this are printers' tables that say nothing of an RGB picture.
pub(super) const MAX_PROFILE: usize = 4 << 20;

/// Bytes converted between two looks at the clock.
pub(super) const BAND: usize = 4 * 64 * 1024;

/// A difference that no eye sees: a profile that changes nothing by more is taken for sRGB itself.
pub(super) const INVISIBLE: u8 = 1;

/// Most profiles in the wild are sRGB under one name or another. A grid of colours tells, whatever the name.
pub(super) fn changes_nothing(transform: &(dyn TransformExecutor<u8> + Send + Sync)) -> bool {
    let steps = || (0..=255_u8).step_by(17);
    let grid: Vec<u8> =
        steps().flat_map(|r| steps().flat_map(move |g| steps().flat_map(move |b| [r, g, b, 255]))).collect();
    let mut out = vec![0; grid.len()];
    transform.transform(&grid, &mut out).is_ok()
        && grid.iter().zip(&out).all(|(before, after)| before.abs_diff(*after) <= INVISIBLE)
}
