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

/// The rectangle that a component lies in, with a pixel around it, as it lies in memory: the pixel at the end of a row is that
/// before the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Of the plane, the column and the row of the rectangle's first pixel.
    left: usize,
    top: usize,
    height: usize,
    /// From one row to the next.
    pub(super) stride: usize,
}

impl Frame {
    /// The one around a component.
    pub(super) fn around(component: &[Run]) -> Self {
        let left = component.iter().map(|run| run.start).min().unwrap_or(0) as usize;
        let right = component.iter().map(|run| run.end).max().unwrap_or(0) as usize;
        let [top, last] =
            [component.first(), component.last()].map(|run| run.map_or(0, |run| run.row as usize));
        Self { left, top, height: last + 1 - top, stride: right - left + 1 }
    }

    /// How many places there are, those of the margin included.
    pub(super) fn len(self) -> usize {
        self.stride * (self.height + 2) + 1
    }

    /// Where a pixel of the plane is.
    pub(super) fn place(self, column: usize, row: usize) -> usize {
        (row + 1 - self.top) * self.stride + column + 1 - self.left
    }

    pub(super) fn places(self, run: &Run) -> Range<usize> {
        let first = self.place(run.start as usize, run.row as usize);
        first..first + run.len()
    }

    /// The column and the row in the plane of the pixel at a place.
    pub(super) fn pixel(self, place: usize) -> [usize; 2] {
        [place % self.stride + self.left - 1, place / self.stride + self.top - 1]
    }
}

/// What is known of a pixel of a component: the squared distance to the nearest pixel outside, its height, above its label.
/// Outside both are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(u64);

impl Cell {
    pub(super) fn new(height: u16, label: u32) -> Self {
        Self(u64::from(height) << u32::BITS | u64::from(label))
    }

    /// Which nucleus it belongs to. 0 is none.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    pub(super) fn label(self) -> u32 {
        self.0 as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "it was 16 bits")]
    fn height(self) -> u16 {
        (self.0 >> u32::BITS) as u16
    }

    fn set_label(&mut self, label: u32) {
        *self = Self::new(self.height(), label);
    }
}

/// Components, one after the other, and the nuclei that they are split into.
pub(super) struct Labels {
    /// Columns and rows of the plane.
    pub(super) plane: [usize; 2],
    /// The most that a distance counts.
    cap: u8,
    /// Of the component that is at hand.
    pub(super) frame: Frame,
    /// In the frame, and nothing anywhere else.
    pub(super) cells: Vec<Cell>,
    /// How far it is to the nearest pixel outside, straight up or down. In the frame, and 0 anywhere else.
    steps: Vec<u8>,
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
    /// For components of a plane of that width and height. `cap` bounds the distance, and with it the time: what is farther
    /// away counts as just so far.
    pub(super) fn new(plane: [usize; 2], cap: u8, split: bool) -> Self {
        Self {
            plane,
            // Where nothing is split, all are as far away.
            cap: if split { cap } else { 1 },
            frame: Frame::default(),
            cells: Vec::new(),
            steps: Vec::new(),
            parents: vec![0],
            summits: vec![0],
            pixels: Vec::new(),
            starts: Vec::new(),
            flat: Vec::new(),
            wave: Vec::new(),
            meetings: Vec::new(),
        }
    }

    /// Labels the pixels of a component, until it is cleared. Gives how many labels there may be.
    ///
    /// # Errors
    /// When the deadline passes, which is looked at between large parts of a component.
    pub(super) fn flood(&mut self, component: &[Run], deadline: Deadline) -> Result<usize, TimedOut> {
        self.parents.truncate(1);
        self.summits.truncate(1);
        let top = self.measure(component, deadline)?;
        self.flood_levels(component, SHALLOW..top + 1, deadline)?;
        let mut roots =
            (1..self.parents.len() as u32).filter(|label| self.parents[*label as usize] == *label);
        match (roots.next(), roots.next()) {
            (Some(_), Some(_)) => {
                self.flood_levels(component, 1..SHALLOW, deadline)?;
                for cell in component.iter().flat_map(|run| self.frame.places(run)) {
                    let label = root(&mut self.parents, self.cells[cell].label());
                    self.cells[cell].set_label(label);
                }
            }
            // No summit of what is shallow would stand out: all of it joins the one there is.
            (only, _) => {
                let label = only.unwrap_or_else(|| self.raise_at(self.frame.places(&component[0]).start));
                for run in component {
                    self.cells[self.frame.places(run)].iter_mut().for_each(|cell| cell.set_label(label));
                }
            }
        }
        Ok(self.parents.len())
    }

    /// Forgets a component, so that there is room for the next.
    pub(super) fn clear(&mut self, component: &[Run]) {
        for run in component {
            let places = self.frame.places(run);
            self.cells[places.clone()].fill(Cell::default());
            self.steps[places].fill(0);
        }
    }

