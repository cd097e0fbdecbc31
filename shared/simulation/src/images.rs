//! Images of which one byte says how working on them ends, and the results of that work.

use bytes::Bytes;

/// How the work on an image ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Good,
    /// Takes almost as long as a job may.
    Slow,
    /// Fails.
    Bad,
    /// Exhausts its worker's memory, every time.
    Deadly,
    /// The same, every second time.
    Risky,
    /// Never gives an answer.
    Stuck,
    /// Needs a model that is not always available.
    Modelled,
}

impl Image {
    pub(crate) const ALL: [Self; 7] =
        [Self::Good, Self::Slow, Self::Bad, Self::Deadly, Self::Risky, Self::Stuck, Self::Modelled];

    /// The kind of an address that serves nothing.
    pub(crate) const GONE: u8 = 99;

    pub(crate) fn of(body: &[u8]) -> Self {
        body.get(3).and_then(|&kind| Self::ALL.get(usize::from(kind))).copied().unwrap_or(Self::Bad)
    }
}

/// An image of that kind; images of different serial numbers are different.
pub(crate) fn body(kind: u8, serial: u64) -> Bytes {
    let mut body = b"img".to_vec();
    body.push(kind);
    body.extend(serial.to_be_bytes());
    body.into()
}

/// The tag of an object with this content.
pub(crate) fn etag(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The forms that an algorithm's result has.
pub(crate) fn forms(algorithm: &str) -> &'static [&'static str] {
    if algorithm == "thumbnail" { &["png"] } else { &["json", "csv"] }
}

/// A result: made from nothing but the image, the algorithm and the form.
pub(crate) fn result(sha256: &str, algorithm: &str, form: &str) -> Bytes {
    format!("{sha256} {algorithm} {form}").into()
}
