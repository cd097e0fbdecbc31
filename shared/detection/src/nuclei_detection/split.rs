//! Touching nuclei, split by shape: the watershed of the distance to the background.
//!
//! Nuclei are convex, nearly, so that each has a summit of its own in the distance. The surface is flooded from its
//! summits down; where two floods meet, the lower summit is one of its own only if it stands out from the pass between them
//! by more than a tolerance, as ImageJ's watershed of the distance map has one: ragged edges make small summits.

use std::{cmp::Reverse, ops::Range};

use imaging::{Deadline, TimedOut};

use super::regions::{Run, root};

/// How far a summit must stand out, in pixels, and as a part of its height. In a nucleus that is few pixels wide, distances
/// go in steps of up to √8 − 2: such a step is no summit.
const TOLERANCE: f32 = 0.85;
const TOLERANCE_PART: f32 = 0.1;

/// Which nucleus each pixel belongs to. 0 is none.
pub(super) struct Labels {
    pub(super) width: usize,
    pub(super) labels: Vec<u32>,
    /// Squared distances to the nearest pixel outside the mask.
    distances: Vec<u16>,
    /// Of each label: that which it was joined to, itself if to none; and where its summit is.
    parents: Vec<u32>,
    summits: Vec<u32>,
    /// Whether to split at all.
    split: bool,
    /// Whether the component that is flooded touches the border.
    at_border: bool,
    pixels: Vec<u32>,
    starts: Vec<u32>,
    /// Pixels and the labels that they get next.
    wave: Vec<(u32, u32)>,
    /// Labels that met, and how high.
    meetings: Vec<(u32, u32, u16)>,
}

impl Labels {
    /// `cap` bounds the distance, and with it the time: what is farther away counts as just so far.
    pub(super) fn new(
        mask: Vec<u8>,
        width: usize,
        cap: u8,
        split: bool,
        deadline: Deadline,
    ) -> Result<Self, TimedOut> {
        Ok(Self {
            width,
            labels: vec![0; mask.len()],
            distances: if split {
                distances(mask, width, cap, deadline)?
            } else {
                mask.into_iter().map(u16::from).collect()
            },
            parents: vec![0],
            summits: vec![0],
            split,
            at_border: true,
            pixels: Vec::new(),
            starts: Vec::new(),
            wave: Vec::new(),
            meetings: Vec::new(),
        })
    }

    /// Labels the pixels of a component, with some of the labels that it gives back: no other component has those.
    pub(super) fn flood(&mut self, component: &[Run]) -> Range<u32> {
        let first = self.parents.len() as u32;
        let last_row = self.labels.len() / self.width - 1;
        self.at_border = component.iter().any(|run| run.is_at_border(self.width, last_row));
        self.sort_pixels(component);
        let (pixels, ends) = (std::mem::take(&mut self.pixels), std::mem::take(&mut self.starts));
        let mut start = 0;
        for end in &ends {
            let level = &pixels[start..*end as usize];
            start = *end as usize;
            if !level.is_empty() {
                self.spread(level);
                self.raise(level);
            }
        }
        for at in &pixels {
            let label = &mut self.labels[*at as usize];
            *label = root(&mut self.parents, *label);
        }
        (self.pixels, self.starts) = (pixels, ends);
        first..self.parents.len() as u32
    }

    /// Labels what of a level hangs together with what is labelled, in waves: what is as near to two labels goes to the
    /// higher one, whichever comes first in the image.
    fn spread(&mut self, level: &[u32]) {
        let (mut wave, mut next) = (std::mem::take(&mut self.wave), Vec::new());
        wave.clear();
        wave.extend(
            level.iter().map(|at| (*at, self.label_for(*at as usize))).filter(|(_, label)| *label != 0),
        );
        while !wave.is_empty() {
            wave.iter().for_each(|(at, label)| self.labels[*at as usize] = *label);
            next.clear();
            for (at, _) in &wave {
                let at = *at as usize;
                for beside in self.beside(at) {
                    if self.labels[beside] == self.labels[at] {
                        continue;
                    } else if self.labels[beside] != 0 {
                        self.note(at, beside);
                    } else if self.distances[beside] == self.distances[at] {
                        next.push((beside as u32, 0));
                    }
                }
            }
            next.iter_mut().for_each(|(at, label)| *label = self.label_for(*at as usize));
            std::mem::swap(&mut wave, &mut next);
        }
        self.wave = wave;
        self.join();
    }

    /// Gives what is left of a level, its summits, labels of their own.
    fn raise(&mut self, level: &[u32]) {
        let mut open = Vec::new();
        for summit in level {
            if self.labels[*summit as usize] != 0 {
                continue;
            }
            let label = self.parents.len() as u32;
            self.parents.push(label);
            self.summits.push(*summit);
            self.labels[*summit as usize] = label;
            open.push(*summit as usize);
            while let Some(at) = open.pop() {
                for beside in self.beside(at) {
                    if self.labels[beside] == 0 && self.distances[beside] == self.distances[at] {
                        self.labels[beside] = label;
                        open.push(beside);
                    }
                }
            }
        }
    }

