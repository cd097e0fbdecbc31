//! The time limit, and a reader and a writer through which it stops decoders and encoders.

use std::{
    fmt,
    io::{self, BufRead, Cursor, Read, Seek, SeekFrom},
    time::{Duration, Instant},
};

/// The time limit has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time limit has passed")]
pub struct TimedOut;

/// The moment by which work must be done. It is kept by polling: long loops call [`check`](Self::check) now and then.
#[derive(Clone, Copy)]
pub struct Deadline(End);

#[derive(Clone, Copy)]
enum End {
    Never,
    At(Instant),
    Told(Told),
}

/// Says at each check whether the moment has passed.
type Told = &'static (dyn Fn() -> bool + Send + Sync);

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            End::Never => f.write_str("Deadline(never)"),
            End::At(end) => write!(f, "Deadline({end:?})"),
            End::Told(_) => f.write_str("Deadline(as told)"),
        }
    }
}

impl Deadline {
    /// A deadline that is `limit` away.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now().checked_add(limit).map_or(End::Never, End::At))
    }

    /// No deadline.
    #[must_use]
    pub fn none() -> Self {
        Self(End::Never)
    }

    /// A deadline that has passed when `passed` says so, which every check calls. It shows whoever measures how often
    /// work looks at its deadline, and how much it does between two looks.
    #[must_use]
    pub fn told(passed: &'static (dyn Fn() -> bool + Send + Sync)) -> Self {
        Self(End::Told(passed))
    }

    /// Checks whether there is time left.
    ///
    /// # Errors
    /// [`TimedOut`] once the moment has passed.
    pub fn check(&self) -> Result<(), TimedOut> {
        let passed = match self.0 {
            End::Never => false,
            End::At(end) => Instant::now() >= end,
            End::Told(passed) => passed(),
        };
        if passed { Err(TimedOut) } else { Ok(()) }
    }
}

/// Calls between two readings of the clock. Decoders read a few bytes at a time, and reading the clock costs more than
/// that.
const CALLS_PER_CHECK: u32 = 256;

/// The most bytes that one `fill_buf` returns, so that a decoder comes back often enough.
const CHUNK: usize = 64 << 10;

/// A reader over the file's bytes that fails once the deadline has passed. Decoders know no deadline, so this is how
/// they are stopped. They turn the failure into errors of their own; the caller therefore checks the deadline first
/// when a decoder fails.
pub(crate) struct TimedReader<'a> {
    bytes: Cursor<&'a [u8]>,
    deadline: Deadline,
    calls: u32,
}

impl<'a> TimedReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], deadline: Deadline) -> Self {
        Self { bytes: Cursor::new(bytes), deadline, calls: 0 }
    }

    #[inline]
    fn tick(&mut self) -> io::Result<()> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_PER_CHECK) {
            self.deadline.check().map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))?;
        }
        Ok(())
    }
}

impl Read for TimedReader<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tick()?;
        self.bytes.read(buffer)
    }
}

impl BufRead for TimedReader<'_> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.tick()?;
        let rest = self.bytes.fill_buf()?;
        Ok(&rest[..rest.len().min(CHUNK)])
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Seek for TimedReader<'_> {
    #[inline]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.tick()?;
        self.bytes.seek(to)
    }
}

/// A buffer for an encoder's output. Writing fails once the deadline has passed, which stops the encoder.
pub(crate) struct TimedWriter {
    bytes: Vec<u8>,
    deadline: Deadline,
    checked: usize,
}

impl TimedWriter {
    pub(crate) fn new(deadline: Deadline) -> Self {
        Self { bytes: Vec::new(), deadline, checked: 0 }
    }

    pub(crate) fn into_inner(self) -> Vec<u8> {
        self.bytes
    }
}

impl io::Write for TimedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// Bytes between two readings of the clock.
        const PER_CHECK: usize = 4 << 10;
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() - self.checked >= PER_CHECK {
            self.checked = self.bytes.len();
            self.deadline.check().map_err(|late| io::Error::new(io::ErrorKind::TimedOut, late))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Deadlines that count checks, for tests: the same work checks in the same places, however fast the machine is.
#[cfg(test)]
pub(crate) mod looks {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::Deadline;

    fn counting(looks: u32) -> (Deadline, &'static AtomicU32) {
        let left: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(looks)));
        let passed = move || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err();
        (Deadline::told(Box::leak(Box::new(passed))), left)
    }

    /// How often the work checks the deadline.
    pub(crate) fn taken<T>(work: impl FnOnce(Deadline) -> T) -> u32 {
        let (deadline, left) = counting(u32::MAX);
        work(deadline);
        u32::MAX - left.load(Relaxed)
    }

    /// Runs the work with a deadline that passes at the check of the given number, counted from 0.
    pub(crate) fn passing_after<T>(looks: u32, work: impl FnOnce(Deadline) -> T) -> T {
        work(counting(looks).0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_writer_stops_soon_after_the_deadline() {
        let mut late = TimedWriter::new(Deadline::after(Duration::ZERO));
        let error = (0..100).find_map(|_| late.write(&[0; 100]).err()).expect("must stop");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut timely = TimedWriter::new(Deadline::none());
        timely.write_all(&[7; 10_000]).expect("time enough");
        assert_eq!(timely.into_inner(), [7; 10_000]);
    }

    #[test]
    fn no_deadline_never_passes_and_a_spent_one_has() {
        assert_eq!(Deadline::none().check(), Ok(()));
        assert_eq!(Deadline::after(Duration::from_secs(3600)).check(), Ok(()));
        assert_eq!(Deadline::after(Duration::MAX).check(), Ok(()), "too far to reckon is no deadline");
        assert_eq!(Deadline::after(Duration::ZERO).check(), Err(TimedOut));
    }

    #[test]
    fn a_reader_stops_soon_after_the_deadline() {
        let bytes = vec![0; 4096];
        let mut reader = TimedReader::new(&bytes, Deadline::after(Duration::ZERO));
        let mut one = [0];
        let error = (0..=CALLS_PER_CHECK).find_map(|_| reader.read(&mut one).err()).expect("must stop");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
