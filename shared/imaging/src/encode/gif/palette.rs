//! Few colours for many: a palette from a histogram, and each colour's nearest in it.
//!
//! The histogram is split where that lowers the squared error most (X. Wu, Efficient Statistical Computations for
//! Optimal Color Quantization, Graphics Gems II, 1991, with the best cut of each box along its longest axis), and the
//! result is moved to the middle of what it stands for a few times (S. Lloyd, Least Squares Quantization in PCM, 1982).

/// How much a difference in red, green and blue is seen: squared, these are close to 2 : 4 : 1.5, a common estimate.
const WEIGHTS: [f32; 3] = [1.4, 2.0, 1.2];

/// Bits of each channel by which colours share an entry of the histogram.
const BITS: u32 = 5;
const BINS: usize = 1 << (3 * BITS);

/// Rounds of moving the palette to the middles.
const ROUNDS: usize = 4;

/// Bits of each channel by which colours share what was found nearest.
const FINE_BITS: u32 = 6;

/// A colour's place in the space in which distances are taken.
type Point = [f32; 3];

fn point([r, g, b]: [u8; 3]) -> Point {
    [f32::from(r) * WEIGHTS[0], f32::from(g) * WEIGHTS[1], f32::from(b) * WEIGHTS[2]]
}

fn colour(point: Point) -> [u8; 3] {
    std::array::from_fn(|axis| (point[axis] / WEIGHTS[axis]).round() as u8)
}

/// What of a channel is looked at where colours share an entry.
fn shared(rgb: [u8; 3], bits: u32) -> usize {
    rgb.iter().fold(0, |index, &value| index << bits | usize::from(value) >> (8 - bits))
}

/// How often which colours are there.
pub(super) struct Histogram {
    bins: Vec<Bin>,
    /// The colours themselves, as long as they are few.
    exact: Option<Vec<[u8; 3]>>,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    sum: [u64; 3],
    count: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { bins: vec![Bin::default(); BINS], exact: Some(Vec::new()) }
    }

    pub(super) fn add(&mut self, rgb: [u8; 3]) {
        let bin = &mut self.bins[shared(rgb, BITS)];
        for (sum, value) in bin.sum.iter_mut().zip(rgb) {
            *sum += u64::from(value);
        }
        bin.count += 1;
        if let Some(exact) = &mut self.exact
            && let Err(at) = exact.binary_search(&rgb)
        {
            if exact.len() == 256 {
                self.exact = None;
            } else {
                exact.insert(at, rgb);
            }
        }
    }

    /// At most so many colours: the very ones where they are no more than that.
    pub(super) fn palette(&self, colours: usize) -> Palette {
        match &self.exact {
            Some(exact) if exact.len() <= colours => Palette::new(exact.clone(), true),
            _ => Palette::new(self.reduced(colours), false),
        }
    }

    fn reduced(&self, colours: usize) -> Vec<[u8; 3]> {
        let mut samples: Vec<Sample> = self.bins.iter().filter(|bin| bin.count > 0).map(Sample::of).collect();
        let middles = split(&mut samples, colours);
        let middles = (0..ROUNDS).fold(middles, |middles, _| moved(&samples, middles));
        let mut colours: Vec<[u8; 3]> = middles.into_iter().map(colour).collect();
        colours.sort_unstable();
        colours.dedup();
        colours
    }
}

/// An entry of the histogram: its mean, and how many pixels that stands for.
#[derive(Clone, Copy)]
struct Sample {
    at: Point,
    weight: f32,
}

