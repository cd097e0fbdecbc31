use std::io::Cursor;

use ::image::{AnimationDecoder as _, codecs::gif::GifDecoder};
use proptest::prelude::*;
use weezl::{BitOrder, decode::Decoder};

use super::*;
use crate::{Limits, animation::Frame, formats::gif as decoder, header::Header};

/// Colours that are far enough apart not to be confused, and a transparent one.
const COLOURS: [[u8; 4]; 6] =
    [[0; 4], [0, 0, 0, 255], [255, 0, 0, 255], [0, 200, 0, 255], [40, 40, 255, 255], [255, 255, 255, 255]];

fn image(width: u32, height: u32, mut pixel: impl FnMut(u32, u32) -> [u8; 4]) -> Image {
    let rgba = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| pixel(x, y));
    Image::new(width, height, rgba.collect()).expect("a size and its pixels")
}

/// The animation that a file shows, by this crate's decoder, which joins equal frames.
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

/// The canvas at every frame, by the decoder of `image`.
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
        let file = encode_animated(&animation, Deadline::none()).expect("a GIF");
        prop_assert_eq!(&shown(&file), &animation);
        let mut seen = shown_by_image(&file);
        seen.dedup();
        // Where nothing is shown, the other decoder keeps whatever colour there was.
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
        let codes = lzw::encode(&pixels, size, Deadline::none()).expect("time enough");
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
    let codes = lzw::encode(&noise, 8, Deadline::none()).expect("time enough");
    assert!(Decoder::new(BitOrder::Lsb, 8).decode(&codes).expect("valid codes") == noise);
}

fn gradient(step: u32) -> Image {
    image(96, 96, |x, y| [(x * 2 + step) as u8, (y * 2) as u8, (255 - x - y) as u8, 255])
}

/// The mean squared error over the colour channels.
fn error(a: &Image, b: &Image) -> f64 {
    let squares = a.rgba().iter().zip(b.rgba()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    squares.sum::<f64>() / (a.rgba().len() as f64 * 0.75)
}

fn photos() -> Animation {
    Animation {
        frames: (0..8).map(|step| Frame { image: gradient(step * 8), delay: 40 }).collect(),
        plays: 0,
    }
}

#[test]
fn a_photo_keeps_its_look() {
    let shown = shown(&encode_animated(&photos(), Deadline::none()).expect("a GIF"));
    assert_eq!(shown.frames.len(), 8);
    for (shown, meant) in shown.frames.iter().zip(&photos().frames) {
        let error = error(&shown.image, &meant.image);
        assert!(error < 80.0, "{error}");
    }
}

#[test]
fn a_larger_budget_is_spent_on_a_better_picture() {
    let (film, mut last) = (photos(), f64::INFINITY);
    for (budget, most) in [(4_000, 1500.0), (10_000, 400.0), (25_000, 80.0), (100_000, 20.0)] {
        let file = within(&film, budget, Deadline::none()).expect("time enough").expect("a GIF");
        assert!(file.len() <= budget, "{} bytes of {budget}", file.len());
        let shown = shown(&file);
        let errors = shown.frames.iter().zip(&film.frames).map(|(a, b)| error(&a.image, &b.image));
        let mean = errors.sum::<f64>() / 8.0;
        assert!(mean < most && mean < last, "{budget} bytes: {mean}, after {last}");
        last = mean;
    }
}

#[test]
fn frames_that_share_few_colours_get_palettes_of_their_own() {
    // Each frame has another hue: 255 shared colours would leave each of them only 21.
    let hue = |step: u32| {
        image(96, 96, |x, y| {
            let (light, dark) = ((x * 2 + y / 2) as u8, (y * 2) as u8);
            let mut pixel = [light, dark, (x / 2) as u8, 255];
            pixel[..3].rotate_left(step as usize % 3);
            pixel[step as usize / 3 % 3] /= 2;
            pixel
        })
    };
    let film =
        Animation { frames: (0..9).map(|step| Frame { image: hue(step), delay: 40 }).collect(), plays: 0 };
    for file in [
        encode_animated(&film, Deadline::none()).expect("a GIF"),
        within(&film, 1_000_000, Deadline::none()).expect("time enough").expect("a GIF"),
    ] {
        for (shown, meant) in shown(&file).frames.iter().zip(&film.frames) {
            let error = error(&shown.image, &meant.image);
            assert!(error < 30.0, "{error}");
        }
    }
}

#[test]
fn few_colours_within_a_budget_come_back_exactly() {
    let frame = |step: u32| image(40, 30, |x, y| COLOURS[((x / 5 + y / 7 + step) % 6) as usize]);
    let film =
        Animation { frames: (0..6).map(|step| Frame { image: frame(step), delay: 70 }).collect(), plays: 3 };
    let file = within(&film, 100_000, Deadline::none()).expect("time enough").expect("a GIF");
    assert_eq!(shown(&file), film);
}

#[test]
fn no_gif_is_made_where_not_even_two_frames_fit() {
    assert!(within(&photos(), 100, Deadline::none()).expect("time enough").is_none());
}

#[test]
fn partial_alpha_has_a_clean_edge_in_its_own_colour() {
    // A soft disc of one colour, whose alpha falls from full to none over 30 pixels.
    let disc = image(96, 96, |x, y| {
        let from_middle = (f64::from(x) - 47.5).hypot(f64::from(y) - 47.5);
        [200, 60, 20, ((45.0 - from_middle) * 8.5).clamp(0.0, 255.0) as u8]
    });
    let film =
        Animation { frames: [40, 60].map(|delay| Frame { image: disc.clone(), delay }).to_vec(), plays: 0 };
    for file in [
        encode_still(&disc, Deadline::none()).expect("a GIF"),
        encode_animated(&film, Deadline::none()).expect("a GIF"),
        within(&film, 50_000, Deadline::none()).expect("time enough").expect("a GIF"),
        within(&film, 900, Deadline::none()).expect("time enough").expect("a GIF"),
    ] {
        let picture = &shown(&file).frames[0].image;
        for (shown, meant) in picture.rgba().as_chunks::<4>().0.iter().zip(disc.rgba().as_chunks::<4>().0) {
            let wanted = if meant[3] >= 128 { [200, 60, 20, 255] } else { [0; 4] };
            assert_eq!(*shown, wanted, "alpha {}", meant[3]);
        }
    }
}

/// Candidates of a few close colours for every pixel: those that were chosen, and the best of each.
fn choices(count: usize, seed: u32) -> choice::Candidates {
    let mut candidates = choice::Candidates::default();
    let mut state = seed | 1;
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let best = (state % 6) as u8;
        let other = ((state >> 8) % 6) as u8;
        let all = [
            choice::Candidate { index: best, cost: 0.0 },
            choice::Candidate { index: other, cost: (state >> 16 & 15) as f32 },
        ];
        candidates.push(&all[..if best == other { 1 } else { 2 }]);
    }
    candidates
}

