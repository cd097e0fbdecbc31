//! Encodes an animation within a number of bytes, as close to its frames as these allow.
//!
//! Every choice weighs its error against its cost in bytes, at one price per bit for the whole file (H. Everett,
//! Generalized Lagrange Multiplier Method, 1963), so that bytes are spent where they gain most. The choices are: how
//! many colours a frame's own palette has, or whether it shares the file's; whether a pixel is drawn or left as it is;
//! which of several close colours is written. The price at which the file just fits is then searched. The error is the
//! squared difference of premultiplied red, green, blue and alpha, times how long it is seen.
//!
//! Nothing is dithered. Dithering looks better than banding only where there are few colours for the picture, which is
//! rare with a palette for each frame; and its noise takes the bytes that better colours need.

use std::ops::Range;

use super::{
    choice::{self, Candidate, Candidates},
    delta::Area,
    file::{File, WrittenPicture},
    palette::{Histogram, MOST},
    timing,
};
use crate::{Deadline, Image, ImageError, TimedOut, animation::Animation};

/// The most files that are tried.
const TRIES: usize = 8;

/// Coded pixels after which a search ends with the best file so far.
const WORK: usize = 6_000_000;

/// The factor on the price if no file has fitted by then.
const HURRY: f64 = 4.0;

/// The part of its budget that a file must use for the search to end, which [`LESS`] lowers with each attempt.
const ENOUGH: f64 = 0.985;
const LESS: f64 = 0.01;

/// The price at which nothing visible is lost, and the one at which anything may be.
const LEAST: f64 = 0.02;
const HIGHEST: f64 = 1e6;

/// The second price to try, if the file at the least one was only just too large.
const GUESS: f64 = 40.0;

/// The ratio of two prices between which no other is tried.
const CLOSE: f64 = 1.2;

/// The index of a frame's largest palette in its reductions, which have 1, 3, 7 … 255 colours.
const LARGEST_STEP: usize = 7;

/// The most colours that are considered for a pixel, from the frame's palette.
const CANDIDATES: usize = 6;

/// A pixel with an error below this has less weight when a frame's own palette is chosen. Colours that are still
/// missing after several frames thus get into a palette, if there are bytes for it.
const CAP: f32 = 64.0;

/// How many palettes' bytes the error of the shared one may exceed the bound of [`ALIKE`] by, and still be tried.
const TABLES: f64 = 3.0;

/// The error, in bits, up to which leaving a pixel as it is needs no alternative.
const FREE: f32 = 0.02;

/// The ratio of the shared palette's error to that of the frame's own up to which the shared one is tried.
const ALIKE: f64 = 1.1;

/// The most bits that a pixel can save by taking another colour.
const WORTH: f32 = 3.0;

/// The squared distance up to which two colours count as the same in the next frame.
const SAME: u32 = 27;

/// A colour, or all zero for a transparent pixel.
type Pixel = [u8; 4];

const NOTHING: Pixel = [0; 4];

