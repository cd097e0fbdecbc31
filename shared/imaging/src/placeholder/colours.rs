//! The colours that a picture mostly consists of: clusters in Oklab, where distance is what the eye sees
//! (B. Ottosson, 2020, <https://bottosson.github.io/posts/oklab/>).
//!
//! Pixels are counted in a coarse cube of RGB first, each by its alpha. The cube's cells are then gathered by k-means
//! around the heaviest cells that are far from each other, and clusters that look alike become one.

use jobs::colour::Colour;

use super::{
    DominantColour,
    blurhash::{to_linear, to_srgb},
};

/// The most colours that are named.
const MOST: usize = 5;

/// The least part of what is visible for which a colour is named.
const LEAST_SHARE: f64 = 0.01;

/// Rounds of k-means: more change the second digit of a share, if anything.
const ROUNDS: usize = 6;

/// How near two clusters are that are one colour, squared: two to three times what can just be told apart side by side.
const ALIKE: f64 = 0.06 * 0.06;

type Lab = [f64; 3];

/// The pixels of one cell of the cube, or of a cluster of cells.
#[derive(Clone, Copy)]
struct Cell {
    /// Sum of the pixels' alpha.
    weight: f64,
    /// Their mean.
    lab: Lab,
}

/// The dominant colours of straight-alpha RGBA pixels, most frequent first.
pub(super) fn dominant(rgba: &[u8]) -> Vec<DominantColour> {
    let cells = cells(rgba);
    let total: f64 = cells.iter().map(|cell| cell.weight).sum();
    let mut clusters = alike_joined(gathered(&cells));
    clusters.retain(|cluster| weight(cluster) >= LEAST_SHARE * total);
    // Sorting keeps the order of what is equally frequent, which the cube's is.
    clusters.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let named = clusters.iter().map(|cluster| DominantColour {
        colour: shown(cluster),
        share: (weight(cluster) / total * 1e4).round() / 1e4,
    });
    named.collect()
}

/// The cells of a cube of 16 × 16 × 16 that have pixels, in the cube's order.
fn cells(rgba: &[u8]) -> Vec<Cell> {
    let mut sums = vec![[0_u32; 4]; 16 * 16 * 16];
    for &[r, g, b, a] in rgba.as_chunks::<4>().0 {
        let place = usize::from(r >> 4) << 8 | usize::from(g >> 4) << 4 | usize::from(b >> 4);
        let [red, green, blue, alpha] = &mut sums[place];
        let weight = u32::from(a);
        *red += u32::from(r) * weight;
        *green += u32::from(g) * weight;
        *blue += u32::from(b) * weight;
        *alpha += weight;
    }
    let filled = sums.into_iter().filter(|sums| sums[3] > 0);
    filled
        .map(|[r, g, b, alpha]| {
            let mean = [r, g, b].map(|sum| ((sum + alpha / 2) / alpha) as u8);
            Cell { weight: alpha.into(), lab: to_lab(mean) }
        })
        .collect()
}

/// K-means: each cluster's cells.
fn gathered(cells: &[Cell]) -> Vec<Vec<Cell>> {
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

/// The heaviest cell, then again and again the one that is heaviest for its distance from those before.
fn seeds(cells: &[Cell]) -> Vec<Lab> {
    let mut seeds: Vec<Lab> = Vec::new();
    while seeds.len() < MOST {
        let worth = |cell: &Cell| {
            cell.weight * seeds.iter().map(|seed| distance(*seed, cell.lab)).fold(1.0, f64::min)
        };
        // The first of equals: the order is the cube's.
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

/// The clusters, those that look alike joined, the nearest first.
fn alike_joined(mut clusters: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
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

fn weight(cluster: &[Cell]) -> f64 {
    cluster.iter().map(|cell| cell.weight).sum()
}

/// The colour that stands for a cluster. Its heavy cells count for more than their part, so that the mixed colours along
/// the edges of something plain do not tint it.
fn shown(cluster: &[Cell]) -> Colour {
    let [r, g, b] = from_lab(mean(cluster, |cell| cell.weight * cell.weight));
    Colour::new([r, g, b, 255])
}

fn mean(cluster: &[Cell], weight: impl Fn(&Cell) -> f64) -> Lab {
    let total: f64 = cluster.iter().map(&weight).sum();
    std::array::from_fn(|axis| cluster.iter().map(|cell| cell.lab[axis] * weight(cell)).sum::<f64>() / total)
}

/// The distance, squared.
fn distance(a: Lab, b: Lab) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Oklab of sRGB samples.
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

/// The nearest sRGB samples.
fn from_lab([lightness, a, b]: Lab) -> [u8; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let rgb = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    rgb.map(|light| to_srgb(light as f32) as u8)
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

    #[test]
    fn oklab_is_the_papers_and_every_colour_survives_it() {
        // XYZ (1, 0, 0)'s neighbours in the paper's table are out of sRGB; white and the primaries are well known.
        for (rgb, lab) in [
            ([255, 255, 255], [1.0, 0.0, 0.0]),
            ([255, 0, 0], [0.627_955, 0.224_863, 0.125_846]),
            ([0, 0, 255], [0.452_014, -0.032_457, -0.311_528]),
        ] {
            assert!(distance(to_lab(rgb), lab) < 1e-8, "{:?}", to_lab(rgb));
        }
        for rgb in (0..4096_u16).map(|n| [n >> 8, n >> 4 & 15, n & 15].map(|digit| digit as u8 * 17)) {
            assert_eq!(from_lab(to_lab(rgb)), rgb);
        }
    }
}
