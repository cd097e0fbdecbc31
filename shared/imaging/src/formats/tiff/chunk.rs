//! The unpacked data of a chunk.

/// The samples of a chunk, as they would be in a TIFF without compression. The TIFF's tags define their meaning.
pub(super) struct Chunk {
    /// Bytes of a row.
    pub(super) row: usize,
    pub(super) samples: Vec<u8>,
}
