//! WebP by libwebp. This crate contains the calls of C code, and the `unsafe` that they need, behind functions that are
//! safe to call with any bytes.
//!
//! C is used because `image-webp`, which is written in Rust, returns neither a reduced picture nor rows while it
//! decodes, and encodes only losslessly. It takes more than twice the time for a thumbnail of a large photograph
//! (`infra/bench/RESULTS.md`). All 125 files of libwebp 1.6.0 cross-compile to arm64 with the compiler that
//! cargo-lambda uses (zig), and add at most 0.63 MB of code to a function. The last severe vulnerability,
//! CVE-2023-4863, was fixed in 1.3.2. libwebp is not asked to use threads.
//!
//! The caller reads the container of a file (RIFF chunks, animation frames, EXIF, ICC). The functions here take one
//! *picture* at a time, as it lies in the file: a `VP8 ` or `VP8L` chunk with its header, and before it the `ALPH`
//! chunk if there is one. It may be cut off anywhere; as much as possible is decoded, and [`Outcome`] tells how far
//! that went.

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
    /// The number of complete rows of the result, from the top.
    pub rows: u32,
    /// The reason why decoding ended there.
    pub end: End,
}

/// The reason why decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The picture is complete.
    Whole,
    /// The data ends early.
    CutOff,
    /// The data is invalid.
    Damaged,
    /// The decoder could not allocate the memory that it needs.
    OutOfMemory,
    /// The caller did not want more.
    Stopped,
}

/// The reason why nothing was decoded or encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The data does not begin like a picture.
    #[error("not a WebP picture")]
    NotAPicture,
    /// The size is zero, too large, or does not match the buffer.
    #[error("the size is not that of the picture or its buffer, or more than WebP can hold")]
    Size,
    /// libwebp could not allocate the memory that it needs.
    #[error("out of memory")]
    OutOfMemory,
    /// The caller did not want more.
    #[error("stopped by the caller")]
    Stopped,
    /// libwebp refused for the reason with this number.
    #[error("libwebp refused, reason {0}")]
    Refused(i32),
}