fn distance(a: Pixel, b: Pixel) -> u32 {
    a.iter().zip(b).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

/// Reduces a pixel's alpha to the one bit that GIF has.
fn with_one_bit_alpha([r, g, b, a]: Pixel) -> Pixel {
    if a >= 128 { [r, g, b, 255] } else { NOTHING }
}

/// The frames to encode.
struct SourceFrames {
    width: usize,
    height: usize,
    frames: Vec<Frame>,
    plays: u32,
    /// The palette that fits all frames best.
    shared: Vec<[u8; 3]>,
}

struct Frame {
    pixels: Vec<Pixel>,
    /// How long each pixel stays unchanged from this frame on, in units of the mean frame time.
    weights: Vec<f32>,
    /// Hundredths of a second.
    delay: u16,
    /// In units of the mean frame time.
    length: f32,
}

impl SourceFrames {
    fn of(animation: &Animation, first: &Image, deadline: Deadline) -> Result<Self, TimedOut> {
        let schedule = timing::schedule(animation.frames.iter().map(|frame| frame.delay));
        let total: f64 = schedule.iter().map(|&(_, delay)| f64::from(delay)).sum();
        let mean = (total / schedule.len() as f64).max(1.0);
        let mut frames = Vec::with_capacity(schedule.len());
        for (index, delay) in schedule {
            deadline.check()?;
            let Some(frame) = animation.frames.get(index) else { continue };
            let pixels = frame.image.rgba().as_chunks().0.iter().copied().map(with_one_bit_alpha).collect();
            let length = (f64::from(delay).max(1.0) / mean) as f32;
            frames.push(Frame { pixels, weights: Vec::new(), delay, length });
        }
        let mut after: Option<&Frame> = None;
        for frame in frames.iter_mut().rev() {
            let stays = |at: usize, after: &Frame| distance(frame.pixels[at], after.pixels[at]) <= SAME;
            let weight = |at: usize| {
                frame.length + after.filter(|after| stays(at, after)).map_or(0.0, |after| after.weights[at])
            };
            frame.weights = (0..frame.pixels.len()).map(weight).collect();
            after = Some(frame);
        }
        let mut histogram = Histogram::new();
        let mut before: Option<&Frame> = None;
        for frame in &frames {
            deadline.check()?;
            for (at, &pixel) in frame.pixels.iter().enumerate() {
                if pixel != NOTHING && before.is_none_or(|before| distance(before.pixels[at], pixel) > SAME) {
                    histogram.add([pixel[0], pixel[1], pixel[2]], frame.weights[at].into());
                }
            }
            before = Some(frame);
        }
        let shared = histogram.palette(MOST).colours;
        let (width, height) = (first.width() as usize, first.height() as usize);
        Ok(Self { width, height, frames, plays: animation.plays, shared })
    }
}

/// The result of encoding at some price.
struct Attempt {
    /// The file, if it fits.
    tried: Option<EncodedFile>,
    /// The size of the file, or an estimate of it.
    size: usize,
    /// The number of pixels that were coded.
    work: usize,
}

/// A file that was encoded at some price.
struct EncodedFile {
    bytes: Vec<u8>,
    /// The file's error.
    error: f64,
}

/// Encodes the best file of at most `budget` bytes; `None` if there is none.
///
/// # Errors
/// [`ImageError::TimeLimit`], and [`ImageError::Internal`] where there is no frame.
pub(crate) fn within(
    animation: &Animation,
    budget: usize,
    deadline: Deadline,
) -> Result<Option<Vec<u8>>, ImageError> {
    let film = SourceFrames::of(animation, animation.first()?, deadline)?;
    let mut best: Option<EncodedFile> = None;
    let mut search = Search::new(budget);
    let mut steps = LARGEST_STEP..LARGEST_STEP;
    let mut work = 0;
    for nth in 0..TRIES {
        let Attempt { tried, size, work: more } = attempt(&film, &search.prices, budget, &steps, deadline)?;
        if nth == 0 {
            // The size grows roughly with the square root of the number of colours.
            let fewer = (size / budget.max(1)).checked_ilog2().unwrap_or(0) as usize;
            let middle = LARGEST_STEP.saturating_sub(fewer);
            steps = middle.saturating_sub(3)..(middle + 1).min(LARGEST_STEP);
        }
        let fits = tried.is_some();
        if let Some(tried) = tried
            && best.as_ref().is_none_or(|best| tried.error <= best.error)
        {
            best = Some(tried);
        }
        work += more;
        // Once the search has taken long enough, a file that fits ends it; without one, the price is raised so that the
        // next fits.
        if best.is_some() && work > WORK {
            break;
        }
        if best.is_none() && work > WORK {
            search.raise_steeply();
        }
        let enough = ENOUGH - LESS * nth as f64;
        if fits && (nth == 0 || size as f64 >= budget as f64 * enough) || !search.next_prices(size, fits) {
            break;
        }
    }
    Ok(best.map(|best| best.bytes))
}

/// The price of a bit: one for some of the frames, another for the rest.
#[derive(Clone, Copy, Debug)]
struct Prices {
    low: f64,
    high: f64,
    /// The part of the frames that have the low price.
    share: f64,
}

impl Prices {
    fn of(&self, nth: usize) -> f64 {
        let before = |nth: usize| (nth as f64 * self.share).floor();
        if before(nth + 1) > before(nth) { self.low } else { self.high }
    }
}

/// A price, with its logarithm and that of the resulting size.
#[derive(Clone, Copy)]
struct Point {
    price: f64,
    size: f64,
}

/// Searches the price at which a file just fits. The size falls roughly as a power of the price. Where it jumps, as
/// when most frames of a slow change become empty at once, two prices are mixed.
struct Search {
    budget: f64,
    prices: Prices,
    low: Option<Point>,
    high: Option<Point>,
    /// Once two prices are mixed: the share of the low price and the resulting size, for one attempt that fits and one
    /// that does not.
    mixing: Option<((f64, f64), (f64, f64))>,
}

impl Search {
    fn new(budget: usize) -> Self {
        let prices = Prices { low: LEAST, high: LEAST, share: 1.0 };
        Self { budget: budget as f64, prices, low: None, high: None, mixing: None }
    }

    /// Makes the next price much higher.
    fn raise_steeply(&mut self) {
        self.prices.low *= HURRY;
    }

    /// Chooses the next prices; false if the search is over.
    fn next_prices(&mut self, size: usize, fits: bool) -> bool {
        if self.mixing.is_some() {
            return self.next_share(size as f64, fits);
        }
        let over = size as f64 / self.budget;
        let price = self.prices.low;
        let here = Point { price, size: (size as f64).ln() };
        if fits {
            self.high = Some(here);
        } else {
            self.low = Some(here);
        }
        let next = match (self.low, self.high) {
            (Some(low), Some(high)) if high.price < low.price * CLOSE => {
                self.prices = Prices { low: low.price, high: high.price, share: 0.0 };
                self.mixing = Some(((0.0, high.size.exp()), (1.0, low.size.exp())));
                return self.next_share(high.size.exp(), true);
            }
            (Some(low), Some(high)) => {
                let goal = (self.budget * (1.0 + ENOUGH) / 2.0).ln();
                let part = (low.size - goal) / (low.size - high.size);
                let part = if part.is_finite() { part.clamp(0.1, 0.9) } else { 0.5 };
                low.price * (high.price / low.price).powf(part)
            }
            (Some(_), None) if price >= HIGHEST => return false,
            (Some(_), None) if price <= LEAST => GUESS * over.powi(2),
            _ => (price * 3.0 * over.powi(2)).min(HIGHEST),
        };
        self.prices = Prices { low: next, high: next, share: 1.0 };
        true
    }

    /// Chooses the next share. The size grows roughly in proportion to it.
    fn next_share(&mut self, size: f64, fits: bool) -> bool {
        let Some((mut fitting, mut not)) = self.mixing else { return false };
        *if fits { &mut fitting } else { &mut not } = (self.prices.share, size);
        let goal = self.budget * (1.0 + ENOUGH) / 2.0;
        let part = ((goal - fitting.1) / (not.1 - fitting.1)).clamp(0.1, 0.9);
        self.prices.share = fitting.0 + (not.0 - fitting.0) * part;
        self.mixing = Some((fitting, not));
        true
    }
}

/// Encodes at these prices. Returns the file if it fits, and its size or an estimate of it.
fn attempt(
    film: &SourceFrames,
    prices: &Prices,
    budget: usize,
    steps: &Range<usize>,
    deadline: Deadline,
) -> Result<Attempt, TimedOut> {
    let mut coder = Coder::new(film, steps.clone());
    for nth in 0..film.frames.len() {
        coder.price = prices.of(nth) as f32;
        coder.frame(nth, deadline)?;
        let size = coder.bytes();
        if size > budget && nth + 1 < film.frames.len() {
            let done = (nth + 1) as f64 / film.frames.len() as f64;
            let whole = (size as f64 / done) as usize;
            if done > 0.1 || whole > 4 * budget {
                return Ok(Attempt { tried: None, size: whole, work: coder.work });
            }
        }
    }
    let (error, work) = (coder.error, coder.work);
    let bytes = coder.file();
    let size = bytes.len();
    Ok(Attempt { tried: (size <= budget).then_some(EncodedFile { bytes, error }), size, work })
}

/// A picture of the file, kept until its delay is known.
struct Part {
    area: Area,
    delay: u16,
    clear: bool,
    /// The picture's own palette; `None` for the shared one.
    own: Option<Vec<[u8; 3]>>,
    transparent: u8,
    code_size: u32,
    codes: Vec<u8>,
}

struct Coded {
    part: Part,
    indices: Vec<u8>,
    error: f64,
    cost: f64,
}

/// Encodes one frame after the other.
struct Coder<'a> {
    film: &'a SourceFrames,
    price: f32,
    shown: Vec<Pixel>,
    cleared: bool,
    parts: Vec<Part>,
    error: f64,
    /// The size of the last frame's palette, as an index into its reductions.
    step: usize,
    /// The smallest and the largest palette that a frame may have, as indices.
    steps: Range<usize>,
    /// Whether the last frame used the shared palette.
    sharing: bool,
    /// The number of pixels that were coded.
    work: usize,
    histogram: Histogram,
    candidates: Candidates,
}

