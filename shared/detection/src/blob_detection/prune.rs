//! Pruning by overlap, as scikit-image's `_prune_blobs` does it.
//!
//! Of two blobs whose discs share more than a part of the smaller disc's area, that of the smaller σ goes (of equal ones
//! the weaker stays). A blob that has gone takes no other with it, so where blobs overlap in chains it matters which pair
//! is looked at first. scikit-image looks at them in the order in which CPython iterates over a set of the pairs of their
//! indices; with any other order, up to a tenth of a crowded image's blobs would be others. So that order is followed
//! here: by a pair's slot in the set's hash table, which depends on the indices and on how many pairs the set has. What
//! is not followed is how pairs that want the same slot evade each other: they keep the order of their indices.

use imaging::{Deadline, TimedOut};

/// A blob to be pruned, in pixels; blobs are in descending order of response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Disc {
    pub(super) row: f64,
    pub(super) column: f64,
    pub(super) sigma: f64,
}

/// So many pairs of neighbours are looked at in the order of the set. scikit-image's set of more would take gigabytes;
/// here, more are looked at in the order of their indices, and none is held.
const MOST_PAIRS: usize = 1 << 24;

/// For each disc whether it stays.
pub(super) fn survivors(discs: &[Disc], overlap: f64, deadline: Deadline) -> Result<Vec<bool>, TimedOut> {
    let mut sigmas: Vec<f64> = discs.iter().map(|disc| disc.sigma).collect();
    let greatest = sigmas.iter().copied().fold(0.0, f64::max);
    let grid = Grid::new(discs, 2.0 * greatest * 2f64.sqrt());
    let mut neighbours = 0;
    let mut pairs = Vec::new();
    grid.each_pair(discs, deadline, |i, j, distance| {
        neighbours += 1;
        if shared([discs[i].sigma, discs[j].sigma], distance) > overlap {
            pairs.push((i, j));
        }
        neighbours < MOST_PAIRS
    })?;
    let mut decide = |i: usize, j: usize, distance: f64| {
        if shared([sigmas[i], sigmas[j]], distance) > overlap {
            let loser = if sigmas[i] > sigmas[j] { j } else { i };
            sigmas[loser] = 0.0;
        }
    };
    if neighbours < MOST_PAIRS {
        let mask = table_mask(neighbours);
        pairs.sort_unstable_by_key(|(i, j)| (tuple_hash([*i as u64, *j as u64]) & mask, *i, *j));
        for (i, j) in pairs {
            decide(i, j, distance(&discs[i], &discs[j]));
        }
    } else {
        drop(pairs);
        grid.each_pair(discs, deadline, |i, j, distance| {
            decide(i, j, distance);
            true
        })?;
    }
    Ok(sigmas.into_iter().map(|sigma| sigma > 0.0).collect())
}

fn distance(a: &Disc, b: &Disc) -> f64 {
    (a.row - b.row).hypot(a.column - b.column)
}

/// The part of the smaller of two discs of radius √2 · σ that the other covers. A disc of radius 0 that lies in the other
/// counts as covered, and two of radius 0 as apart.
fn shared([a, b]: [f64; 2], distance: f64) -> f64 {
    use std::f64::consts::{PI, SQRT_2};
    let large = a.max(b);
    if large == 0.0 {
        return 0.0;
    }
    // In radii of the larger one, which therefore is 1.
    let (small, d) = (a.min(b) / large, distance / (large * SQRT_2));
    if d > 1.0 + small {
        return 0.0;
    }
    if d <= 1.0 - small {
        return 1.0;
    }
    let angle =
        |r: f64, other: f64| ((d * d + r * r - other * other) / (2.0 * d * r)).clamp(-1.0, 1.0).acos();
    let kite = (small + 1.0 - d) * (d - small + 1.0) * (d + small - 1.0) * (d + small + 1.0);
    let area = angle(1.0, small) + small * small * angle(small, 1.0) - 0.5 * kite.abs().sqrt();
    area / (PI * small * small)
}

/// Discs by cells at least as wide as the farthest neighbours may be apart.
struct Grid {
    reach: f64,
    cell: f64,
    columns: usize,
    rows: usize,
    /// Where each cell starts in `members`, and where the last ends.
    starts: Vec<u32>,
    /// The discs by cell, in each cell in ascending order.
    members: Vec<u32>,
}

