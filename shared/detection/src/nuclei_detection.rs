//! `nuclei_detection`: cell nuclei on slides stained with haematoxylin and eosin, or with haematoxylin and DAB.
//!
//! Steps and defaults follow QuPath's cell detection, which pathologists know. The code is not QuPath's, and outlines
//! differ from QuPath's in single pixels.
//!
//! 1. The image is reduced by a whole factor to about `pixel_size`, if `mpp` gives the size of its pixels.
//! 2. Colour deconvolution gives the amount of haematoxylin in each pixel (`stains`); it is scikit-image's and not
//!    QuPath's.
//! 3. That density is smoothed, and its background is subtracted. The background is an opening (`opening`); QuPath's is
//!    an opening by reconstruction, which could not be done tile by tile. A pixel is nucleus where the rest is dense
//!    enough and not hollow (`field`). Small holes are filled (`regions`).
//! 4. Nuclei that touch are split by their shape (`split`).
//! 5. Each piece gets an outline (`outline`). It is a nucleus if its area is between `min_area` and `max_area`, its
//!    mean density is at least `threshold` above that of the background, and the background's is at most
//!    `max_background`.
//!
//! Nuclei come in reading order of their first pixels. With `mpp`, lengths and areas are in µm and µm², both in
//! parameters and in the result; without it, in pixels of the image. Outlines and centroids are in pixels of the
//! full-size image either way.
//!
//! The filters work in tiles, and the components of the mask are processed one after the other. This is what is held
//! beside the image:
//!
//! - for each pixel of the reduction, the mask and the background: three bytes;
//! - for each run of neighbouring pixels in a row of the mask: twelve bytes, and two dozen more while runs are sorted;
//! - for the largest component: nine bytes for each pixel of its bounding box, twelve for each of its own pixels, and
//!   twenty for each that is flooded at the same time, or so many for each of its nuclei;
//! - for each nucleus, its outline; of twice as many as are wanted, at most.
//!
//! The first follows from the window's size. The others are held against what may be taken before they are.
//!
//! On slides whose nuclei are known (`tests/references/nuclei_detection.py`), nearly all nuclei are found, and their
//! outlines cover nearly the same area. The detector is several times as fast as scikit-image's deconvolution,
//! Laplacian of Gaussian and watershed (`infra/bench`).

mod field;
mod opening;
mod outline;
mod regions;
mod split;
mod stains;

use algorithm::{Kind, Parameter, Parameters, Specification, colour::Colour};
use imaging::{Deadline, TimedOut};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Class, Column, DetectError, Digits, Findings, Schema,
    algorithm::{Algorithm, Memory, Scene, bytes},
    pace::Looks,
    window::{self, Window},
};

use field::{Filters, STEPS};
use outline::Outline;
use regions::{Components, Run};
use split::Labels;
use stains::{Quantities, Reduced, Vectors};

