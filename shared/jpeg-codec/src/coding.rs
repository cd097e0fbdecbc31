//! The kinds of scans: how coefficients are coded in them (ITU T.81, G.1).

/// A band of AC coefficients, by their places in the file, without their `low` lowest bits.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u8,
}

impl Band {
    /// A bit mask of the coefficients.
    pub(super) fn bits(self) -> u64 {
        u64::MAX >> (63 - self.last) & u64::MAX << self.first
    }
}

/// How the coefficients of a scan are coded.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Coding {
    /// The whole DC coefficient, followed by the AC coefficients.
    Baseline,
    /// The DC coefficient without so many of its lowest bits.
    First(u8),
    /// One more bit of the DC coefficient, this one.
    Refinement(u8),
    /// The first scan of a band of AC coefficients.
    Band(Band),
    /// One more bit of a band of AC coefficients.
    BandRefinement(Band),
}