impl<'a> Coder<'a> {
    fn new(film: &'a SourceFrames, steps: Range<usize>) -> Self {
        Self {
            film,
            price: 0.0,
            shown: vec![NOTHING; film.width * film.height],
            cleared: false,
            parts: Vec::new(),
            error: 0.0,
            step: steps.end,
            steps,
            sharing: false,
            work: 0,
            histogram: Histogram::new(),
            candidates: Candidates::default(),
        }
    }

    fn frame(&mut self, nth: usize, deadline: Deadline) -> Result<(), TimedOut> {
        deadline.check()?;
        let film = self.film;
        let Some(frame) = film.frames.get(nth) else { return Ok(()) };
        let next = film.frames.get(nth + 1);
        let wanting: Vec<bool> = (0..frame.pixels.len()).map(|at| self.is_worth_drawing(frame, at)).collect();
        let gone = |at: usize| {
            (frame.pixels[at] != NOTHING || self.shown[at] != NOTHING)
                && next.is_some_and(|next| next.pixels[at] == NOTHING)
        };
        let gone = Area::of(film.width, film.height, gone);
        let mut area = Area::of(film.width, film.height, |at| wanting[at]).and(gone);
        if nth == 0 {
            area = Area::whole(film.width, film.height);
        } else if self.cleared && area.is_empty() {
            area = Area::whole(1, 1);
        }
        self.cleared = !gone.is_empty();
        if area.is_empty() {
            if let Some(part) = self.parts.last_mut() {
                part.delay = part.delay.saturating_add(frame.delay);
            }
            self.count(frame);
            return Ok(());
        }
        let best = self.best_coding(nth, frame, area, &wanting, deadline)?;
        let Coded { part, indices, .. } = best;
        let colours = part.own.as_ref().unwrap_or(&film.shared);
        let across = area.right - area.left;
        for (y, row) in (area.top..area.bottom).zip(indices.chunks(across)) {
            for (shown, &index) in self.shown[y * film.width + area.left..].iter_mut().zip(row) {
                if let Some(&[r, g, b]) = colours.get(usize::from(index)) {
                    *shown = [r, g, b, 255];
                }
            }
        }
        self.count(frame);
        if self.cleared {
            for y in area.top..area.bottom {
                self.shown[y * film.width..][area.left..area.right].fill(NOTHING);
            }
        }
        self.parts.push(Part { clear: self.cleared, ..part });
        Ok(())
    }