/// The parameters and the result of `nuclei_detection`.
pub(crate) static SPECIFICATION: Specification = Specification {
    name: "nuclei_detection",
    version: "5",
    summary: "Finds cell nuclei on H&E and DAB slides: outline, area, shape and stain of each.",
    references: &[
        "A. C. Ruifrok, D. A. Johnston: Quantification of histochemical staining by color deconvolution, Analytical and \
         Quantitative Cytology and Histology 23, 2001",
        "M. Macenko et al.: A method for normalizing histology slides for quantitative analysis, ISBI 2009, \
         doi:10.1109/ISBI.2009.5193250",
        "P. W. Verbeek, L. J. van Vliet: On the location error of curved edges in low-pass filtered 2-D and 3-D images, \
         IEEE Transactions on Pattern Analysis and Machine Intelligence 16, 1994",
        "G. Taubin: A signal processing approach to fair surface design, SIGGRAPH 1995, doi:10.1145/218380.218473",
        "P. Bankhead et al.: QuPath: Open source software for digital pathology image analysis, Scientific Reports 7, \
         2017, doi:10.1038/s41598-017-17204-5 (steps and defaults)",
    ],
    parameters: &[
        Parameter {
            name: "stains",
            summary: "Haematoxylin and eosin, haematoxylin and DAB (as Ruifrok and Johnston give them, the third taking what \
                      the two do not explain, as in scikit-image's rgb2hed), or the slide's own two stains, estimated by \
                      Macenko's method.",
            unit: None,
            kind: Kind::Choice { values: &["h_e", "h_dab", "auto"], default: Some("h_e") },
        },
        Parameter {
            name: "detection_image",
            summary: "Where nuclei are looked for: in haematoxylin, or in the sum of the optical densities of red, green \
                      and blue, which shows nuclei that DAB hides.",
            unit: None,
            kind: Kind::Choice {
                values: &["haematoxylin", "optical_density_sum"],
                default: Some("haematoxylin"),
            },
        },
        Parameter {
            name: "white",
            summary: "The colour of the slide where nothing lies on it: optical density 0. Without it, #ffffff.",
            unit: None,
            kind: Kind::Colour,
        },
        Parameter {
            name: "mpp",
            summary: "Microns per pixel of the image. With it, all lengths and areas are in µm and µm²; without it, in \
                      pixels.",
            unit: Some("µm/px"),
            kind: Kind::Number { min: 0.02, max: 10.0, default: None },
        },
        Parameter {
            name: "pixel_size",
            summary: "With mpp: the size of pixels that nuclei are looked for in. A finer image is reduced by the whole \
                      factor that comes nearest to it.",
            unit: Some("µm"),
            kind: Kind::Number { min: 0.25, max: 5.0, default: Some(0.5) },
        },
        Parameter {
            name: "background_radius",
            summary: "The radius of the disc that the background is opened with: more than that of the largest nucleus; 0 \
                      takes no background off. Without it, 8 µm or 15 px.",
            unit: Some("µm or px"),
            kind: Kind::Number { min: 0.0, max: 50.0, default: None },
        },
        Parameter {
            name: "sigma",
            summary: "Standard deviation of the Gaussian that smooths: more keeps nuclei whole, less follows their edges. \
                      Without it, 1.5 µm or 3 px.",
            unit: Some("µm or px"),
            kind: Kind::Number { min: 0.1, max: 10.0, default: None },
        },
        Parameter {
            name: "min_area",
            summary: "The smallest nucleus, at most max_area. Without it, 10 µm2 or 10 px2.",
            unit: Some("µm2 or px2"),
            kind: Kind::Number { min: 0.0, max: 100_000.0, default: None },
        },
        Parameter {
            name: "max_area",
            summary: "The largest nucleus. Without it, 400 µm2 or 1000 px2.",
            unit: Some("µm2 or px2"),
            kind: Kind::Number { min: 0.0, max: 100_000.0, default: None },
        },
        Parameter {
            name: "threshold",
            summary: "The least mean optical density of a nucleus above its background.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 5.0, default: Some(0.1) },
        },
        Parameter {
            name: "max_background",
            summary: "Nuclei on a background of more optical density are left out, as on folds and on ink.",
            unit: None,
            kind: Kind::Number { min: 0.0, max: 5.0, default: Some(2.0) },
        },
        Parameter {
            name: "split",
            summary: "Whether nuclei that touch are split by their shape.",
            unit: None,
            kind: Kind::Flag { default: Some(true) },
        },
        Parameter {
            name: "max_nuclei",
            summary: "At most so many nuclei: those that are densest against their background.",
            unit: None,
            kind: Kind::Integer { min: 1, max: 100_000, default: Some(100_000) },
        },
        window::REGION,
    ],
    ordered: &[["min_area", "max_area"]],
    dependent: Some(by_unit),
    list: Some("nuclei"),
};

/// The defaults of lengths and areas, which are in µm with `mpp` and in pixels without it, and that of `white`.
fn by_unit(parameters: &Parameters) -> Vec<(&'static str, Value)> {
    let in_microns = parameters.0.contains_key("mpp");
    let lengths = [
        ("background_radius", 8.0, 15.0),
        ("sigma", 1.5, 3.0),
        ("min_area", 10.0, 10.0),
        ("max_area", 400.0, 1000.0),
    ];
    let of = |(name, microns, pixels)| (name, Value::from(if in_microns { microns } else { pixels }));
    lengths.into_iter().map(of).chain([("white", Value::from("#ffffff"))]).collect()
}

