//! The names and media types of image formats. The formats themselves are in `formats`.

use std::fmt;

/// An image file format.
#[derive(Clone, Copy)]
pub struct Format {
    /// The format's name.
    name: &'static str,
    /// Every media type that files of this kind go by, the usual one first.
    media_types: &'static [&'static str],
}

impl Format {
    /// A format with a unique name and at least one media type.
    pub(crate) const fn new(name: &'static str, media_types: &'static [&'static str]) -> Self {
        assert!(!media_types.is_empty(), "a format without a media type");
        Self { name, media_types }
    }

    /// The format's usual media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        self.media_types[0]
    }

    /// Every media type that files of this kind go by, the usual one first: those that IANA has registered, and those
    /// that operating systems and browsers give them; where there are none, those that viewers claim.
    #[must_use]
    pub fn media_types(self) -> &'static [&'static str] {
        self.media_types
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
