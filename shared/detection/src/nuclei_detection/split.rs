//! Splits nuclei that touch by their shape: a watershed of the distance to the background.
//!
//! Nuclei are nearly convex, so each has a summit of its own in the distance map. The map is flooded from its summits
//! downwards. Where two floods meet, the lower summit counts as a nucleus of its own only if it stands out from the
//! pass between them by more than a tolerance, as in ImageJ's watershed of the distance map; otherwise ragged edges
//! would give many small nuclei.

use std::{cmp::Reverse, ops::Range};

use imaging::{Deadline, TimedOut};

use super::regions::{self, Run, pixels, root};
use crate::{
    DetectError,
    algorithm::{Memory, bytes},
    kernels::wide,
    pace::{self, Looks},
};

/// The least by which a summit must stand out, in pixels, and as a part of its height. In a nucleus of few pixels'
/// width distances change in steps of up to √8 − 2, which is less: such a step is no summit.
const TOLERANCE: f32 = 0.85;
const TOLERANCE_PART: f32 = 0.1;

/// Squared distances below this are shallow: a summit of height √2 or 1 cannot stand out by the tolerance from its
/// neighbours.
const SHALLOW: u16 = 4;

/// The number of pixels that may be flooded between two checks of the deadline.
const STRETCH: usize = 4096;

/// The bytes that a cell of a frame takes, with its distance; those of a pixel of a component while pixels are sorted,
/// with the label and the summit that it may become; and those of a pixel of the level that is flooded.
const CELL: usize = size_of::<Cell>() + 1;
const SORTED: usize = 3 * size_of::<u32>();
const FLOODED: usize = 5 * size_of::<u32>();
/// The bytes of a meeting, with its rank.
const MEETING: usize = size_of::<(u32, u32, u16)>() + size_of::<Rank>();

/// The bounding box of a component with a margin of one pixel, as it lies in memory: the margin at the end of a row is
/// also that at the start of the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// The column and the row in the plane of the bounding box's first pixel.
    left: usize,
    top: usize,
    height: usize,
    /// The number of cells from one row to the next.
    pub(super) stride: usize,
}

impl Frame {
    /// The frame of a component.
    pub(super) fn around(component: &[Run]) -> Self {
        let left = component.iter().map(|run| run.start).min().unwrap_or(0) as usize;
        let right = component.iter().map(|run| run.end).max().unwrap_or(0) as usize;
        let [top, last] =
            [component.first(), component.last()].map(|run| run.map_or(0, |run| run.row as usize));
        Self { left, top, height: last + 1 - top, stride: right - left + 1 }
    }

    /// The number of cells, those of the margin included.
    pub(super) fn len(self) -> usize {
        self.stride * (self.height + 2) + 1
    }

    /// The index of the cell of a pixel of the plane.
    pub(super) fn place(self, column: usize, row: usize) -> usize {
        (row + 1 - self.top) * self.stride + column + 1 - self.left
    }

    pub(super) fn places(self, run: &Run) -> Range<usize> {
        let first = self.place(run.start as usize, run.row as usize);
        first..first + run.len()
    }

    /// The column and the row in the plane of the cell at a place.
    pub(super) fn pixel(self, place: usize) -> [usize; 2] {
        [place % self.stride + self.left - 1, place / self.stride + self.top - 1]
    }
}

/// The state of a pixel of a component: its height, which is the squared distance to the nearest pixel outside, in the
/// upper half, and its label in the lower half. Outside the component both are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(u64);

impl Cell {
    pub(super) fn new(height: u16, label: u32) -> Self {
        Self(u64::from(height) << u32::BITS | u64::from(label))
    }

