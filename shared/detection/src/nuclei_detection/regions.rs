//! Connected components of a mask, as runs of neighbouring pixels in a row.

use std::ops::Range;

use imaging::{Deadline, TimedOut};
use memchr::memchr;

use crate::{
    DetectError,
    algorithm::{Memory, bytes},
    pace::Looks,
};

/// The number of pixels that are worked on between two checks of the deadline. They take less than a millisecond where
/// little is done with each.
pub(super) const STRETCH: usize = 1 << 16;

/// The bytes that a run takes while runs are sorted, and the number of runs between two checks of the deadline then.
const SORTING: usize = 3 * size_of::<Run>();
const RUNS_PER_CHECK: usize = 1 << 16;

/// Neighbouring pixels of one row, from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) row: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Run {
    /// The indices of its pixels in a plane of that width.
    pub(super) fn places(&self, width: usize) -> Range<usize> {
        let first = self.row as usize * width + self.start as usize;
        first..first + self.len()
    }

    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the run touches the border of a plane of that width, whose last row has the index `last_row`.
    pub(super) fn is_at_border(&self, width: usize, last_row: usize) -> bool {
        let row = self.row as usize;
        row == 0 || row == last_row || self.start == 0 || self.end as usize == width
    }
}

/// The components of a mask, in reading order of their first pixels. Each consists of its runs, in reading order.
pub(super) struct Components {
    runs: Vec<Run>,
    /// The index in `runs` where each component ends.
    ends: Vec<u32>,
}

impl Components {
    /// Finds the components of the pixels that are `value`. Pixels that touch only at a corner are neighbours if
    /// `diagonal`.
    ///
    /// # Errors
    /// [`DetectError::Memory`] where there are more runs than may be held, and [`DetectError::TimedOut`].
    pub(super) fn of(
        mask: &[u8],
        width: usize,
        value: u8,
        diagonal: bool,
        memory: Memory,
        deadline: Deadline,
    ) -> Result<Self, DetectError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut parents: Vec<u32> = Vec::new();
        let mut above = 0..0;
        for (row, pixels) in mask.chunks_exact(width).enumerate() {
            deadline.check()?;
            let first = runs.len();
            push_runs(pixels, value, row as u32, &mut runs, deadline)?;
            memory.allows(bytes(runs.len(), SORTING))?;
            parents.extend(first as u32..runs.len() as u32);
            let mut candidate = above.start;
            for i in first..runs.len() {
                if (i - first + 1).is_multiple_of(RUNS_PER_CHECK) {
                    deadline.check()?;
                }
                let run = runs[i];
                let reach = u32::from(diagonal);
                while candidate < above.end && runs[candidate].end + reach <= run.start {
                    candidate += 1;
                }
                let mut touching = candidate;
                while touching < above.end && runs[touching].start < run.end + reach {
                    join(&mut parents, i as u32, touching as u32);
                    touching += 1;
                }
            }
            above = first..runs.len();
        }
        Ok(Self::grouped(&runs, parents, deadline)?)
    }

    /// The bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        bytes(self.runs.len(), size_of::<Run>()).saturating_add(bytes(self.ends.len(), size_of::<u32>()))
    }

    /// Sorts runs by component. The first run of a component is its root, and no parent comes after its child.
    fn grouped(runs: &[Run], mut parents: Vec<u32>, deadline: Deadline) -> Result<Self, TimedOut> {
        let mut ends: Vec<u32> = Vec::new();
        // Replaces parents by component numbers in place. A parent comes first, so it has its number already.
        for i in 0..parents.len() {
            if i.is_multiple_of(RUNS_PER_CHECK) {
                deadline.check()?;
            }
            let parent = parents[i] as usize;
            parents[i] = if parent == i { ends.len() as u32 } else { parents[parent] };
            if parent == i {
                ends.push(0);
            }
            ends[parents[i] as usize] += 1;
        }
        let mut next: Vec<u32> = Vec::with_capacity(ends.len());
        let mut sum = 0;
        for end in &mut ends {
            next.push(sum);
            sum += *end;
            *end = sum;
        }
        let mut sorted = vec![Run { row: 0, start: 0, end: 0 }; runs.len()];
        for (runs, components) in runs.chunks(RUNS_PER_CHECK).zip(parents.chunks(RUNS_PER_CHECK)) {
            deadline.check()?;
            for (run, component) in runs.iter().zip(components) {
                let next = &mut next[*component as usize];
                sorted[*next as usize] = *run;
                *next += 1;
            }
        }
        Ok(Self { runs: sorted, ends })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[Run]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.runs[start as usize..*end as usize])
    }
}

