//! What a kind of image file is called. Which kinds there are, and what is done with each, is in `formats`.

use std::fmt;

/// A kind of image file.
#[derive(Clone, Copy)]
pub struct Format {
    /// What it is called.
    name: &'static str,
    /// Every media type that files of this kind go by, the usual one first.
    media_types: &'static [&'static str],
}

impl Format {
    /// A kind with a name of its own and at least one media type.
    pub(crate) const fn new(name: &'static str, media_types: &'static [&'static str]) -> Self {
        assert!(!media_types.is_empty(), "a format without a media type");
        Self { name, media_types }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        self.media_types[0]
    }

    /// Every media type that files of this kind go by, the usual one first: those that IANA has registered, and those
    /// that operating systems and browsers give them.
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
