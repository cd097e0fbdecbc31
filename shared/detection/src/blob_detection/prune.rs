//! Pruning by overlap, as scikit-image's `_prune_blobs` does it.
//!
//! Of two blobs whose discs share more than a given part of the smaller disc's area, the one with the smaller σ is
//! removed (of equal ones, the stronger). A blob that has been removed removes no other, so where blobs overlap in
//! chains the result depends on which pair is compared first. scikit-image compares the pairs in the order in which
//! CPython iterates over a set of pairs of indices; in another order, a considerable part of a crowded image's blobs
//! would differ. So that order is reproduced here, by a pair's slot in the set's hash table, which depends on the
//! indices and on the number of pairs in the set. One thing is not reproduced: how pairs that want the same slot are
//! moved to other slots. Here they keep the order of their indices.

use imaging::{Deadline, TimedOut};

use crate::pace::{self, Looks};

/// A blob to be pruned, in pixels. Blobs are given in descending order of response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Disc {
    pub(super) row: f64,
    pub(super) column: f64,
    pub(super) sigma: f64,
}

/// With fewer pairs of neighbours than this, pairs are compared in the order of the set. For more, scikit-image's set
/// would take gigabytes; here, they are compared in the order of their indices, and no list of them is held.
pub(super) const MOST_PAIRS: usize = 1 << 24;

/// Tells of each disc whether it stays.
pub(super) fn survivors(discs: &[Disc], overlap: f64, deadline: Deadline) -> Result<Vec<bool>, TimedOut> {
    let mut sigmas: Vec<f64> = discs.iter().map(|disc| disc.sigma).collect();
    match overlapping(discs, overlap, MOST_PAIRS, deadline)? {
        Some(pairs) => {
            for pairs in pairs.chunks(PAIRS_PER_CHECK) {
                deadline.check()?;
                pairs.iter().for_each(|[i, j]| decide(discs, overlap, &mut sigmas, *i as usize, *j as usize));
            }
        }
        None => decide_in_order(discs, overlap, &mut sigmas, deadline)?,
    }
    Ok(sigmas.into_iter().map(|sigma| sigma > 0.0).collect())
}

/// If two discs overlap too much, sets the σ of the one to be removed to 0.
fn decide(discs: &[Disc], overlap: f64, sigmas: &mut [f64], i: usize, j: usize) {
    if shared([sigmas[i], sigmas[j]], distance(&discs[i], &discs[j])) > overlap {
        let loser = if sigmas[i] > sigmas[j] { j } else { i };
        sigmas[loser] = 0.0;
    }
}

/// The indices of two discs.
pub(super) type Pair = [u32; 2];

/// The pairs that overlap too much, in the order of the set; `None` where there are `most` pairs of neighbours or more.
fn overlapping(
    discs: &[Disc],
    overlap: f64,
    most: usize,
    deadline: Deadline,
) -> Result<Option<Vec<Pair>>, TimedOut> {
    let reach = 2.0 * discs.iter().map(|disc| disc.sigma).fold(0.0, f64::max) * 2f64.sqrt();
    let grid = Grid::new(discs, |_| true, reach);
    let mut looks = Looks::each(DISCS_PER_CHECK, deadline);
    let (mut neighbours, mut pairs) = (0, Vec::new());
    for (i, disc) in discs.iter().enumerate() {
        for members in grid.around(disc, reach) {
            looks.count(members.len() + 1)?;
            for j in members.iter().map(|j| *j as usize).filter(|j| *j > i) {
                let (dr, dc) = (disc.row - discs[j].row, disc.column - discs[j].column);
                if dr * dr + dc * dc <= reach * reach {
                    neighbours += 1;
                    if shared([disc.sigma, discs[j].sigma], distance(disc, &discs[j])) > overlap {
                        pairs.push([i as u32, j as u32]);
                    }
                }
            }
            if neighbours >= most {
                return Ok(None);
            }
        }
    }
    let mask = table_mask(neighbours);
    let slot = |pair: &Pair| (tuple_hash(pair.map(u64::from)) & mask, *pair);
    pace::sort(&mut pairs, |a, b| slot(a).cmp(&slot(b)), deadline)?;
    Ok(Some(pairs))
}

/// Compares all pairs in the order of their indices. Discs of each σ have a grid of their own, so that a few large
/// discs among many small ones do not make the search slow.
fn decide_in_order(
    discs: &[Disc],
    overlap: f64,
    sigmas: &mut [f64],
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let mut sizes = sigmas.to_vec();
    sizes.sort_unstable_by(f64::total_cmp);
    sizes.dedup();
    let reach = |a: f64, b: f64| 2f64.sqrt() * (a + b);
    let mut grids = Vec::with_capacity(sizes.len());
    for size in sizes {
        deadline.check()?;
        grids.push((size, Grid::new(discs, |disc| disc.sigma == size, reach(size, size))));
    }
    let mut looks = Looks::each(DISCS_PER_CHECK, deadline);
    let mut near = Vec::new();
    for (i, disc) in discs.iter().enumerate().filter(|(_, disc)| disc.sigma > 0.0) {
        near.clear();
        for (size, grid) in &grids {
            for members in grid.around(disc, reach(disc.sigma, *size)) {
                looks.count(members.len() + 1)?;
                near.extend(members.iter().map(|j| *j as usize).filter(|j| *j > i && sigmas[*j] > 0.0));
            }
        }
        near.sort_unstable();
        for j in &near {
            decide(discs, overlap, sigmas, i, *j);
            if sigmas[i] == 0.0 {
                break;
            }
        }
    }
    Ok(())
}

