//! Colour deconvolution: the amount of each stain in a pixel.
//!
//! By Ruifrok and Johnston (2001): stains absorb light according to Beer and Lambert's law, so the optical densities
//! −log₁₀(value / white) of red, green and blue are the sum of the stains' vectors, each times the amount of that
//! stain. The amounts are the coordinates in a basis of three such vectors; negative ones count as 0.
//!
//! A slide has two stains, and the basis needs a third vector. For haematoxylin, eosin and DAB, as Ruifrok and Johnston
//! measured them, it is the vector of the stain that the slide does not have; it takes what the other two do not
//! explain, so that amounts are those of scikit-image's `rgb2hed`. QuPath takes a direction at right angles to both
//! instead. With the eosin of Ruifrok and Johnston, red blood cells, which are more orange, would then seem to have as
//! much haematoxylin as pale nuclei. For two stains that are estimated from the slide itself there is no third one, and
//! the direction at right angles is used.
//!
//! The density of a channel depends on one byte, and an amount is a sum over three channels, so everything is looked up
//! in tables.

use imaging::{Deadline, TimedOut};
use serde_json::{Value, json};

use super::{Stains, regions};
use crate::{kernels::larger, pace::Looks, window::Window};

/// The steps of a channel's value from one byte to the next, where values are means of several pixels.
const FINE: usize = 16;

/// Pixels with less optical density than this have hardly any stain, and are left out of Macenko's method (β in the
/// paper).
const LEAST_DENSITY: f64 = 0.15;

/// The part of pixels that lie beyond the extremes at either end (α in the paper).
const BEYOND: f64 = 0.01;

/// The least number of stained pixels, and the least angle between the stains in radians, from which stains are
/// estimated.
const LEAST_PIXELS: u64 = 100;
const LEAST_ANGLE: f64 = 0.17;

/// Unit vectors of optical density in red, green and blue: haematoxylin, the second stain, and the residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Vectors([[f64; 3]; 3]);

impl Vectors {
    /// The vectors of named stains by Ruifrok and Johnston, or of the slide's own stains.
    pub(super) fn of(
        stains: Stains,
        window: &Window<'_>,
        white: [u8; 3],
        deadline: Deadline,
    ) -> Result<Self, TimedOut> {
        const HAEMATOXYLIN: [f64; 3] = [0.65, 0.70, 0.29];
        const EOSIN: [f64; 3] = [0.07, 0.99, 0.11];
        const DAB: [f64; 3] = [0.27, 0.57, 0.78];
        let eosin = || Self([HAEMATOXYLIN, EOSIN, DAB].map(unit));
        Ok(match stains {
            Stains::HE => eosin(),
            Stains::HDab => Self([HAEMATOXYLIN, DAB, EOSIN].map(unit)),
            Stains::Auto => macenko(window, white, deadline)?.unwrap_or_else(eosin),
        })
    }

    /// The vectors by name: haematoxylin, the second stain, and the residual.
    pub(super) fn to_value(self) -> Value {
        let [haematoxylin, second_stain, residual] =
            self.0.map(|vector| vector.map(|part| (part * 1e4).round() / 1e4));
        json!({"haematoxylin": haematoxylin, "second_stain": second_stain, "residual": residual})
    }

    /// For each of the two stains, the amount that a density of 1 in red, in green and in blue adds: two columns of the
    /// inverse matrix.
    fn weights(self) -> [[f64; 3]; 2] {
        let [first, second, rest] = self.0;
        let dual = |a: [f64; 3], b: [f64; 3], own: [f64; 3]| {
            let normal = cross(a, b);
            normal.map(|n| n / dot(own, normal))
        };
        [dual(second, rest, first), dual(rest, first, second)]
    }
}

/// The upper limit of a quantity. Amounts of the named stains do not reach it. A slide's own stains may be so similar
/// that a pixel unlike both would have more.
pub(super) const MOST: f32 = 7.99;

/// The length of a table: a power of two above all indices of a [`Pixel`].
const TABLE: usize = 4096;

/// The indices of a pixel's red, green and blue in tables.
type Pixel = [u16; 3];

/// Quantities from 0 to [`MOST`], each the sum of a value for red, one for green and one for blue, which are looked up.
pub(super) struct Tables<const N: usize> {
    channels: [Box<[[f32; N]; TABLE]>; 3],
}