    /// Codes the frame with the palette that costs least of those that are tried: the shared one if it may do, and of
    /// its own as many colours as the previous frame had, now and then half or twice as many.
    fn best_coding(
        &mut self,
        nth: usize,
        frame: &Frame,
        area: Area,
        wanting: &[bool],
        deadline: Deadline,
    ) -> Result<Coded, TimedOut> {
        let reductions = self.reductions(frame, wanting);
        let steps = &reductions.steps;
        let Some(last) = steps.len().checked_sub(1) else {
            return self.coded(frame, area, None, deadline);
        };
        let shared = &self.film.shared;
        let tables = f64::from(self.price) * 24.0 * (MOST + 1) as f64 * TABLES;
        let again = self.sharing || nth < 2 || nth % 4 == 2;
        let alike = again && reductions.error(shared) <= steps[last].error * ALIKE + tables;
        let mut best = None;
        if alike {
            let coded = self.coded(frame, area, None, deadline)?;
            if coded.error == 0.0 && steps[last].colours() * 2 > shared.len() {
                return Ok(coded);
            }
            best = Some(coded);
            self.sharing = true;
        }
        let (least, most) = (self.steps.start.min(last), self.steps.end.min(last));
        let start = self.step.clamp(least, most);
        let tried = match nth {
            0 | 1 => least..=most,
            _ if nth.is_multiple_of(4) => start.saturating_sub(1).max(least)..=start,
            _ if nth % 4 == 1 => start..=(start + 1).min(most),
            _ => start..=start,
        };
        for step in tried {
            let colours = reductions.palette(&steps[step]);
            let coded = self.coded(frame, area, Some(colours), deadline)?;
            if best.as_ref().is_none_or(|best| coded.cost < best.cost) {
                best = Some(coded);
                self.step = step;
                self.sharing = false;
            }
        }
        match best {
            Some(best) => Ok(best),
            None => self.coded(frame, area, None, deadline),
        }
    }

