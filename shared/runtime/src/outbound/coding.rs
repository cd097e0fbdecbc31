//! Content codings ([RFC 9110, 8.4]), because some servers compress although they were not asked to.
//!
//! Decoding is bounded in three ways, because a few bytes can decode to any number of bytes. The output of every coding
//! in a list is counted, so that no coding in the middle can be a bomb. A list has at most [`MOST_CODINGS`]. And the
//! deadline is checked with every [`PIECE`] that goes into or comes out of a decoder, because input without output
//! takes time too. A decoder's own memory is its window: 32 KiB, of Brotli 16 MiB.
//!
//! [RFC 9110, 8.4]: https://www.rfc-editor.org/rfc/rfc9110#section-8.4

use std::{
    fmt,
    io::{self, BufRead, BufReader, Cursor, Read},
    time::Instant,
};

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status, bufread::GzDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// The most codings of one answer; clients such as curl take as many.
pub(super) const MOST_CODINGS: usize = 5;

/// How much goes into a decoder between two checks of the deadline, in bytes.
const PIECE: usize = 8 << 10;

/// The longest name of a coding that is repeated in a message.
const MOST_NAME: usize = 40;

/// A content coding that is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `gzip`, also called `x-gzip` (RFC 1952).
    Gzip,
    /// `deflate`: zlib (RFC 1950), or the raw data in it (RFC 1951), which some servers send by that name.
    Deflate,
    /// `br` (RFC 7932).
    Brotli,
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        })
    }
}

/// Why an answer is not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodingError {
    /// It names a coding that is not known. Holds the name, or nothing if it cannot be shown.
    #[error("the content coding {0:?} is not known")]
    Unknown(Option<String>),
    /// It names more than [`MOST_CODINGS`].
    #[error("there are too many content codings")]
    TooMany,
    /// The output is larger than the limit.
    #[error("more comes out of a content coding than is taken")]
    TooLarge,
    /// It ends in the middle.
    #[error("the content ends within its coding {0}")]
    Incomplete(Coding),
    /// The content is not in the coding that it names.
    #[error("the content is not {0}")]
    Invalid(Coding),
    /// The deadline passed.
    #[error("decoding took too long")]
    TimedOut,
}

/// The codings of an answer, in the order in which its server applied them.
///
/// # Errors
/// [`CodingError::Unknown`] or [`CodingError::TooMany`].
pub(super) fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, CodingError> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| CodingError::Unknown(None))?;
        for name in value.split(',').map(str::trim) {
            let coding = match name.to_ascii_lowercase().as_str() {
                // S3 clients upload in chunks, which the store joins, but some stores keep the name of that coding.
                "" | "identity" | "aws-chunked" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                _ => {
                    let shown = name.len() <= MOST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
                    return Err(CodingError::Unknown(shown.then(|| name.to_owned())));
                }
            };
            codings.push(coding);
        }
    }
    if codings.len() > MOST_CODINGS { Err(CodingError::TooMany) } else { Ok(codings) }
}

/// Decodes a body, the last coding first. No more than `limit` bytes may come out of any of them.
///
/// # Errors
/// [`CodingError`]. This takes processor time, so it is not for an asynchronous thread.
pub(super) fn decode(
    body: Bytes,
    codings: &[Coding],
    limit: u64,
    deadline: Instant,
) -> Result<Vec<u8>, CodingError> {
    let Some(&first) = codings.first() else { return Ok(body.into()) };
    let watched = |inner: Box<dyn Read>, coding: Option<Coding>| -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(PIECE, Watched { inner, coding, left: limit, deadline }))
    };
    let mut reader = watched(Box::new(Cursor::new(body)), None);
    for &coding in codings.iter().rev() {
        let decoder: Box<dyn Read> = match coding {
            Coding::Gzip => Box::new(Gzip::new(reader)),
            Coding::Deflate => Box::new(Deflate::new(reader).map_err(|error| cause_of(&error, coding))?),
            Coding::Brotli => Box::new(brotli(reader)),
        };
        reader = watched(decoder, Some(coding));
    }
    let mut decoded = Vec::new();
    reader.read_to_end(&mut decoded).map_err(|error| cause_of(&error, first))?;
    Ok(decoded)
}