impl<const N: usize> Tables<N> {
    /// Tables for the pixels of that reduction.
    fn new(weights: [[f64; 3]; N], white: [u8; 3], reduction: usize) -> Self {
        let steps = if reduction == 1 { 1 } else { FINE };
        let table = |channel: usize| {
            let mut table = Box::new([[0.0; N]; TABLE]);
            for (i, entry) in table[..=255 * steps].iter_mut().enumerate() {
                let density = density(i as f64 / steps as f64, white[channel]);
                *entry = weights.map(|weights| (weights[channel] * density) as f32);
            }
            table
        };
        Self { channels: [table(0), table(1), table(2)] }
    }

    /// The quantities of one pixel.
    #[inline(always)]
    fn at(&self, [r, g, b]: Pixel) -> [f32; N] {
        let [red, green, blue] = &self.channels;
        // With the remainder, the compiler knows that the index is in range.
        let entry = |table: &[[f32; N]; TABLE], value: u16| table[usize::from(value) % TABLE];
        let (red, green, blue) = (entry(red, r), entry(green, g), entry(blue, b));
        std::array::from_fn(|i| {
            let sum = larger(red[i] + green[i] + blue[i], 0.0);
            if sum < MOST { sum } else { MOST }
        })
    }
}

/// The quantities that are measured of a pixel.
pub(super) struct Quantities {
    /// The quantity in which nuclei are looked for: haematoxylin, or the sum of densities.
    pub(super) detection: Tables<1>,
    /// The same quantity, haematoxylin, and the second stain.
    pub(super) measured: Tables<3>,
}

impl Quantities {
    pub(super) fn new(vectors: Vectors, sum: bool, white: [u8; 3], reduction: usize) -> Self {
        let [first, second] = vectors.weights();
        let detection = if sum { [1.0; 3] } else { first };
        Self {
            detection: Tables::new([detection], white, reduction),
            measured: Tables::new([detection, first, second], white, reduction),
        }
    }
}

/// A window reduced by a whole factor: each pixel is the mean of `by` × `by` pixels, or of those of them that lie
/// inside.
#[derive(Clone, Copy)]
pub(super) struct Reduced<'a> {
    window: Window<'a>,
    pub(super) by: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> Reduced<'a> {
    pub(super) fn new(window: Window<'a>, by: usize) -> Self {
        Self { window, by, width: window.width.div_ceil(by), height: window.height.div_ceil(by) }
    }

    /// Fills `out` with a quantity for the pixels of a row from `column` on.
    pub(super) fn fill(&self, quantity: &Tables<1>, row: usize, column: usize, out: &mut [f32]) {
        if self.by == 1 {
            let pixels = &self.window.row(row)[column..][..out.len()];
            let opaque = pixels.iter().fold(255, |all, pixel| all & pixel[3]) == 255;
            for (out, pixel) in out.iter_mut().zip(pixels) {
                let [r, g, b, _] = *pixel;
                let pixel = if opaque { [r, g, b] } else { on_white(*pixel) };
                [*out] = quantity.at(pixel.map(u16::from));
            }
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                [*out] = quantity.at(self.mean(row, column + i));
            }
        }
    }

    /// The sums of quantities over `count` pixels of a row from `column` on.
    pub(super) fn sum<const N: usize>(
        &self,
        quantities: &Tables<N>,
        row: usize,
        column: usize,
        count: usize,
    ) -> [f64; N] {
        let mut sums = [0.0; N];
        let mut add = |pixel| {
            for (sum, value) in sums.iter_mut().zip(quantities.at(pixel)) {
                *sum += f64::from(value);
            }
        };
        if self.by == 1 {
            let pixels = &self.window.row(row)[column..][..count];
            pixels.iter().for_each(|pixel| add(on_white(*pixel).map(u16::from)));
        } else {
            (column..column + count).for_each(|column| add(self.mean(row, column)));
        }
        sums
    }

    /// The mean of the pixels that make up one pixel of the reduction.
    fn mean(&self, row: usize, column: usize) -> Pixel {
        let cut = |place: usize, end: usize| place * self.by..((place + 1) * self.by).min(end);
        let (rows, columns) = (cut(row, self.window.height), cut(column, self.window.width));
        let area = (rows.len() * columns.len()) as u32;
        let mut sum = [0u32; 3];
        for pixel in rows.flat_map(|row| &self.window.row(row)[columns.clone()]) {
            let pixel = on_white(*pixel);
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += u32::from(value);
            }
        }
        sum.map(|sum| ((sum * FINE as u32 + area / 2) / area) as u16)
    }
}