    /// Codes the frame with these colours, or with the shared ones.
    fn coded(
        &mut self,
        frame: &Frame,
        area: Area,
        own: Option<Vec<[u8; 3]>>,
        deadline: Deadline,
    ) -> Result<Coded, TimedOut> {
        let film = self.film;
        let colours = own.as_ref().unwrap_or(&film.shared);
        let transparent = colours.len() as u8;
        let code_size = (u8::BITS - transparent.leading_zeros()).max(2);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let mut nearest = Nearest::new(colours);
        for y in area.top..area.bottom {
            deadline.check()?;
            for at in y * film.width + area.left..y * film.width + area.right {
                self.choose(frame, at, &mut nearest, &mut candidates);
            }
        }
        let (codes, indices) = choice::encode(&candidates, code_size, self.price, deadline)?;
        self.candidates = candidates;
        self.work += indices.len();
        let mut error = 0.0;
        let across = area.right - area.left;
        for (y, row) in (area.top..area.bottom).zip(indices.chunks(across)) {
            for (at, &index) in (y * film.width + area.left..).zip(row) {
                let shown =
                    colours.get(usize::from(index)).map_or(self.shown[at], |&[r, g, b]| [r, g, b, 255]);
                error += f64::from(frame.weights[at]) * f64::from(distance(frame.pixels[at], shown));
            }
        }
        let table = own.as_ref().map_or(0, |own| 3 * (own.len() + 1).next_power_of_two());
        let cost = error + f64::from(self.price) * 8.0 * (codes.len() + table) as f64;
        let part = Part { area, delay: frame.delay, clear: false, own, transparent, code_size, codes };
        Ok(Coded { part, indices, error, cost })
    }

    fn reductions(&mut self, frame: &Frame, wanting: &[bool]) -> super::palette::Reductions {
        self.histogram.clear();
        for (at, &[r, g, b, _]) in frame.pixels.iter().enumerate() {
            if wanting[at] {
                let off = distance(frame.pixels[at], self.shown[at]) as f32;
                self.histogram.add([r, g, b], (frame.weights[at] * (off / CAP).min(1.0)).into());
            }
        }
        self.histogram.reductions()
    }

    /// Whether drawing a pixel gains more than it costs at least.
    fn is_worth_drawing(&self, frame: &Frame, at: usize) -> bool {
        let (pixel, shown) = (frame.pixels[at], self.shown[at]);
        pixel != NOTHING
            && (shown == NOTHING || frame.weights[at] * distance(pixel, shown) as f32 > self.price)
    }