impl Grid {
    fn new(discs: &[Disc], reach: f64) -> Self {
        let end = |of: fn(&Disc) -> f64| discs.iter().map(of).fold(0.0, f64::max);
        let cell = reach.max(16.0);
        let cells_along = |end: f64| (end / cell) as usize + 1;
        let (rows, columns) = (cells_along(end(|d| d.row)), cells_along(end(|d| d.column)));
        let starts = vec![0; rows * columns + 1];
        let mut grid = Self { reach, cell, columns, rows, starts, members: Vec::new() };
        for disc in discs {
            let cell = grid.cell(disc);
            grid.starts[cell.0 * columns + cell.1 + 1] += 1;
        }
        for i in 1..grid.starts.len() {
            grid.starts[i] += grid.starts[i - 1];
        }
        let mut next = grid.starts.clone();
        grid.members.resize(discs.len(), 0);
        for (i, disc) in discs.iter().enumerate() {
            let cell = grid.cell(disc);
            let place = &mut next[cell.0 * columns + cell.1];
            grid.members[*place as usize] = i as u32;
            *place += 1;
        }
        grid
    }

    fn cell(&self, disc: &Disc) -> (usize, usize) {
        let along = |place: f64, cells: usize| ((place / self.cell) as usize).min(cells - 1);
        (along(disc.row, self.rows), along(disc.column, self.columns))
    }

    /// Calls `each` with i < j and the distance for every two discs no farther apart than the reach, until it says that
    /// this is enough.
    fn each_pair(
        &self,
        discs: &[Disc],
        deadline: Deadline,
        mut each: impl FnMut(usize, usize, f64) -> bool,
    ) -> Result<(), TimedOut> {
        let most = self.reach * self.reach;
        let mut steps = 0usize;
        for (i, disc) in discs.iter().enumerate() {
            let (row, column) = self.cell(disc);
            for r in row.saturating_sub(1)..(row + 2).min(self.rows) {
                let first = r * self.columns + column.saturating_sub(1);
                let last = r * self.columns + (column + 2).min(self.columns);
                let members = &self.members[self.starts[first] as usize..self.starts[last] as usize];
                steps += members.len() + 1;
                for j in members.iter().map(|j| *j as usize).filter(|j| *j > i) {
                    let (dr, dc) = (disc.row - discs[j].row, disc.column - discs[j].column);
                    if dr * dr + dc * dc <= most && !each(i, j, distance(disc, &discs[j])) {
                        return Ok(());
                    }
                }
            }
            if steps > 1 << 18 {
                steps = 0;
                deadline.check()?;
            }
        }
        Ok(())
    }
}

/// CPython's hash of a tuple of two small integers (3.8 and later; after xxHash).
fn tuple_hash(items: [u64; 2]) -> u64 {
    const PRIMES: [u64; 3] =
        [11_400_714_785_074_694_791, 14_029_467_366_897_019_727, 2_870_177_450_012_600_261];
    let mixed = items.into_iter().fold(PRIMES[2], |hash, item| {
        hash.wrapping_add(item.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
    });
    mixed.wrapping_add(2 ^ PRIMES[2] ^ 3_527_539)
}

/// The bits of a hash that choose the slot in the table of a CPython set to which so many items were added one by one.
fn table_mask(items: usize) -> u64 {
    let mut mask = 7usize;
    let mut used = 0;
    while used < items {
        // The table is resized when three fifths are in use: fourfold, from 50,000 items on twofold.
        used = (mask * 3).div_ceil(5);
        if used > items {
            break;
        }
        let least = if used > 50_000 { used * 2 } else { used * 4 };
        mask = (least + 1).next_power_of_two() - 1;
    }
    mask as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3.11 says: `hash((i, j))`, and by `sys.getsizeof` the slots of a set to which n items were added.
    #[test]
    fn hashes_and_tables_are_those_of_cpython() {
        for (items, expected) in [
            ([0, 1], 16_496_245_626_129_029_056),
            ([1, 0], 13_282_122_221_094_607_640),
            ([574, 999], 17_271_014_189_990_548_918),
            ([123_456, 1_048_575], 9_908_322_816_022_970_181),
        ] {
            assert_eq!(tuple_hash(items), expected, "{items:?}");
        }
        let tables = [(0, 8), (4, 8), (5, 32), (18, 32), (19, 128), (76, 128), (77, 512), (5000, 32_768)];
        let large = [(49_000, 131_072), (78_643, 262_144), (200_000, 524_288), (2_000_000, 4_194_304)];
        for (items, slots) in tables.into_iter().chain(large) {
            assert_eq!(table_mask(items) + 1, slots, "{items}");
        }
    }
}
