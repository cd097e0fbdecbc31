use std::io::Cursor;

use ::image::{AnimationDecoder as _, codecs::gif::GifDecoder};
use proptest::prelude::*;
use weezl::{BitOrder, decode::Decoder};

use super::*;
use crate::{Limits, animation::Frame, decode::gif as decoder, header::Header};

/// Colours far enough apart that none is taken for another, and nothing.
const COLOURS: [[u8; 4]; 6] =
    [[0; 4], [0, 0, 0, 255], [255, 0, 0, 255], [0, 200, 0, 255], [40, 40, 255, 255], [255, 255, 255, 255]];

fn image(width: u32, height: u32, mut pixel: impl FnMut(u32, u32) -> [u8; 4]) -> Image {
    let rgba = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y));
    Image::new(width, height, rgba.collect()).expect("a size and its pixels")
}

/// What a file shows, by our own decoder: equal frames in a row are one.
fn shown(file: &[u8]) -> Animation {
    let header = decoder::header(file).expect("a GIF");
    header.check(&Limits::default()).expect("within the limits");
    let Header { stored: (width, height), .. } = header;
    let mut frames: Vec<Frame> = Vec::new();
    let plays = decoder::frames(file, &header, Deadline::none(), &mut |rgba, delay| {
        let image = Image::new(width, height, rgba.to_vec()).expect("a canvas");
        match frames.last_mut() {
            Some(last) if last.image == image => last.delay += delay,
            _ => frames.push(Frame { image, delay }),
        }
        Ok(())
    });
    Animation { frames, plays: plays.expect("frames") }
}

