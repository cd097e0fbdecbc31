//! How the coefficients are coded in a scan (ITU T.81, G.1).

/// Some of the AC coefficients, by their places in the file, without so many of their lowest bits.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u8,
}

impl Band {
    /// A bit for each.
    pub(super) fn bits(self) -> u64 {
        u64::MAX >> (63 - self.last) & u64::MAX << self.first
    }
}

/// How the coefficients are coded in a scan.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Coding {
    /// The DC whole, with the AC coefficients behind it.
    Baseline,
    /// All bits of the DC but so many of the lowest.
    First(u8),
    /// This one bit of the DC.
    Refinement(u8),
    /// AC coefficients, the first time.
    Band(Band),
    /// One more bit of AC coefficients.
    BandRefinement(Band),
}
