//! The list of linear symbologies, and what their readers have in common. A new one is its file and its line in
//! [`SYMBOLOGIES`].
//!
//! A reader is given bars and spaces and the index of a bar, and returns the text of the symbol that begins with that
//! bar. It judges by widths alone. The widths of a character are compared with those of each character of the
//! symbology: mainly the distances from one edge to the next of the same kind, which do not change where ink has
//! spread, and with less weight the widths themselves.

mod ascii;
mod codabar;
mod code_128;
mod code_39;
mod code_93;
mod ean;
mod itf;
mod pdf417;

pub(super) use pdf417::START_TEXT;

use crate::barcode_detection::profile::Bars;

/// A symbology's reader.
pub(super) trait Symbology: Sync {
    /// The words for the formats that it reads.
    fn formats(&self) -> &'static [&'static str];

    /// The least width of the light before a symbol, in widths of the symbol's first bar.
    fn light(&self) -> f32 {
        1.8
    }

    /// Reads the symbol that begins with the bar of index `start`, which is even, if its format is wanted.
    fn read(&self, bars: &Bars, start: usize, wanted: Wanted<'_>) -> Option<Reading>;
}

/// Tells of a format, by its word, whether it is looked for.
pub(super) type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// Every symbology.
pub(super) static SYMBOLOGIES: &[&dyn Symbology] = &[
    &ean::Ean,
    &code_128::Code128,
    &code_39::Code39,
    &code_93::Code93,
    &itf::Itf,
    &codabar::Codabar,
    &pdf417::Pdf417,
];

/// A symbol read along one line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) format: &'static str,
    pub(super) text: String,
    /// The index of the last bar.
    pub(super) end: usize,
    /// The distance of the widths from those of the characters: the mean square, in modules.
    pub(super) error: f32,
    /// The number of lines that must agree. The weaker the symbology's own checks are, the more it takes to rule out
    /// chance.
    pub(super) rows: usize,
}

/// The largest error of a character that is read. Beyond it, a character may be another one, or none.
const MOST_ERROR: f32 = 0.22;
/// The same for symbologies of two widths, where an error is relative to the difference of the two.
const MOST_OF_TWO: f32 = 0.08;
/// The weight of the widths themselves against the distances between edges of the same kind.
const OWN: f32 = 0.4;

/// The measure of a symbol whose widths are whole numbers of modules.
#[derive(Clone, Copy, Debug)]
struct Gauge {
    /// The width of a module, in pixels.
    module: f32,
    /// The number of modules by which ink has made bars wider and spaces narrower.
    spread: f32,
}

impl Gauge {
    /// Measures bars and spaces in turn, beginning with a bar, whose numbers of modules are known.
    fn of(widths: &[f32], modules: &[u8]) -> Self {
        let count: u8 = modules.iter().sum();
        let module = widths.iter().sum::<f32>() / f32::from(count);
        let beyond: f32 = widths
            .iter()
            .zip(modules)
            .enumerate()
            .map(|(index, (width, modules))| {
                let off = width / module - f32::from(*modules);
                if index % 2 == 0 { off } else { -off }
            })
            .sum();
        Self { module, spread: (beyond / widths.len() as f32).clamp(-0.6, 0.6) }
    }

    /// The measure for other widths of the same symbol, which are so many modules together; the spread of ink stays the
    /// same.
    fn fitted(self, widths: &[f32], modules: u8) -> Self {
        let module = widths.iter().sum::<f32>() / f32::from(modules);
        Self { module, spread: self.spread * self.module / module }
    }

    /// The distance of widths from numbers of modules: the mean square, in modules. `dark` tells whether the first is a
    /// bar.
    fn error(self, widths: &[f32], modules: &[u8], dark: bool) -> f32 {
        let (mut error, mut before) = (0.0, None);
        for (index, (width, modules)) in widths.iter().zip(modules).enumerate() {
            let off = width / self.module - f32::from(*modules);
            if let Some(before) = before {
                let both: f32 = off + before;
                error += both * both;
            }
            let own = if (index % 2 == 0) == dark { off - self.spread } else { off + self.spread };
            error += OWN * own * own;
            before = Some(off);
        }
        error / (widths.len() as f32 * (1.0 + OWN))
    }

    /// The index of the nearest pattern to widths, and its error; `None` where none is near.
    fn nearest<'a, const N: usize>(
        self,
        widths: &[f32],
        patterns: impl IntoIterator<Item = &'a [u8; N]>,
        dark: bool,
    ) -> Option<(usize, f32)> {
        let errors = patterns.into_iter().map(|pattern| self.error(widths, pattern, dark));
        let nearest = errors.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        (nearest.1 < MOST_ERROR).then_some(nearest)
    }
}

