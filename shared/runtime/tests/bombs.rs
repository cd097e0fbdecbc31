//! Bombs: answers that are made to take much memory or time. Fetching them stays within its limits. These tests are a
//! process of their own, because they measure the most memory that the process has had.
#![allow(clippy::expect_used, clippy::panic)]

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use jobs::{
    limits::Limits,
    ports::{FetchError, FetchImages as _},
};
use runtime::{networks::Networks, outbound::Outbound};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use url::Url;

/// A hundred million zeros: `brotli.compress(bytes(100_000_000))` of Google's library, 1.2.1.
const ZEROS_IN_BROTLI: &str = "y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v0f////4J8AiMMCAN37P/7//8E/ARCHBQC693/8//+DfwIgDgsAdO//+P//B\
    /8EQBwWAOje//H//w/+CYA4LADQvf/j//8f/BMAcVgAoHv/x///P/gnAOKwAED3/o///3/wTwDEYQGA7v0f////4J8AiMMCAN37v/wHr8M/ARCHBQC62HU=";

fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

/// A server that sends one body in these codings, and its address.
async fn serve(codings: &'static str, body: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await;
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {length}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&body).await;
    });
    Url::parse(&format!("http://{address}/")).expect("a URL")
}

/// The most memory that this process has had so far, in bytes; `None` where the system does not tell.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[tokio::test]
async fn no_answer_takes_more_memory_or_time_than_fetching_has() {
    let limits = Limits { fetch: Duration::from_secs(5), ..Limits::default() };
    let most = usize::try_from(limits.fetch_bytes).expect("fits");
    let zeros_in_brotli = BASE64_STANDARD.decode(ZEROS_IN_BROTLI).expect("Base64");
    let zeros = gzipped(&vec![0; 2 * most]);
    let empty = gzipped(b"");
    // Members that decode to nothing, each of which takes a decoder of its own.
    let members = empty.repeat(most / empty.len());
    // Twenty-five megabytes in the middle of a list of codings, which decode to nothing either.
    let nested = gzipped(&gzipped(&members));
    // A block of deflate that ends at once and describes its codes at length, as often as there is room.
    let blocks = {
        let mut eight = Bits::default();
        for _ in 0..8 {
            eight.empty_block();
        }
        // Eight blocks of any length end on a byte.
        let mut bits = Bits { bytes: eight.bytes.repeat(most / eight.bytes.len() - 1), free: 0 };
        bits.last_block();
        bits.bytes
    };
    let before = most_memory();
    for (name, codings, body, code) in [
        ("zeros", "gzip", zeros.clone(), "image_too_large"),
        ("zeros, twice packed", "gzip, gzip", gzipped(&zeros), "image_too_large"),
        ("zeros in Brotli", "br", zeros_in_brotli.clone(), "image_too_large"),
        (
            "zeros in every coding",
            "br, gzip, gzip, gzip, gzip",
            { gzipped(&gzipped(&gzipped(&gzipped(&zeros_in_brotli)))) },
            "image_too_large",
        ),
        ("empty members", "gzip", members, "empty_image source_timeout"),
        ("empty members, packed", "gzip, gzip, gzip", nested, "empty_image source_timeout"),
        ("empty blocks", "deflate", blocks, "empty_image source_timeout"),
        ("a window of 1 GiB", "br", vec![0x11, 30, 0, 0, 0, 0, 0, 0], "source_encoding"),
        ("ten codings", "br, br, br, br, br, br, br, br, br, br", zeros_in_brotli, "source_encoding"),
    ] {
        let url = serve(codings, body).await;
        let outbound = Outbound::new(
            Networks::allowing(vec!["127.0.0.1/32".parse().expect("a network")]),
            limits.clone(),
        );
        let started = Instant::now();
        let failure = match outbound.fetch(&url).await {
            Err(FetchError::Permanent(failure) | FetchError::Retryable { failure, .. }) => failure,
            Ok(fetched) => panic!("{name}: {} bytes", fetched.body.len()),
        };
        let took = started.elapsed();
        println!("{name}: {} after {took:?}, {:?} bytes at most", failure.code, most_memory());
        assert!(code.split(' ').any(|code| failure.code == code), "{name}: {failure}");
        assert!(took < limits.fetch + Duration::from_secs(1), "{name} took {took:?}");
    }
    if let (Some(before), Some(after)) = (before, most_memory()) {
        // The answer, the decoded content (a vector may be twice as large as its content), and two copies under way.
        let allowed = 5 * limits.fetch_bytes + (64 << 20);
        assert!(after < before + allowed, "{} MB more", (after - before) / 1_000_000);
    }
}

/// Raw deflate, bit by bit, the lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= u8::from(value >> bit & 1 == 1) << (8 - self.free);
            self.free -= 1;
        }
    }

    /// A block with codes of its own (RFC 1951, 3.2.7), for 286 literals and lengths and 30 distances, and nothing in
    /// it.
    fn empty_block(&mut self) {
        self.put(0b100, 3);
        // 286 literals and lengths, 30 distances, the lengths of all 19 codes of lengths.
        self.put(29, 5);
        self.put(29, 5);
        self.put(15, 4);
        // In the order of the format, two bits each for the lengths 4, 5, 8 and 9, whose codes are then 0, 1, 2 and 3.
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
            self.put(if [4, 5, 8, 9].contains(&symbol) { 2 } else { 0 }, 3);
        }
        // 226 codes of 8 bits and 60 of 9 fill the tree: 226/256 + 60/512 = 1.
        for symbol in 0..286 {
            self.code(if symbol < 226 { 2 } else { 3 }, 2);
        }
        // So do 2 of 4 bits and 28 of 5.
        for symbol in 0..30 {
            self.code(u32::from(symbol >= 2), 2);
        }
        // The end of the block, symbol 256, is the 31st code of 9 bits; the first is twice 226.
        self.code(2 * 226 + 30, 9);
    }

    /// A code, which unlike everything else begins with its highest bit.
    fn code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.put(code >> bit, 1);
        }
    }

    /// A last block with the fixed codes, and its end.
    fn last_block(&mut self) {
        self.put(0b011, 3);
        self.put(0, 7);
    }
}
