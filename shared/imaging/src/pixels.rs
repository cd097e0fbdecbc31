//! The decoded image that all steps after decoding work on.

/// An upright image: RGBA, 8 bits a channel, straight (not premultiplied) alpha, sRGB, row by row from the top left.
/// Neither side is zero.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
    has_alpha: bool,
}

impl Image {
    /// An image of `width` × `height` pixels from 4 × `width` × `height` bytes; `None` if a side is zero or the length
    /// does not match.
    #[must_use]
    pub fn new(width: u32, height: u32, rgba: Vec<u8>) -> Option<Self> {
        let mut image = Self::opaque(width, height, rgba)?;
        image.has_alpha = !is_opaque(&image.rgba);
        Some(image)
    }

    /// The same for pixels whose alpha is known to be 255 throughout, so that it need not be looked at.
    pub(crate) fn opaque(width: u32, height: u32, rgba: Vec<u8>) -> Option<Self> {
        let length = (width as usize).checked_mul(height as usize)?.checked_mul(4)?;
        (length > 0 && rgba.len() == length).then_some(Self { width, height, rgba, has_alpha: false })
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The samples: R, G, B, A of each pixel, row by row.
    #[must_use]
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// Returns the samples and consumes the image.
    #[must_use]
    pub fn into_rgba(self) -> Vec<u8> {
        self.rgba
    }

    /// Whether any pixel is less than opaque.
    #[must_use]
    pub fn has_alpha(&self) -> bool {
        self.has_alpha
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { width, height, has_alpha, rgba: _ } = self;
        write!(f, "Image({width}×{height}, alpha: {has_alpha})")
    }
}

/// Whether every pixel of RGBA samples is opaque.
pub(crate) fn is_opaque(rgba: &[u8]) -> bool {
    // Chunks without an early exit let the compiler vectorise the loop.
    let opaque = |pixels: &[[u8; 4]]| pixels.iter().fold(u8::MAX, |all, pixel| all & pixel[3]) == u8::MAX;
    rgba.as_chunks::<4>().0.chunks(256).all(opaque)
}
