//! Pictures for tests, and how near a result comes to a reference.

#![allow(dead_code, clippy::expect_used, reason = "helpers of tests, of which each file uses some")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use algorithm::Parameters;
use detection::{Context, DetectError, Detector, Findings, Form, Means, Model, ModelSource, detector};
use imaging::{Deadline, Image, Limits, Source};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) fn parameters(value: Value) -> Parameters {
    serde_json::from_value(value).expect("an object")
}

/// The processor time that this thread has taken.
pub(crate) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).expect("less than a second"))
}

/// Findings in a form.
pub(crate) fn rendered(findings: &Findings, form: Form, context: &Context<'_>, image: &Image) -> Vec<u8> {
    findings.render(form, context, image, &Means::by(Deadline::none())).expect("it renders")
}

/// Findings in a form that is a text.
pub(crate) fn text(findings: &Findings, form: Form, context: &Context<'_>) -> String {
    let no_image = Image::new(1, 1, vec![0; 4]).expect("a pixel");
    String::from_utf8(rendered(findings, form, context, &no_image)).expect("a text")
}

pub(crate) fn detect(algorithm: &str, image: &Image, given: Value) -> Findings {
    let detector = detector(algorithm).expect("registered");
    let parameters = parameters(given);
    let model = model_of(detector, &parameters);
    detector.detect(image, &parameters, model.as_ref(), Deadline::none()).expect("parameters in range")
}

/// The model in `tests/references/onnx` that parameters name, where the detector runs one. Each is loaded once.
pub(crate) fn model_of(detector: &dyn Detector, parameters: &Parameters) -> Option<Model> {
    static LOADED: Mutex<BTreeMap<String, Model>> = Mutex::new(BTreeMap::new());
    let key = detector.specification().model(parameters)?;
    let mut loaded = LOADED.lock().expect("no test panics while it holds it");
    let load = || model(key.as_str(), &file(&key.description())).expect("a model");
    Some(loaded.entry(key.as_str().to_owned()).or_insert_with(load).clone())
}

/// A model in `tests/references/onnx`, with a description.
pub(crate) fn model(key: &str, description: &[u8]) -> Result<Model, DetectError> {
    let source = ModelSource {
        key: key.parse().expect("a key"),
        sha256: "ab".to_owned(),
        description_sha256: "cd".to_owned(),
    };
    onnx::load(source, &file(key), description, Deadline::none())
}

/// A file in `tests/references/onnx`.
pub(crate) fn file(name: &str) -> Vec<u8> {
    std::fs::read(references("onnx").join(name)).expect("the file")
}

pub(crate) fn image(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 4]) -> Image {
    let rgba = (0..width * height).flat_map(|i| pixel(i % width, i / width)).collect();
    Image::new(width as u32, height as u32, rgba).expect("four bytes a pixel")
}

/// The pixels moved: pixel (x, y) of the result is that of `image` at `from(x, y)`.
pub(crate) fn moved(
    image: &Image,
    width: usize,
    height: usize,
    from: impl Fn(usize, usize) -> (usize, usize),
) -> Image {
    let pixels = image.rgba().as_chunks::<4>().0;
    self::image(width, height, |x, y| {
        let (x, y) = from(x, y);
        pixels[y * image.width() as usize + x]
    })
}

/// The image turned by a quarter, clockwise: what was at the left is at the top.
pub(crate) fn turned(image: &Image) -> Image {
    let (width, height) = (image.width() as usize, image.height() as usize);
    moved(image, height, width, |x, y| (y, height - 1 - x))
}

/// The image with left and right exchanged.
pub(crate) fn mirrored(image: &Image) -> Image {
    let (width, height) = (image.width() as usize, image.height() as usize);
    moved(image, width, height, |x, y| (width - 1 - x, y))
}

/// The image at (left, top) of a black one.
pub(crate) fn on_black(patch: &Image, [width, height]: [usize; 2], [left, top]: [usize; 2]) -> Image {
    let pixels = patch.rgba().as_chunks::<4>().0;
    let across = patch.width() as usize;
    image(width, height, |x, y| {
        let inside = (left..left + across).contains(&x) && (top..top + patch.height() as usize).contains(&y);
        if inside { pixels[(y - top) * across + x - left] } else { [0, 0, 0, 255] }
    })
}

/// The image with every value raised by so much; none may pass 255.
pub(crate) fn brighter(image: &Image, by: u8) -> Image {
    let rgba = image.rgba().as_chunks::<4>().0.iter().flat_map(|[r, g, b, a]| [r + by, g + by, b + by, *a]);
    Image::new(image.width(), image.height(), rgba.collect()).expect("four bytes a pixel")
}

pub(crate) fn noise(width: usize, height: usize, seed: u64) -> Image {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let rgba = (0..width * height)
        .flat_map(|_| {
            let [r, g, b, ..] = next();
            [r, g, b, 255]
        })
        .collect();
    Image::new(width as u32, height as u32, rgba).expect("four bytes a pixel")
}

/// Grey noise from 40 to 199, in blocks of 3 × 3.
pub(crate) fn soft_noise(width: usize, height: usize, seed: u64) -> Image {
    let fine = noise(width.div_ceil(3), height.div_ceil(3), seed);
    let pixels = fine.rgba().as_chunks::<4>().0;
    image(width, height, |x, y| {
        let grey = pixels[y / 3 * fine.width() as usize + x / 3][0] / 8 * 5 + 40;
        [grey, grey, grey, 255]
    })
}

fn references(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/references").join(name)
}

/// The reference results of that name, which `tests/references/make.py` made.
pub(crate) fn reference<T: DeserializeOwned>(name: &str) -> Vec<T> {
    known(name)
}

/// What is known in a file of `tests/references`.
pub(crate) fn known<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(references(name)).expect("the fixture"))
        .expect("the fixture parses")
}

/// One of the images that `tests/references/make.py` made.
pub(crate) fn open(name: &str) -> Image {
    let bytes = std::fs::read(references(name)).expect("the image");
    let source = Source::open(bytes, &Limits::default(), Deadline::none()).expect("it opens");
    source.image().expect("it decodes").clone()
}

/// How many objects of a reference were found, and how far off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) expected: usize,
    pub(crate) found: usize,
    matched: usize,
    distance: f64,
}

impl Held {
    /// Each object of the reference takes the nearest one found that no other has taken, if that is within a pixel.
    pub(crate) fn of(reference: &[[f64; 2]], found: &[[f64; 2]]) -> Self {
        let mut free = found.to_vec();
        let mut held = Self { expected: reference.len(), found: found.len(), ..Self::default() };
        for [x, y] in reference {
            let off = |[u, v]: &[f64; 2]| (u - x).hypot(v - y);
            let nearest = (0..free.len()).min_by(|a, b| off(&free[*a]).total_cmp(&off(&free[*b])));
            let Some(nearest) = nearest.filter(|i| off(&free[*i]) <= 1.0) else { continue };
            held.matched += 1;
            held.distance += off(&free.swap_remove(nearest));
        }
        held
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.found += other.found;
        self.matched += other.matched;
        self.distance += other.distance;
    }

    /// At least 99 % of the reference within a pixel, at most 1 % more, on average within 0.3 pixels.
    pub(crate) fn is_close(&self) -> bool {
        self.matched * 100 >= self.expected * 99
            && self.found * 100 <= self.expected * 101
            && self.distance <= 0.3 * self.matched as f64
    }
}