/// A pixel composited over white.
#[inline]
fn on_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    if a == 255 {
        return [r, g, b];
    }
    let (a, clear) = (u32::from(a), 255 * (255 - u32::from(a)));
    [r, g, b].map(|value| ((u32::from(value) * a + clear + 127) / 255) as u8)
}

/// The optical density of a value; 0 for values brighter than white. Black counts as 1, because its density would be
/// infinite.
fn density(value: f64, white: u8) -> f64 {
    (-(value.max(1.0) / f64::from(white.max(1))).log10()).max(0.0)
}

/// Estimates the stains from the slide, by Macenko and others (2009). Noise aside, the densities lie in the plane of
/// the two stains, which is spanned by the first two singular vectors; the stains are the extremes of the angle in that
/// plane. The one with more red is haematoxylin. `None` where too little is stained, or all of it alike.
///
/// The method needs no positions, so it runs on a histogram of colours with 64 steps for each channel.
fn macenko(window: &Window<'_>, white: [u8; 3], deadline: Deadline) -> Result<Option<Vectors>, TimedOut> {
    Ok(two_stains(&stained_colours(window, white, deadline)?))
}

/// The stains whose mixtures have these colours, with the number of pixels of each colour.
fn two_stains(stained: &[([f64; 3], u64)]) -> Option<Vectors> {
    let total: u64 = stained.iter().map(|(_, count)| count).sum();
    if total < LEAST_PIXELS {
        return None;
    }
    let plane = principal_plane(stained);
    let mut angles: Vec<(f64, u64)> = stained
        .iter()
        .map(|(densities, count)| (dot(*densities, plane[1]).atan2(dot(*densities, plane[0])), *count))
        .collect();
    angles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends = [BEYOND, 1.0 - BEYOND].map(|part| percentile(&angles, part, total));
    if ends[1] - ends[0] < LEAST_ANGLE {
        return None;
    }
    let vector = |angle: f64| {
        let along = |i: usize| plane[0][i] * angle.cos() + plane[1][i] * angle.sin();
        // No stain brightens, so no part is negative.
        unit([along(0), along(1), along(2)].map(|v| v.max(0.0)))
    };
    let [a, b] = ends.map(vector);
    let [first, second] = if a[0] >= b[0] { [a, b] } else { [b, a] };
    (dot(a, b) < LEAST_ANGLE.cos()).then(|| Vectors([first, second, unit(cross(first, second))]))
}

/// The optical densities of the stained colours in a window, and the number of pixels of each.
fn stained_colours(
    window: &Window<'_>,
    white: [u8; 3],
    deadline: Deadline,
) -> Result<Vec<([f64; 3], u64)>, TimedOut> {
    const BITS: usize = 6;
    const DROPPED: usize = 8 - BITS;
    let mut counts = vec![0u32; 1 << (3 * BITS)];
    let mut looks = Looks::each(regions::STRETCH, deadline);
    for row in 0..window.height {
        looks.count(window.width)?;
        for pixel in window.row(row) {
            let [r, g, b] = on_white(*pixel).map(|value| usize::from(value) >> DROPPED);
            counts[(r << (2 * BITS)) | (g << BITS) | b] += 1;
        }
    }
    let value =
        |bin: usize| (((bin & ((1 << BITS) - 1)) << DROPPED) as f64) + (1 << DROPPED) as f64 / 2.0 - 0.5;
    let occupied = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    Ok(occupied
        .map(|(bin, count)| {
            let densities = [
                density(value(bin >> (2 * BITS)), white[0]),
                density(value(bin >> BITS), white[1]),
                density(value(bin), white[2]),
            ];
            (densities, u64::from(count))
        })
        .filter(|(densities, _)| dot(*densities, *densities) >= LEAST_DENSITY * LEAST_DENSITY)
        .collect())
}

