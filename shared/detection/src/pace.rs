//! Loops and sorts that look at the deadline every few milliseconds, however much there is to do.

use std::cmp::Ordering;

use imaging::{Deadline, TimedOut};

/// Counts what is done, to tell when to check the deadline.
pub(crate) struct Looks {
    each: usize,
    left: usize,
    deadline: Deadline,
}

impl Looks {
    /// Checks the deadline each time that so much has been counted.
    pub(crate) fn each(each: usize, deadline: Deadline) -> Self {
        Self { each, left: each, deadline }
    }

    /// Counts so many more, which are about to be worked on.
    ///
    /// # Errors
    /// [`TimedOut`] once the deadline has passed.
    pub(crate) fn count(&mut self, more: usize) -> Result<(), TimedOut> {
        if let Some(left) = self.left.checked_sub(more) {
            self.left = left;
            return Ok(());
        }
        self.left = self.each;
        self.deadline.check()
    }
}

/// The most items that are sorted, or divided, between two checks of the deadline.
const STRETCH: usize = 1 << 18;
/// The number of items whose middle one divides the others.
const SAMPLES: usize = 31;

/// Sorts items, of which no two are equal. Many are divided first, by the middle of some of them (quicksort), because
/// sorting them at once would take too long.
///
/// # Errors
/// [`TimedOut`] once the deadline has passed.
pub(crate) fn sort<T: Copy>(
    items: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    sort_by_stretches(items, &order, STRETCH, deadline)
}

fn sort_by_stretches<T: Copy>(
    items: &mut [T],
    order: &impl Fn(&T, &T) -> Ordering,
    stretch: usize,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let mut parts = vec![items];
    while let Some(part) = parts.pop() {
        if part.len() <= stretch {
            deadline.check()?;
            part.sort_unstable_by(order);
            continue;
        }
        let mut samples: [usize; SAMPLES] = std::array::from_fn(|i| part.len() / SAMPLES * i);
        samples.sort_unstable_by(|a, b| order(&part[*a], &part[*b]));
        let middle = samples[SAMPLES / 2];
        let last = part.len() - 1;
        part.swap(middle, last);
        let (pivot, mut before) = (part[last], 0);
        let mut looks = Looks::each(stretch, deadline);
        for i in 0..last {
            looks.count(1)?;
            if order(&part[i], &pivot).is_lt() {
                part.swap(i, before);
                before += 1;
            }
        }
        part.swap(before, last);
        let (first, rest) = part.split_at_mut(before);
        parts.extend([first, &mut rest[1..]]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_are_sorted_whatever_their_order(values in proptest::collection::vec(any::<u16>(), 0..600), stretch in 1usize..90) {
            let mut items: Vec<(u16, usize)> = values.into_iter().enumerate().map(|(i, v)| (v, i)).collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            // Below so many items the samples would not all be different ones.
            let stretch = stretch.max(SAMPLES);
            sort_by_stretches(&mut items, &Ord::cmp, stretch, Deadline::none()).expect("no deadline");
            prop_assert_eq!(items, expected);
        }
    }

    #[test]
    fn many_items_are_sorted_with_looks_between() {
        static LOOKS: AtomicUsize = AtomicUsize::new(0);
        let deadline = Deadline::told(&|| LOOKS.fetch_add(1, Relaxed) == 50);
        let mut items: Vec<u32> = (0..4_000).map(|i: u32| i.wrapping_mul(2_654_435_761)).collect();
        assert_eq!(sort_by_stretches(&mut items, &Ord::cmp, 100, deadline), Err(TimedOut));
        assert_eq!(LOOKS.load(Relaxed), 51);
    }
}