/// The schemas of results with `mpp` and without it.
static IN_MICRONS: Schema = schema(&MICRONS);
static IN_PIXELS: Schema = schema(&PIXELS);

static MICRONS: [Column; 5] = columns("µm", "µm2");
static PIXELS: [Column; 5] = columns("px", "px2");

const fn columns(length: &'static str, area: &'static str) -> [Column; 5] {
    [
        Column { name: "area", unit: Some(area), digits: Digits::Decimals(2) },
        Column { name: "perimeter", unit: Some(length), digits: Digits::Decimals(2) },
        Column { name: "circularity", unit: None, digits: Digits::Decimals(4) },
        // These are mean optical densities, with that of the background. The second stain is eosin, DAB, or the one
        // that `auto` finds.
        Column { name: "haematoxylin_od", unit: None, digits: Digits::Decimals(4) },
        Column { name: "second_stain_od", unit: None, digits: Digits::Decimals(4) },
    ]
}

const fn schema(columns: &'static [Column]) -> Schema {
    Schema {
        list: "nuclei",
        class: Class { name: "Nucleus", color: [240, 228, 66] },
        columns,
        labels: &[],
        radius: None,
        opposite: None,
    }
}

#[derive(Deserialize)]
pub(crate) struct Settings {
    stains: Stains,
    detection_image: DetectionImage,
    white: Option<Colour>,
    mpp: Option<f64>,
    pixel_size: f64,
    background_radius: f64,
    sigma: f64,
    min_area: f64,
    max_area: f64,
    threshold: f64,
    max_background: f64,
    split: bool,
    max_nuclei: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stains {
    #[serde(rename = "h_e")]
    HE,
    HDab,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DetectionImage {
    Haematoxylin,
    OpticalDensitySum,
}

impl Algorithm for Settings {
    const SPECIFICATION: &'static Specification = &SPECIFICATION;

    fn memory(&self, size: [usize; 2]) -> u64 {
        let reduced = size.map(|side| side.div_ceil(Scale::of(self).reduction));
        bytes(reduced[0].saturating_mul(reduced[1]), PLANES).saturating_add(AROUND_TILES)
    }

    fn detect(&self, scene: &Scene<'_>) -> Result<Findings, DetectError> {
        find(scene.window, self, TILE, scene.memory, scene.deadline)
    }
}

/// The bytes of the mask and of the background for a pixel of the reduction.
const PLANES: usize = size_of::<u8>() + size_of::<i16>();
/// The bytes of the tables of colours and of a tile's data, with as much around it as the widest filters reach.
const AROUND_TILES: u64 = 64 << 20;

/// The numbers of rows and columns of a tile of the reduction. The opening passes over a tile repeatedly; with the
/// default radius its data take 0.7 MB, which fits a core's second-level cache.
const TILE: [usize; 2] = [256, 1024];

fn find(
    window: Window<'_>,
    settings: &Settings,
    tile: [usize; 2],
    memory: Memory,
    deadline: Deadline,
) -> Result<Findings, DetectError> {
    let scale = Scale::of(settings);
    let mut findings = Findings::new(if settings.mpp.is_some() { &IN_MICRONS } else { &IN_PIXELS });
    let white = settings.white();
    let vectors = Vectors::of(settings.stains, &window, white, deadline)?;
    findings.detail("stain_vectors", vectors.to_value());
    if window.is_of_one_colour() {
        return Ok(findings);
    }
    deadline.check()?;
    let image = Reduced::new(window, scale.reduction);
    let sum = settings.detection_image == DetectionImage::OpticalDensitySum;
    let quantities = Quantities::new(vectors, sum, white, scale.reduction);
    let filters = Filters {
        sigma: scale.sigma,
        background_radius: scale.background_radius,
        threshold: settings.threshold as f32,
        tile,
    };
    let mut field = field::field(&image, &quantities.detection, filters, deadline)?;
    let planes = memory.beside(bytes(field.mask.len(), PLANES).saturating_add(AROUND_TILES));
    regions::fill_holes(&mut field.mask, field.width, scale.hole(), planes, deadline)?;
    let components = Components::of(&field.mask, field.width, 1, false, planes, deadline)?;
    drop(field.mask);
    let area = field.background.len();
    let mut nuclei = Nuclei {
        labels: Labels::new([image.width, image.height], scale.reach(), settings.split),
        image,
        quantities,
        background: field.background,
        scale,
        limits: [settings.threshold, settings.max_background],
        most: settings.max_nuclei,
        memory: memory
            .beside(bytes(area, size_of::<i16>()).saturating_add(AROUND_TILES))
            .beside(components.bytes()),
        found: Vec::new(),
        vertices: 0,
        tallies: Vec::new(),
    };
    for component in components.iter() {
        deadline.check()?;
        nuclei.gather(component, deadline)?;
    }
    for nucleus in nuclei.strongest() {
        deadline.check()?;
        nucleus.push(&scale, &window, &mut findings);
    }
    Ok(findings)
}

/// The parameters in pixels of the reduction.
#[derive(Clone, Copy)]
struct Scale {
    reduction: usize,
    /// The size of a pixel of the reduction in the unit of the result.
    unit: f64,
    sigma: f64,
    background_radius: usize,
    areas: [f64; 2],
}

impl Scale {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and small by range"
    )]
    fn of(settings: &Settings) -> Self {
        let reduction = settings.mpp.map_or(1.0, |mpp| (settings.pixel_size / mpp).round().max(1.0));
        let unit = settings.mpp.map_or(1.0, |mpp| mpp * reduction);
        let area = |given: f64| given / (unit * unit);
        Self {
            reduction: reduction as usize,
            unit,
            sigma: settings.sigma / unit,
            background_radius: (settings.background_radius / unit).round() as usize,
            areas: [area(settings.min_area), area(settings.max_area)],
        }
    }