/// The number of discs between two checks of the deadline, and the number of pairs that are compared: they take some
/// milliseconds.
const DISCS_PER_CHECK: usize = 1 << 18;
const PAIRS_PER_CHECK: usize = 1 << 16;

fn distance(a: &Disc, b: &Disc) -> f64 {
    (a.row - b.row).hypot(a.column - b.column)
}

/// The part of the smaller of two discs of radius √2 · σ that the other covers. A disc of radius 0 within the other
/// counts as covered; two of radius 0 count as apart.
fn shared([a, b]: [f64; 2], distance: f64) -> f64 {
    use std::f64::consts::{PI, SQRT_2};
    let large = a.max(b);
    if large == 0.0 {
        return 0.0;
    }
    // Lengths are in radii of the larger disc, whose radius is therefore 1.
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

/// Some of the discs, sorted into cells.
struct Grid {
    cell: f64,
    columns: usize,
    rows: usize,
    /// The place in `members` where each cell starts, and at last where the last cell ends.
    starts: Vec<u32>,
    /// The indices of the discs by cell, ascending within each cell.
    members: Vec<u32>,
}

impl Grid {
    /// Sorts the discs that `takes` selects into cells of at least that size.
    fn new(discs: &[Disc], takes: impl Fn(&Disc) -> bool, cell: f64) -> Self {
        let end = |of: fn(&Disc) -> f64| discs.iter().map(of).fold(0.0, f64::max);
        let cell = cell.max(16.0);
        let cells_along = |end: f64| (end / cell) as usize + 1;
        let (rows, columns) = (cells_along(end(|d| d.row)), cells_along(end(|d| d.column)));
        let mut grid = Self { cell, columns, rows, starts: vec![0; rows * columns + 1], members: Vec::new() };
        let taken = || discs.iter().enumerate().filter(|(_, disc)| takes(disc));
        for (_, disc) in taken() {
            let cell = grid.cell(disc);
            grid.starts[cell + 1] += 1;
        }
        for i in 1..grid.starts.len() {
            grid.starts[i] += grid.starts[i - 1];
        }
        let mut next = grid.starts.clone();
        grid.members.resize(grid.starts[rows * columns] as usize, 0);
        for (i, disc) in taken() {
            let place = &mut next[grid.cell(disc)];
            grid.members[*place as usize] = i as u32;
            *place += 1;
        }
        grid
    }

    /// The index, along an axis of so many cells, of the cell that contains a place; places beyond the ends are in the
    /// first or the last cell.
    fn along(&self, place: f64, cells: usize) -> usize {
        ((place / self.cell) as usize).min(cells - 1)
    }

    fn cell(&self, disc: &Disc) -> usize {
        self.along(disc.row, self.rows) * self.columns + self.along(disc.column, self.columns)
    }

    /// All members within `reach` of a disc, and some that are farther away, row by row of cells.
    fn around(&self, disc: &Disc, reach: f64) -> impl Iterator<Item = &[u32]> {
        let span = |place: f64, cells| self.along(place - reach, cells)..=self.along(place + reach, cells);
        let columns = span(disc.column, self.columns);
        span(disc.row, self.rows).map(move |row| {
            let [first, last] =
                [*columns.start(), *columns.end() + 1].map(|column| row * self.columns + column);
            &self.members[self.starts[first] as usize..self.starts[last] as usize]
        })
    }
}

/// CPython's hash of a tuple of two small integers (since 3.8; a simplified xxHash).
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
        // The table is resized when three fifths of it are in use: fourfold, and twofold when more than 50,000 are.
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

    /// Discs of three sizes in a crowd, in an arbitrary order.
    fn crowd() -> Vec<Disc> {
        let mix = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
        let sigma = |i: u32| [3.0, 4.5, 40.0][if i.is_multiple_of(50) { 2 } else { i as usize % 2 }];
        let disc = |i| Disc { row: 900.0 * mix(2 * i), column: 700.0 * mix(2 * i + 1), sigma: sigma(i) };
        (0..3000).map(disc).collect()
    }

    #[test]
    fn every_pair_that_overlaps_is_found() {
        let discs = crowd();
        let found = overlapping(&discs, 0.3, usize::MAX, Deadline::none()).expect("no deadline");
        let mut found = found.expect("no limit");
        found.sort_unstable();
        let mut expected = Vec::new();
        for i in 0..discs.len() {
            for j in i + 1..discs.len() {
                if shared([discs[i].sigma, discs[j].sigma], distance(&discs[i], &discs[j])) > 0.3 {
                    expected.push([i as u32, j as u32]);
                }
            }
        }
        assert!(found.len() > 1000);
        assert_eq!(found, expected);
        assert_eq!(overlapping(&discs, 0.3, 1000, Deadline::none()).expect("no deadline"), None);
    }

    #[test]
    fn too_many_pairs_are_decided_in_the_order_of_their_indices() {
        let discs = crowd();
        let sigmas: Vec<f64> = discs.iter().map(|disc| disc.sigma).collect();
        let (mut expected, mut is) = (sigmas.clone(), sigmas);
        for i in 0..discs.len() {
            for j in i + 1..discs.len() {
                decide(&discs, 0.3, &mut expected, i, j);
            }
        }
        decide_in_order(&discs, 0.3, &mut is, Deadline::none()).expect("no deadline");
        assert_eq!(is, expected);
    }

    /// The expected values come from Python 3.11: `hash((i, j))`, and from `sys.getsizeof` the number of slots of a set
    /// to which n items were added.
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