/// Fills the holes of a mask that have fewer than `area` pixels. A part of the ground that touches the border is no
/// hole.
pub(super) fn fill_holes(
    mask: &mut [u8],
    width: usize,
    area: usize,
    memory: Memory,
    deadline: Deadline,
) -> Result<(), DetectError> {
    let last_row = mask.len() / width - 1;
    let at_border = |run: &Run| run.is_at_border(width, last_row);
    let holes = Components::of(mask, width, 0, true, memory, deadline)?;
    let mut looks = Looks::each(STRETCH, deadline);
    for hole in holes.iter() {
        looks.count(hole.len())?;
        if pixels(hole) < area && !hole.iter().any(at_border) {
            hole.iter().for_each(|run| mask[run.places(width)].fill(1));
        }
    }
    Ok(())
}

/// The total number of pixels in runs.
pub(super) fn pixels(runs: &[Run]) -> usize {
    runs.iter().map(Run::len).sum()
}

/// Appends the runs of `value` in a row of a mask, which contains only 0 and 1.
fn push_runs(
    pixels: &[u8],
    value: u8,
    row: u32,
    runs: &mut Vec<Run>,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let mut at = 0;
    while let Some(start) = memchr(value, &pixels[at..]) {
        let start = at + start;
        at = memchr(1 - value, &pixels[start..]).map_or(pixels.len(), |length| start + length);
        runs.push(Run { row, start: start as u32, end: at as u32 });
        if runs.len().is_multiple_of(RUNS_PER_CHECK) {
            deadline.check()?;
        }
    }
    Ok(())
}

/// The root of a set (union-find). Elements on the way are moved nearer to it.
pub(super) fn root(parents: &mut [u32], mut of: u32) -> u32 {
    while parents[of as usize] != of {
        let grandparent = parents[parents[of as usize] as usize];
        parents[of as usize] = grandparent;
        of = grandparent;
    }
    of
}

/// Unites two sets under the lower of their roots.
fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b) as usize] = a.min(b);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(picture: &[&str]) -> Vec<u8> {
        picture.concat().bytes().map(|b| u8::from(b == b'#')).collect()
    }

    fn sizes(picture: &[&str], value: u8, diagonal: bool) -> Vec<usize> {
        let width = picture[0].len();
        let components =
            Components::of(&mask(picture), width, value, diagonal, Memory::unlimited(), Deadline::none());
        components.expect("no deadline").iter().map(pixels).collect()
    }

    #[test]
    fn components_come_in_reading_order() {
        let picture = ["#.#..#", "#.#.#.", "###...", "....##", ".#..##"];
        assert_eq!(sizes(&picture, 1, false), [7, 1, 1, 4, 1]);
        assert_eq!(sizes(&picture, 1, true), [7, 2, 4, 1]);
    }

    #[test]
    fn small_holes_are_filled_and_large_ones_and_bays_are_not() {
        let picture = ["########", "#.#...##", "###...#.", "########", "#.##.###"];
        let mut filled = mask(&picture);
        fill_holes(&mut filled, 8, 6, Memory::unlimited(), Deadline::none()).expect("no deadline");
        assert_eq!(filled, mask(&["########", "###...##", "###...#.", "########", "#.##.###"]));
    }

    #[test]
    fn more_runs_than_may_be_held_are_refused() {
        let picture = mask(&["#.#.#.#.", ".#.#.#.#"]);
        let within = |most| Components::of(&picture, 8, 1, false, Memory::new(most), Deadline::none());
        assert!(within(bytes(8, SORTING)).is_ok());
        assert_eq!(within(bytes(8, SORTING) - 1).err().expect("too many").code(), "detector_memory");
    }

    proptest! {
        #[test]
        fn every_pixel_is_in_the_component_of_its_neighbours(
            width in 1usize..20, pixels in proptest::collection::vec(0u8..2, 1..200), diagonal in any::<bool>(),
        ) {
            let height = pixels.len().div_ceil(width);
            let mut mask = pixels;
            mask.resize(width * height, 0);
            let components = Components::of(&mask, width, 1, diagonal, Memory::unlimited(), Deadline::none())
                .expect("no limit");
            let mut owner = vec![None; mask.len()];
            for (i, runs) in components.iter().enumerate() {
                for place in runs.iter().flat_map(|run| run.places(width)) {
                    prop_assert_eq!(owner[place].replace(i), None, "in one only");
                }
            }
            for at in 0..mask.len() {
                prop_assert_eq!(owner[at].is_some(), mask[at] == 1);
                let (x, y) = (at % width, at / width);
                let mut beside = Vec::new();
                if x + 1 < width { beside.push(at + 1) }
                if y + 1 < height { beside.push(at + width) }
                if diagonal && y + 1 < height && x + 1 < width { beside.push(at + width + 1) }
                if diagonal && y + 1 < height && x > 0 { beside.push(at + width - 1) }
                for other in beside {
                    prop_assert!(mask[at] == 0 || mask[other] == 0 || owner[at] == owner[other]);
                }
            }
        }
    }
}
