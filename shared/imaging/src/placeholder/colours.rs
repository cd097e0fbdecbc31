//! Dominant colours, by clustering in Oklab, where distance corresponds to what the eye sees (B. Ottosson, 2020,
//! <https://bottosson.github.io/posts/oklab/>).
//!
//! Pixels are first counted in a coarse RGB cube, weighted by their alpha. The cube's cells are then clustered by
//! k-means, starting from the heaviest cells that are far from each other, and clusters that look alike are joined. A
//! cluster is represented by a colour that its pixels have. That is the most frequent one if it makes up much of the
//! cluster, as in drawings. In photographs it is an accident which of many colours is the most frequent; there it is
//! one in the cluster's middle.

use algorithm::colour::Colour;

use super::{DominantColour, blurhash::to_linear};

/// The most colours that are reported.
const MOST: usize = 5;

/// The least part of the visible pixels for which a colour is reported.
const LEAST_SHARE: f64 = 0.01;

/// Iterations of k-means. More of them change the second digit of a share at most.
const ROUNDS: usize = 6;

/// The squared distance below which two clusters count as one colour: two to three times what can just be told apart
/// side by side.
const ALIKE: f64 = 0.06 * 0.06;

/// The least part of a cluster that its most frequent colour must make up to represent it.
const LEAST_PART: f64 = 0.1;

type Lab = [f64; 3];

/// A colour that pixels have.
#[derive(Clone, Copy)]
struct Shade {
    rgb: [u8; 3],
    /// Sum of the pixels' alpha.
    weight: u32,
}

/// The pixels of one cell of the cube.
#[derive(Clone, Copy)]
struct Cell<'a> {
    /// Sum of the pixels' alpha.
    weight: f64,
    /// The mean colour of the pixels.
    lab: Lab,
    /// The distinct colours in the cell.
    shades: &'a [Shade],
}

/// The dominant colours of straight-alpha RGBA pixels, most frequent first; each is the colour of some of the pixels.
pub(super) fn dominant(rgba: &[u8]) -> Vec<DominantColour> {
    let shades = shades(rgba);
    let cells = cells(&shades);
    let total: f64 = cells.iter().map(|cell| cell.weight).sum();
    let mut clusters = join_alike(k_means(&cells));
    clusters.retain(|cluster| weight(cluster) >= LEAST_SHARE * total);
    // The sort is stable: equally frequent clusters stay in the order of the cube.
    clusters.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let named = clusters.iter().map(|cluster| DominantColour {
        colour: representative(cluster),
        share: (weight(cluster) / total * 1e4).round() / 1e4,
    });
    named.collect()
}

/// The distinct visible colours, ordered by the cells of a cube of 16 × 16 × 16.
fn shades(rgba: &[u8]) -> Vec<Shade> {
    // One number holds the cell, the place within the cell, and alpha, so that sorting numbers sorts by cell.
    let digits = |[r, g, b]: [u8; 3]| u32::from(r) << 8 | u32::from(g) << 4 | u32::from(b);
    let pixels = rgba.as_chunks::<4>().0.iter().filter(|pixel| pixel[3] > 0);
    let ordered = |&[r, g, b, a]: &[u8; 4]| {
        let (high, low) = ([r, g, b].map(|value| value >> 4), [r, g, b].map(|value| value & 15));
        digits(high) << 20 | digits(low) << 8 | u32::from(a)
    };
    let pixels = by_digit(&by_digit(&pixels.map(ordered).collect::<Vec<_>>(), 8), 20);
    let shade = |pixels: &[u32]| {
        let value = |at: u32| ((pixels[0] >> (20 + at) & 15) << 4 | pixels[0] >> (8 + at) & 15) as u8;
        Shade { rgb: [value(8), value(4), value(0)], weight: pixels.iter().map(|pixel| pixel & 255).sum() }
    };
    pixels.chunk_by(|one, other| one >> 8 == other >> 8).map(shade).collect()
}