/// The first two singular vectors: the two orthogonal directions along which the densities are greatest.
fn principal_plane(colours: &[([f64; 3], u64)]) -> [[f64; 3]; 2] {
    let product =
        |i: usize, j: usize| colours.iter().map(|(d, count)| d[i] * d[j] * *count as f64).sum::<f64>();
    let (values, vectors) = eigen(std::array::from_fn(|i| std::array::from_fn(|j| product(i, j))));
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let [first, second, _] = order.map(|i| vectors[i]);
    // No density is negative. With the first axis turned towards them, no angle is near ±π.
    let turned = if first.iter().sum::<f64>() < 0.0 { first.map(|c| -c) } else { first };
    [turned, second]
}

/// Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations.
fn eigen(mut matrix: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    const SWEEPS: usize = 24;
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _ in 0..SWEEPS {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            let difference = matrix[q][q] - matrix[p][p];
            let angle = 0.5 * (2.0 * matrix[p][q]).atan2(difference);
            let (sine, cosine) = angle.sin_cos();
            let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
            for row in &mut matrix {
                (row[p], row[q]) = turn(row[p], row[q]);
            }
            for k in 0..3 {
                (matrix[p][k], matrix[q][k]) = turn(matrix[p][k], matrix[q][k]);
                (vectors[p][k], vectors[q][k]) = turn(vectors[p][k], vectors[q][k]);
            }
        }
    }
    ([matrix[0][0], matrix[1][1], matrix[2][2]], vectors)
}

/// The angle below which the given part of all pixels lies.
fn percentile(sorted: &[(f64, u64)], part: f64, total: u64) -> f64 {
    let wanted = part * total as f64;
    let mut below = 0;
    let reached = sorted.iter().find(|(_, count)| {
        below += count;
        below as f64 >= wanted
    });
    reached.or(sorted.last()).map_or(0.0, |(angle, _)| *angle)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt().max(f64::MIN_POSITIVE);
    v.map(|c| c / length)
}

#[cfg(test)]
mod tests {
    use imaging::Image;

    use super::*;

    /// An image whose pixels have known amounts of two stains.
    fn stained([first, second]: [[f64; 3]; 2], amounts: &[[f64; 2]], width: u32) -> Image {
        let byte = |amounts: [f64; 2], channel: usize| {
            let density = amounts[0] * first[channel] + amounts[1] * second[channel];
            (255.0 * 10f64.powf(-density)).round() as u8
        };
        let rgba = amounts.iter().flat_map(|a| [byte(*a, 0), byte(*a, 1), byte(*a, 2), 255]).collect();
        Image::new(width, amounts.len() as u32 / width, rgba).expect("four bytes a pixel")
    }

    fn amounts_of(image: &Image, stains: Stains, reduction: usize) -> Vec<[f32; 2]> {
        let window = Window::whole(image);
        let quantities = Quantities::new(vectors_in(stains, image), false, [255; 3], reduction);
        let reduced = Reduced::new(window, reduction);
        let mut amounts = Vec::new();
        for row in 0..reduced.height {
            let mut detection = vec![0.0; reduced.width];
            reduced.fill(&quantities.detection, row, 0, &mut detection);
            for (column, detection) in detection.into_iter().enumerate() {
                let [same, first, second] = reduced.sum(&quantities.measured, row, column, 1);
                assert_eq!([same, first], [f64::from(detection); 2]);
                amounts.push([first as f32, second as f32]);
            }
        }
        amounts
    }

    fn vectors_in(stains: Stains, image: &Image) -> Vectors {
        Vectors::of(stains, &Window::whole(image), [255; 3], Deadline::none()).expect("no deadline")
    }

    fn pair(stains: Stains) -> [[f64; 3]; 2] {
        let Vectors([first, second, _]) = vectors_of(stains);
        [first, second]
    }

    fn vectors_of(stains: Stains) -> Vectors {
        let white = Image::new(1, 1, vec![255; 4]).expect("a pixel");
        vectors_in(stains, &white)
    }

    #[test]
    fn the_amounts_of_stain_come_back() {
        let amounts = [[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.4, 0.3], [0.8, 0.1], [0.05, 0.4]];
        for stains in [Stains::HE, Stains::HDab] {
            let is = amounts_of(&stained(pair(stains), &amounts, 3), stains, 1);
            for (is, expected) in is.iter().zip(amounts) {
                let off = (0..2).map(|i| (f64::from(is[i]) - expected[i]).abs()).fold(0.0, f64::max);
                assert!(off < 0.02, "{stains:?}: {is:?} is not {expected:?}");
            }
        }
    }

