//! Colour quantisation: builds a palette from a histogram, and finds the nearest palette colour of a colour.
//!
//! The histogram is split where that lowers the squared error most (X. Wu, Efficient Statistical Computations for
//! Optimal Color Quantization, Graphics Gems II, 1991, with the best cut of each box along its longest axis). A few
//! iterations of Lloyd's algorithm then move each palette colour to the mean of the colours that it stands for (S.
//! Lloyd, Least Squares Quantization in PCM, 1982).

/// Bits per channel of a histogram bin.
const BITS: u32 = 5;
const BINS: usize = 1 << (3 * BITS);

/// Distinct colours that are kept exactly before bins are used instead.
const EXACT: usize = 1024;

/// The most samples that are worked on at full cost; if there are more, they are merged.
const MANY: usize = 4096;

/// The most colours of a palette; one more index is left for transparency.
pub(super) const MOST: usize = 255;

/// Iterations of Lloyd's algorithm, and those on the full samples if they were merged.
const ROUNDS: usize = 4;
const FINE_ROUNDS: usize = 2;

/// Bits per channel of the cache of nearest colours.
const FINE_BITS: u32 = 6;

use std::ops::Range;

/// A colour as a point of the space in which distances are measured.
type Point = [f32; 3];

fn point([r, g, b]: [u8; 3]) -> Point {
    [f32::from(r), f32::from(g), f32::from(b)]
}

fn colour(point: Point) -> [u8; 3] {
    point.map(|value| value.round() as u8)
}

/// The index of a colour, made of the highest bits of each channel.
fn bin_index(rgb: [u8; 3], bits: u32) -> usize {
    rgb.iter().fold(0, |index, &value| index << bits | usize::from(value) >> (8 - bits))
}

/// A histogram of colours.
pub(super) struct Histogram {
    bins: Vec<Bin>,
    /// The exact colours with their weights, in order, as long as they are few.
    exact: Option<Vec<([u8; 3], f64)>>,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    sum: [f64; 3],
    weight: f64,
}

impl Bin {
    fn add(&mut self, other: &Self) {
        self.sum.iter_mut().zip(other.sum).for_each(|(sum, value)| *sum += value);
        self.weight += other.weight;
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: vec![Bin::default(); BINS], exact: Some(Vec::new()) }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.bins.fill(Bin::default());
        self.exact = Some(Vec::new());
    }

    pub(super) fn add(&mut self, rgb: [u8; 3], weight: f64) {
        self.bins[bin_index(rgb, BITS)].add(&Bin { sum: rgb.map(|value| f64::from(value) * weight), weight });
        if let Some(exact) = &mut self.exact {
            match exact.binary_search_by_key(&rgb, |&(colour, _)| colour) {
                Ok(at) => exact[at].1 += weight,
                Err(_) if exact.len() == EXACT => self.exact = None,
                Err(at) => exact.insert(at, (rgb, weight)),
            }
        }
    }

    /// A palette of at most `colours` colours, which is exact if there are no more distinct ones.
    pub(super) fn palette(&self, colours: usize) -> Palette {
        match &self.exact {
            Some(exact) if exact.len() <= colours => {
                Palette::new(exact.iter().map(|&(colour, _)| colour).collect(), true)
            }
            _ => {
                let mut samples = self.samples();
                let mut means = Vec::new();
                split(samples.coarse(), colours, |boxes, _| means = means_of(boxes));
                Palette::new(samples.after_lloyd(means), false)
            }
        }
    }

    /// Palettes of 1, 3, 7 … colours, which fill a table together with the transparent index, as far as there are that
    /// many colours.
    pub(super) fn reductions(&self) -> Reductions {
        let mut samples = self.samples();
        let mut steps = Vec::new();
        let most = samples.coarse().len().min(MOST);
        split(samples.coarse(), MOST, |boxes, error| {
            if (boxes.len() + 1).is_power_of_two() || boxes.len() == most {
                steps.push(Reduction { means: means_of(boxes), error });
            }
        });
        Reductions { samples, steps }
    }

    /// The squared error of a palette.
    pub(super) fn error(&self, colours: &[[u8; 3]]) -> f64 {
        self.samples().error(colours)
    }

    /// The distinct colours, or the means of the bins if there are many.
    fn samples(&self) -> Samples {
        if let Some(exact) = &self.exact {
            let fine = exact.iter().map(|&(colour, weight)| Sample { at: point(colour), weight });
            return Samples { fine: fine.collect(), coarse: None };
        }
        let filled = |bins: &[Bin]| bins.iter().filter(|bin| bin.weight > 0.0).map(Sample::of).collect();
        let fine: Vec<Sample> = filled(&self.bins);
        if fine.len() <= MANY {
            return Samples { fine, coarse: None };
        }
        let mut coarse = vec![Bin::default(); BINS >> 3];
        for (index, bin) in self.bins.iter().enumerate() {
            let bits = |channel: u32| index >> (channel * BITS + 1) & ((1 << (BITS - 1)) - 1);
            coarse[(bits(2) << (BITS - 1) | bits(1)) << (BITS - 1) | bits(0)].add(bin);
        }
        Samples { fine, coarse: Some(filled(&coarse)) }
    }
}

