//! Twice as many samples of a channel, as libjpeg-turbo and libwebp make them: three quarters of the nearer one and a quarter of
//! the farther one, across and down. They differ only in what is added before bits are dropped.

/// Three of the nearer and one of the farther line, behind the first of the sums.
#[inline(always)]
pub(crate) fn weigh(near: &[u8], far: &[u8], sums: &mut [u16]) {
    for ((near, far), sum) in near.iter().zip(far).zip(&mut sums[1..]) {
        *sum = 3 * u16::from(*near) + u16::from(*far);
    }
}

/// Two samples for each sum, which has a neighbour at either end: three of it and one of the neighbour on that side, with so much
/// added before so many bits are dropped.
#[inline(always)]
pub(crate) fn twice<const LEFT: u16, const RIGHT: u16, const BITS: u16>(sums: &mut [u16], out: &mut [u8]) {
    let last = sums.len() - 1;
    (sums[0], sums[last]) = (sums[1], sums[last - 1]);
    let (before, own, behind) = (&sums[..last - 1], &sums[1..last], &sums[2..]);
    for (((pair, before), own), behind) in out.as_chunks_mut().0.iter_mut().zip(before).zip(own).zip(behind) {
        let left = (3 * own + before + LEFT) >> BITS;
        let right = (3 * own + behind + RIGHT) >> BITS;
        *pair = (left | right << 8).to_le_bytes();
    }
}