/// A reader over the body or over a decoder that counts the bytes, checks the deadline, and names the decoder in
/// errors.
struct Watched {
    inner: Box<dyn Read>,
    /// The decoder's; none of the body itself.
    coding: Option<Coding>,
    left: u64,
    deadline: Instant,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.deadline {
            return Err(io::Error::other(CodingError::TimedOut));
        }
        let piece = buffer.len().min(PIECE);
        let read = self.inner.read(&mut buffer[..piece]).map_err(|error| match self.coding {
            Some(coding) => io::Error::other(cause_of(&error, coding)),
            None => error,
        })?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(CodingError::TooLarge))?;
        Ok(read)
    }
}

/// The meaning of a decoder's error. One that was given a meaning by an inner reader keeps it.
fn cause_of(error: &io::Error, coding: Coding) -> CodingError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<CodingError>()) {
        Some(told) => told.clone(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => CodingError::Incomplete(coding),
        None => CodingError::Invalid(coding),
    }
}

/// The members of a gzip stream, one after another, as files and servers join them. Anything after the last one is
/// padding.
struct Gzip {
    /// None once the last member has ended.
    member: Option<GzDecoder<Box<dyn BufRead>>>,
}

impl Gzip {
    fn new(reader: Box<dyn BufRead>) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            if rest.fill_buf()?.starts_with(&[0x1f]) {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Zlib or raw deflate, whichever it begins as: zlib's first two bytes have its method and a checksum. `flate2`'s own
/// readers take the end of the input for the end of the stream.
struct Deflate {
    reader: io::Chain<Cursor<Vec<u8>>, Box<dyn BufRead>>,
    state: Decompress,
    ended: bool,
}

impl Deflate {
    fn new(mut reader: Box<dyn BufRead>) -> io::Result<Self> {
        let mut head = Vec::with_capacity(2);
        reader.by_ref().take(2).read_to_end(&mut head)?;
        let is_zlib = matches!(head[..], [method, flags]
            if method & 0x0f == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]).is_multiple_of(31));
        Ok(Self { reader: Cursor::new(head).chain(reader), state: Decompress::new(is_zlib), ended: false })
    }
}

impl Read for Deflate {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let input = self.reader.fill_buf()?;
            // After the last input another call is needed to learn whether the stream has ended.
            let is_all = input.is_empty();
            let flush = if is_all { FlushDecompress::Finish } else { FlushDecompress::None };
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, buffer, flush)?;
            let consumed = usize::try_from(self.state.total_in() - before.0).unwrap_or(usize::MAX);
            let produced = usize::try_from(self.state.total_out() - before.1).unwrap_or(usize::MAX);
            self.reader.consume(consumed);
            self.ended = status == Status::StreamEnd;
            if produced > 0 {
                return Ok(produced);
            }
            if consumed == 0 && !self.ended {
                let kind = if is_all { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
                return Err(kind.into());
            }
        }
        Ok(0)
    }
}

/// A Brotli decoder for HTTP, without the extension that lets a stream ask for a window of a gigabyte.
fn brotli(reader: Box<dyn BufRead>) -> impl Read {
    let mut decoder = Decompressor::new(Unending(reader), PIECE);
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    decoder
}

/// A reader that reports the end of its input as an error of its own. The Brotli decoder reads only while its stream
/// has not ended, and would otherwise report a body that was cut off as invalid.
struct Unending(Box<dyn BufRead>);

impl Read for Unending {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"Sphinx of black quartz, judge my vow. Sphinx of black quartz, judge my vow.";

    /// [`TEXT`] in Brotli: `brotli.compress(TEXT)` of Google's library, 1.2.1.
    const TEXT_IN_BROTLI: &str = "G0oA+I2Uq+1oMQUxN0r1QiJ2CoOgqPPPWfoZKEOogaJpHvWSBulLx/w/qstj5xEC";

    fn brotlied() -> Vec<u8> {
        BASE64_STANDARD.decode(TEXT_IN_BROTLI).expect("Base64")
    }