/// The measure of a symbol with narrow and wide bars and spaces: the widths of narrow and of wide ones, in pixels.
#[derive(Clone, Copy, Debug)]
struct TwoWidths {
    bars: [f32; 2],
    spaces: [f32; 2],
}

impl TwoWidths {
    /// Measures bars and spaces in turn, beginning with a bar. `wide` tells which of them are wide, with one bit for
    /// each, the last one's lowest; there is at least one of each kind. `None` where the wide ones are not clearly
    /// wider than the narrow ones, or too wide.
    fn of(widths: &[f32], wide: u16) -> Option<Self> {
        let [[Some(bar), Some(wide_bar)], [Some(space), Some(wide_space)]] = means(widths, wide) else {
            return None;
        };
        let learnt = Self { bars: [bar, wide_bar], spaces: [space, wide_space] };
        let ratio = (wide_bar + wide_space) / (bar + space);
        let is_apart = wide_bar > 1.3 * bar && wide_space > 1.3 * space;
        (is_apart && (1.6..4.5).contains(&ratio)).then_some(learnt)
    }

    /// The mean width of narrow bars and spaces.
    fn narrow(self) -> f32 {
        (self.bars[0] + self.spaces[0]) / 2.0
    }

    /// All widths multiplied by the same factor.
    fn scaled(self, by: f32) -> Self {
        Self { bars: self.bars.map(|it| it * by), spaces: self.spaces.map(|it| it * by) }
    }

    /// The measure after another character has been read: moved by the part `by` towards that character's widths.
    fn learning(self, widths: &[f32], wide: u16, by: f32) -> Self {
        let [bars, spaces] = means(widths, wide);
        let learn = |old: [f32; 2], new: [Option<f32>; 2]| {
            std::array::from_fn(|kind| new[kind].map_or(old[kind], |new| old[kind] + (new - old[kind]) * by))
        };
        Self { bars: learn(self.bars, bars), spaces: learn(self.spaces, spaces) }
    }

    /// The distance of widths, of which the first is a bar, from the expected ones: the mean square, where the
    /// difference of wide and narrow is 1.
    fn error(self, widths: &[f32], wide: u16) -> f32 {
        let off = widths.iter().enumerate().map(|(index, width)| {
            let [narrow, wider] = if index % 2 == 0 { self.bars } else { self.spaces };
            let is_wide = is_wide_at(wide, widths.len(), index);
            let off = (width - if is_wide { wider } else { narrow }) / (wider - narrow).max(narrow / 4.0);
            // A width beyond wide, or below narrow, is hardly less clear for it, so it counts less.
            if (off > 0.0) == is_wide { off * off / 4.0 } else { off * off }
        });
        off.sum::<f32>() / widths.len() as f32
    }

    /// The index of the nearest pattern to widths, and its error; `None` where none is near, or where another is about
    /// as near. The expected widths are first moved by the part `own` towards these widths.
    fn nearest(self, widths: &[f32], patterns: &[u16], own: f32) -> Option<(usize, f32)> {
        let (mut nearest, mut second) = ((0, f32::MAX), f32::MAX);
        for (index, pattern) in patterns.iter().enumerate() {
            let expected = if own > 0.0 { self.learning(widths, *pattern, own) } else { self };
            let error = expected.error(widths, *pattern);
            if error < nearest.1 {
                (second, nearest) = (nearest.1, (index, error));
            } else {
                second = second.min(error);
            }
        }
        (nearest.1 < MOST_OF_TWO && nearest.1 < 0.6 * second).then_some(nearest)
    }
}

/// The mean widths of the narrow and the wide bars, then of the spaces; `None` for a kind that does not occur.
fn means(widths: &[f32], wide: u16) -> [[Option<f32>; 2]; 2] {
    let mut sums = [[(0.0, 0.0); 2]; 2];
    for (index, width) in widths.iter().enumerate() {
        let (sum, count) = &mut sums[index % 2][usize::from(is_wide_at(wide, widths.len(), index))];
        (*sum, *count) = (*sum + width, *count + 1.0);
    }
    sums.map(|kinds| kinds.map(|(sum, count): (f32, f32)| (count > 0.0).then(|| sum / count)))
}

/// Whether the bit of the bar or space `index` is set, where the first of `count` has the highest bit.
fn is_wide_at(wide: u16, count: usize, index: usize) -> bool {
    wide >> (count - 1 - index) & 1 == 1
}
