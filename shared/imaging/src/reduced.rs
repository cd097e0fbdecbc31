//! Reduction of a picture row by row while it is decoded, shared by all formats that can be viewed this way.

pub(crate) mod boxed;