/// What another's decoder makes of it: the canvas at every frame.
fn shown_by_image(file: &[u8]) -> Vec<Vec<u8>> {
    let frames = GifDecoder::new(Cursor::new(file)).expect("a GIF").into_frames();
    frames.map(|frame| frame.expect("a frame").into_buffer().into_raw()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn few_colours_come_back_exactly_whatever_changes_and_vanishes(
        (width, height) in (1..6_u32, 1..6_u32),
        pixels in prop::collection::vec(prop::collection::vec(0..COLOURS.len(), 25), 1..7),
        plays in 0..4_u32,
    ) {
        let mut frames: Vec<Frame> = Vec::new();
        for picture in &pixels {
            let image = image(width, height, |x, y| COLOURS[picture[(y * 5 + x) as usize]]);
            match frames.last_mut() {
                Some(last) if last.image == image => last.delay += 50,
                _ => frames.push(Frame { image, delay: 50 }),
            }
        }
        let animation = Animation { frames, plays };
        let file = animated(&animation, MAX_COLOURS, Deadline::none()).expect("a GIF");
        prop_assert_eq!(&shown(&file), &animation);
        let mut seen = shown_by_image(&file);
        seen.dedup();
        // Where nothing is shown, the other leaves whatever colour there was.
        let visible = |rgba: &[u8]| -> Vec<[u8; 4]> {
            rgba.as_chunks().0.iter().map(|pixel| if pixel[3] == 0 { [0; 4] } else { *pixel }).collect()
        };
        let seen: Vec<_> = seen.iter().map(|rgba| visible(rgba)).collect();
        let meant: Vec<_> = animation.frames.iter().map(|frame| visible(frame.image.rgba())).collect();
        prop_assert_eq!(seen, meant);
    }

    #[test]
    fn codes_are_what_another_decoder_reads(
        pixels in prop::collection::vec(0..8_u8, 1..20_000), repeat in 1..4_usize, size in 3..9_u32,
    ) {
        let pixels: Vec<u8> = pixels.into_iter().flat_map(|pixel| vec![pixel; repeat]).collect();
        let codes = lzw::encode(&pixels, size, None, Deadline::none()).expect("time enough");
        let read = Decoder::new(BitOrder::Lsb, size as u8).decode(&codes).expect("valid codes");
        prop_assert!(read == pixels, "{} pixels, {} read", pixels.len(), read.len());
    }
}

#[test]
fn codes_stay_right_over_full_dictionaries() {
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(100_000)
    .collect();
    let codes = lzw::encode(&noise, 8, None, Deadline::none()).expect("time enough");
    assert!(Decoder::new(BitOrder::Lsb, 8).decode(&codes).expect("valid codes") == noise);
}

fn gradient(step: u32) -> Image {
    image(96, 96, |x, y| [(x * 2 + step) as u8, (y * 2) as u8, (255 - x - y) as u8, 255])
}

/// Mean squared error over the colours.
fn error(a: &Image, b: &Image) -> f64 {
    let squares = a.rgba().iter().zip(b.rgba()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    squares.sum::<f64>() / (a.rgba().len() as f64 * 0.75)
}

#[test]
fn a_photo_keeps_its_look_and_fewer_colours_take_fewer_bytes() {
    let animation = Animation {
        frames: (0..8).map(|step| Frame { image: gradient(step * 8), delay: 40 }).collect(),
        plays: 0,
    };
    let mut last = usize::MAX;
    for (colours, most) in [(256, 80.0), (64, 250.0), (16, 900.0), (4, 4000.0)] {
        let file = animated(&animation, colours, Deadline::none()).expect("a GIF");
        assert!(file.len() < last, "{colours} colours take {} bytes", file.len());
        last = file.len();
        let shown = shown(&file);
        assert_eq!(shown.frames.len(), 8);
        for (shown, meant) in shown.frames.iter().zip(&animation.frames) {
            let error = error(&shown.image, &meant.image);
            assert!(error < most, "{colours} colours are off by {error}");
        }
    }
}

#[test]
fn what_stands_still_is_not_written_again() {
    let moving = |step: u32| {
        image(
            96,
            96,
            |x, y| if x / 8 == step && y < 8 { [255, 0, 0, 255] } else { [x as u8, y as u8, 99, 255] },
        )
    };
    let frames = |count| Animation {
        frames: (0..count).map(|step| Frame { image: moving(step), delay: 40 }).collect(),
        plays: 0,
    };
    let bytes = |count| animated(&frames(count), MAX_COLOURS, Deadline::none()).expect("a GIF").len();
    assert!(bytes(10) < bytes(1) + 10 * 250, "{} and {}", bytes(10), bytes(1));
}

#[test]
fn a_still_is_a_gif_of_one_frame_with_its_transparency() {
    let picture = image(9, 7, |x, y| if x > y { [10, 20, 30, 255] } else { [200, 100, 50, 20] });
    let shown = shown(&still(&picture, Deadline::none()).expect("a GIF"));
    assert_eq!((shown.frames.len(), shown.plays), (1, 1));
    let pixels = shown.frames[0].image.rgba().as_chunks::<4>().0.to_vec();
    assert_eq!((pixels[1], pixels[9]), ([10, 20, 30, 255], [0; 4]));
}

#[test]
fn a_close_colour_written_for_another_saves_bytes_and_is_close() {
    let noisy = image(64, 64, |x, y| {
        let noise =
            (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 28;
        [(100 + noise) as u8, (100 + noise) as u8, (100 + noise) as u8, 255]
    });
    let animation = Animation::still(noisy.clone());
    let file = |loss| {
        let look = Look { loss, ..Look::of(MAX_COLOURS) };
        looking(&animation, &look, Deadline::none()).expect("a GIF")
    };
    let (plain, lossy) = (file(0.0), file(300.0));
    assert!(lossy.len() * 2 < plain.len(), "{} and {}", lossy.len(), plain.len());
    let off = error(&shown(&lossy).frames[0].image, &noisy);
    assert!((0.5..60.0).contains(&off), "{off}");
}

#[test]
fn the_clock_stops_it() {
    let late = animated(&Animation::still(gradient(0)), 256, Deadline::after(std::time::Duration::ZERO));
    assert!(matches!(late, Err(ImageError::TimeLimit(_))));
}
