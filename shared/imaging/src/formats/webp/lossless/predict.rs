//! The predictors (RFC 9649, 3.5.1). All four channels of a pixel are computed at once, two or four of them in one
//! number with spare bits between them.

/// Adds the prediction to each pixel of a row. `above` is the row before, with room for one more pixel; `modes` is the
/// predictor of each block of `1 << bits` columns. The first row has no row above.
pub(super) fn undo(line: &mut [u32], above: &mut [u32], modes: Option<&[u8]>, bits: u32) {
    const BLACK: u32 = 0xff00_0000;
    let width = line.len();
    let Some(modes) = modes else {
        let mut left = BLACK;
        for pixel in &mut *line {
            left = add(*pixel, left);
            *pixel = left;
        }
        above[..width].copy_from_slice(line);
        return;
    };
    line[0] = add(line[0], above[0]);
    // The pixel above and to the right of the last one is the first pixel of this row.
    above[width] = line[0];
    for (block, mode) in modes.iter().enumerate() {
        let (from, to) = ((block << bits).max(1), ((block + 1) << bits).min(width));
        if from >= to {
            continue;
        }
        let (done, rest) = line.split_at_mut(from);
        let left = done[from - 1];
        let (line, above) = (&mut rest[..to - from], &above[from - 1..=to]);
        match mode {
            1 => each(line, above, left, |left, _| left),
            2 => each(line, above, left, |_, [_, top, _]| top),
            3 => each(line, above, left, |_, [_, _, right]| right),
            4 => each(line, above, left, |_, [corner, _, _]| corner),
            5 => each(line, above, left, |left, [_, top, right]| mean(mean(left, right), top)),
            6 => each(line, above, left, |left, [corner, _, _]| mean(left, corner)),
            7 => each(line, above, left, |left, [_, top, _]| mean(left, top)),
            8 => each(line, above, left, |_, [corner, top, _]| mean(corner, top)),
            9 => each(line, above, left, |_, [_, top, right]| mean(top, right)),
            10 => each(line, above, left, |left, [corner, top, right]| {
                mean(mean(left, corner), mean(top, right))
            }),
            11 => each_wide(line, above, left, |left, [corner, top, _]| {
                // The pixel whose distance from left + top − corner, over all channels, is less.
                if distance(top, corner) < distance(left, corner) { left } else { top }
            }),
            12 => each_wide(line, above, left, |left, [corner, top, _]| {
                clamped(left.wrapping_add(top.wrapping_sub(corner).wrapping_add(BIAS)))
            }),
            13 => each_wide(line, above, left, |left, [corner, top, _]| {
                let mean = ((left + top) >> 1) & LOW;
                // Half the difference, rounded towards zero: one is added to negative differences before they are
                // halved.
                let apart = mean + BIAS - corner;
                let below = !apart >> 8 & ONES;
                let half = (apart + below) >> 1 & HALVED;
                clamped(mean + half + HALF_BIAS)
            }),
            _ => each(line, above, left, |_, _| BLACK),
        }
    }
    above[..width].copy_from_slice(line);
}

/// For each pixel, calls `predicted` with the pixel to its left, and those above left, above, and above right.
#[inline(always)]
fn each(line: &mut [u32], above: &[u32], mut left: u32, predicted: impl Fn(u32, [u32; 3]) -> u32) {
    for (pixel, above) in line.iter_mut().zip(above.array_windows::<3>()) {
        left = add(*pixel, predicted(left, *above));
        *pixel = left;
    }
}

/// The same with 16 bits per channel.
#[inline(always)]
fn each_wide(line: &mut [u32], above: &[u32], left: u32, predicted: impl Fn(u64, [u64; 3]) -> u64) {
    let mut left = wide(left);
    for (pixel, above) in line.iter_mut().zip(above.array_windows::<3>()) {
        left = (predicted(left, above.map(wide)) + wide(*pixel)) & LOW;
        *pixel = narrow(left);
    }
}

/// The sum of each channel, modulo 256.
#[inline(always)]
pub(super) fn add(a: u32, b: u32) -> u32 {
    const ODD: u32 = 0xff00_ff00;
    const EVEN: u32 = 0x00ff_00ff;
    (a & ODD).wrapping_add(b & ODD) & ODD | (a & EVEN).wrapping_add(b & EVEN) & EVEN
}

/// The mean of each channel, rounded down.
#[inline(always)]
fn mean(a: u32, b: u32) -> u32 {
    (((a ^ b) & 0xfefe_fefe) >> 1) + (a & b)
}

/// Per channel: a one; the bits of a value; a bias that keeps differences positive; half of that; and the bits of a
/// halved value.
const ONES: u64 = 0x0001_0001_0001_0001;
const LOW: u64 = 0xff * ONES;
const BIAS: u64 = 0x100 * ONES;
const HALF_BIAS: u64 = 0x80 * ONES;
const HALVED: u64 = 0x1ff * ONES;

/// Spreads the channels to 16 bits each.
#[inline(always)]
fn wide(pixel: u32) -> u64 {
    let pairs = u64::from(pixel & 0xffff) | u64::from(pixel >> 16) << 32;
    (pairs | pairs << 8) & LOW
}

#[inline(always)]
fn narrow(wide: u64) -> u32 {
    let pairs = (wide | wide >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) as u32
}

/// Clamps biased values to 0–255.
#[inline(always)]
fn clamped(value: u64) -> u64 {
    value & mask_of(value >> 8 & ONES) | mask_of(value >> 9 & ONES)
}

/// The distance of two pixels, summed over the channels.
#[inline(always)]
fn distance(a: u64, b: u64) -> u64 {
    let apart = a + BIAS - b;
    let below = !apart >> 8 & ONES;
    // The negation of a negative difference is its complement plus one.
    (((apart ^ mask_of(below)) & LOW) + below).wrapping_mul(ONES) >> 48
}

/// Extends each one to a mask of all bits of a value.
#[inline(always)]
fn mask_of(ones: u64) -> u64 {
    (ones << 8) - ones
}
