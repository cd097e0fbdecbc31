//! A picture at a smaller size, made row by row while it is decoded: what formats share that can be viewed so.

pub(crate) mod boxed;
