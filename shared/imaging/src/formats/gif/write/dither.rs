//! Error diffusion (R. Floyd and L. Steinberg, An Adaptive Algorithm for Spatial Greyscale, 1976), with every other row
//! processed backwards.

/// The error of each channel, in sixteenths of a level.
type Error = [i32; 3];

/// Diffuses the error that a palette leaves to the neighbouring pixels.
pub(super) struct Diffusion {
    /// The part of the error that is diffused, in sixteenths.
    strength: i32,
    here: Vec<Error>,
    below: Vec<Error>,
    backwards: bool,
}

impl Diffusion {
    pub(super) fn new(width: usize, strength: u8) -> Self {
        // One more element on either side receives the error of the edge pixels.
        let row = vec![[0; 3]; width + 2];
        Self { strength: strength.into(), here: row.clone(), below: row, backwards: false }
    }

    /// Processes the next row. `draw` receives a column and the error to add to its colour, in levels, and returns its
    /// remaining error.
    pub(super) fn row(&mut self, mut draw: impl FnMut(usize, [i32; 3]) -> [i32; 3]) {
        let width = self.here.len() - 2;
        std::mem::swap(&mut self.here, &mut self.below);
        self.below.fill([0; 3]);
        for step in 0..width {
            let x = if self.backwards { width - 1 - step } else { step };
            let off = draw(x, self.here[x + 1].map(|error| (error + 8) >> 4));
            let off = off.map(|off| off * self.strength / 16);
            let (ahead, behind) = if self.backwards { (x, x + 2) } else { (x + 2, x) };
            spread(&mut self.here[ahead], off, 7);
            spread(&mut self.below[behind], off, 3);
            spread(&mut self.below[x + 1], off, 5);
            spread(&mut self.below[ahead], off, 1);
        }
        self.backwards = !self.backwards;
    }
}

fn spread(to: &mut Error, off: [i32; 3], share: i32) {
    for (to, off) in to.iter_mut().zip(off) {
        *to += off * share;
    }
}
