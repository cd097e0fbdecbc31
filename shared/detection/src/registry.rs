//! The list of algorithms. A new one is its file, with its `mod` in `lib.rs`, and its line here.

use algorithm::Specification;

use crate::{
    Detector,
    algorithm::{Adaptor, Algorithm},
};

/// Each module named here has a struct `Settings` that implements [`Algorithm`]. The two lists are separate statics, so
/// that a function that only describes algorithms links none of their code.
macro_rules! registry {
    ($($module:ident,)*) => {
        static DETECTORS: &[&dyn Detector] = &[$(&Adaptor::<crate::$module::Settings>::new(),)*];
        static SPECIFICATIONS: &[&Specification] =
            &[$(<crate::$module::Settings as Algorithm>::SPECIFICATION,)*];
    };
}

registry! {
    poi_detection,
    blob_detection,
    nuclei_detection,
    barcode_detection,
    onnx_detection,
}

/// Every detector, in the order of the catalogue.
#[must_use]
pub fn detectors() -> &'static [&'static dyn Detector] {
    DETECTORS
}

/// The detector of that name. The thumbnail is none: `imaging` makes it.
#[must_use]
pub fn detector(name: &str) -> Option<&'static dyn Detector> {
    DETECTORS.iter().copied().find(|detector| detector.specification().name == name)
}

/// All algorithms that a job can ask for: the thumbnail, then every detector.
#[must_use]
pub fn catalogue() -> Vec<&'static Specification> {
    std::iter::once(&imaging::THUMBNAIL).chain(SPECIFICATIONS.iter().copied()).collect()
}
