//! The walk over a window: tile by tile, plane by plane of the stack, with three planes held at a time.

use std::ops::Range;

use imaging::{Deadline, TimedOut};

use super::{
    candidates::Candidates,
    extrema::{self, Maximum, Plane},
};
use crate::{pace::Looks, window::Window};

/// The least size of a tile. It is so small that the planes at hand stay in a core's caches.
const MIN_ROWS: usize = 128;
const MIN_COLUMNS: usize = 1024;

/// The number of additions that may go into exact values for one image, some seconds' worth. Only flat areas and noise
/// take so many.
const MOST_EFFORT: usize = 1 << 31;

/// The number of additions between two checks of the deadline: some milliseconds' worth.
const EFFORT_PER_CHECK: usize = 1 << 23;

/// A part of the window: rows and columns counted from the window's top left.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Tile {
    /// The tile with `by` more on every side, as far as the window reaches.
    pub(super) fn grown(&self, by: usize, window: &Window<'_>) -> Self {
        let grow =
            |range: &Range<usize>, end: usize| range.start.saturating_sub(by)..(range.end + by).min(end);
        Self { rows: grow(&self.rows, window.height), columns: grow(&self.columns, window.width) }
    }
}

/// The place where a stack writes a plane's values for `tile`: row by row, `stride` values apart.
pub(super) struct Target<'a> {
    pub(super) tile: &'a Tile,
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
}

/// The planes of a scale space, one for each scale, made for one tile at a time.
pub(super) trait Stack {
    /// How many planes there are.
    fn len(&self) -> usize;

    /// The number of pixels around a tile that the planes of the tile depend on.
    fn margin(&self) -> usize;

    /// Prepares the input for the planes of `tile`.
    fn load(&mut self, tile: &Tile);

    /// Writes plane `layer` for the tile that was loaded. It is called in the order of the layers.
    fn fill(&mut self, layer: usize, target: Target<'_>, deadline: Deadline) -> Result<(), TimedOut>;

    /// The value of plane `layer` for a wholly white image. Inverting an image turns a value v into this minus v.
    fn white(&self, layer: usize) -> f64;

    /// The most by which the difference of two values of plane `layer` may be wrong.
    fn slack(&self, layer: usize) -> f32;

    /// The value of plane `layer` at a pixel of the tile in double precision, and its cost in additions.
    fn exact(&self, layer: usize, row: usize, column: usize) -> (f64, usize);

    /// Whether [`Stack::exact`] gives scikit-image's value to the last bit, so that values are equal here if they are
    /// there.
    fn is_exact_to_the_bit(&self) -> bool {
        false
    }

    /// Whether the blob at a maximum of plane `layer` is dark.
    fn is_dark(&self, layer: usize, row: usize, column: usize) -> bool;
}

/// Collects the candidates of the whole window: `bright` takes the maxima of the stack, `dark` those of the inverted
/// image's stack. Either is `None` where it is not wanted.
pub(super) fn search(
    window: &Window<'_>,
    stack: &mut dyn Stack,
    bright: &mut Option<Candidates>,
    dark: &mut Option<Candidates>,
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let rows = MIN_ROWS.max(stack.margin());
    let columns = MIN_COLUMNS.max(2 * stack.margin());
    let mut planes = Ring::default();
    let mut inverted = Ring::default();
    let mut effort = Effort {
        left: MOST_EFFORT,
        keeps_ties: stack.is_exact_to_the_bit(),
        looks: Looks::each(EFFORT_PER_CHECK, deadline),
        late: None,
    };
    for left in (0..window.width).step_by(columns) {
        for top in (0..window.height).step_by(rows) {
            let tile = Tile {
                rows: top..(top + rows).min(window.height),
                columns: left..(left + columns).min(window.width),
            };
            deadline.check()?;
            stack.load(&tile);
            for layer in 0..=stack.len() {
                if layer < stack.len() {
                    planes.turn();
                    planes.0[2].shape(&tile, window);
                    let ring = tile.grown(1, window);
                    stack.fill(layer, planes.0[2].target(&ring), deadline)?;
                    deadline.check()?;
                    if dark.is_some() {
                        inverted.turn();
                        inverted.0[2].invert(&planes.0[2], stack.white(layer) as f32);
                    }
                } else {
                    planes.turn();
                    inverted.turn();
                }
                let Some(middle) = layer.checked_sub(1) else { continue };
                let sides = (middle > 0, layer < stack.len());
                // The planes beside this one may have a greater slack than it has.
                let beside = middle.saturating_sub(1)..(middle + 2).min(stack.len());
                let slack = beside.map(|layer| stack.slack(layer)).fold(0.0, f32::max);
                if let Some(bright) = bright {
                    planes.harvest(sides, bright.floor(), slack, |maximum| {
                        let value = |layer, row, column| stack.exact(layer, row, column);
                        if let Some(response) = effort.settle(middle, &maximum, value) {
                            let is_dark = stack.is_dark(middle, maximum.row, maximum.column);
                            bright.push(maximum.row, maximum.column, middle, response, is_dark);
                        }
                    });
                }
                effort.in_time()?;
                if let Some(dark) = dark {
                    inverted.harvest(sides, dark.floor(), slack, |maximum| {
                        let value = |layer, row, column| {
                            let (value, cost) = stack.exact(layer, row, column);
                            (stack.white(layer) - value, cost)
                        };
                        if let Some(response) = effort.settle(middle, &maximum, value) {
                            dark.push(maximum.row, maximum.column, middle, response, true);
                        }
                    });
                }
                effort.in_time()?;
            }
        }
    }
    Ok(())
}

/// The plane before, the plane that is searched, and the plane after it.
#[derive(Default)]
struct Ring([Plane; 3]);

impl Ring {
    fn turn(&mut self) {
        self.0.rotate_left(1);
    }