    /// The nucleus that the pixel belongs to; 0 for none.
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

/// Splits components into nuclei, one component after the other.
pub(super) struct Labels {
    /// The width and the height of the plane.
    pub(super) plane: [usize; 2],
    /// The greatest distance that is distinguished.
    cap: u8,
    /// The frame of the component that is being split.
    pub(super) frame: Frame,
    /// The cells of the frame. Cells that are in no use are 0.
    pub(super) cells: Vec<Cell>,
    /// The distance to the nearest pixel outside, straight up or down, for each cell of the frame. Cells that are in no
    /// use are 0.
    steps: Vec<u8>,
    /// For each label, the label that it was joined to, which is itself if it was joined to none, and the place of its
    /// summit.
    parents: Vec<u32>,
    summits: Vec<u32>,
    pixels: Vec<u32>,
    starts: Vec<u32>,
    /// The pixels of a level that do not lie beside anything higher.
    flat: Vec<u32>,
    /// The pixels that are labelled next, with their labels.
    wave: Vec<(u32, u32)>,
    /// Pairs of labels that have met, and the height at which they met.
    meetings: Vec<(u32, u32, u16)>,
    ranks: Vec<Rank>,
}

impl Labels {
    /// Prepares for components of a plane of that width and height. `cap` bounds the distance, and with it the running
    /// time: greater distances count as this one.
    pub(super) fn new(plane: [usize; 2], cap: u8, split: bool) -> Self {
        Self {
            plane,
            // Where nothing is to be split, all distances are made equal.
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
            ranks: Vec::new(),
        }
    }

    /// Labels the pixels of a component; they stay labelled until [`Labels::clear`]. Returns an upper bound of the
    /// labels.
    ///
    /// # Errors
    /// [`DetectError::Memory`] where the component is so large that more would be taken than `memory` allows, and
    /// [`DetectError::TimedOut`] when the deadline passes, which is checked between parts of a component.
    pub(super) fn flood(
        &mut self,
        component: &[Run],
        memory: Memory,
        deadline: Deadline,
    ) -> Result<usize, DetectError> {
        self.parents.truncate(1);
        self.summits.truncate(1);
        let cells = self.cells.len().max(Frame::around(component).len());
        let memory = memory.beside(bytes(cells, CELL));
        memory.allows(bytes(pixels(component), SORTED))?;
        let top = self.measure(component, deadline)?;
        self.flood_levels(component, SHALLOW..top + 1, memory, deadline)?;
        let mut roots =
            (1..self.parents.len() as u32).filter(|label| self.parents[*label as usize] == *label);
        match (roots.next(), roots.next()) {
            (Some(_), Some(_)) => {
                self.flood_levels(component, 1..SHALLOW, memory, deadline)?;
                let mut looks = Looks::each(regions::STRETCH, deadline);
                for run in component {
                    looks.count(run.len())?;
                    for cell in self.frame.places(run) {
                        let label = root(&mut self.parents, self.cells[cell].label());
                        self.cells[cell].set_label(label);
                    }
                }
            }
            // No shallow summit would stand out, so all shallow pixels join the only label there is.
            (only, _) => {
                let label = only.unwrap_or_else(|| self.raise_at(self.frame.places(&component[0]).start));
                for run in component {
                    self.cells[self.frame.places(run)].iter_mut().for_each(|cell| cell.set_label(label));
                }
            }
        }
        Ok(self.parents.len())
    }

    /// The bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        let words = self.parents.len() + self.summits.len() + self.pixels.len() + self.starts.len();
        bytes(self.cells.len(), CELL).saturating_add(bytes(words, size_of::<u32>()))
    }

    /// Resets the cells of a component, to make room for the next.
    pub(super) fn clear(&mut self, component: &[Run]) {
        for run in component {
            let places = self.frame.places(run);
            self.cells[places.clone()].fill(Cell::default());
            self.steps[places].fill(0);
        }
    }