    /// Holes with fewer pixels than this are filled. A hole as large as a nucleus may be is a gap between several
    /// nuclei.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and small by range"
    )]
    fn hole(&self) -> usize {
        self.areas[0] as usize
    }

    /// A distance greater than the radius of the largest nucleus, but at most 255. Greater distances need not be told
    /// apart.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, as it should here"
    )]
    fn reach(&self) -> u8 {
        ((self.areas[1] / std::f64::consts::PI).sqrt() + 2.0) as u8
    }
}

impl Settings {
    /// The colour of white, without alpha. A transparent colour stands for white.
    fn white(&self) -> [u8; 3] {
        match self.white.map(Colour::rgba) {
            Some([r, g, b, alpha]) if alpha > 0 => [r, g, b],
            _ => [255; 3],
        }
    }
}

/// The nuclei that have been found so far, with all that is needed to find more.
struct Nuclei<'a> {
    image: Reduced<'a>,
    quantities: Quantities,
    background: Vec<i16>,
    labels: Labels,
    scale: Scale,
    /// The least density above the background, and the greatest density of the background.
    limits: [f64; 2],
    /// The most nuclei that are wanted.
    most: usize,
    /// What may be taken beside the background and the components.
    memory: Memory,
    found: Vec<Nucleus>,
    /// The number of vertices of all that have been found.
    vertices: usize,
    tallies: Vec<Tally>,
}

/// Sums over the pixels that have the same label.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// The place in the frame of the first of them in reading order.
    first: usize,
    pixels: f64,
    background: f64,
    /// The quantities of [`Quantities::measured`].
    quantities: [f64; 3],
}

/// A nucleus, in pixels of the reduction.
struct Nucleus {
    /// The column and the row of its first pixel in reading order.
    first: [usize; 2],
    outline: Outline,
    /// The mean density above the background.
    contrast: f64,
    haematoxylin: f64,
    second: f64,
}

