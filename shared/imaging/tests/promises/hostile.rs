//! No input makes the crate panic: whatever the bytes, the answer is a picture or a typed refusal.

use algorithm::colour::Colour;
use imaging::{Deadline, Fit, Format, Gravity, Limits, OutputFormat, Source, ThumbnailOptions};
use proptest::{prelude::*, sample::Index};

use crate::support::every_file;

/// The cases are cheap, so run eight times proptest's usual number. Set `PROPTEST_CASES=100000` for a longer test.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(8), failure_persistence: None, ..usual }
}

/// The limits are small, so that a header with a large claim costs nothing, but large enough that decoders do some
/// work.
fn limits() -> Limits {
    Limits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_frames: 8, max_decoder_bytes: 32 << 20 }
}

/// Calls everything that can be done with a file. The results do not matter, only that there are some.
fn exercise(bytes: Vec<u8>, options: &ThumbnailOptions) {
    let _ = Format::identify(&bytes);
    match Source::open(bytes, &limits(), Deadline::none()) {
        Ok(source) => match source.thumbnail(options) {
            Ok(made) => {
                let exact = options.fit != Fit::Inside;
                assert!(!exact || (made.width, made.height) == (options.width, options.height));
                assert!(made.width <= options.width && made.height <= options.height);
            }
            Err(error) => assert!(!error.code().is_empty() && error.code() != "internal_error", "{error:?}"),
        },
        Err(error) => assert!(!error.code().is_empty() && error.code() != "internal_error", "{error:?}"),
    }
}

fn options() -> impl Strategy<Value = ThumbnailOptions> {
    let fit = prop_oneof![Just(Fit::Cover), Just(Fit::Contain), Just(Fit::Fill), Just(Fit::Inside)];
    let format = prop_oneof![
        Just(OutputFormat::Auto),
        Just(OutputFormat::Png),
        Just(OutputFormat::Jpeg),
        Just(OutputFormat::Webp),
        Just(OutputFormat::Gif),
    ];
    let gravity = prop::sample::select(Gravity::ALL);
    let background = prop::option::of(any::<[u8; 4]>().prop_map(Colour::new));
    let enlarge = prop::option::of(any::<bool>());
    (1..64_u32, 1..64_u32, fit, gravity, background, enlarge, format, 1..=100_u8).prop_map(
        |(width, height, fit, gravity, background, enlarge, format, quality)| ThumbnailOptions {
            width,
            height,
            fit,
            gravity,
            background,
            enlarge,
            format,
            quality,
            ..ThumbnailOptions::default()
        },
    )
}

fn real_file() -> impl Strategy<Value = Vec<u8>> {
    let files: Vec<Vec<u8>> = every_file().into_iter().map(|(_, bytes)| bytes).collect();
    any::<Index>().prop_map(move |index| index.get(&files).clone())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_bytes_are_answered(
        head in any::<Index>(), noise in prop::collection::vec(any::<u8>(), 0..300), options in options(),
    ) {
        let heads: [&[u8]; 14] = [
            b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"GIF89a", b"RIFF\xff\xff\0\0WEBPVP8 ",
            b"II\x2a\0\x08\0\0\0", b"BM", b"\0\0\0\x20ftyp", b"qoif\0\0\0\x09\0\0\0\x09\x04\0", b"P3 9 9 99 ",
            b"\0\0\x0a\0\0\0\0\0\0\0\0\0\x09\0\x09\0\x20\x08", b"\0\0\x01\0\x01\0", b"P7\nWIDTH 9\n",
            b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\0meta\0\0\0\0\0\0\0\x0epitm\0\0\0\0\0\x01",
        ];
        exercise([*head.get(&heads), &noise].concat(), &options);
    }

    #[test]
    fn a_real_file_cut_anywhere_is_answered(file in real_file(), cut in any::<Index>(), options in options()) {
        exercise(file[..cut.index(file.len())].to_vec(), &options);
    }

    #[test]
    fn a_real_file_with_flipped_bits_is_answered(
        mut file in real_file(), flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..12),
        near_the_front in any::<bool>(), options in options(),
    ) {
        let reach = if near_the_front { file.len().min(120) } else { file.len() };
        for (at, mask) in flips {
            let at = at.index(reach);
            file[at] ^= mask;
        }
        exercise(file, &options);
    }

    #[test]
    fn two_real_files_spliced_are_answered(
        one in real_file(), other in real_file(), cuts in any::<(Index, Index)>(), options in options(),
    ) {
        let spliced = [&one[..cuts.0.index(one.len())], &other[cuts.1.index(other.len())..]].concat();
        exercise(spliced, &options);
    }
}