    /// Measures the squared distance of each pixel of a component to the nearest pixel outside it, at most `cap`
    /// squared, and returns the greatest. Places beyond the plane's border do not count as outside.
    ///
    /// Distances are measured up and down first, and then along each row, because the square of the Euclidean distance
    /// is separable.
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
                let mut looks = Looks::each(regions::STRETCH, deadline);
                for run in component {
                    looks.count(run.len())?;
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

    /// Floods the pixels of a component whose heights are among `levels`, from the highest level down.
    fn flood_levels(
        &mut self,
        component: &[Run],
        levels: Range<u16>,
        memory: Memory,
        deadline: Deadline,
    ) -> Result<(), DetectError> {
        self.sort_pixels(component, levels, deadline)?;
        let largest = self.starts.iter().scan(0, |start, end| Some(end - std::mem::replace(start, *end)));
        let flooded = bytes(largest.max().unwrap_or(0) as usize, FLOODED);
        let memory = memory.beside(bytes(pixels(component), SORTED));
        memory.allows(flooded)?;
        let memory = memory.beside(flooded);
        let (pixels, ends) = (std::mem::take(&mut self.pixels), std::mem::take(&mut self.starts));
        let mut start = 0;
        for end in &ends {
            let level = &pixels[start..*end as usize];
            start = *end as usize;
            self.descend(level, deadline)?;
            // There are many levels, of few pixels each; after `descend`, most of them are done.
            if !self.flat.is_empty() {
                self.spread(deadline)?;
            }
            if !self.meetings.is_empty() {
                memory.allows(bytes(self.meetings.len(), MEETING))?;
                self.join(deadline)?;
            }
            if !self.flat.is_empty() {
                self.raise(deadline)?;
            }
        }
        (self.pixels, self.starts) = (pixels, ends);
        Ok(())
    }

    /// Labels the pixels of a level that lie beside something higher, with its label. The others are left in `flat`.
    fn descend(&mut self, level: &[u32], deadline: Deadline) -> Result<(), TimedOut> {
        self.flat.clear();
        for stretch in level.chunks(STRETCH) {
            if stretch.len() == STRETCH {
                deadline.check()?;
            }
            for at in stretch {
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
        Ok(())
    }

    /// Labels the pixels of a level that are connected with labelled ones, in waves. A pixel that is equally near to
    /// two labels gets that of the higher summit, whichever of them comes first in the image.
    fn spread(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        let (mut wave, mut next) = (std::mem::take(&mut self.wave), Vec::new());
        let is_first = |at: &u32| self.around(*at as usize).iter().any(|cell| cell.label() != 0);
        wave.clear();
        wave.extend(self.flat.iter().copied().filter(is_first).map(|at| (at, 0)));
        while !wave.is_empty() {
            for stretch in wave.chunks_mut(STRETCH) {
                deadline.check()?;
                for (at, label) in stretch {
                    let at = *at as usize;
                    *label = self.label_from(&self.around(at), at, 0);
                }
            }
            wave.iter().for_each(|(at, label)| self.cells[*at as usize].set_label(*label));
            next.clear();
            for stretch in wave.chunks(STRETCH) {
                deadline.check()?;
                for (at, _) in stretch {
                    let at = *at as usize;
                    let own = self.cells[at];
                    self.note(&self.around(at), own.label(), own.height());
                    let alike = |beside: &usize| self.cells[*beside] == Cell::new(own.height(), 0);
                    next.extend(self.beside(at).into_iter().filter(alike).map(|at| (at as u32, 0)));
                }
            }
            // A pixel may have been reached from several sides, but is processed once.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut wave, &mut next);
        }
        self.wave = wave;
        Ok(())
    }

    /// Gives the pixels that are left of a level new labels: they are summits.
    fn raise(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        let (flat, mut open) = (std::mem::take(&mut self.flat), Vec::new());
        let mut looks = Looks::each(regions::STRETCH, deadline);
        for summit in &flat {
            looks.count(1)?;
            let summit = *summit as usize;
            let open_cell = self.cells[summit];
            if open_cell.label() != 0 {
                continue;
            }
            let label = self.raise_at(summit);
            self.cells[summit].set_label(label);
            open.push(summit as u32);
            while let Some(at) = open.pop() {
                looks.count(1)?;
                for beside in self.beside(at as usize) {
                    if self.cells[beside] == open_cell {
                        self.cells[beside].set_label(label);
                        open.push(beside as u32);
                    }
                }
            }
        }
        self.flat = flat;
        Ok(())
    }

    /// Makes a new label with its summit at that place.
    fn raise_at(&mut self, summit: usize) -> u32 {
        let label = self.parents.len() as u32;
        self.parents.push(label);
        self.summits.push(summit as u32);
        label
    }

    /// Sorts the pixels of a component whose heights are among `levels`: the highest first, equal ones in reading
    /// order. `starts` then has the index where each level ends.
    fn sort_pixels(
        &mut self,
        component: &[Run],
        levels: Range<u16>,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        // Pixels of other heights are sorted to the end and cut off. A branch for them would be mispredicted often.
        let others = levels.len();
        let level = |cell: Cell| usize::from((levels.end - 1).wrapping_sub(cell.height())).min(others);
        let places = |run: &Run| self.frame.places(run);
        self.starts.clear();
        self.starts.resize(others + 2, 0);
        let mut looks = Looks::each(regions::STRETCH, deadline);
        for run in component {
            looks.count(run.len())?;
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
            looks.count(run.len())?;
            for at in places(run) {
                let next = &mut self.starts[level(self.cells[at])];
                self.pixels[*next as usize] = at as u32;
                *next += 1;
            }
        }
        self.starts.truncate(others);
        Ok(())
    }

    /// The four neighbours of a place. All of them are in the frame, because its margin surrounds the component.
    fn beside(&self, at: usize) -> [usize; 4] {
        [at - 1, at + 1, at - self.frame.stride, at + self.frame.stride]
    }

    /// The cells beside a pixel. Labels in them may have been joined to others since.
    fn around(&self, at: usize) -> [Cell; 4] {
        self.beside(at).map(|beside| self.cells[beside])
    }

    /// The label that a pixel gets from its neighbours higher than `above`: that of the highest one; if several are
    /// equally high, that of the higher summit, and then that of the nearer one. 0 if none has a label.
    fn label_from(&mut self, around: &[Cell; 4], at: usize, above: u16) -> u32 {
        // This takes most of the time, and a branch on what is found would be mispredicted often, so the first part has
        // none.
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

    /// Whether a pixel joins `label` rather than `other`.
    fn draws(&self, at: usize, label: u32, other: u32) -> bool {
        let draw = |label: u32| {
            let summit = self.summits[label as usize];
            (self.cells[summit as usize].height(), Reverse(self.apart(summit, at as u32)))
        };
        draw(label) > draw(other)
    }

    /// The squared distance between two places.
    fn apart(&self, a: u32, b: u32) -> u64 {
        let width = self.frame.stride as u32;
        u64::from((a % width).abs_diff(b % width)).pow(2) + u64::from((a / width).abs_diff(b / width)).pow(2)
    }

    /// Records where a label meets others. `label` has just been given to a pixel of that height, and its neighbours
    /// with other labels are at least as high.
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

    /// Joins labels that have met, unless the summits of both stand out from the pass. Labels of higher and nearer
    /// summits are joined first, whichever of them comes first in the image.
    fn join(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        let (mut meetings, mut ranks) = (std::mem::take(&mut self.meetings), std::mem::take(&mut self.ranks));
        let height = |label: u32| self.cells[self.summits[label as usize] as usize].height();
        let mut looks = Looks::each(STRETCH, deadline);
        ranks.clear();
        for (i, (a, b, _)) in (0_u32..).zip(&meetings) {
            looks.count(1)?;
            let apart = self.apart(self.summits[*a as usize], self.summits[*b as usize]);
            ranks.push((Reverse(height(*a).max(height(*b))), apart, height(*a).min(height(*b)), i));
        }
        if ranks.len() > STRETCH {
            pace::sort(&mut ranks, Ord::cmp, deadline)?;
        } else {
            ranks.sort_unstable();
        }
        for (.., i) in &ranks {
            looks.count(1)?;
            let (a, b, pass) = meetings[*i as usize];
            let [a, b] = [a, b].map(|label| root(&mut self.parents, label));
            let [height_a, height_b] = [a, b].map(height);
            let (lower, higher) = if (height_a, b) < (height_b, a) { (a, b) } else { (b, a) };
            let summit = f32::from(height_a.min(height_b)).sqrt();
            let tolerance = TOLERANCE.max(TOLERANCE_PART * summit);
            if summit - f32::from(pass).sqrt() <= tolerance {
                self.parents[lower as usize] = higher;
            }
        }
        meetings.clear();
        (self.meetings, self.ranks) = (meetings, ranks);
        Ok(())
    }
}

/// The order in which two labels that have met are joined, and the index of their meeting: the height of the higher
/// summit, the distance of the summits, and the height of the lower one.
type Rank = (Reverse<u16>, u64, u16, u32);

/// The number of pixels of a row that are worked on at a time.
const BLOCK: usize = 32;

/// Sets the heights of a run's cells, and returns the greatest. A height is the least, over the places of the row, of
/// the squared distance along the row plus the square of the distance from there up or down, which `steps` has. There
/// is a pixel outside at either end of the run, unless the plane ends there, which `beyond` tells. `line` is
/// overwritten.
#[inline(always)]
fn square_run(steps: &[u8], beyond: [bool; 2], cap: u8, line: &mut Vec<u16>, cells: &mut [Cell]) -> u16 {
    // With pixels outside at both ends, no distance is greater than the run's length.
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
        // Places farther aside cannot lower any value, once all values are at most the square of the distance aside.
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

    /// A mask of discs, given as column, row and radius.
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
        Components::of(mask, width, 1, false, Memory::unlimited(), Deadline::none()).expect("no limit")
    }

    /// The values that `of` takes from the cells of a mask's components, put into a plane. `done` processes each
    /// component before that.
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

    /// The nuclei of a mask, each with a number of its own; 0 for none.
    fn nuclei(mask: &[u8], width: usize, split: bool) -> Vec<u32> {
        let flood = |labels: &mut Labels, component: &[Run]| {
            labels.flood(component, Memory::unlimited(), Deadline::none()).expect("no limit");
        };
        numbered(mask, &mut labels(width, mask.len() / width, split), flood)
    }

    /// The nuclei by a flood of all levels, from the top down to the edge, without shortcuts: the reference.
    fn plainly(mask: &[u8], width: usize) -> Vec<u32> {
        let flood = |labels: &mut Labels, component: &[Run]| {
            labels.parents.truncate(1);
            labels.summits.truncate(1);
            labels.measure(component, Deadline::none()).expect("no deadline");
            let levels = 1..40 * 40 + 1;
            labels.flood_levels(component, levels, Memory::unlimited(), Deadline::none()).expect("no limit");
        };
        numbered(mask, &mut labels(width, mask.len() / width, true), flood)
    }

    /// Numbers the pixels that have the same label and component, in reading order.
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
    fn a_disc_that_the_border_cuts_is_not_split() {
        assert_eq!(counts(&discs(40, 12, &[[20.0, -3.0, 12.0]]), 40, true).len(), 1);
        assert_eq!(counts(&[1; 50], 10, true), [50]);
    }

    #[test]
    fn a_level_that_is_reached_in_many_ways_is_flooded_once() {
        // Every pixel lies beside a hole, so that all are on the same level, except for two summits.
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
        let late = labels.flood(component, Memory::unlimited(), late);
        assert_eq!(late.expect_err("it is late").code(), "time_limit");
    }

    proptest! {
        #[test]
        fn the_shortcut_for_shallow_pixels_changes_no_split(
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
