//! Makes thumbnails of pictures. The crate is pure and synchronous. It knows nothing of AWS, HTTP or jobs, except for
//! the description of the algorithm that it implements ([`THUMBNAIL`]).
//!
//! The modules form a pipeline. In the order in which an image passes through them:
//!
//! | step | module | types |
//! |---|---|---|
//! | the limits on cost and time | `limits`, `deadline` | [`Limits`], [`Deadline`] |
//! | the format, recognised by content only | `format`, `formats` | [`Format`] |
//! | the headers, and every limit, before memory is allocated | `header`, `scan`, `exif`, `source` | [`Source`] |
//! | the options of the request | `options`, `preset` | [`ThumbnailOptions`], [`Preset`] |
//! | the steps from a source to its thumbnails | `thumbnail` | [`Thumbnails`] |
//! | which part is shown, at what size, and where | `layout`, `interest` | [`Fit`], [`Gravity`], [`Interest`] |
//! | decoding | `decode` | |
//! | conversion to sRGB | `colour` | |
//! | EXIF orientation | `orient` | |
//! | the decoded image: straight-alpha RGBA, 8 bits | `pixels` | [`Image`] |
//! | resampling, with premultiplied alpha | `resize` | |
//! | decoding to resampling row by row, where the thumbnail does not need the whole picture | `reduced` | |
//! | animations: every frame at the thumbnail's size | `animation` | |
//! | padding and background | `canvas` | |
//! | encoding, without metadata | `encode` | [`OutputFormat`], [`Encoded`] |
//! | files within a chat service's limits | `budget` | |
//! | placeholders that are shown until the picture is loaded | `placeholder` | [`Placeholder`] |
//!
//! All that is particular to one format, from recognising it to writing it, is in its file below `formats`.
//!
//! No input makes this crate panic, and nothing is decoded before its limits are checked. An image that is refused
//! gives an [`ImageError`], whose [`code`](ImageError::code) is stable and whose text is safe to show.
//!
//! ```
//! use imaging::{Deadline, Limits, Source, THUMBNAIL, ThumbnailOptions};
//!
//! // A Netpbm image of 3 × 1 pixels, to be shown on 2 × 2.
//! let file = b"P3 3 1 255  255 0 0  0 255 0  0 0 255".to_vec();
//! let source = Source::open(file, &Limits::default(), Deadline::none())?;
//! assert_eq!((source.width(), source.height()), (3, 1));
//!
//! let asked = serde_json::from_str(r#"{"width": 2, "height": 2, "fit": "cover"}"#)?;
//! let options: ThumbnailOptions = THUMBNAIL.resolve(&asked)?.parameters.parse()?;
//! let thumbnail = source.thumbnail(&options)?;
//! assert_eq!((thumbnail.width, thumbnail.height, thumbnail.content_type), (2, 2, "image/png"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alpha;
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
