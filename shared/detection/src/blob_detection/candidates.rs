//! The candidates that the search finds, before pruning.

use std::cmp::Ordering;

use imaging::{Deadline, TimedOut};

use crate::pace;

/// The number of candidates that are kept, the strongest: more than any image has that is not noise.
pub(super) const MOST: usize = 1 << 20;

/// A maximum of the stack of planes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) row: u32,
    pub(super) column: u32,
    /// The index of its plane in the stack.
    pub(super) layer: u32,
    pub(super) is_dark: bool,
    pub(super) response: f64,
}

impl Candidate {
    /// The order of `peak_local_max`: by response, descending, and for equal responses by row, column and plane.
    fn order(&self, other: &Self) -> Ordering {
        let place = |c: &Self| (c.row, c.column, c.layer);
        other.response.total_cmp(&self.response).then_with(|| place(self).cmp(&place(other)))
    }
}

/// The candidates above a floor. The floor rises with the strongest candidate, where a part of it is the threshold, and
/// when there are too many candidates.
pub(super) struct Candidates {
    floor: f64,
    /// The threshold as a part of the strongest response, if there is one.
    part: Option<f64>,
    strongest: f64,
    most: usize,
    list: Vec<Candidate>,
}

impl Candidates {
    /// Collects candidates above `threshold` and above `part` times the strongest.
    pub(super) fn above(threshold: f64, part: Option<f64>) -> Self {
        Self { floor: threshold, part, strongest: 0.0, most: MOST, list: Vec::new() }
    }

    /// The response that a candidate must exceed, as far as is known by now.
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }

    pub(super) fn push(&mut self, row: usize, column: usize, layer: usize, response: f64, is_dark: bool) {
        if response > self.floor {
            let [row, column, layer] = [row, column, layer].map(|v| v as u32);
            self.list.push(Candidate { row, column, layer, is_dark, response });
            self.strongest = self.strongest.max(response);
            self.floor = self.floor.max(self.part.map_or(0.0, |part| part * self.strongest));
        }
        if self.list.len() >= 2 * self.most {
            let (_, weakest, _) = self.list.select_nth_unstable_by(self.most, Candidate::order);
            self.floor = self.floor.max(weakest.response.next_down());
            self.list.truncate(self.most);
        }
    }

    /// The candidates above both thresholds, strongest first.
    pub(super) fn sorted(mut self, deadline: Deadline) -> Result<Vec<Candidate>, TimedOut> {
        pace::sort(&mut self.list, Candidate::order, deadline)?;
        self.list.truncate(self.most);
        if let (Some(part), Some(strongest)) = (self.part, self.list.first()) {
            let threshold = part * strongest.response;
            let above = self.list.partition_point(|candidate| candidate.response > threshold);
            self.list.truncate(above);
        }
        Ok(self.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_are_kept_whatever_the_order_they_come_in() {
        let responses: Vec<f64> =
            (0..5000u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) % 700)).collect();
        let gather = |order: &mut dyn Iterator<Item = usize>| {
            let mut few = Candidates { most: 100, ..Candidates::above(0.0, None) };
            order.for_each(|i| few.push(i, 7, 1, responses[i], false));
            few.sorted(Deadline::none()).expect("no deadline")
        };
        let mut all: Vec<usize> = (0..5000).filter(|i| responses[*i] > 0.0).collect();
        all.sort_by(|a, b| responses[*b].total_cmp(&responses[*a]).then(a.cmp(b)));
        let rows = |list: Vec<Candidate>| list.iter().map(|c| c.row as usize).collect::<Vec<_>>();
        assert_eq!(rows(gather(&mut (0..5000))), all[..100]);
        assert_eq!(rows(gather(&mut (0..5000).rev())), all[..100]);
    }

    #[test]
    fn thresholds_are_passed_not_met() {
        let mut some = Candidates::above(0.25, Some(0.5));
        for (i, response) in [0.25, 0.5, 1.0, 0.26].into_iter().enumerate() {
            some.push(i, 0, 0, response, false);
        }
        let rows: Vec<u32> =
            some.sorted(Deadline::none()).expect("no deadline").iter().map(|c| c.row).collect();
        assert_eq!(rows, [2]);
    }
}