impl Nuclei<'_> {
    /// Finds the nuclei in a component of the mask.
    fn gather(&mut self, component: &[Run], deadline: Deadline) -> Result<(), DetectError> {
        // An outline cuts off half a pixel at its corners, so a component of fewer pixels than the least area need not
        // be traced.
        if (regions::pixels(component) as f64) < self.scale.areas[0] {
            return Ok(());
        }
        let found = bytes(self.found.len(), size_of::<Nucleus>())
            .saturating_add(bytes(self.vertices, size_of::<[f64; 2]>()));
        let memory = self.memory.beside(found);
        let labels = self.labels.flood(component, memory, deadline)?;
        memory.beside(self.labels.bytes()).allows(bytes(labels, size_of::<Tally>()))?;
        self.tally(component, labels, deadline)?;
        let Labels { cells, frame, plane, .. } = &self.labels;
        for (i, tally) in self.tallies.iter().enumerate() {
            if i % TALLIES_PER_CHECK == TALLIES_PER_CHECK - 1 {
                deadline.check()?;
            }
            if tally.pixels == 0.0 {
                continue;
            }
            let mean = |sum: f64| sum / tally.pixels;
            let [detection, haematoxylin, second] = tally.quantities.map(mean);
            let background = mean(tally.background);
            let contrast = detection - background;
            if contrast < self.limits[0] || background > self.limits[1] {
                continue;
            }
            let [least, most] = self.scale.areas;
            if tally.pixels < least || tally.pixels > 2.0 * most + 8.0 {
                continue;
            }
            let outline = Outline::of(cells, *frame, tally.first, *plane);
            if (least..=most).contains(&outline.area) {
                let first = frame.pixel(tally.first);
                self.vertices += outline.vertices.len();
                self.found.push(Nucleus { first, outline, contrast, haematoxylin, second });
                if self.found.len() >= self.most.saturating_mul(2).max(LEAST_DROPPED) {
                    self.vertices = keep_strongest(&mut self.found, self.most);
                }
            }
        }
        self.labels.clear(component);
        Ok(())
    }

    /// Sums up the quantities of each label of a component. `labels` is more than the greatest label.
    fn tally(&mut self, component: &[Run], labels: usize, deadline: Deadline) -> Result<(), TimedOut> {
        self.tallies.clear();
        self.tallies.resize(labels, Tally::default());
        let mut looks = Looks::each(regions::STRETCH, deadline);
        for run in component {
            looks.count(run.len())?;
            let places = self.labels.frame.places(run);
            let mut part = places.start..places.start;
            let background = &self.background[run.places(self.image.width)];
            for alike in self.labels.cells[places.clone()].chunk_by(|a, b| a.label() == b.label()) {
                part = part.end..part.end + alike.len();
                let tally = &mut self.tallies[alike[0].label() as usize];
                if tally.pixels == 0.0 {
                    tally.first = part.start;
                }
                let inside = part.start - places.start..part.end - places.start;
                let column = run.start as usize + inside.start;
                let sums = self.image.sum(&self.quantities.measured, run.row as usize, column, inside.len());
                tally.pixels += alike.len() as f64;
                for (sum, part) in tally.quantities.iter_mut().zip(sums) {
                    *sum += part;
                }
                let steps: i64 = background[inside].iter().map(|steps| i64::from(*steps)).sum();
                tally.background += steps as f64 / f64::from(STEPS);
            }
        }
        Ok(())
    }

    /// The nuclei in reading order; if there are too many, those of the greatest contrast.
    fn strongest(mut self) -> Vec<Nucleus> {
        if self.found.len() > self.most {
            keep_strongest(&mut self.found, self.most);
        }
        self.found.sort_unstable_by_key(Nucleus::place);
        self.found
    }
}

/// The number of tallies between two checks of the deadline: the outlines of as many nuclei take some milliseconds.
const TALLIES_PER_CHECK: usize = 256;
/// The least number of nuclei of which some are dropped. So few need not be counted.
const LEAST_DROPPED: usize = 1024;

/// Keeps the nuclei of the greatest contrast; of equal ones, those that come first in reading order. Returns the number
/// of their vertices.
fn keep_strongest(found: &mut Vec<Nucleus>, most: usize) -> usize {
    let order = |a: &Nucleus, b: &Nucleus| b.contrast.total_cmp(&a.contrast).then(a.place().cmp(&b.place()));
    found.select_nth_unstable_by(most, order);
    found.truncate(most);
    found.iter().map(|nucleus| nucleus.outline.vertices.len()).sum()
}

impl Nucleus {
    /// The row and the column of its first pixel: its place in reading order.
    fn place(&self) -> (usize, usize) {
        (self.first[1], self.first[0])
    }