    /// Collects the colours that are worth considering for a pixel.
    fn choose(&self, frame: &Frame, at: usize, nearest: &mut Nearest, candidates: &mut Candidates) {
        let (pixel, shown, weight) = (frame.pixels[at], self.shown[at], frame.weights[at]);
        let transparent = nearest.colours;
        let off = distance(pixel, shown) as f32;
        let keep = Candidate { index: transparent, cost: 0.0 };
        if pixel == NOTHING || transparent == 0 || (shown != NOTHING && weight * off <= self.price * FREE) {
            candidates.push(&[keep]);
            return;
        }
        let mut least = nearest.distances_to(pixel);
        let kept = shown != NOTHING;
        if kept {
            least = least.min(off);
        }
        let within = self.price * WORTH / weight;
        nearest.near.clear();
        if kept && off - least <= within {
            nearest.near.push(Candidate { cost: weight * (off - least), ..keep });
        }
        for (index, &distance) in (0..transparent).zip(&nearest.distances) {
            if distance - least <= within {
                nearest.near.push(Candidate { index, cost: weight * (distance - least) });
            }
        }
        if nearest.near.len() > CANDIDATES {
            let order = |a: &Candidate, b: &Candidate| a.cost.total_cmp(&b.cost).then(a.index.cmp(&b.index));
            nearest.near.select_nth_unstable_by(CANDIDATES, order);
            nearest.near.truncate(CANDIDATES);
        }
        candidates.push(&nearest.near);
    }

    /// Adds the screen's error while the frame is shown.
    fn count(&mut self, frame: &Frame) {
        let off = frame.pixels.iter().zip(&self.shown).map(|(&a, &b)| u64::from(distance(a, b)));
        self.error += off.sum::<u64>() as f64 * f64::from(frame.length);
    }

    /// An estimate of the bytes so far.
    fn bytes(&self) -> usize {
        let size = |part: &Part| {
            let own = part.own.as_ref().map_or(0, |own| 3 * (own.len() + 1).next_power_of_two());
            20 + own + part.codes.len() + part.codes.len() / 255
        };
        self.parts.iter().map(size).sum()
    }

    fn file(mut self) -> Vec<u8> {
        let shared = self.parts.iter().any(|part| part.own.is_none());
        let first = if shared { None } else { self.parts.first_mut().and_then(|part| part.own.take()) };
        let table = first.as_ref().unwrap_or(&self.film.shared);
        let (width, height) = (self.film.width as u16, self.film.height as u16);
        let mut file = File::new(width, height, table, super::repeats(self.film.plays));
        for part in &self.parts {
            file.picture(&WrittenPicture {
                area: part.area,
                delay: part.delay,
                clear: part.clear,
                own: part.own.as_deref(),
                transparent: part.transparent,
                code_size: part.code_size,
                codes: &part.codes,
            });
        }
        file.finish()
    }
}

/// The distances from a pixel to a palette's colours.
struct Nearest {
    colours: u8,
    axes: [Vec<f32>; 3],
    distances: Vec<f32>,
    /// The pixel that the distances are for.
    of: Pixel,
    least: f32,
    near: Vec<Candidate>,
}

impl Nearest {
    fn new(colours: &[[u8; 3]]) -> Self {
        let axis = |axis: usize| colours.iter().map(|colour| f32::from(colour[axis])).collect();
        Self {
            colours: colours.len() as u8,
            axes: [axis(0), axis(1), axis(2)],
            distances: vec![0.0; colours.len()],
            of: NOTHING,
            least: f32::INFINITY,
            near: Vec::new(),
        }
    }

    /// Computes the distances to a pixel and returns the least.
    fn distances_to(&mut self, pixel: Pixel) -> f32 {
        if self.of != pixel {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
            let [reds, greens, blues] = &self.axes;
            for (((distance, red), green), blue) in self.distances.iter_mut().zip(reds).zip(greens).zip(blues)
            {
                let (red, green, blue) = (red - r, green - g, blue - b);
                *distance = red * red + green * green + blue * blue;
            }
            self.least = self.distances.iter().copied().fold(f32::INFINITY, f32::min);
            self.of = pixel;
        }
        self.least
    }
}