/// The samples that palettes are computed from.
struct Samples {
    fine: Vec<Sample>,
    /// The same, merged into fewer samples, if there are many.
    coarse: Option<Vec<Sample>>,
}

impl Samples {
    fn coarse(&mut self) -> &mut Vec<Sample> {
        self.coarse.as_mut().unwrap_or(&mut self.fine)
    }

    /// Moves the colours to the means of what they stand for, and returns them in order.
    fn after_lloyd(&self, means: Vec<Point>) -> Vec<[u8; 3]> {
        let coarse = self.coarse.as_ref().unwrap_or(&self.fine);
        // With a colour for each sample, they are at the means already.
        let rounds = if means.len() < coarse.len() { ROUNDS } else { 0 };
        let mut middles = (0..rounds).fold(means, |middles, _| lloyd_step(coarse, middles));
        if self.coarse.is_some() {
            middles = (0..FINE_ROUNDS).fold(middles, |middles, _| lloyd_step(&self.fine, middles));
        }
        let mut colours: Vec<[u8; 3]> = middles.into_iter().map(colour).collect();
        colours.sort_unstable();
        colours.dedup();
        colours
    }

    /// The squared error of a palette.
    fn error(&self, colours: &[[u8; 3]]) -> f64 {
        let points: Vec<Point> = colours.iter().copied().map(point).collect();
        let search = Search::new(&points);
        let samples = self.coarse.as_ref().unwrap_or(&self.fine);
        samples.iter().map(|sample| sample.weight * f64::from(search.nearest(sample.at).1)).sum()
    }
}

/// A palette before Lloyd's iterations, and its squared error.
pub(super) struct Reduction {
    means: Vec<Point>,
    pub(super) error: f64,
}

impl Reduction {
    pub(super) fn colours(&self) -> usize {
        self.means.len()
    }
}

/// Palettes of several sizes for the same colours.
pub(super) struct Reductions {
    samples: Samples,
    pub(super) steps: Vec<Reduction>,
}

impl Reductions {
    /// The squared error of a palette.
    pub(super) fn error(&self, colours: &[[u8; 3]]) -> f64 {
        self.samples.error(colours)
    }

    /// The palette of one of the steps.
    pub(super) fn palette(&self, step: &Reduction) -> Vec<[u8; 3]> {
        self.samples.after_lloyd(step.means.clone())
    }
}

/// A bin's mean, and its weight.
#[derive(Clone, Copy)]
struct Sample {
    at: Point,
    weight: f64,
}

impl Sample {
    fn of(bin: &Bin) -> Self {
        Self { at: bin.sum.map(|sum| (sum / bin.weight) as f32), weight: bin.weight }
    }
}

/// Weight, weighted sum and weighted sum of squares.
#[derive(Clone, Copy, Default)]
struct Moments {
    weight: f64,
    sum: [f64; 3],
    squares: f64,
}

impl Moments {
    fn add(&mut self, sample: &Sample) {
        let weight = sample.weight;
        self.weight += weight;
        for (sum, value) in self.sum.iter_mut().zip(sample.at) {
            *sum += weight * f64::from(value);
            self.squares += weight * f64::from(value) * f64::from(value);
        }
    }

    fn without(&self, other: &Self) -> Self {
        Self {
            weight: self.weight - other.weight,
            sum: std::array::from_fn(|axis| self.sum[axis] - other.sum[axis]),
            squares: self.squares - other.squares,
        }
    }

    /// The squared length of the sum divided by the weight. The greater its total over two halves, the less error is
    /// left.
    fn explained(&self) -> f64 {
        let length: f64 = self.sum.iter().map(|sum| sum * sum).sum();
        if self.weight > 0.0 { length / self.weight } else { 0.0 }
    }

    /// The squared error if the mean stands for all samples.
    fn error(&self) -> f64 {
        self.squares - self.explained()
    }

    fn mean(&self) -> Point {
        self.sum.map(|sum| (sum / self.weight) as f32)
    }
}

fn moments(samples: &[Sample]) -> Moments {
    let mut moments = Moments::default();
    samples.iter().for_each(|sample| moments.add(sample));
    moments
}

fn means_of(boxes: &[Cut]) -> Vec<Point> {
    boxes.iter().map(|cut| cut.whole.mean()).collect()
}

/// A box of samples, and where to cut it.
struct Cut {
    range: Range<usize>,
    whole: Moments,
    /// The number of samples below the cut, their moments, and by how much the cut lowers the error. The samples are
    /// sorted along the box's axis.
    at: usize,
    lower: Moments,
    gain: f64,
}