    fn gzipped(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zlibbed(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read(values: &[&str]) -> Result<Vec<Coding>, CodingError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().expect("a value"));
        }
        codings(&headers)
    }

    fn decoded(body: &[u8], codings: &[Coding]) -> Result<Vec<u8>, CodingError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        decode(Bytes::copy_from_slice(body), codings, 1_000, deadline)
    }

    #[test]
    fn codings_are_read_in_order_whatever_their_case_and_from_every_header() {
        use Coding::{Brotli, Deflate, Gzip};
        for (values, expected) in [
            (&[][..], vec![]),
            (&["identity"], vec![]),
            (&["aws-chunked"], vec![]),
            (&["aws-chunked,gzip"], vec![Gzip]),
            (&["X-GZip"], vec![Gzip]),
            (&["gzip, br", " deflate ,"], vec![Gzip, Brotli, Deflate]),
        ] {
            assert_eq!(read(values), Ok(expected), "{values:?}");
        }
        assert_eq!(read(&["gzip, zstd"]), Err(CodingError::Unknown(Some("zstd".to_owned()))));
        assert_eq!(read(&["a coding"]), Err(CodingError::Unknown(None)));
        assert_eq!(read(&["gzip, gzip, gzip", "gzip, gzip, gzip"]), Err(CodingError::TooMany));
    }

    #[test]
    fn every_coding_and_every_list_of_them_comes_off() {
        use Coding::{Brotli, Deflate, Gzip};
        let members = [gzipped(&TEXT[..30]), gzipped(b""), gzipped(&TEXT[30..])].concat();
        for (body, codings) in [
            (TEXT.to_vec(), vec![]),
            (gzipped(TEXT), vec![Gzip]),
            (members.clone(), vec![Gzip]),
            ([&members[..], &[0; 50]].concat(), vec![Gzip]),
            (zlibbed(TEXT), vec![Deflate]),
            (deflated(TEXT), vec![Deflate]),
            (brotlied(), vec![Brotli]),
            (gzipped(&brotlied()), vec![Brotli, Gzip]),
            (zlibbed(&gzipped(&deflated(TEXT))), vec![Deflate, Gzip, Deflate]),
        ] {
            assert_eq!(decoded(&body, &codings).as_deref(), Ok(TEXT), "{codings:?}");
        }
        for (body, coding) in [(gzipped(b""), Gzip), (zlibbed(b""), Deflate), (deflated(b""), Deflate)] {
            assert_eq!(decoded(&body, &[coding]), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_told_from_one_that_is_not_so_encoded() {
        use Coding::{Brotli, Deflate, Gzip};
        for (body, coding) in
            [(gzipped(TEXT), Gzip), (zlibbed(TEXT), Deflate), (deflated(TEXT), Deflate), (brotlied(), Brotli)]
        {
            for length in 0..body.len() {
                assert_eq!(
                    decoded(&body[..length], &[coding]),
                    Err(CodingError::Incomplete(coding)),
                    "{coding} cut to {length} bytes"
                );
            }
        }
        let png = b"\x89PNG\r\n\x1a\n and what follows, which is long enough not to look cut off by itself";
        for coding in [Gzip, Deflate, Brotli] {
            assert_eq!(decoded(png, &[coding]), Err(CodingError::Invalid(coding)));
        }
        let mut damaged = gzipped(TEXT);
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        assert_eq!(decoded(&damaged, &[Gzip]), Err(CodingError::Invalid(Gzip)));
        // The first byte of a stream in the large-window extension, and a window of 30 bits.
        assert_eq!(decoded(&[0x11, 30, 0, 0], &[Brotli]), Err(CodingError::Invalid(Brotli)));
    }

    #[test]
    fn no_coding_gives_more_than_is_taken_in_the_middle_of_a_list_either() {
        use Coding::Gzip;
        let (fits, more) = (vec![0; 1_000], vec![0; 1_001]);
        assert_eq!(decoded(&gzipped(&fits), &[Gzip]), Ok(fits));
        assert_eq!(decoded(&gzipped(&more), &[Gzip]), Err(CodingError::TooLarge));
        // A hundred empty members, which decode to nothing but are large in between.
        let middle = gzipped(b"").repeat(100);
        assert_eq!(decoded(&gzipped(&middle), &[Gzip, Gzip]), Err(CodingError::TooLarge));
    }

    #[test]
    fn a_deadline_that_has_passed_stops_it() {
        let body = Bytes::from(gzipped(TEXT));
        assert_eq!(decode(body, &[Coding::Gzip], 1_000, Instant::now()), Err(CodingError::TimedOut));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, gzip: bool, brotli: bool) {
            let codings = [
                if gzip { Coding::Gzip } else { Coding::Deflate },
                if brotli { Coding::Brotli } else { Coding::Deflate },
            ];
            let _ = decoded(&body, &codings);
            let _ = decoded(&body, &codings[1..]);
        }
    }
}