#[test]
fn chosen_codes_are_what_another_decoder_reads_and_dearer_bits_are_fewer() {
    for seed in 1..6 {
        let candidates = choices(30_000, seed);
        let mut last = usize::MAX;
        for price in [0.0, 0.5, 2.0, 10.0] {
            let (codes, indices) =
                choice::encode(&candidates, 3, price, Deadline::none()).expect("time enough");
            let read = Decoder::new(BitOrder::Lsb, 3).decode(&codes).expect("valid codes");
            assert!(read == indices && read.len() == 30_000, "{price}: {} read", read.len());
            assert!(codes.len() < last || price == 0.0, "{price}: {} bytes after {last}", codes.len());
            last = codes.len();
        }
    }
}

#[test]
fn a_run_of_one_colour_takes_as_few_codes_as_it_can() {
    let mut candidates = choice::Candidates::default();
    (0..20_000).for_each(|_| candidates.push(&[choice::Candidate { index: 1, cost: 0.0 }]));
    let (codes, _) = choice::encode(&candidates, 2, 1.0, Deadline::none()).expect("time enough");
    assert_eq!(codes, lzw::encode(&[1; 20_000], 2, Deadline::none()).expect("time enough"));
}

#[test]
fn areas_that_stand_still_are_not_written_again() {
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
    let bytes = |count| encode_animated(&frames(count), Deadline::none()).expect("a GIF").len();
    assert!(bytes(10) < bytes(1) + 10 * 250, "{} and {}", bytes(10), bytes(1));
}

#[test]
fn a_still_is_a_gif_of_one_frame_with_its_transparency() {
    let picture = image(9, 7, |x, y| if x > y { [10, 20, 30, 255] } else { [200, 100, 50, 20] });
    let shown = shown(&encode_still(&picture, Deadline::none()).expect("a GIF"));
    assert_eq!((shown.frames.len(), shown.plays), (1, 1));
    let pixels = shown.frames[0].image.rgba().as_chunks::<4>().0.to_vec();
    assert_eq!((pixels[1], pixels[9]), ([10, 20, 30, 255], [0; 4]));
}

#[test]
fn the_clock_stops_it() {
    let late = encode_animated(&Animation::still(gradient(0)), Deadline::after(std::time::Duration::ZERO));
    assert!(matches!(late, Err(ImageError::TimeLimit(_))));
}