    fn push(&self, scale: &Scale, window: &Window<'_>, findings: &mut Findings) {
        // The last pixels of a reduction may reach beyond the image.
        let place = |[x, y]: [f64; 2]| {
            let along = |at: f64, end: usize| (at * scale.reduction as f64).clamp(0.0, end as f64);
            window.place(along(x, window.width), along(y, window.height))
        };
        let vertices = self.outline.vertices.iter().map(|vertex| {
            let (x, y) = place(*vertex);
            [x as f32, y as f32]
        });
        let (x, y) = place(self.outline.centroid);
        let values = [
            self.outline.area * scale.unit * scale.unit,
            self.outline.perimeter * scale.unit,
            self.outline.circularity(),
            self.haematoxylin,
            self.second,
        ];
        findings.push_outlined(x, y, values, &vertices.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use imaging::Image;

    use super::*;

    /// Discs of stain of many sizes, touching and apart, on uneven ground.
    fn slide(width: u32, height: u32) -> Image {
        let mut rgba = Vec::new();
        for at in 0..width * height {
            let (x, y) = (f64::from(at % width), f64::from(at / width));
            let (cell_x, cell_y) = ((x / 17.0).floor(), (y / 19.0).floor());
            let mix = ((cell_x * 37.0 + cell_y * 101.0) * 0.618).fract();
            let away = (x - cell_x * 17.0 - 8.0 - 3.0 * mix).hypot(y - cell_y * 19.0 - 9.0);
            let stain = 0.1 + 0.05 * (x / 23.0).sin() + if away < 4.0 + 6.0 * mix { 0.6 } else { 0.0 };
            rgba.extend([0.65, 0.70, 0.29].map(|part| (255.0 * 10f64.powf(-part * stain)) as u8));
            rgba.push(255);
        }
        Image::new(width, height, rgba).expect("four bytes a pixel")
    }

    fn settings(given: serde_json::Value) -> Settings {
        let given = serde_json::from_value(given).expect("an object");
        let run = SPECIFICATION.resolve(&given).expect("in range");
        run.parameters.parse().expect("it fits")
    }

    #[test]
    fn tiles_change_nothing() {
        let image = slide(230, 170);
        for given in [
            serde_json::json!({}),
            serde_json::json!({"background_radius": 0, "sigma": 1}),
            serde_json::json!({"background_radius": 40, "sigma": 8, "max_area": 9000}),
            serde_json::json!({"mpp": 0.2, "stains": "auto"}),
        ] {
            let settings = settings(given.clone());
            let find = |tile| {
                let window = Window::whole(&image);
                find(window, &settings, tile, Memory::unlimited(), Deadline::none()).expect("no limit")
            };
            let whole = find([1000, 1000]);
            assert!(!whole.is_empty(), "{given}");
            for tile in [[64, 64], [37, 101], [1, 230], [170, 9]] {
                assert_eq!(find(tile), whole, "{given} in tiles of {tile:?}");
            }
        }
    }

    #[test]
    fn parameters_are_in_pixels_or_in_microns() {
        let scale = Scale::of(&settings(serde_json::json!({})));
        assert_eq!((scale.reduction, scale.sigma, scale.background_radius), (1, 3.0, 15));
        assert_eq!(scale.areas, [10.0, 1000.0]);
        for (mpp, reduction) in [(0.5, 1), (0.25, 2), (0.22, 2), (0.125, 4), (1.0, 1)] {
            let scale = Scale::of(&settings(serde_json::json!({ "mpp": mpp })));
            assert_eq!(scale.reduction, reduction, "{mpp}");
            let unit = mpp * reduction as f64;
            assert_eq!(scale.sigma, 1.5 / unit);
            assert_eq!(scale.background_radius, (8.0 / unit).round() as usize);
            assert_eq!(scale.areas, [10.0 / (unit * unit), 400.0 / (unit * unit)]);
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let grey =
            |value: u8| Image::new(64, 48, [value, value, value, 255].repeat(64 * 48)).expect("an image");
        for image in [grey(255), grey(0), grey(127), Image::new(1, 1, vec![9; 4]).expect("an image")] {
            let settings = settings(serde_json::json!({}));
            let found = find(Window::whole(&image), &settings, TILE, Memory::unlimited(), Deadline::none());
            assert!(found.expect("no deadline").is_empty());
        }
    }
}
