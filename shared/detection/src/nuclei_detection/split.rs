//! Touching nuclei, split by shape: the watershed of the distance to the background.
//!
//! Nuclei are convex, nearly, so that each has a summit of its own in the distance. The surface is flooded from its
//! summits down; where two floods meet, the lower summit is one of its own only if it stands out from the pass between them
//! by more than a tolerance, as ImageJ's watershed of the distance map has one: ragged edges make small summits.

use std::{cmp::Reverse, ops::Range};

use imaging::{Deadline, TimedOut};

use super::regions::{Run, root};
use crate::kernels::wide;

/// How far a summit must stand out, in pixels, and as a part of its height. In a nucleus that is few pixels wide, distances
/// go in steps of up to √8 − 2: such a step is no summit.
const TOLERANCE: f32 = 0.85;
const TOLERANCE_PART: f32 = 0.1;

/// Squared distances less than this are shallow: no summit of √2 or 1 can stand out from what it meets by the tolerance.
const SHALLOW: u16 = 4;

/// Pixels that may be flooded between two looks at the clock.
const STRETCH: usize = 4096;

/// How a plane lies in memory with a pixel around it, that at the end of a row being that before the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    /// From one row to the next.
    pub(super) stride: usize,
}

impl Frame {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, stride: width + 1 }
    }

    /// How many places there are, those of the margin included.
    pub(super) fn len(self) -> usize {
        self.stride * (self.height + 2) + 1
    }

    pub(super) fn place(self, column: usize, row: usize) -> usize {
        (row + 1) * self.stride + column + 1
    }

    pub(super) fn places(self, run: &Run) -> Range<usize> {
        let first = self.place(run.start as usize, run.row as usize);
        first..first + run.len()
    }
}