    /// Brings a component's pixels into the order of their distances, greatest first; equal ones in reading order.
    /// `starts` is then where each level ends.
    fn sort_pixels(&mut self, component: &[Run]) {
        let level = |distances: &[u16]| distances.iter().copied().max().unwrap_or(0);
        let places = |run: &Run| run.places(self.width);
        let top = component.iter().map(|run| level(&self.distances[places(run)])).max().unwrap_or(0);
        self.starts.clear();
        self.starts.resize(usize::from(top) + 2, 0);
        for at in component.iter().flat_map(places) {
            self.starts[usize::from(top - self.distances[at]) + 1] += 1;
        }
        for level in 1..self.starts.len() {
            self.starts[level] += self.starts[level - 1];
        }
        self.pixels.clear();
        self.pixels.resize(self.starts.last().map_or(0, |all| *all as usize), 0);
        for at in component.iter().flat_map(places) {
            let next = &mut self.starts[usize::from(top - self.distances[at])];
            self.pixels[*next as usize] = at as u32;
            *next += 1;
        }
    }

    /// The places beside one. Beyond the border there is none: the place itself stands for it.
    fn beside(&self, at: usize) -> [usize; 4] {
        if !self.at_border {
            return [at - 1, at + 1, at - self.width, at + self.width];
        }
        let (column, end) = (at % self.width, self.labels.len());
        [
            if column > 0 { at - 1 } else { at },
            if column + 1 < self.width { at + 1 } else { at },
            if at >= self.width { at - self.width } else { at },
            if at + self.width < end { at + self.width } else { at },
        ]
    }

    /// The label that a pixel gets from its neighbours: that of the highest; of equal ones, that of the higher summit; of
    /// equal ones, that of the nearer. 0 if none has a label.
    fn label_for(&mut self, at: usize) -> u32 {
        // The label as it stands beside, its root, and how high it stands.
        let (mut seen, mut best, mut highest) = (0, 0, 0);
        for beside in self.beside(at) {
            let (label, height) = (self.labels[beside], self.distances[beside]);
            if label == 0 || height < highest || (label == seen && height == highest) {
                continue;
            }
            let root = if label == seen { best } else { root(&mut self.parents, label) };
            if height > highest || best == 0 || (root != best && self.draws(at, root, best)) {
                (seen, best, highest) = (label, root, height);
            }
        }
        best
    }

    /// Whether a label draws a pixel more than another does.
    fn draws(&self, at: usize, label: u32, other: u32) -> bool {
        let draw = |label: u32| {
            let summit = self.summits[label as usize];
            (self.distances[summit as usize], Reverse(self.apart(summit, at as u32)))
        };
        draw(label) > draw(other)
    }

    /// The squared distance of two places.
    fn apart(&self, a: u32, b: u32) -> u64 {
        let width = self.width as u32;
        u64::from((a % width).abs_diff(b % width)).pow(2) + u64::from((a / width).abs_diff(b / width)).pow(2)
    }

    /// Takes note of a label's meeting with another, if it is one: at `at`, which is as low as `beside` or lower.
    fn note(&mut self, at: usize, beside: usize) {
        let [a, b] = [at, beside].map(|place| root(&mut self.parents, self.labels[place]));
        if a != b {
            self.meetings.push((a, b, self.distances[at]));
        }
    }

    /// Joins labels that have met, unless the summits of both stand out from where they did. The higher a summit, and
    /// the nearer, the sooner it is joined, whichever comes first in the image.
    fn join(&mut self) {
        let mut meetings = std::mem::take(&mut self.meetings);
        let height = |label: u32| self.distances[self.summits[label as usize] as usize];
        if meetings.len() > 1 {
            meetings.sort_by_key(|(a, b, _)| {
                let apart = self.apart(self.summits[*a as usize], self.summits[*b as usize]);
                (Reverse(height(*a).max(height(*b))), apart, height(*a).min(height(*b)))
            });
        }
        for (a, b, pass) in meetings.drain(..) {
            let [a, b] = [a, b].map(|label| root(&mut self.parents, label));
            let [height_a, height_b] = [a, b].map(height);
            let (lower, higher) = if (height_a, b) < (height_b, a) { (a, b) } else { (b, a) };
            let summit = f32::from(height_a.min(height_b)).sqrt();
            let tolerance = TOLERANCE.max(TOLERANCE_PART * summit);
            if !self.split || summit - f32::from(pass).sqrt() <= tolerance {
                self.parents[lower as usize] = higher;
            }
        }
        self.meetings = meetings;
    }
}