impl Cut {
    /// Sorts the samples of a box along its widest axis and finds the cut that leaves the least error.
    fn of(samples: &mut [Sample], range: Range<usize>, whole: Moments) -> Self {
        let samples = &mut samples[range.clone()];
        let mean = whole.mean();
        let spread = |axis: usize| -> f64 {
            samples.iter().map(|sample| sample.weight * f64::from(sample.at[axis] - mean[axis]).powi(2)).sum()
        };
        let spreads = [spread(0), spread(1), spread(2)];
        let axis = (0..3).max_by(|&a, &b| spreads[a].total_cmp(&spreads[b])).unwrap_or(0);
        samples.sort_unstable_by(|a, b| a.at[axis].total_cmp(&b.at[axis]));
        let mut best = Self { range, whole, at: 0, lower: Moments::default(), gain: f64::NEG_INFINITY };
        let mut below = Moments::default();
        for (at, sample) in samples.iter().enumerate() {
            if at > 0 {
                let gain = below.explained() + whole.without(&below).explained() - whole.explained();
                if gain > best.gain {
                    (best.at, best.lower, best.gain) = (at, below, gain);
                }
            }
            below.add(sample);
        }
        best
    }
}

/// Cuts the samples into at most `colours` boxes, always where that lowers the error most. `each` is called with the
/// boxes so far and the remaining error, from one box on.
fn split(samples: &mut [Sample], colours: usize, mut each: impl FnMut(&[Cut], f64)) {
    if samples.is_empty() {
        return;
    }
    let whole = moments(samples);
    let mut boxes = vec![Cut::of(samples, 0..samples.len(), whole)];
    let mut left = whole.error();
    loop {
        each(&boxes, left.max(0.0));
        let best = boxes.iter().enumerate().filter(|(_, cut)| cut.at > 0);
        let best = best.max_by(|(_, a), (_, b)| a.gain.total_cmp(&b.gain));
        let Some((index, cut)) = best.filter(|_| boxes.len() < colours) else { return };
        left -= cut.gain;
        let (range, at, lower) = (cut.range.clone(), cut.range.start + cut.at, cut.lower);
        let upper = cut.whole.without(&lower);
        boxes[index] = Cut::of(samples, range.start..at, lower);
        boxes.push(Cut::of(samples, at..range.end, upper));
    }
}

/// One iteration of Lloyd's algorithm: moves each colour to the mean of its nearest samples. A colour with none stays.
fn lloyd_step(samples: &[Sample], middles: Vec<Point>) -> Vec<Point> {
    let search = Search::new(&middles);
    let mut found = vec![Moments::default(); middles.len()];
    for sample in samples {
        found[search.nearest(sample.at).0].add(sample);
    }
    let all = middles.into_iter().zip(found);
    all.map(|(middle, found)| if found.weight > 0.0 { found.mean() } else { middle }).collect()
}

/// Points stored by axis, so that distances are computed with vector instructions.
struct Search {
    axes: [Vec<f32>; 3],
}

impl Search {
    fn new(points: &[Point]) -> Self {
        Self { axes: std::array::from_fn(|axis| points.iter().map(|point| point[axis]).collect()) }
    }

    /// The index of the nearest point, and its squared distance.
    fn nearest(&self, to: Point) -> (usize, f32) {
        let mut distances = [f32::MAX; 256];
        let [x, y, z] = &self.axes;
        for (((distance, x), y), z) in distances.iter_mut().zip(x).zip(y).zip(z) {
            let (x, y, z) = (x - to[0], y - to[1], z - to[2]);
            *distance = x * x + y * y + z * z;
        }
        let distances = &distances[..x.len().min(256)];
        // Eight running minima, because with a single one each comparison would wait for the previous one.
        let mut lanes = [f32::MAX; 8];
        for chunk in distances.chunks(8) {
            for (lane, &distance) in lanes.iter_mut().zip(chunk) {
                *lane = if distance < *lane { distance } else { *lane };
            }
        }
        let least = lanes.iter().copied().fold(f32::MAX, f32::min);
        (distances.iter().position(|&distance| distance == least).unwrap_or(0), least)
    }
}

/// A palette, with a search for its nearest colour.
pub(super) struct Palette {
    pub(super) colours: Vec<[u8; 3]>,
    /// Whether it contains every colour of the picture exactly.
    pub(super) exact: bool,
    search: Search,
    /// A cache, indexed by the highest bits of a colour: the nearest colour's index plus one; 0 is unknown.
    found: Vec<u16>,
}

impl Palette {
    fn new(colours: Vec<[u8; 3]>, exact: bool) -> Self {
        let points: Vec<Point> = colours.iter().copied().map(point).collect();
        Self { colours, exact, search: Search::new(&points), found: vec![0; 1 << (3 * FINE_BITS)] }
    }

    /// The index of the nearest colour.
    pub(super) fn nearest(&mut self, rgb: [u8; 3]) -> u8 {
        if self.exact
            && let Ok(index) = self.colours.binary_search(&rgb)
        {
            return index as u8;
        }
        let found = &mut self.found[bin_index(rgb, FINE_BITS)];
        if *found == 0 {
            // The centre of the colours that share the entry.
            let middle = rgb.map(|value| value & !3 | 2);
            *found = self.search.nearest(point(middle)).0 as u16 + 1;
        }
        (*found - 1) as u8
    }

    /// The index after the last colour, which stands for transparency.
    pub(super) fn transparent(&self) -> u8 {
        self.colours.len() as u8
    }
}