/// Which nucleus each pixel belongs to. 0 is none.
pub(super) struct Labels {
    pub(super) frame: Frame,
    pub(super) labels: Vec<u32>,
    /// Squared distances to the nearest pixel outside the mask.
    distances: Vec<u16>,
    /// Of each label: that which it was joined to, itself if to none; and where its summit is.
    parents: Vec<u32>,
    summits: Vec<u32>,
    pixels: Vec<u32>,
    starts: Vec<u32>,
    /// Of a level, what lies beside nothing higher.
    flat: Vec<u32>,
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
        let frame = Frame::new(width, mask.len() / width);
        // Where nothing is split, all are as far away.
        let cap = if split { cap } else { 1 };
        Ok(Self {
            frame,
            labels: vec![0; frame.len()],
            distances: distances(mask, frame, cap, deadline)?,
            parents: vec![0],
            summits: vec![0],
            pixels: Vec::new(),
            starts: Vec::new(),
            flat: Vec::new(),
            wave: Vec::new(),
            meetings: Vec::new(),
        })
    }

    /// Labels the pixels of a component, with some of the labels that it gives back: no other component has those.
    ///
    /// # Errors
    /// When the deadline passes, which is looked at between large parts of a component.
    pub(super) fn flood(&mut self, component: &[Run], deadline: Deadline) -> Result<Range<u32>, TimedOut> {
        let first = self.parents.len() as u32;
        let of_run = |run: &Run| self.distances[self.frame.places(run)].iter().copied().max();
        let top = component.iter().filter_map(of_run).max().unwrap_or(0);
        self.flood_levels(component, SHALLOW..top + 1, deadline)?;
        let mut roots =
            (first..self.parents.len() as u32).filter(|label| self.parents[*label as usize] == *label);
        match (roots.next(), roots.next()) {
            (Some(_), Some(_)) => {
                self.flood_levels(component, 1..SHALLOW, deadline)?;
                for at in component.iter().flat_map(|run| self.frame.places(run)) {
                    self.labels[at] = root(&mut self.parents, self.labels[at]);
                }
            }
            // No summit of what is shallow would stand out: all of it joins the one there is.
            (only, _) => {
                let label = only.unwrap_or_else(|| self.raise_at(self.frame.places(&component[0]).start));
                component.iter().for_each(|run| self.labels[self.frame.places(run)].fill(label));
            }
        }
        Ok(first..self.parents.len() as u32)
    }

    /// Floods what of a component is so high, from the top down.
    fn flood_levels(
        &mut self,
        component: &[Run],
        levels: Range<u16>,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        self.sort_pixels(component, levels);
        let (pixels, ends) = (std::mem::take(&mut self.pixels), std::mem::take(&mut self.starts));
        let mut start = 0;
        for end in &ends {
            let level = &pixels[start..*end as usize];
            start = *end as usize;
            if level.len() > STRETCH {
                deadline.check()?;
            }
            self.descend(level);
            // Levels are many and have few pixels each: most are done.
            if !self.flat.is_empty() {
                self.spread(deadline)?;
            }
            if !self.meetings.is_empty() {
                self.join();
            }
            if !self.flat.is_empty() {
                self.raise();
            }
        }
        (self.pixels, self.starts) = (pixels, ends);
        Ok(())
    }

    /// Labels what of a level lies beside something higher, as that is. The rest is left in `flat`.
    fn descend(&mut self, level: &[u32]) {
        self.flat.clear();
        for at in level {
            let place = *at as usize;
            let around = self.around(place);
            let label = self.label_from(&around, place, self.distances[place]);
            if label == 0 {
                self.flat.push(*at);
            } else {
                self.labels[place] = label;
                self.note(&around, label, self.distances[place]);
            }
        }
    }

    /// Labels what of a level hangs together with what is labelled, in waves: what is as near to two labels goes to the
    /// higher one, whichever comes first in the image.
    fn spread(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        let (mut wave, mut next) = (std::mem::take(&mut self.wave), Vec::new());
        let is_first = |at: &u32| self.beside(*at as usize).iter().any(|at| self.labels[*at] != 0);
        wave.clear();
        wave.extend(self.flat.iter().copied().filter(is_first).map(|at| (at, 0)));
        while !wave.is_empty() {
            deadline.check()?;
            for (at, label) in &mut wave {
                let at = *at as usize;
                *label = self.label_from(&self.around(at), at, 0);
            }
            wave.iter().for_each(|(at, label)| self.labels[*at as usize] = *label);
            next.clear();
            for (at, _) in &wave {
                let at = *at as usize;
                self.note(&self.around(at), self.labels[at], self.distances[at]);
                let alike = |beside: &usize| {
                    self.labels[*beside] == 0 && self.distances[*beside] == self.distances[at]
                };
                next.extend(self.beside(at).into_iter().filter(alike).map(|at| (at as u32, 0)));
            }
            // Reached from several sides, a pixel goes on once.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut wave, &mut next);
        }
        self.wave = wave;
        Ok(())
    }

    /// Gives what is left of a level, its summits, labels of their own.
    fn raise(&mut self) {
        let (flat, mut open) = (std::mem::take(&mut self.flat), Vec::new());
        for summit in &flat {
            if self.labels[*summit as usize] != 0 {
                continue;
            }
            let label = self.raise_at(*summit as usize);
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
        self.flat = flat;
    }

    /// A new label, whose summit lies there.
    fn raise_at(&mut self, summit: usize) -> u32 {
        let label = self.parents.len() as u32;
        self.parents.push(label);
        self.summits.push(summit as u32);
        label
    }

    /// Brings those of a component's pixels whose distances are among `levels` into their order, greatest first; equal ones in
    /// reading order. `starts` is then where each level ends.
    fn sort_pixels(&mut self, component: &[Run], levels: Range<u16>) {
        let level =
            |distance: u16| levels.contains(&distance).then(|| usize::from(levels.end - 1 - distance));
        let places = |run: &Run| self.frame.places(run);
        self.starts.clear();
        self.starts.resize(levels.len() + 1, 0);
        for distance in component.iter().flat_map(|run| &self.distances[places(run)]) {
            if let Some(level) = level(*distance) {
                self.starts[level + 1] += 1;
            }
        }
        for level in 1..self.starts.len() {
            self.starts[level] += self.starts[level - 1];
        }
        self.pixels.clear();
        self.pixels.resize(self.starts.last().map_or(0, |all| *all as usize), 0);
        for at in component.iter().flat_map(places) {
            if let Some(level) = level(self.distances[at]) {
                let next = &mut self.starts[level];
                self.pixels[*next as usize] = at as u32;
                *next += 1;
            }
        }
    }

    /// The places beside one. All are in the plane: what is labelled has a margin around it.
    fn beside(&self, at: usize) -> [usize; 4] {
        [at - 1, at + 1, at - self.frame.stride, at + self.frame.stride]
    }

    /// What lies beside a pixel: labels, as they stand there, and heights.
    fn around(&self, at: usize) -> [(u32, u16); 4] {
        self.beside(at).map(|beside| (self.labels[beside], self.distances[beside]))
    }

    /// The label that a pixel gets from what is around it and higher than `above`: that of the highest; of equal ones,
    /// that of the higher summit; of equal ones, that of the nearer. 0 if none has a label.
    fn label_from(&mut self, around: &[(u32, u16); 4], at: usize, above: u16) -> u32 {
        // What counts there as one number, the higher above the lower: this is most of the work, and what it finds cannot be
        // foreseen, so nothing branches.
        let ranks = around.map(|(label, height)| {
            let counts = (label != 0) & (height > above);
            u64::from(counts) * (u64::from(height) << 32 | u64::from(label))
        });
        let top = ranks.into_iter().fold(0, u64::max);
        let mut best = root(&mut self.parents, top as u32);
        let rivals = ranks.map(|rank| (rank != top) & (rank >> 32 == top >> 32));
        if rivals.into_iter().fold(false, |any, rival| any | rival) {
            for rank in ranks.into_iter().filter(|rank| rank >> 32 == top >> 32) {
                let root = root(&mut self.parents, rank as u32);
                if root != best && self.draws(at, root, best) {
                    best = root;
                }
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
        let width = self.frame.stride as u32;
        u64::from((a % width).abs_diff(b % width)).pow(2) + u64::from((a / width).abs_diff(b / width)).pow(2)
    }

    /// Takes note of where a label that a pixel of that height has got meets others around it, which stand as high or higher.
    fn note(&mut self, around: &[(u32, u16); 4], label: u32, height: u16) {
        let differs = |other: u32| (other != 0) & (other != label);
        if !around.iter().fold(false, |any, (other, _)| any | differs(*other)) {
            return;
        }
        for (other, _) in around.iter().filter(|(other, _)| differs(*other)) {
            let [a, b] = [label, *other].map(|label| root(&mut self.parents, label));
            if a != b {
                self.meetings.push((a, b, height));
            }
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
            if summit - f32::from(pass).sqrt() <= tolerance {
                self.parents[lower as usize] = higher;
            }
        }
        self.meetings = meetings;
    }
}

/// The squared distance of each pixel of a mask to the nearest one outside it, at most `cap` squared; 0 outside. What
/// lies beyond the border is not outside.
fn distances(mut mask: Vec<u8>, frame: Frame, cap: u8, deadline: Deadline) -> Result<Vec<u16>, TimedOut> {
    let width = frame.width;
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
    let mut squares = vec![0u16; frame.len()];
    let margin = usize::from(cap);
    let mut own = vec![u16::from(cap).pow(2); margin + width.next_multiple_of(BLOCK) + margin];
    for (y, row) in mask.chunks_exact(width).enumerate() {
        deadline.check()?;
        square_row(row, &mut own, margin, &mut squares[frame.place(0, y)..][..width]);
    }
    Ok(squares)
}

/// Pixels of a row that are worked on at a time.
const BLOCK: usize = 64;

/// The least, for each pixel, of the squared distances along its row and from there up or down, which `row` has. `own` has
/// room for whole blocks between its margins: its front is overwritten, and what is beyond the row is, as the margins are, as
/// far away as can be.
fn square_row(row: &[u8], own: &mut [u16], margin: usize, squares: &mut [u16]) {
    wide(
        #[inline(always)]
        || {
            for (own, distance) in own[margin..].iter_mut().zip(row) {
                *own = u16::from(*distance) * u16::from(*distance);
            }
            for (block, squares) in squares.chunks_mut(BLOCK).enumerate() {
                let start = margin + block * BLOCK;
                let mut least = [0; BLOCK];
                least.copy_from_slice(&own[start..][..BLOCK]);
                let mut aside: u16 = 1;
                // Nothing farther aside is nearer than what is farthest by now.
                while least.iter().fold(0, |most, square| most.max(*square)) > aside * aside {
                    let by = usize::from(aside);
                    let (before, after) = (&own[start - by..][..BLOCK], &own[start + by..][..BLOCK]);
                    for i in 0..BLOCK {
                        let beside = before[i].min(after[i]).saturating_add(aside * aside);
                        least[i] = least[i].min(beside);
                    }
                    aside += 1;
                }
                squares.copy_from_slice(&least[..squares.len()]);
            }
        },
    );
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

    /// Where the pixels lie, in reading order.
    fn places(frame: Frame) -> impl Iterator<Item = usize> {
        (0..frame.height).flat_map(move |y| (0..frame.width).map(move |x| frame.place(x, y)))
    }

    fn counts(mask: &[u8], width: usize, split: bool) -> Vec<usize> {
        let mut labels = Labels::new(mask.to_vec(), width, 40, split, Deadline::none()).expect("no deadline");
        for component in Components::of(mask, width, 1, false, Deadline::none()).expect("no deadline").iter()
        {
            labels.flood(component, Deadline::none()).expect("no deadline");
        }
        let inside = places(labels.frame);
        assert!(mask.iter().zip(inside).all(|(mask, at)| (*mask == 0) == (labels.labels[at] == 0)));
        let mut all: Vec<u32> = labels.labels.iter().copied().filter(|label| *label != 0).collect();
        assert_eq!(all.len(), mask.iter().filter(|mask| **mask != 0).count(), "the margin has none");
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

    /// What a flood from the top to the edge gives, with nothing taken for granted.
    fn plainly(mask: &[u8], width: usize) -> Labels {
        let deadline = Deadline::none();
        let mut labels = Labels::new(mask.to_vec(), width, 40, true, deadline).expect("no deadline");
        for component in Components::of(mask, width, 1, false, deadline).expect("no deadline").iter() {
            labels.flood_levels(component, 1..40 * 40 + 1, deadline).expect("no deadline");
        }
        for label in &mut labels.labels {
            *label = root(&mut labels.parents, *label);
        }
        labels
    }

    #[test]
    fn a_level_that_is_reached_in_many_ways_is_flooded_once() {
        // Every pixel lies beside a hole, so that all are of one level, but for two summits.
        let width = 120;
        let is_hole =
            |x: usize, y: usize| (x + 2 * y).is_multiple_of(5) && ![(10, 10), (15, 15)].contains(&(x, y));
        let inside = |at: usize| u8::from(!is_hole(at % width, at / width));
        let mask: Vec<u8> = (0..width * width).map(inside).collect();
        assert!(
            counts(&mask, width, true).len() > 1,
            "both summits stand out, so that every level is flooded"
        );
    }

    #[test]
    fn the_time_limit_holds_within_a_component() {
        let mut labels = Labels::new(vec![1; 10_000], 100, 40, true, Deadline::none()).expect("no deadline");
        let components = Components::of(&[1; 10_000], 100, 1, false, Deadline::none()).expect("no deadline");
        let component = components.iter().next().expect("one");
        let late = Deadline::after(std::time::Duration::ZERO);
        assert_eq!(labels.flood(component, late), Err(TimedOut));
    }

    proptest! {
        #[test]
        fn what_is_shallow_changes_no_split(
            all in proptest::collection::vec((0f64..60.0, 0f64..50.0, 1f64..11.0), 1..12),
            holes in proptest::collection::vec(0usize..3000, 0..6),
        ) {
            let all: Vec<[f64; 3]> = all.into_iter().map(|(x, y, r)| [x, y, r]).collect();
            let mut mask = discs(60, 50, &all);
            holes.into_iter().for_each(|hole| mask[hole] = 0);
            let expected = plainly(&mask, 60);
            let mut is = Labels::new(mask.clone(), 60, 40, true, Deadline::none()).expect("no deadline");
            for component in Components::of(&mask, 60, 1, false, Deadline::none()).expect("no deadline").iter() {
                is.flood(component, Deadline::none()).expect("no deadline");
            }
            // The numbers may differ, but not where they are the same.
            let mut seen = std::collections::BTreeMap::from([(0, 0)]);
            for (is, expected) in is.labels.iter().zip(&expected.labels) {
                prop_assert_eq!(*seen.entry(*is).or_insert(*expected), *expected);
            }
            let distinct: std::collections::BTreeSet<_> = expected.labels.iter().collect();
            prop_assert_eq!(seen.len(), distinct.len() + usize::from(!distinct.contains(&0)));
        }

        #[test]
        fn distances_are_those_to_the_nearest_pixel_outside(
            width in 1usize..200, pixels in proptest::collection::vec(0u16..300, 1..900), cap in 1u8..,
            rare in any::<bool>(),
        ) {
            let holes = if rare { 2 } else { 40 };
            let mut mask: Vec<u8> = pixels.into_iter().map(|p| u8::from(p > holes)).collect();
            mask.resize(mask.len().div_ceil(width) * width, 0);
            let frame = Frame::new(width, mask.len() / width);
            let is = distances(mask.clone(), frame, cap, Deadline::none()).expect("no deadline");
            let place = |at: usize| ((at % width) as i64, (at / width) as i64);
            for (at, is) in places(frame).map(|at| is[at]).enumerate() {
                let (x, y) = place(at);
                let square = |other: usize| (place(other).0 - x).pow(2) + (place(other).1 - y).pow(2);
                let nearest = (0..mask.len()).filter(|other| mask[*other] == 0).map(square).min();
                let most = i64::from(cap).pow(2);
                prop_assert_eq!(i64::from(is), nearest.map_or(most, |nearest| nearest.min(most)));
            }
        }
    }
}
