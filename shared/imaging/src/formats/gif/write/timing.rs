//! Frame times, in GIF's hundredths of a second.

/// The shortest time that browsers accept. They take one hundredth for a mistake and show such a frame ten times as
/// long.
const LEAST: u64 = 2;

/// Chooses which frames to write and their delays, from their milliseconds. Rounding errors are carried to the next
/// frame, so that the whole keeps its length; a frame that is too short to be shown gives its time to the next.
pub(super) fn schedule(milliseconds: impl Iterator<Item = u32>) -> Vec<(usize, u16)> {
    let mut written: Vec<(usize, u64)> = Vec::new();
    let (mut start, mut elapsed) = (0, 0_u64);
    for (index, delay) in milliseconds.enumerate() {
        elapsed += u64::from(delay);
        let end = (elapsed + 5) / 10;
        if end >= start + LEAST || (index == 0 && delay == 0) {
            written.push((index, end - start));
            start = end;
        }
    }
    let rest = (elapsed + 5) / 10 - start;
    match written.last_mut() {
        Some((_, delay)) => *delay += rest,
        None => written.push((0, rest.max(LEAST))),
    }
    written.into_iter().map(|(index, delay)| (index, u16::try_from(delay).unwrap_or(u16::MAX))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(milliseconds: &[u32]) -> Vec<(usize, u16)> {
        schedule(milliseconds.iter().copied())
    }

    #[test]
    fn rounding_keeps_the_whole_as_long_as_it_was() {
        assert_eq!(delays(&[33, 33, 34]), [(0, 3), (1, 4), (2, 3)]);
        let thirds = delays(&[33; 30]);
        assert_eq!(thirds.iter().map(|&(_, delay)| u32::from(delay)).sum::<u32>(), 99);
    }

    #[test]
    fn no_frame_is_so_short_that_browsers_would_show_it_for_longer() {
        let fast = delays(&[16; 60]);
        assert!(fast.iter().all(|&(_, delay)| delay >= 2), "{fast:?}");
        assert_eq!(fast.iter().map(|&(_, delay)| u32::from(delay)).sum::<u32>(), 96);
        assert_eq!(delays(&[5]), [(0, 2)]);
        assert_eq!(delays(&[100, 4]), [(0, 10)]);
    }

    #[test]
    fn a_still_has_no_time() {
        assert_eq!(delays(&[0]), [(0, 0)]);
        assert_eq!(delays(&[u32::MAX]), [(0, u16::MAX)]);
    }
}
