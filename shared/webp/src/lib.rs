//! WebP by libwebp: the one place with C code and with `unsafe`, behind functions that are safe to call with any bytes.
//!
//! Why C: `image-webp`, in Rust, gives neither a reduced picture nor its rows as they come, and encodes without loss only. A 12 MP photograph
//! to 100×100 takes 130 ms here; `image-webp`, which decodes it whole, took 292 ms before any reduction. All 125
//! files of libwebp 1.6.0 cross-compile to arm64 with the compiler that cargo-lambda uses (zig); they add at most
//! 0.63 MB of code to a function. The last grave flaw, CVE-2023-4863, was mended in 1.3.2. It is asked for no threads.
//!
//! What a file's container says (RIFF chunks, animation frames, EXIF, ICC) is for the caller to read: in here goes one
//! *picture* at a time, as it lies in the file: a `VP8 ` or `VP8L` chunk with its header, and the `ALPH` chunk before it where there is
//! one. It may be cut off anywhere; what there is of it is decoded, and [`Outcome`] says how far that went.

mod animation;
mod decode;
mod encode;
mod rows;
mod watch;

#[cfg(test)]
mod tests;

pub use animation::Animation;
pub use decode::{Features, decode_rgba, features};
pub use encode::{Quality, encode};
pub use rows::{Part, Plane, Rows, decode_rows};

/// The longest side of a picture that can be encoded, in pixels.
pub const MAX_SIDE: u32 = 16_383;

/// How far a picture could be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Rows of the result that were written, from the top.
    pub rows: u32,
    /// Why it ended there.
    pub end: End,
}

/// Why decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is no more.
    Whole,
    /// The data ends early.
    CutOff,
    /// The data is wrong.
    Damaged,
    /// The decoder could not get the memory that it needs.
    OutOfMemory,
    /// The caller did not want more.
    Stopped,
}

/// Why nothing was decoded, or nothing encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The data does not start as a picture does.
    #[error("not a WebP picture")]
    NotAPicture,
    /// A size that is zero or too large, or not that of the buffer.
    #[error("the size is not that of the picture or its buffer, or more than WebP can hold")]
    Size,
    /// The library could not get the memory that it needs.
    #[error("out of memory")]
    OutOfMemory,
    /// The caller did not want more.
    #[error("stopped by the caller")]
    Stopped,
    /// The library refused, with its own number for the reason.
    #[error("libwebp refused, reason {0}")]
    Refused(i32),
}