    /// Measures the squared distance of each pixel of a component to the nearest one outside, at most `cap` squared. What
    /// lies beyond the plane's border is not outside. Gives the greatest.
    ///
    /// Up and down first, then along each row: Euclid's distance is separable in its square.
    fn measure(&mut self, component: &[Run], deadline: Deadline) -> Result<u16, TimedOut> {
        self.frame = Frame::around(component);
        if self.cells.len() < self.frame.len() {
            self.cells.resize(self.frame.len(), Cell::default());
            self.steps.resize(self.frame.len(), 0);
        }
        let Self { frame, cap, plane: [width, height], .. } = *self;
        let mut line = Vec::new();
        wide(
            #[inline(always)]
            || {
                for run in component {
                    let places = frame.places(run);
                    let (above, own) = self.steps.split_at_mut(places.start);
                    let own = &mut own[..run.len()];
                    own.fill(cap);
                    if run.row > 0 {
                        step(own, &above[places.start - frame.stride..][..run.len()]);
                    }
                }
                let (mut top, mut done) = (0, 0);
                for run in component.iter().rev() {
                    let places = frame.places(run);
                    let (own, below) = self.steps.split_at_mut(places.end);
                    let own = &mut own[places.start..];
                    if (run.row as usize) + 1 < height {
                        step(own, &below[frame.stride - run.len()..][..run.len()]);
                    }
                    let beyond = [run.start == 0, run.end as usize == width];
                    top = top.max(square_run(own, beyond, cap, &mut line, &mut self.cells[places]));
                    done += run.len();
                    if done > STRETCH {
                        done = 0;
                        deadline.check()?;
                    }
                }
                Ok(top)
            },
        )
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
            let (around, height) = (self.around(place), self.cells[place].height());
            let label = self.label_from(&around, place, height);
            if label == 0 {
                self.flat.push(*at);
            } else {
                self.cells[place].set_label(label);
                self.note(&around, label, height);
            }
        }
    }

    /// Labels what of a level hangs together with what is labelled, in waves: what is as near to two labels goes to the
    /// higher one, whichever comes first in the image.
    fn spread(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        let (mut wave, mut next) = (std::mem::take(&mut self.wave), Vec::new());
        let is_first = |at: &u32| self.around(*at as usize).iter().any(|cell| cell.label() != 0);
        wave.clear();
        wave.extend(self.flat.iter().copied().filter(is_first).map(|at| (at, 0)));
        while !wave.is_empty() {
            deadline.check()?;
            for (at, label) in &mut wave {
                let at = *at as usize;
                *label = self.label_from(&self.around(at), at, 0);
            }
            wave.iter().for_each(|(at, label)| self.cells[*at as usize].set_label(*label));
            next.clear();
            for (at, _) in &wave {
                let at = *at as usize;
                let own = self.cells[at];
                self.note(&self.around(at), own.label(), own.height());
                let alike = |beside: &usize| self.cells[*beside] == Cell::new(own.height(), 0);
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
            let summit = *summit as usize;
            let open_cell = self.cells[summit];
            if open_cell.label() != 0 {
                continue;
            }
            let label = self.raise_at(summit);
            self.cells[summit].set_label(label);
            open.push(summit as u32);
            while let Some(at) = open.pop() {
                for beside in self.beside(at as usize) {
                    if self.cells[beside] == open_cell {
                        self.cells[beside].set_label(label);
                        open.push(beside as u32);
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

    /// Brings those of a component's pixels whose heights are among `levels` into their order, greatest first; equal ones in
    /// reading order. `starts` is then where each level ends.
    fn sort_pixels(&mut self, component: &[Run], levels: Range<u16>) {
        // All others come last, and are cut off: where they lie cannot be foreseen, so nothing branches.
        let others = levels.len();
        let level = |cell: Cell| usize::from((levels.end - 1).wrapping_sub(cell.height())).min(others);
        let places = |run: &Run| self.frame.places(run);
        self.starts.clear();
        self.starts.resize(others + 2, 0);
        for run in component {
            for cell in &self.cells[places(run)] {
                self.starts[level(*cell) + 1] += 1;
            }
        }
        for level in 1..self.starts.len() {
            self.starts[level] += self.starts[level - 1];
        }
        self.pixels.clear();
        self.pixels.resize(self.starts[others + 1] as usize, 0);
        for run in component {
            for at in places(run) {
                let next = &mut self.starts[level(self.cells[at])];
                self.pixels[*next as usize] = at as u32;
                *next += 1;
            }
        }
        self.starts.truncate(others);
    }

    /// The places beside one. All are in the frame: around what is labelled lies its margin.
    fn beside(&self, at: usize) -> [usize; 4] {
        [at - 1, at + 1, at - self.frame.stride, at + self.frame.stride]
    }

    /// What lies beside a pixel: labels, as they stand there, and heights.
    fn around(&self, at: usize) -> [Cell; 4] {
        self.beside(at).map(|beside| self.cells[beside])
    }

    /// The label that a pixel gets from what is around it and higher than `above`: that of the highest; of equal ones,
    /// that of the higher summit; of equal ones, that of the nearer. 0 if none has a label.
    fn label_from(&mut self, around: &[Cell; 4], at: usize, above: u16) -> u32 {
        // This is most of the work, and what it finds cannot be foreseen, so nothing branches.
        let ranks = around.map(|cell| {
            let counts = (cell.label() != 0) & (cell.height() > above);
            Cell(u64::from(counts) * cell.0)
        });
        let top = ranks.into_iter().fold(Cell::default(), Cell::max);
        let mut best = root(&mut self.parents, top.label());
        let rivals = ranks.map(|rank| (rank != top) & (rank.height() == top.height()));
        if rivals.into_iter().fold(false, |any, rival| any | rival) {
            for rank in ranks.into_iter().filter(|rank| rank.height() == top.height()) {
                let root = root(&mut self.parents, rank.label());
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
            (self.cells[summit as usize].height(), Reverse(self.apart(summit, at as u32)))
        };
        draw(label) > draw(other)
    }

    /// The squared distance of two places.
    fn apart(&self, a: u32, b: u32) -> u64 {
        let width = self.frame.stride as u32;
        u64::from((a % width).abs_diff(b % width)).pow(2) + u64::from((a / width).abs_diff(b / width)).pow(2)
    }

    /// Takes note of where a label that a pixel of that height has got meets others around it, which stand as high or higher.
    fn note(&mut self, around: &[Cell; 4], label: u32, height: u16) {
        let others = around.map(Cell::label);
        let differs = |other: u32| (other != 0) & (other != label);
        if !others.into_iter().fold(false, |any, other| any | differs(other)) {
            return;
        }
        for other in others.into_iter().filter(|other| differs(*other)) {
            let [a, b] = [label, other].map(|label| root(&mut self.parents, label));
            if a != b {
                self.meetings.push((a, b, height));
            }
        }
    }

    /// Joins labels that have met, unless the summits of both stand out from where they did. The higher a summit, and
    /// the nearer, the sooner it is joined, whichever comes first in the image.
    fn join(&mut self) {
        let mut meetings = std::mem::take(&mut self.meetings);
        let height = |label: u32| self.cells[self.summits[label as usize] as usize].height();
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

/// Pixels of a row that are worked on at a time.
const BLOCK: usize = 32;

/// Sets the heights of a run's cells: the least, for each, of the squared distances along the row and from there up or down, which
/// `steps` has. Outside lies at either end, but where the plane ends there, which `beyond` says. `line` is overwritten. Gives
/// the greatest.
#[inline(always)]
fn square_run(steps: &[u8], beyond: [bool; 2], cap: u8, line: &mut Vec<u16>, cells: &mut [Cell]) -> u16 {
    // From what lies outside at the ends nothing in the run is farther than the run is long.
    let margin = if beyond == [false; 2] { steps.len().min(cap.into()) } else { cap.into() };
    let [before, after] = beyond.map(|beyond| if beyond { u16::from(cap).pow(2) } else { 0 });
    line.clear();
    line.resize(margin, before);
    line.extend(steps.iter().map(|step| u16::from(*step).pow(2)));
    line.resize(margin + steps.len().next_multiple_of(BLOCK) + margin, after);
    let mut top = 0;
    for (cells, start) in cells.chunks_mut(BLOCK).zip((margin..).step_by(BLOCK)) {
        let mut least = [0; BLOCK];
        least.copy_from_slice(&line[start..][..BLOCK]);
        let mut aside: u16 = 1;
        // Nothing farther aside is nearer than what is farthest by now.
        while least.iter().fold(0, |most, square| most.max(*square)) > aside * aside {
            let by = usize::from(aside);
            let (before, after) = (&line[start - by..][..BLOCK], &line[start + by..][..BLOCK]);
            for i in 0..BLOCK {
                let beside = before[i].min(after[i]).saturating_add(aside * aside);
                least[i] = least[i].min(beside);
            }
            aside += 1;
        }
        for (cell, square) in cells.iter_mut().zip(least) {
            *cell = Cell::new(square, 0);
            top = top.max(square);
        }
    }
    top
}

/// Lowers distances to one more than those beside them.
#[inline(always)]
fn step(own: &mut [u8], beside: &[u8]) {
    for (own, beside) in own.iter_mut().zip(beside) {
        *own = (*own).min(beside.saturating_add(1));
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

    fn labels(width: usize, height: usize, split: bool) -> Labels {
        Labels::new([width, height], 40, split)
    }

    fn components(mask: &[u8], width: usize) -> Components {
        Components::of(mask, width, 1, false, Deadline::none()).expect("no deadline")
    }

    /// What the cells of a mask's components have in a plane, one component after the other. Each is measured and then `done`
    /// with.
    fn plane<T: Copy + Default>(
        mask: &[u8],
        labels: &mut Labels,
        done: impl Fn(&mut Labels, &[Run]),
        mut of: impl FnMut(&mut Labels, usize) -> T,
    ) -> Vec<T> {
        let width = labels.plane[0];
        let mut all = vec![T::default(); mask.len()];
        for component in components(mask, width).iter() {
            done(labels, component);
            for run in component {
                for (at, place) in run.places(width).zip(labels.frame.places(run)) {
                    all[at] = of(labels, place);
                    let [column, row] = labels.frame.pixel(place);
                    assert_eq!(row * width + column, at);
                }
            }
            labels.clear(component);
            assert!(labels.cells.iter().all(|cell| *cell == Cell::default()), "nothing is left");
            assert!(labels.steps.iter().all(|step| *step == 0), "nothing is left");
        }
        all
    }

    /// The nuclei of a mask, each with a number of its own. 0 is none.
    fn nuclei(mask: &[u8], width: usize, split: bool) -> Vec<u32> {
        let flood = |labels: &mut Labels, component: &[Run]| {
            labels.flood(component, Deadline::none()).expect("no deadline");
        };
        numbered(mask, &mut labels(width, mask.len() / width, split), flood)
    }

    /// What a flood from the top to the edge gives, with nothing taken for granted.
    fn plainly(mask: &[u8], width: usize) -> Vec<u32> {
        let flood = |labels: &mut Labels, component: &[Run]| {
            labels.parents.truncate(1);
            labels.summits.truncate(1);
            labels.measure(component, Deadline::none()).expect("no deadline");
            labels.flood_levels(component, 1..40 * 40 + 1, Deadline::none()).expect("no deadline");
        };
        numbered(mask, &mut labels(width, mask.len() / width, true), flood)
    }

    /// Numbers what has one label and one component, in reading order.
    fn numbered(mask: &[u8], labels: &mut Labels, flood: impl Fn(&mut Labels, &[Run])) -> Vec<u32> {
        let component = std::cell::Cell::new(0);
        let flood = |labels: &mut Labels, runs: &[Run]| {
            component.set(component.get() + 1);
            flood(labels, runs);
        };
        let owners = plane(mask, labels, flood, |labels, place| {
            (component.get(), root(&mut labels.parents, labels.cells[place].label()))
        });
        let mut seen = std::collections::BTreeMap::from([((0, 0), 0)]);
        owners
            .into_iter()
            .map(|owner| {
                let next = seen.len() as u32;
                *seen.entry(owner).or_insert(next)
            })
            .collect()
    }

    fn counts(mask: &[u8], width: usize, split: bool) -> Vec<usize> {
        let mut all = nuclei(mask, width, split);
        assert!(mask.iter().zip(&all).all(|(mask, nucleus)| (*mask == 0) == (*nucleus == 0)));
        all.retain(|nucleus| *nucleus != 0);
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
        let mut labels = labels(100, 100, true);
        let components = components(&[1; 10_000], 100);
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
            prop_assert_eq!(nuclei(&mask, 60, true), plainly(&mask, 60));
        }

        #[test]
        fn distances_are_those_to_the_nearest_pixel_outside(
            width in 1usize..200, pixels in proptest::collection::vec(0u16..300, 1..900), cap in 1u8..,
            rare in any::<bool>(),
        ) {
            let holes = if rare { 2 } else { 40 };
            let mut mask: Vec<u8> = pixels.into_iter().map(|p| u8::from(p > holes)).collect();
            mask.resize(mask.len().div_ceil(width) * width, 0);
            let mut labels = Labels::new([width, mask.len() / width], cap, true);
            let measure = |labels: &mut Labels, component: &[Run]| {
                labels.measure(component, Deadline::none()).expect("no deadline");
            };
            let is = plane(&mask, &mut labels, measure, |labels, place| labels.cells[place].height());
            let place = |at: usize| ((at % width) as i64, (at / width) as i64);
            for (at, is) in is.into_iter().enumerate() {
                let (x, y) = place(at);
                let square = |other: usize| (place(other).0 - x).pow(2) + (place(other).1 - y).pow(2);
                let nearest = (0..mask.len()).filter(|other| mask[*other] == 0).map(square).min();
                let most = i64::from(cap).pow(2);
                prop_assert_eq!(i64::from(is), nearest.map_or(most, |nearest| nearest.min(most)));
            }
        }
    }
}