/// Sorts numbers by the twelve bits that begin at `bit`, stably: one pass of a radix sort, which is faster here than a
/// comparison sort.
fn by_digit(numbers: &[u32], bit: u32) -> Vec<u32> {
    let digit = |number: u32| (number >> bit & 0xfff) as usize;
    let mut places = vec![0; 1 << 12];
    numbers.iter().for_each(|&number| places[digit(number)] += 1);
    let mut before = 0;
    for place in &mut places {
        (*place, before) = (before, before + *place);
    }
    let mut sorted = vec![0; numbers.len()];
    for &number in numbers {
        let place: &mut usize = &mut places[digit(number)];
        sorted[*place] = number;
        *place += 1;
    }
    sorted
}

/// The cells that have pixels, in the cube's order.
fn cells(shades: &[Shade]) -> Vec<Cell<'_>> {
    let place = |shade: &Shade| shade.rgb.map(|value| value >> 4);
    shades.chunk_by(|one, other| place(one) == place(other)).map(cell).collect()
}

/// Builds the cell of these colours.
fn cell(shades: &[Shade]) -> Cell<'_> {
    let mut sums = [0; 3];
    let mut alpha = 0;
    for Shade { rgb, weight } in shades {
        sums.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += u32::from(*value) * weight);
        alpha += weight;
    }
    let mean = sums.map(|sum| ((sum + alpha / 2) / alpha) as u8);
    Cell { weight: alpha.into(), lab: to_lab(mean), shades }
}

/// Clusters the cells by k-means.
fn k_means<'a>(cells: &[Cell<'a>]) -> Vec<Vec<Cell<'a>>> {
    let mut centres = seeds(cells);
    let mut clusters = Vec::new();
    for _ in 0..ROUNDS {
        clusters = vec![Vec::new(); centres.len()];
        for cell in cells {
            if let Some(nearest) = nearest(&centres, cell.lab) {
                clusters[nearest].push(*cell);
            }
        }
        clusters.retain(|cluster| !cluster.is_empty());
        centres = clusters.iter().map(|cluster| mean(cluster, |cell| cell.weight)).collect();
    }
    clusters
}

/// Chooses the initial centres: the heaviest cell, then repeatedly the cell whose weight times distance from the
/// centres so far is greatest.
fn seeds(cells: &[Cell<'_>]) -> Vec<Lab> {
    let mut seeds: Vec<Lab> = Vec::new();
    while seeds.len() < MOST {
        let worth = |cell: &Cell<'_>| {
            cell.weight * seeds.iter().map(|seed| distance(*seed, cell.lab)).fold(1.0, f64::min)
        };
        // Of equals the first wins, which is the first in the cube's order.
        let best =
            cells.iter().map(|cell| (worth(cell), cell.lab)).reduce(|a, b| if b.0 > a.0 { b } else { a });
        match best {
            Some((worth, lab)) if worth > 0.0 => seeds.push(lab),
            _ => break,
        }
    }
    seeds
}

fn nearest(centres: &[Lab], lab: Lab) -> Option<usize> {
    let distances = centres.iter().map(|centre| distance(*centre, lab)).enumerate();
    distances.reduce(|a, b| if b.1 < a.1 { b } else { a }).map(|(index, _)| index)
}

