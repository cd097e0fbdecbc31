//! The grey values along a line, and the bars and spaces in them.

use imaging::{Deadline, TimedOut};

use super::picture::Picture;

/// The number of bars and spaces of the shortest symbol: a Code 128 with one character.
pub(super) const SHORTEST: usize = 25;
/// The space between two symbols is wider than this many times the median width of bars and spaces.
const APART: f32 = 5.0;
/// The least difference of grey between a bar and a space.
const CONTRAST: f32 = 8.0;
/// The least difference between a bar and a space, as a part of the contrast around them.
const PART: f32 = 0.16;
/// The samples of a block, whose extremes are taken together, and the number of blocks on either side that count as its
/// surroundings.
const BLOCK: usize = 16;
const AROUND: usize = 2;
/// The number of samples on either side of an edge that show how dark and how light it is there.
const NEAR: usize = 6;
/// The least distance of an edge's level from the darkest and from the lightest sample beside it, as a part of their
/// difference.
const INSET: f32 = 0.3;

/// A straight line through a picture, sampled in equal steps.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// The place of its first sample.
    pub(super) start: [f64; 2],
    /// Its direction, a unit vector.
    pub(super) along: [f64; 2],
    /// The distance from one sample to the next, in pixels.
    pub(super) step: f64,
    pub(super) samples: usize,
}

impl Line {
    /// The place `along` pixels after the start and `aside` pixels to the right of the line, as seen with y pointing
    /// down.
    pub(super) fn place(&self, along: f64, aside: f64) -> [f64; 2] {
        let [x, y] = self.along;
        [self.start[0] + x * along - y * aside, self.start[1] + y * along + x * aside]
    }

    /// The values of the samples. Each is the mean over `thickness` pixels across the line.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline passes, which is checked between one pixel of the thickness and the next.
    pub(super) fn profile(
        &self,
        picture: &Picture,
        thickness: usize,
        out: &mut Vec<f32>,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        out.clear();
        out.resize(self.samples, 0.0);
        let part = 1.0 / thickness as f32;
        for lane in 0..thickness {
            deadline.check()?;
            let start = self.place(0.0, lane as f64 - (thickness - 1) as f64 / 2.0);
            picture.add_line(start, self.along.map(|it| it * self.step), part, out);
        }
        Ok(())
    }
}

/// Sharpens a profile against Gaussian blur, by subtracting `by` times its second difference. No value becomes darker
/// or lighter than its surroundings: overshoot beside an edge would look like another bar.
pub(super) fn sharpen(profile: &[f32], by: f32, out: &mut Vec<f32>) {
    out.clear();
    let around = around(profile);
    let at = |index: usize| profile[index.min(profile.len() - 1)];
    out.extend(profile.iter().enumerate().map(|(index, &value)| {
        let second = at(index.saturating_sub(1)) + at(index + 1) - 2.0 * value;
        let (darkest, lightest) = around[index / BLOCK];
        (value - by * second).clamp(darkest, lightest)
    }));
}

/// The darkest and the lightest value around each block of samples.
fn around(profile: &[f32]) -> Vec<(f32, f32)> {
    let extremes = |low: f32, high: f32, it: &(f32, f32)| (low.min(it.0), high.max(it.1));
    let all = |them: &[(f32, f32)]| {
        them.iter().fold((f32::MAX, f32::MIN), |(low, high), it| extremes(low, high, it))
    };
    let blocks: Vec<(f32, f32)> = profile
        .chunks(BLOCK)
        .map(|block| {
            block.iter().fold((f32::MAX, f32::MIN), |(low, high), it| extremes(low, high, &(*it, *it)))
        })
        .collect();
    (0..blocks.len())
        .map(|at| all(&blocks[at.saturating_sub(AROUND)..(at + AROUND + 1).min(blocks.len())]))
        .collect()
}

/// Bars and spaces in turn, beginning and ending with a bar.
#[derive(Clone, Default)]
pub(super) struct Bars {
    /// The places where each bar and space begins, and at last where the last bar ends. A sample is one wide, and the
    /// first lies around 0.5.
    pub(super) edges: Vec<f32>,
    /// The widths of bars and spaces in turn.
    pub(super) widths: Vec<f32>,
    /// The widths of the light before the first bar and after the last.
    pub(super) margins: [f32; 2],
}

impl Bars {
    /// The width of the light before the bar of that index.
    pub(super) fn space_before(&self, bar: usize) -> f32 {
        bar.checked_sub(1).and_then(|space| self.widths.get(space)).map_or(self.margins[0], |it| *it)
    }

    /// The width of the light after the bar of that index.
    pub(super) fn space_behind(&self, bar: usize) -> f32 {
        self.widths.get(bar + 1).map_or(self.margins[1], |it| *it)
    }