/// The squared distance of each pixel of a mask to the nearest one outside it, at most `cap` squared; 0 outside. What
/// lies beyond the border is not outside.
fn distances(mut mask: Vec<u8>, width: usize, cap: u8, deadline: Deadline) -> Result<Vec<u16>, TimedOut> {
    // Up and down first, then along each row: Euclid's distance is separable in its square.
    mask.iter_mut().for_each(|inside| *inside *= cap);
    let mut before = vec![cap; width];
    for row in mask.chunks_exact_mut(width) {
        step(row, &mut before);
    }
    before.fill(cap);
    for row in mask.chunks_exact_mut(width).rev() {
        step(row, &mut before);
    }
    let mut squares = vec![0u16; mask.len()];
    for (row, squares) in mask.chunks_exact(width).zip(squares.chunks_exact_mut(width)) {
        deadline.check()?;
        for (column, square) in squares.iter_mut().enumerate().filter(|(column, _)| row[*column] > 0) {
            let own = u32::from(row[column]);
            let mut least = own * own;
            let mut aside = 1;
            while aside * aside < least {
                // Beyond the border the pixel's own distance stands: it is no less.
                let nearby = |place: usize| u32::from(*row.get(place).unwrap_or(&row[column])).pow(2);
                let before = nearby(column.wrapping_sub(aside as usize));
                let after = nearby(column + aside as usize);
                least = least.min(aside * aside + before.min(after));
                aside += 1;
            }
            *square = least as u16;
        }
    }
    Ok(squares)
}

/// Makes of a row of the mask, or of distances, the least of these and one more than in the row before; 0 stays 0.
fn step(row: &mut [u8], before: &mut [u8]) {
    for (own, before) in row.iter_mut().zip(before) {
        *own = (*own).min(before.saturating_add(1));
        *before = *own;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nuclei_detection::regions::Components;

    /// A mask of discs: column, row, radius.
    fn discs(width: usize, height: usize, discs: &[[f64; 3]]) -> Vec<u8> {
        let inside = |at: usize| {
            let (x, y) = ((at % width) as f64, (at / width) as f64);
            discs.iter().any(|[cx, cy, r]| (x - cx).hypot(y - cy) <= *r)
        };
        (0..width * height).map(|at| u8::from(inside(at))).collect()
    }

    fn counts(mask: &[u8], width: usize, split: bool) -> Vec<usize> {
        let mut labels = Labels::new(mask.to_vec(), width, 40, split, Deadline::none()).expect("no deadline");
        for component in Components::of(mask, width, 1, false, Deadline::none()).expect("no deadline").iter()
        {
            labels.flood(component);
        }
        assert!(mask.iter().zip(&labels.labels).all(|(mask, label)| (*mask == 0) == (*label == 0)));
        let mut all: Vec<u32> = labels.labels.iter().copied().filter(|label| *label != 0).collect();
        all.sort_unstable();
        all.chunk_by(|a, b| a == b).map(<[u32]>::len).collect()
    }

    #[test]
    fn discs_that_touch_are_split_and_what_is_round_or_long_is_not() {
        let pair = discs(60, 30, &[[18.0, 15.0, 9.0], [34.0, 15.0, 9.0]]);
        assert_eq!(counts(&pair, 60, true).len(), 2);
        assert_eq!(counts(&pair, 60, false).len(), 1);
        let unlike = discs(60, 30, &[[17.0, 15.0, 10.0], [32.0, 15.0, 6.0]]);
        assert_eq!(counts(&unlike, 60, true).len(), 2);
        let three = discs(60, 60, &[[20.0, 20.0, 9.0], [35.0, 20.0, 9.0], [27.0, 33.0, 9.0]]);
        assert_eq!(counts(&three, 60, true).len(), 3);
        assert_eq!(counts(&discs(40, 40, &[[19.3, 20.4, 12.7]]), 40, true).len(), 1);
        let long: Vec<[f64; 3]> =
            (0..20).map(|i| [15.0 + f64::from(i), 20.0 + f64::from(i) / 3.0, 7.0]).collect();
        assert_eq!(counts(&discs(60, 50, &long), 60, true).len(), 1);
    }

    #[test]
    fn what_the_border_cuts_is_not_split() {
        assert_eq!(counts(&discs(40, 12, &[[20.0, -3.0, 12.0]]), 40, true).len(), 1);
        assert_eq!(counts(&[1; 50], 10, true), [50]);
    }

    proptest! {
        #[test]
        fn distances_are_those_to_the_nearest_pixel_outside(
            width in 1usize..24, pixels in proptest::collection::vec(0u8..8, 1..300), cap in 1u8..12,
        ) {
            let mut mask: Vec<u8> = pixels.into_iter().map(|p| u8::from(p > 0)).collect();
            mask.resize(mask.len().div_ceil(width) * width, 0);
            let is = distances(mask.clone(), width, cap, Deadline::none()).expect("no deadline");
            let place = |at: usize| ((at % width) as i64, (at / width) as i64);
            for (at, is) in is.iter().enumerate() {
                let (x, y) = place(at);
                let square = |other: usize| (place(other).0 - x).pow(2) + (place(other).1 - y).pow(2);
                let nearest = (0..mask.len()).filter(|other| mask[*other] == 0).map(square).min();
                let most = i64::from(cap).pow(2);
                prop_assert_eq!(i64::from(*is), nearest.map_or(most, |nearest| nearest.min(most)));
            }
        }
    }
}