/// Joins clusters that look alike, the closest pair first.
fn join_alike(mut clusters: Vec<Vec<Cell<'_>>>) -> Vec<Vec<Cell<'_>>> {
    loop {
        let centres: Vec<_> = clusters.iter().map(|cluster| mean(cluster, |cell| cell.weight)).collect();
        let pairs = (0..centres.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let apart = pairs.map(|(a, b)| (distance(centres[a], centres[b]), a, b));
        match apart.reduce(|one, other| if other.0 < one.0 { other } else { one }) {
            Some((distance, a, b)) if distance < ALIKE => {
                let joined = clusters.remove(b);
                clusters[a].extend(joined);
            }
            _ => return clusters,
        }
    }
}

fn weight(cluster: &[Cell<'_>]) -> f64 {
    cluster.iter().map(|cell| cell.weight).sum()
}

/// The colour that represents a cluster (see the module). The middle weighs cells by the square of their weight, so
/// that the mixed colours along the edges of a plain area do not move it.
fn representative(cluster: &[Cell<'_>]) -> Colour {
    let middle = mean(cluster, |cell| cell.weight * cell.weight);
    let from_middle = |shade: &Shade| distance(to_lab(shade.rgb), middle);
    // Of equals the first wins, which is the first in the cube's order.
    let more = |one: Shade, other: Shade| if other.weight > one.weight { other } else { one };
    let most = cluster.iter().flat_map(|cell| cell.shades).copied().reduce(more);
    let frequent = most.filter(|most| f64::from(most.weight) >= LEAST_PART * weight(cluster));
    let nearest = || {
        let cell =
            cluster.iter().min_by(|a, b| distance(a.lab, middle).total_cmp(&distance(b.lab, middle)))?;
        let nearer = |a: &&Shade, b: &&Shade| from_middle(a).total_cmp(&from_middle(b));
        cell.shades.iter().min_by(nearer).copied()
    };
    // A cluster has cells, and a cell has shades, so there always is one.
    let [r, g, b] = frequent.or_else(nearest).map_or([0; 3], |shade| shade.rgb);
    Colour::new([r, g, b, u8::MAX])
}

fn mean(cluster: &[Cell<'_>], weight: impl Fn(&Cell<'_>) -> f64) -> Lab {
    let total: f64 = cluster.iter().map(&weight).sum();
    std::array::from_fn(|axis| cluster.iter().map(|cell| cell.lab[axis] * weight(cell)).sum::<f64>() / total)
}

/// The squared distance.
fn distance(a: Lab, b: Lab) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Converts sRGB samples to Oklab.
fn to_lab(rgb: [u8; 3]) -> Lab {
    let [r, g, b] = rgb.map(|value| f64::from(to_linear(value)));
    let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
    let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
    let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
    [
        0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
        1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
        0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(rgba: &[[u8; 4]]) -> Vec<(String, f64)> {
        let found = dominant(rgba.as_flattened());
        found.into_iter().map(|DominantColour { colour, share }| (colour.to_string(), share)).collect()
    }

    fn owned(named: &[(&str, f64)]) -> Vec<(String, f64)> {
        named.iter().map(|&(colour, share)| (colour.to_owned(), share)).collect()
    }

    #[test]
    fn plain_areas_are_named_exactly_and_by_size() {
        let red = vec![[200, 40, 40, 255]; 250];
        let green = vec![[40, 160, 40, 255]; 500];
        let white = vec![[255, 255, 255, 255]; 1250];
        let found = named(&[red, green, white].concat());
        assert_eq!(found, owned(&[("#ffffff", 0.625), ("#28a028", 0.25), ("#c82828", 0.125)]));
    }

    #[test]
    fn alpha_counts_and_what_is_invisible_does_not() {
        let clear = vec![[255, 0, 255, 0]; 5000];
        let half = vec![[0, 0, 255, 51]; 1000];
        let whole = vec![[255, 255, 0, 255]; 800];
        let found = named(&[clear.clone(), half, whole].concat());
        assert_eq!(found, owned(&[("#ffff00", 0.8), ("#0000ff", 0.2)]));
        assert_eq!(named(&clear), []);
    }

    #[test]
    fn shades_that_look_alike_are_one_colour() {
        let sky: Vec<_> = (0..1000).map(|n| [100 + (n % 10) as u8, 150, 230 - (n % 7) as u8, 255]).collect();
        let grass: Vec<_> = (0..500).map(|n| [60, 140 + (n % 9) as u8, 30, 255]).collect();
        let found = named(&[sky, grass].concat());
        assert_eq!(found.iter().map(|(_, share)| *share).collect::<Vec<_>>(), [0.6667, 0.3333], "{found:?}");
    }

    #[test]
    fn at_most_five_are_named_and_no_speck() {
        let many: Vec<_> = (0..8_u8)
            .flat_map(|n| [[n & 1, n >> 1 & 1, n >> 2].map(|bit| bit * 255)].repeat(100 - usize::from(n)))
            .map(|[r, g, b]| [r, g, b, 255])
            .collect();
        assert_eq!(named(&many).len(), 5);
        let speck = [vec![[0, 0, 0, 255]; 995], vec![[255, 0, 0, 255]; 5]].concat();
        assert_eq!(named(&speck), owned(&[("#000000", 0.995)]));
    }

    /// The reported colours as pixels.
    fn colours(rgba: &[[u8; 4]]) -> Vec<[u8; 4]> {
        dominant(rgba.as_flattened()).iter().map(|named| named.colour.rgba()).collect()
    }

    #[test]
    fn every_colour_that_is_named_is_in_the_picture() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        let near = |value: u32, noise: u32| (value + noise % 24) as u8;
        let grainy: Vec<_> =
            (0..4096).map(|_| [near(80, noise()), near(120, noise()), near(200, noise()), 255]).collect();
        let gradient: Vec<_> =
            (0..4096_u32).map(|n| [(n / 16) as u8, 90, (255 - n / 16) as u8, 255]).collect();
        let dithered: Vec<_> =
            (0..4096).map(|n| if n % 3 == 0 { [96, 96, 96, 255] } else { [112, 112, 112, 255] }).collect();
        let glassy: Vec<_> =
            (0..4096_u32).map(|n| [n as u8, 30, (n / 16) as u8, (n % 250) as u8 + 5]).collect();
        for picture in [grainy, gradient, dithered, glassy, vec![[7, 8, 9, 255]], vec![[7, 8, 9, 1]]] {
            let named = colours(&picture);
            let there = |colour: &[u8; 4]| picture.iter().any(|pixel| pixel[..3] == colour[..3]);
            assert!(!named.is_empty() && named.iter().all(there), "{named:?}");
        }
    }

    #[test]
    fn of_colours_that_count_as_one_the_most_frequent_is_named() {
        let (more, fewer) = ([112, 112, 112, 255], [96, 96, 96, 255]);
        let dithered: Vec<_> = (0..3000).map(|n| if n % 3 == 0 { fewer } else { more }).collect();
        assert_eq!(named(&dithered), owned(&[("#707070", 1.0)]));
        let halves = [vec![fewer; 501], vec![more; 500]].concat();
        assert_eq!(named(&halves), owned(&[("#606060", 1.0)]));
    }

    #[test]
    fn of_many_colours_that_count_as_one_none_at_the_edge_is_named() {
        // Each shade occurs once, except the brightest, which occurs twice.
        let sky: Vec<_> = (0..=40).chain([40]).map(|n| [100 + n, 150 + n / 2, 200 + n / 2, 255]).collect();
        let named = colours(&sky);
        assert_eq!(named.len(), 1);
        assert!(named[0][0].abs_diff(120) <= 4, "{named:?}");
    }

    #[test]
    fn oklab_is_the_papers() {
        // The paper's table starts from XYZ values that lie outside sRGB; white and the primaries are well known.
        for (rgb, lab) in [
            ([255, 255, 255], [1.0, 0.0, 0.0]),
            ([255, 0, 0], [0.627_955, 0.224_863, 0.125_846]),
            ([0, 0, 255], [0.452_014, -0.032_457, -0.311_528]),
        ] {
            assert!(distance(to_lab(rgb), lab) < 1e-8, "{:?}", to_lab(rgb));
        }
    }
}