    /// Whether there are at least as many bars and spaces without a wide gap as the shortest symbol has.
    pub(super) fn may_be_a_symbol(&self) -> bool {
        let mut sorted = self.widths.clone();
        let half = sorted.len() / 2;
        if sorted.len() < SHORTEST {
            return false;
        }
        let (_, median, _) = sorted.select_nth_unstable_by(half, f32::total_cmp);
        let most = APART * *median;
        self.widths.split(|width| *width > most).any(|run| run.len() >= SHORTEST)
    }

    /// The same bars, seen from the other end of a line of `length` samples.
    pub(super) fn reversed(&self, length: usize) -> Self {
        let mut bars = self.clone();
        bars.edges.reverse();
        bars.edges.iter_mut().for_each(|it| *it = length as f32 - *it);
        bars.widths.reverse();
        bars.margins.reverse();
        bars
    }
}

/// Finds the bars along a profile. `open` tells of either end whether it is at the border of the picture, beyond which
/// everything counts as light.
///
/// A bar or a space has its extreme where the profile turns from falling to rising, or back, by more than noise. There
/// is an edge between two extremes, where the profile crosses the middle between the darkest and the lightest value
/// around. A bar that blur has made lighter than that middle is crossed nearer to its own extreme.
pub(super) fn bars(profile: &[f32], open: [bool; 2], extremes: &mut Vec<(usize, f32)>) -> Bars {
    let around = around(profile);
    find_extremes(profile, &around, extremes);

    let mut edges = Vec::with_capacity(extremes.len());
    let mut first_falls = None;
    for pair in extremes.windows(2) {
        let ((from, before), (to, behind)) = (pair[0], pair[1]);
        let falls = before > behind;
        first_falls.get_or_insert(falls);
        edges.push(edge(profile, from, to, falls, &around));
    }
    let mut margins = [0.0, profile.len() as f32];
    // A profile may begin dark. At the border of the picture that is a bar; elsewhere the line begins in the middle of
    // a bar, which is dropped.
    if first_falls == Some(false) {
        if open[0] {
            edges.insert(0, 0.0);
        } else {
            margins[0] = edges.remove(0);
        }
    }
    if edges.len() % 2 == 1 {
        if open[1] {
            edges.push(profile.len() as f32);
        } else if let Some(last) = edges.pop() {
            margins[1] = last;
        }
    }
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return Bars::default() };
    let whole = |margin: f32, open: bool| if open { f32::MAX } else { margin };
    let margins = [whole(first - margins[0], open[0]), whole(margins[1] - last, open[1])];
    let widths = edges.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Bars { edges, widths, margins }
}

/// Finds the extremes of a profile that differ from their neighbours by more than noise: lightest and darkest in turn.
fn find_extremes(profile: &[f32], around: &[(f32, f32)], extremes: &mut Vec<(usize, f32)>) {
    extremes.clear();
    let Some(&first) = profile.first() else { return };
    let (mut low, mut high) = ((0, first), (0, first));
    // Whether the latest extreme was a light one; `None` at the start.
    let mut was_light = None;
    for (at, &value) in profile.iter().enumerate() {
        if value < low.1 {
            low = (at, value);
        }
        if value > high.1 {
            high = (at, value);
        }
        let (darkest, lightest) = around[at / BLOCK];
        let step = CONTRAST.max(PART * (lightest - darkest));
        if was_light != Some(true) && high.1 - value > step {
            extremes.push(high);
            (was_light, low) = (Some(true), (at, value));
        } else if was_light != Some(false) && value - low.1 > step {
            extremes.push(low);
            (was_light, high) = (Some(false), (at, value));
        }
    }
    match was_light {
        Some(true) => extremes.push(low),
        Some(false) => extremes.push(high),
        None => {}
    }
}

/// The place where the profile crosses from one extreme to the next, in samples from its start; the first sample's
/// centre lies at 0.5.
fn edge(profile: &[f32], from: usize, to: usize, falls: bool, around: &[(f32, f32)]) -> f32 {
    let step = |at: usize| if falls { profile[at] - profile[at + 1] } else { profile[at + 1] - profile[at] };
    let steepest = (from..to).fold(from, |best, at| if step(at) > step(best) { at } else { best });
    let near = &profile[steepest.saturating_sub(NEAR).max(from)..=(steepest + 1 + NEAR).min(to)];
    let (low, high) = near.iter().fold((f32::MAX, f32::MIN), |(low, high), it| (low.min(*it), high.max(*it)));
    let (darkest, lightest) = around[steepest / BLOCK];
    let inset = INSET * (high - low);
    let level = ((darkest + lightest) / 2.0).clamp(low + inset, high - inset);
    // The search goes from the steepest place towards the level.
    let above = |at: usize| profile[at] > level;
    let mut at = steepest;
    while at > from && above(at) != falls {
        at -= 1;
    }
    while at + 1 < to && above(at + 1) == falls {
        at += 1;
    }
    let (here, next) = (profile[at], profile[at + 1]);
    let part = if (next - here).abs() > f32::EPSILON {
        ((level - here) / (next - here)).clamp(0.0, 1.0)
    } else {
        0.5
    };
    at as f32 + part + 0.5
}