impl Sample {
    fn of(bin: &Bin) -> Self {
        let mean = |axis: usize| (bin.sum[axis] as f64 / bin.count as f64) as f32 * WEIGHTS[axis];
        Self { at: std::array::from_fn(mean), weight: bin.count as f32 }
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
        let weight = f64::from(sample.weight);
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

    /// The squared length of the sum over the weight: the more of it two halves have together, the less error is left.
    fn drawn(&self) -> f64 {
        let length: f64 = self.sum.iter().map(|sum| sum * sum).sum();
        if self.weight > 0.0 { length / self.weight } else { 0.0 }
    }

    /// The squared error of taking the mean for all.
    fn error(&self) -> f64 {
        self.squares - self.drawn()
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

/// Cuts the samples into at most so many boxes, always the one with the largest error, and gives their means.
fn split(samples: &mut [Sample], colours: usize) -> Vec<Point> {
    let mut boxes = vec![(0..samples.len(), moments(samples))];
    while boxes.len() < colours {
        let worst = boxes
            .iter()
            .enumerate()
            .filter(|(_, (range, _))| range.len() > 1)
            .max_by(|(_, (_, a)), (_, (_, b))| a.error().total_cmp(&b.error()));
        let Some((index, (range, whole))) = worst.map(|(index, found)| (index, found.clone())) else { break };
        let (at, lower) = cut(&mut samples[range.clone()], &whole);
        boxes[index] = (range.start..range.start + at, lower);
        boxes.push((range.start + at..range.end, whole.without(&lower)));
    }
    boxes.iter().map(|(_, moments)| moments.mean()).collect()
}

/// Sorts a box along its widest axis; gives where to cut it so that the least error is left, and what is below.
fn cut(samples: &mut [Sample], whole: &Moments) -> (usize, Moments) {
    let mean = whole.mean();
    let spread = |axis: usize| -> f64 {
        let away =
            |sample: &Sample| f64::from(sample.weight) * f64::from(sample.at[axis] - mean[axis]).powi(2);
        samples.iter().map(away).sum()
    };
    let spreads = [spread(0), spread(1), spread(2)];
    let axis = (0..3).max_by(|&a, &b| spreads[a].total_cmp(&spreads[b])).unwrap_or(0);
    samples.sort_unstable_by(|a, b| a.at[axis].total_cmp(&b.at[axis]));
    let mut below = Moments::default();
    let mut best = (f64::NEG_INFINITY, 1, below);
    for (at, sample) in samples.iter().enumerate() {
        if at > 0 {
            let drawn = below.drawn() + whole.without(&below).drawn();
            if drawn > best.0 {
                best = (drawn, at, below);
            }
        }
        below.add(sample);
    }
    (best.1, best.2)
}

/// Each colour at the middle of the samples that are nearest to it; one that is nearest to none stays.
fn moved(samples: &[Sample], middles: Vec<Point>) -> Vec<Point> {
    let search = Search::new(&middles);
    let mut found = vec![Moments::default(); middles.len()];
    for sample in samples {
        found[search.nearest(sample.at).0].add(sample);
    }
    let all = middles.into_iter().zip(found);
    all.map(|(middle, found)| if found.weight > 0.0 { found.mean() } else { middle }).collect()
}

/// Points, an axis at a time, so that many distances are taken at once.
struct Search {
    axes: [Vec<f32>; 3],
}

impl Search {
    fn new(points: &[Point]) -> Self {
        Self { axes: std::array::from_fn(|axis| points.iter().map(|point| point[axis]).collect()) }
    }

    /// The index of the nearest point and its squared distance.
    fn nearest(&self, to: Point) -> (usize, f32) {
        let mut distances = [f32::MAX; 256];
        let [x, y, z] = &self.axes;
        for (((distance, x), y), z) in distances.iter_mut().zip(x).zip(y).zip(z) {
            let (x, y, z) = (x - to[0], y - to[1], z - to[2]);
            *distance = x * x + y * y + z * z;
        }
        let distances = &distances[..x.len().min(256)];
        // In lanes, because a single running minimum waits for itself.
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

/// Colours, and which is the nearest to any other.
pub(super) struct Palette {
    pub(super) colours: Vec<[u8; 3]>,
    /// Whether every colour of the picture is in it.
    pub(super) exact: bool,
    search: Search,
    /// By the first bits of a colour, its nearest plus one; 0 is not known yet.
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
        let found = &mut self.found[shared(rgb, FINE_BITS)];
        if *found == 0 {
            // The middle of those that share it.
            let middle = rgb.map(|value| value & !3 | 2);
            *found = self.search.nearest(point(middle)).0 as u16 + 1;
        }
        (*found - 1) as u8
    }

    /// The index after the last colour, which stands for none.
    pub(super) fn transparent(&self) -> u8 {
        self.colours.len() as u8
    }

    /// The squared distance of two of the colours; what is transparent is like nothing else.
    pub(super) fn distance(&self, a: u8, b: u8) -> f32 {
        let (Some(&a), Some(&b)) = (self.colours.get(usize::from(a)), self.colours.get(usize::from(b)))
        else {
            return f32::INFINITY;
        };
        let (a, b) = (point(a), point(b));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum()
    }
}