    /// Finds the maxima of the middle plane; `sides` tells which of the planes beside it exist.
    fn harvest(&self, sides: (bool, bool), floor: f64, slack: f32, found: impl FnMut(Maximum)) {
        let [before, middle, after] = &self.0;
        let beside = [sides.0.then_some(before), sides.1.then_some(after)];
        extrema::maxima(beside, middle, floor as f32 - slack, slack, found);
    }
}

/// The budget for exact values.
struct Effort {
    /// The number of additions that may still be spent.
    left: usize,
    /// Whether all of several equal neighbours are maxima.
    keeps_ties: bool,
    /// Counts additions.
    looks: Looks,
    /// Set once the deadline has passed. From then on nothing is computed.
    late: Option<TimedOut>,
}

impl Effort {
    /// # Errors
    /// [`TimedOut`] if the deadline passed while values were computed.
    fn in_time(&self) -> Result<(), TimedOut> {
        self.late.map_or(Ok(()), Err)
    }

    /// The response at a maximum in double precision; `None` where an exact comparison shows that a neighbour surpasses
    /// it.
    ///
    /// Of equal neighbours in a plane, all stay where the values are scikit-image's to the bit; elsewhere rounding
    /// decides in scikit-image, and here the first in reading order stays. Where two planes are equal at the same
    /// pixel, both keep their maximum. When the budget is used up, the planes' own values are returned.
    fn settle(
        &mut self,
        layer: usize,
        maximum: &Maximum,
        exact: impl Fn(usize, usize, usize) -> (f64, usize),
    ) -> Option<f64> {
        let keeps_ties = self.keeps_ties;
        let mut value = |[planes, rows, columns]: [i8; 3]| {
            if self.late.is_some() {
                return None;
            }
            let place = |at: usize, step: i8| at.wrapping_add_signed(isize::from(step));
            let (value, cost) =
                exact(place(layer, planes), place(maximum.row, rows), place(maximum.column, columns));
            self.left = self.left.checked_sub(cost)?;
            self.late = self.looks.count(cost).err();
            Some(value)
        };
        let Some(response) = value([0; 3]) else { return Some(f64::from(maximum.value)) };
        let surpassed = maximum.rivals.iter().any(|step| {
            let earlier = !keeps_ties && step[1..] < [0, 0][..];
            value(*step).is_some_and(|rival| rival > response || (rival == response && earlier))
        });
        (!surpassed).then_some(response)
    }
}
