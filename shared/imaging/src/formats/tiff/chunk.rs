//! What is unpacked of a chunk.

/// The samples of a chunk as they would be in a TIFF without compression: what they mean is for that to say.
pub(super) struct Chunk {
    /// Bytes of a row.
    pub(super) row: usize,
    pub(super) samples: Vec<u8>,
}
