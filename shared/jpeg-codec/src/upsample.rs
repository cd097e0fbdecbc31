//! Doubles the samples of a subsampled channel as libjpeg-turbo and libwebp do ("fancy upsampling"): three quarters of
//! the nearer sample and one quarter of the farther one, across and down. The two libraries differ only in the bias
//! that is added before the sum is shifted.

/// Sums three times the nearer line and once the farther one, from the second element of `sums` on.
#[inline(always)]
pub fn weigh(near: &[u8], far: &[u8], sums: &mut [u16]) {
    for ((near, far), sum) in near.iter().zip(far).zip(&mut sums[1..]) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
}

/// Makes two samples of each sum, which needs a neighbour at either end: three times the sum and once the neighbour on
/// that side. `LEFT` and `RIGHT` are added before the lowest `BITS` bits are dropped.
#[inline(always)]
pub fn twice<const LEFT: u16, const RIGHT: u16, const BITS: u16>(sums: &mut [u16], out: &mut [u8]) {
    let last = sums.len() - 1;
    (sums[0], sums[last]) = (sums[1], sums[last - 1]);
    let (before, own, behind) = (&sums[..last - 1], &sums[1..last], &sums[2..]);
    for (((pair, before), own), behind) in out.as_chunks_mut().0.iter_mut().zip(before).zip(own).zip(behind) {
        let left = (3 * own + before + LEFT) >> BITS;
        let right = (3 * own + behind + RIGHT) >> BITS;
        *pair = (left | right << 8).to_le_bytes();
    }
}