    /// The expected values are those of scikit-image 0.26's `rgb2hed` times 6, because its densities are logarithms to
    /// the base 10⁻⁶. Its vectors have lengths of 0.998 to 1.003, hence the tolerance.
    #[test]
    fn amounts_are_those_of_rgb2hed() {
        let colours =
            [[225, 70, 65], [230, 100, 120], [150, 110, 160], [60, 30, 80], [170, 100, 150], [120, 70, 40]];
        let rgba = colours.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
        let image = Image::new(6, 1, rgba).expect("six pixels");
        let [eosin, dab] = [Stains::HE, Stains::HDab].map(|stains| amounts_of(&image, stains, 1));
        let rgb2hed = [
            [0.00000, 0.29712, 0.82781],
            [0.00000, 0.25889, 0.43511],
            [0.28687, 0.08488, 0.14088],
            [0.81582, 0.17956, 0.31681],
            [0.16519, 0.17316, 0.20961],
            [0.09355, 0.00000, 1.00778],
        ];
        for (i, [h, e, d]) in rgb2hed.into_iter().enumerate() {
            for (is, expected) in [(eosin[i], [h, e]), (dab[i], [h, d])] {
                let off = (is[0] - expected[0]).abs().max((is[1] - expected[1]).abs());
                assert!(off < 0.004, "{:?}: {is:?} is not {expected:?}", colours[i]);
            }
        }
    }

    #[test]
    fn a_pixel_of_a_reduction_is_the_mean_of_its_square() {
        let rgba =
            [[0u8, 10, 20, 255], [1, 20, 20, 255], [2, 30, 20, 255], [4, 40, 20, 255], [100; 4], [0; 4]];
        let image =
            Image::new(3, 2, [rgba[0], rgba[1], rgba[4], rgba[2], rgba[3], rgba[5]].concat()).expect("six");
        let reduced = Reduced::new(Window::whole(&image), 2);
        assert_eq!((reduced.width, reduced.height), (2, 1));
        let seen = [reduced.mean(0, 0), reduced.mean(0, 1)];
        // The means of the first square, 7 / 4, 25 and 20, in sixteenths; the second has half-clear grey and clear
        // pixels, on white.
        assert_eq!(seen[0], [28, 400, 320]);
        let half: u16 = (100 * 100 + 255 * 155 + 127) / 255;
        assert_eq!(seen[1], [(half + 255) * 8; 3]);
    }

    #[test]
    fn macenko_finds_the_stains_of_a_slide() {
        let mut amounts = Vec::new();
        for i in 0..2000 {
            let (part, strength) = (f64::from(i % 50) / 49.0, 0.3 + 0.5 * f64::from(i % 37) / 36.0);
            // A third of the pixels has each stain alone, a third has both.
            let part = if i % 3 == 0 {
                0.0
            } else if i % 3 == 1 {
                1.0
            } else {
                part
            };
            amounts.push([strength * part, strength * (1.0 - part)]);
        }
        let own = [unit([0.60, 0.74, 0.30]), unit([0.20, 0.85, 0.48])];
        for vectors in [own, pair(Stains::HDab)] {
            let image = stained(vectors, &amounts, 50);
            let Vectors([first, second, _]) = macenko(&Window::whole(&image), [255; 3], Deadline::none())
                .expect("no deadline")
                .expect("there are two stains");
            for (is, expected) in [first, second].iter().zip(vectors) {
                let angle = dot(*is, expected).min(1.0).acos();
                assert!(angle < 0.05, "{is:?} is {angle} away from {expected:?}");
            }
        }
    }

    #[test]
    fn a_slide_without_two_stains_is_taken_for_haematoxylin_and_eosin() {
        let [first, _] = pair(Stains::HE);
        let one: Vec<[f64; 2]> = (0..400).map(|i| [0.3 + f64::from(i % 10) * 0.04, 0.0]).collect();
        for amounts in [vec![[0.0, 0.0]; 400], one] {
            let image = stained([first, first], &amounts, 20);
            assert_eq!(vectors_in(Stains::Auto, &image), vectors_of(Stains::HE));
        }
    }
}
