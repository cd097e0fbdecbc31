//! Limits and tests that every conversion by an ICC profile shares.

use moxcms::TransformExecutor;

/// Profiles larger than this are printers' tables, which do not describe RGB pictures.
pub(super) const MAX_PROFILE: usize = 4 << 20;

/// Bytes that are converted between two checks of the deadline.
pub(super) const BAND: usize = 4 * 64 * 1024;

/// The largest difference that cannot be seen. A profile that changes no colour by more counts as sRGB.
pub(super) const INVISIBLE: u8 = 1;

/// Whether a transform leaves a grid of colours as they are. Most profiles in the wild are sRGB under one name or
/// another, so the colours decide and not the name.
pub(super) fn changes_nothing(transform: &(dyn TransformExecutor<u8> + Send + Sync)) -> bool {
    let steps = || (0..=255_u8).step_by(17);
    let grid: Vec<u8> =
        steps().flat_map(|r| steps().flat_map(move |g| steps().flat_map(move |b| [r, g, b, 255]))).collect();
    let mut out = vec![0; grid.len()];
    transform.transform(&grid, &mut out).is_ok()
        && grid.iter().zip(&out).all(|(before, after)| before.abs_diff(*after) <= INVISIBLE)
}
