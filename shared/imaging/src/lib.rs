//! Pictures in, thumbnails out: pure and synchronous, with no idea of AWS, HTTP or jobs beyond the description of
//! what it does ([`THUMBNAIL`]).
//!
//! The modules are the pipeline, in the order that an image passes them:
//!
//! | step | module | holds |
//! |---|---|---|
//! | how much may be spent | `limits`, `deadline` | [`Limits`], [`Deadline`] |
//! | what kind it is, by content only | `format`, `formats` | [`Format`] |
//! | its headers, and every limit, before memory is taken | `header`, `scan`, `exif`, `source` | [`Source`] |
//! | what was asked for | `options`, `preset` | [`ThumbnailOptions`], [`Preset`] |
//! | the steps from here to the thumbnail | `thumbnail` | [`Thumbnails`] |
//! | which part of the picture is shown, how large, and where | `layout`, `interest` | [`Fit`], [`Gravity`], [`Interest`] |
//! | its pixels | `decode` | |
//! | their meaning: sRGB | `colour` | |
//! | the right way up | `orient` | |
//! | straight-alpha RGBA, 8 bits | `pixels` | [`Image`] |
//! | another size, resampled with premultiplied alpha | `resize` | |
//! | the last four at once, where less than the whole picture is enough | `reduced` | |
//! | every frame of what moves, at that size | `animation` | |
//! | padding and ground | `canvas` | |
//! | a file again, without metadata | `encode` | [`OutputFormat`], [`Encoded`] |
//! | within a chat service's limits | `budget` | |
//! | what stands in for it until it is loaded | `placeholder` | [`Placeholder`] |
//!
//! What is done with one kind of file, reading, writing and all between, is in its file below `formats`.
//!
//! No input makes this crate panic, and nothing is decoded before its limits were checked; what is refused is refused
//! with an [`ImageError`], whose [`code`](ImageError::code) is stable and whose text is safe to show.

mod animation;
mod budget;
mod canvas;
mod colour;
mod crop;
mod deadline;
mod decode;
mod encode;
mod error;
mod exif;
mod format;
mod formats;
mod header;
mod interest;
mod layout;
mod limits;
mod options;
mod orient;
mod pixels;
mod placeholder;
mod plane;
mod preset;
mod reduced;
mod resize;
mod scan;
mod source;
mod thumbnail;

pub use deadline::{Deadline, TimedOut};
pub use encode::Encoded;
pub use error::ImageError;
pub use format::Format;
pub use interest::{Interest, PointOfInterest};
pub use limits::Limits;
pub use options::{Fit, Gravity, MAX_SIDE, OutputFormat, Presets, THUMBNAIL, ThumbnailOptions};
pub use pixels::Image;
pub use placeholder::{DominantColour, Placeholder};
pub use preset::Preset;
pub use resize::bilinear;
pub use source::Source;
pub use thumbnail::{Thumbnail, Thumbnails};
