//! Every option of a thumbnail, from the parameters to the pixels.

use algorithm::{Parameters, colour::Colour};
use image::{
    Delay, DynamicImage, Frame, GenericImageView as _, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::gif::{GifEncoder, Repeat},
};
use imaging::{
    Encoded, Fit, Gravity, Image, OutputFormat, PointOfInterest, Preset, Presets, THUMBNAIL, ThumbnailOptions,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{at, decode, encoded, file, open, reopened, sample};

/// The options that a submission's parameters give.
fn options(parameters: &Value) -> ThumbnailOptions {
    let given = Parameters(parameters.as_object().expect("an object").clone());
    THUMBNAIL.resolve(&given).expect("valid").parameters.parse().expect("options")
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(&image.into(), ImageFormat::Png)
}

fn thumbnail(bytes: &[u8], parameters: &Value) -> Image {
    reopened(&made(bytes, parameters))
}

fn made(bytes: &[u8], parameters: &Value) -> Encoded {
    open(bytes.to_vec()).expect("a file").thumbnail(&options(parameters)).expect("a thumbnail")
}

/// Each column and row has its own colour, so that a pixel shows where it came from.
fn grid(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 77]))
}

fn pixel(image: &Image, x: u32, y: u32) -> [u8; 4] {
    image.rgba().as_chunks::<4>().0[(y * image.width() + x) as usize]
}

const CLEAR: [u8; 4] = [0; 4];

#[test]
fn cover_keeps_the_corner_that_gravity_names() {
    // At the same scale, a part is a copy.
    for (gravity, wide, high) in [
        ("northwest", (0, 0), (0, 0)),
        ("north", (20, 0), (0, 0)),
        ("northeast", (40, 0), (0, 0)),
        ("west", (0, 0), (0, 20)),
        ("centre", (20, 0), (0, 20)),
        ("smart", (20, 0), (0, 20)),
        ("east", (40, 0), (0, 20)),
        ("southwest", (0, 0), (0, 40)),
        ("south", (20, 0), (0, 40)),
        ("southeast", (40, 0), (0, 40)),
    ] {
        for (size, (x, y)) in [((90, 50), wide), ((50, 90), high)] {
            let shown = thumbnail(
                &png(grid(size.0, size.1)),
                &json!({"width": 50, "height": 50, "gravity": gravity}),
            );
            assert_eq!(pixel(&shown, 0, 0), [x, y, 77, 255], "{gravity} of {size:?}");
            assert_eq!(pixel(&shown, 49, 49), [x + 49, y + 49, 77, 255], "{gravity} of {size:?}");
        }
    }
}

#[test]
fn contain_lies_at_the_side_that_gravity_names() {
    let bytes = png(grid(20, 40));
    for (gravity, left) in [("west", 0), ("centre", 10), ("smart", 10), ("northeast", 20)] {
        let shown =
            thumbnail(&bytes, &json!({"width": 40, "height": 40, "fit": "contain", "gravity": gravity}));
        for x in 0..40 {
            let expected =
                if (left..left + 20).contains(&x) { [(x - left) as u8, 7, 77, 255] } else { CLEAR };
            assert_eq!(pixel(&shown, x, 7), expected, "{gravity} at {x}");
        }
    }
}

#[test]
fn a_background_fills_the_padding_and_lies_behind_what_is_transparent() {
    let half = png(RgbaImage::from_pixel(10, 20, Rgba([255, 0, 0, 128])));
    let asked = |background: &str, format: &str| json!({"width": 20, "height": 20, "fit": "contain", "background": background, "format": format});
    for (background, padding, picture) in [
        ("#00ff00", [0, 255, 0, 255], [128, 127, 0, 255]),
        ("#0f0", [0, 255, 0, 255], [128, 127, 0, 255]),
        ("transparent", CLEAR, [255, 0, 0, 128]),
        ("#00ff0080", [0, 255, 0, 128], [170, 85, 0, 192]),
    ] {
        let shown = thumbnail(&half, &asked(background, "png"));
        assert_eq!((pixel(&shown, 0, 9), pixel(&shown, 9, 9)), (padding, picture), "{background}");
    }
    for (background, padding) in
        [("transparent", [255, 255, 255]), ("#00ff0080", [127, 255, 127]), ("#000000", [0; 3])]
    {
        let shown = thumbnail(&half, &asked(background, "jpeg"));
        let [r, g, b, a] = pixel(&shown, 0, 9);
        let near = [r, g, b].into_iter().zip(padding).all(|(found, wanted)| found.abs_diff(wanted) <= 6);
        assert!(near && a == 255, "{background}: {:?}", [r, g, b]);
    }
}

#[test]
fn a_background_lies_behind_every_fit() {
    let half = png(RgbaImage::from_pixel(30, 20, Rgba([255, 0, 0, 128])));
    for fit in ["cover", "contain", "fill", "inside"] {
        let shown = thumbnail(&half, &json!({"width": 9, "height": 6, "fit": fit, "background": "#0000ff"}));
        assert_eq!(pixel(&shown, 4, 3), [128, 0, 127, 255], "{fit}");
        assert!(!shown.has_alpha(), "{fit}");
    }
}

#[test]
fn nothing_is_enlarged_where_that_is_forbidden() {
    let bytes = png(grid(20, 60));
    for (fit, gravity, shown_at) in [
        // 20 columns of the picture and all of its 60 rows, or 40 of them.
        ("contain", "southeast", (20, 0)),
        ("cover", "southeast", (20, 20)),
        ("fill", "southeast", (20, 0)),
        ("cover", "northwest", (0, 0)),
        ("cover", "centre", (10, 10)),
    ] {
        let asked = json!({"width": 40, "height": 40, "fit": fit, "gravity": gravity, "enlarge": false});
        let shown = thumbnail(&bytes, &asked);
        assert_eq!((shown.width(), shown.height()), (40, 40));
        let (left, top) = shown_at;
        if fit == "cover" {
            assert_eq!(pixel(&shown, left, 0), [0, top as u8, 77, 255], "{gravity}");
            assert_eq!(pixel(&shown, left + 19, 39), [19, top as u8 + 39, 77, 255], "{gravity}");
            let beside = if left > 0 { left - 1 } else { left + 20 };
            assert_eq!(pixel(&shown, beside, 20), CLEAR, "{gravity}");
        } else {
            assert_eq!(pixel(&shown, 0, 39), CLEAR, "{fit}");
            assert_eq!(pixel(&shown, 39, 39)[3], 255, "{fit}");
        }
    }
    let small = png(grid(30, 20));
    for fit in ["cover", "contain", "fill"] {
        let asked = json!({"width": 50, "height": 40, "fit": fit, "enlarge": false, "background": "#ffffff"});
        let shown = thumbnail(&small, &asked);
        for (x, y) in [(10, 10), (39, 29)] {
            assert_eq!(pixel(&shown, x, y), [x as u8 - 10, y as u8 - 10, 77, 255], "{fit}: as it is");
        }
        for (x, y) in [(9, 10), (40, 29), (10, 9), (39, 30)] {
            assert_eq!(pixel(&shown, x, y), [255; 4], "{fit}: ground");
        }
    }
}

#[test]
fn inside_grows_to_the_box_only_when_told_to() {
    let bytes = png(grid(30, 20));
    for (enlarge, size) in [(json!(null), (30, 20)), (json!(false), (30, 20)), (json!(true), (90, 60))] {
        let asked = json!({"width": 90, "height": 90, "fit": "inside", "enlarge": enlarge});
        let shown = thumbnail(&bytes, &asked);
        assert_eq!((shown.width(), shown.height()), size, "{enlarge}");
    }
}

/// A plain picture of 400 × 100 with a bright, detailed spot around (x, 50).
fn spotted(x: u32) -> RgbImage {
    RgbImage::from_fn(400, 100, |column, row| {
        let inside = column.abs_diff(x) < 15 && row.abs_diff(50) < 15;
        Rgb(if inside && (column / 4 + row / 4) % 2 == 0 { [250, 240, 60] } else { [70, 80, 90] })
    })
}

fn yellow(image: &Image) -> usize {
    image.rgba().as_chunks::<4>().0.iter().filter(|pixel| pixel[0] > 160 && pixel[2] < 110).count()
}

#[test]
fn smart_keeps_what_the_detectors_find() {
    let smart = options(&json!({"width": 50, "height": 50, "gravity": "smart"}));
    let all = yellow(&thumbnail(&png(spotted(200)), &json!({"width": 50, "height": 50})));
    assert!(all > 20);
    for x in [20, 60, 130, 200, 290, 380] {
        for turned in [false, true] {
            let picture = DynamicImage::from(spotted(x));
            let picture = if turned { picture.rotate90() } else { picture };
            let made = open(png(picture)).expect("a file").thumbnails(&smart, &detection::interest);
            let shown = reopened(&made.expect("a thumbnail").first.file);
            assert!(yellow(&shown) * 10 >= all * 8, "the spot at {x}: {} of {all}", yellow(&shown));
        }
    }
    let [west, centre] = ["west", "centre"].map(|gravity| {
        yellow(&thumbnail(&png(spotted(380)), &json!({"width": 50, "height": 50, "gravity": gravity})))
    });
    assert_eq!((west, centre), (0, 0), "others do not see it");
}

#[test]
fn smart_works_from_a_reduced_picture_as_well() {
    let large = image::imageops::resize(&spotted(380), 3200, 800, image::imageops::FilterType::Nearest);
    let smart = options(&json!({"width": 50, "height": 50, "gravity": "smart"}));
    let asked = std::cell::Cell::new((0, 0));
    let interest = |image: &Image, deadline| {
        asked.set((image.width(), image.height()));
        detection::interest(image, deadline)
    };
    let source = open(encoded(&large.into(), ImageFormat::Jpeg)).expect("a file");
    let made = source.thumbnails(&smart, &interest).expect("a thumbnail");
    assert_eq!(asked.get(), (160, 40));
    assert!(yellow(&reopened(&made.first.file)) > 20);
    assert_eq!(source.thumbnails(&smart, &interest).expect("again"), made);
}

#[test]
fn nobody_is_asked_where_nothing_is_cut_off() {
    let unasked = |_: &Image, _| -> Result<Vec<PointOfInterest>, _> { panic!("asked") };
    let source = open(png(grid(40, 20))).expect("a file");
    for parameters in [
        json!({"width": 10, "height": 5, "gravity": "smart"}),
        json!({"width": 10, "height": 10, "gravity": "smart", "fit": "contain"}),
        json!({"width": 10, "height": 10, "gravity": "north"}),
    ] {
        source.thumbnails(&options(&parameters), &unasked).expect("a thumbnail");
    }
    let plain = |gravity: &str| {
        let options = options(&json!({"width": 10, "height": 10, "gravity": gravity}));
        source.thumbnails(&options, &|_, _| Ok(Vec::new())).expect("a thumbnail")
    };
    assert_eq!(plain("smart"), plain("centre"), "nothing found is the centre");
}

#[test]
fn auto_is_the_format_that_fits() {
    let opaque = png(grid(30, 30));
    let clear = png(RgbaImage::from_pixel(30, 30, Rgba([9, 9, 9, 100])));
    for (bytes, more, content_type, frames) in [
        (&opaque, json!({}), "image/jpeg", 1),
        (&clear, json!({}), "image/png", 1),
        (&clear, json!({"background": "#fff"}), "image/jpeg", 1),
        (&opaque, json!({"fit": "contain", "width": 20}), "image/png", 1),
        (&opaque, json!({"fit": "contain", "width": 20, "background": "#123"}), "image/jpeg", 1),
        (&sample("animated.gif"), json!({"width": 48, "height": 32}), "image/gif", 2),
        (&sample("animated.webp"), json!({"width": 48, "height": 32}), "image/webp", 2),
        (&sample("animated.png"), json!({"width": 48, "height": 32}), "image/webp", 2),
    ] {
        let mut asked = json!({"width": 30, "height": 30, "format": "auto"});
        asked.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let made = open(bytes.clone()).expect("a file").thumbnail(&options(&asked)).expect("a thumbnail");
        assert_eq!((made.content_type, made.frames), (content_type, frames), "{asked}");
    }
}

#[test]
fn animations_move_in_gif_and_webp_and_are_their_first_frame_elsewhere() {
    for name in ["animated.gif", "animated.png", "animated.webp"] {
        for (format, frames) in [("gif", 2), ("webp", 2), ("png", 1), ("jpeg", 1)] {
            let asked = options(&json!({"width": 24, "height": 16, "format": format}));
            let made = open(sample(name)).expect("a file").thumbnail(&asked).expect("a thumbnail");
            let again = open(made.bytes.clone()).expect("a file");
            assert_eq!((made.frames, again.frames()), (frames, frames), "{name} as {format}");
            let (first, still) =
                (decode(made.bytes), thumbnail(&sample(name), &json!({"width": 24, "height": 16})));
            let [found, expected] = [&first, &still].map(|image| at(image, 0.25, 0.25));
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 16), "{found:?} {expected:?}");
        }
    }
}

#[test]
fn an_animation_is_laid_out_frame_by_frame() {
    let asked = options(&json!({
        "width": 40, "height": 60, "fit": "contain", "gravity": "south", "background": "#00ff00", "format": "gif"
    }));
    let made = open(sample("animated.gif")).expect("a file").thumbnail(&asked).expect("a thumbnail");
    let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(made.bytes)).expect("a GIF");
    let frames = image::AnimationDecoder::into_frames(decoder).collect_frames().expect("its frames");
    assert_eq!(frames.len(), 2);
    for frame in frames {
        let picture = frame.into_buffer();
        assert_eq!(picture.dimensions(), (40, 60));
        assert_eq!(picture.get_pixel(20, 5).0, [0, 255, 0, 255], "the ground above");
        assert_ne!(picture.get_pixel(20, 55).0, [0, 255, 0, 255], "the picture below");
    }
}

#[test]
fn an_animation_too_large_for_memory_is_refused_and_its_first_frame_is_not() {
    let limits = imaging::Limits { max_decoder_bytes: 1_000_000, ..imaging::Limits::default() };
    let source = imaging::Source::open(sample("animated.gif"), &limits, imaging::Deadline::none());
    let source = source.expect("a file");
    let asked = |format: &str| options(&json!({"width": 400, "height": 400, "format": format}));
    let error = source.thumbnail(&asked("gif")).expect_err("two frames of 640,000 bytes");
    assert_eq!(error.code(), "thumbnail_too_large");
    assert!(error.to_string().contains("400×400"), "{error}");
    source.thumbnail(&asked("png")).expect("one frame");
}

#[test]
fn the_frames_of_a_thumbnail_have_no_more_pixels_than_a_source_may_have() {
    let limits = imaging::Limits { max_pixels: 2 * 200 * 200, ..imaging::Limits::default() };
    let source = imaging::Source::open(sample("animated.gif"), &limits, imaging::Deadline::none());
    let source = source.expect("a file");
    let asked = |side: u32| {
        options(
            &json!({"width": side, "height": side, "fit": "contain", "format": "gif", "background": "#000000"}),
        )
    };
    source.thumbnail(&asked(200)).expect("as many");
    assert_eq!(source.thumbnail(&asked(201)).expect_err("more").code(), "thumbnail_too_large");
}

#[test]
fn each_preset_has_its_thumbnail_within_its_budget() {
    let asked = options(&json!({
        "width": 7, "quality": 3, "format": "jpeg", "fit": "contain", "background": "#ff0000",
        "preset": ["discord", "slack", "teams"],
    }));
    for bytes in [sample("animated.gif"), file(ImageFormat::Jpeg)] {
        let source = open(bytes).expect("a file");
        let made = source.thumbnails(&asked, &detection::interest).expect("thumbnails");
        let presets: Vec<_> = made.iter().map(|thumbnail| thumbnail.preset).collect();
        assert_eq!(presets, [Preset::Discord, Preset::Slack, Preset::Teams].map(Some));
        for thumbnail in made.iter() {
            let preset = thumbnail.preset.expect("a preset");
            assert_eq!((thumbnail.file.width, thumbnail.file.height), preset.size());
            assert!(thumbnail.file.bytes.len() <= preset.max_bytes(thumbnail.file.frames));
            let again = open(thumbnail.file.bytes.clone()).expect("a file");
            assert_eq!((thumbnail.file.frames, again.frames()), (source.frames(), source.frames()));
            let corner = at(&reopened(&thumbnail.file), 0.0, 0.0);
            assert_eq!(corner, [255, 0, 0, 255], "fit and background still count");
        }
        assert_eq!(source.thumbnail(&asked).expect("the first"), made.first.file);
    }
    let inside = ThumbnailOptions {
        preset: Presets::from_iter([Preset::Slack]),
        fit: Fit::Inside,
        ..ThumbnailOptions::default()
    };
    let wide =
        open(file(ImageFormat::Png)).and_then(|source| source.thumbnail(&inside)).expect("a thumbnail");
    assert_eq!((wide.width, wide.height), Preset::Slack.size(), "nothing less will do");
    let one = ThumbnailOptions { preset: Presets::from_iter([Preset::Slack]), ..ThumbnailOptions::default() };
    assert!(open(sample("animated.gif")).expect("a file").thumbnails(&one, &|_, _| Ok(vec![])).is_ok());
}

/// An animation of that size, whose frames have few colours each.
fn fitting(side: u32) -> Vec<u8> {
    let frame = |nth: u32| {
        RgbaImage::from_fn(side, side, |x, y| {
            let part = (x / 9 + y / 7 + nth) % 40;
            Rgba([(part * 6) as u8, (nth * 40) as u8, (250 - part * 5) as u8, 255])
        })
    };
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.set_repeat(Repeat::Infinite).expect("a header");
    for nth in 0..6 {
        let delay = Delay::from_numer_denom_ms(60, 1);
        encoder.encode_frame(Frame::from_parts(frame(nth), 0, 0, delay)).expect("a frame");
    }
    drop(encoder);
    bytes
}

#[test]
fn an_animation_that_fits_is_left_as_it_is_but_for_its_metadata() {
    let plain = fitting(128);
    let comment = [&plain[..plain.len() - 1], b"\x21\xfe\x05where\x00;and more"].concat();
    for preset in ["slack", "discord", "teams", "mastodon", "mattermost"] {
        for bytes in [&plain, &comment] {
            for fit in ["cover", "contain", "fill", "inside"] {
                assert_eq!(made(bytes, &json!({"preset": [preset], "fit": fit})).bytes, plain, "{preset}");
            }
        }
    }
    for other in [
        json!({"preset": ["zulip"]}),
        json!({"preset": ["slack"], "background": "#ff0000"}),
        json!({"width": 128, "height": 128, "format": "gif"}),
    ] {
        assert_ne!(made(&plain, &other).bytes, plain, "{other}");
    }
    assert_ne!(made(&fitting(127), &json!({"preset": ["slack"]})).bytes, fitting(127));
}

#[test]
fn a_still_that_fits_is_never_made_larger() {
    // Indexed colours, which Darkroom's encoder does not write.
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 128, 128);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![10, 20, 30, 200, 100, 0, 0, 99, 200, 255, 255, 255]);
    encoder.add_text_chunk("Comment".to_owned(), "where".to_owned()).expect("a comment");
    let mut writer = encoder.write_header().expect("a header");
    let pixels: Vec<u8> = (0..128 * 32_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    writer.write_image_data(&pixels).expect("pixels");
    drop(writer);
    let made = made(&bytes, &json!({"preset": ["slack"]}));
    assert_eq!(made.content_type, "image/png");
    assert!(made.bytes.len() < bytes.len(), "{} bytes of {}", made.bytes.len(), bytes.len());
    assert!(!made.bytes.windows(5).any(|bytes| bytes == b"where"));
    let shown = |bytes: Vec<u8>| open(bytes).expect("a file").image().cloned().expect("a picture");
    assert_eq!(shown(made.bytes), shown(bytes));
}

#[test]
fn a_sticker_is_a_webp_that_lasts_ten_seconds_at_most() {
    let slow: Vec<Frame> = (0..5)
        .map(|nth| {
            let picture =
                RgbaImage::from_fn(90, 90, |x, y| Rgba([(x * 2) as u8, (y * 2) as u8, nth * 50, 255]));
            Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(4000, 1))
        })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.encode_frames(slow).expect("a GIF");
    drop(encoder);
    let sticker = made(&bytes, &json!({"preset": ["whatsapp"]}));
    assert_eq!(
        (sticker.content_type, sticker.width, sticker.height, sticker.frames),
        ("image/webp", 512, 512, 5)
    );
    assert!(sticker.bytes.len() <= 500_000);
    let again = open(sticker.bytes).expect("a file");
    let gif = again.thumbnail(&options(&json!({"format": "gif"}))).expect("a GIF").bytes;
    // In hundredths of a second.
    let controls = gif.windows(6).filter(|bytes| bytes[..3] == [0x21, 0xf9, 4]);
    let delays: Vec<_> = controls.map(|bytes| u16::from_le_bytes([bytes[4], bytes[5]])).collect();
    assert_eq!(delays, [200; 5]);
    let still = made(&file(ImageFormat::Jpeg), &json!({"preset": ["whatsapp"]}));
    assert_eq!((still.content_type, still.width, still.frames), ("image/webp", 512, 1));
    assert!(still.bytes.len() <= 100_000);
}

#[test]
fn the_placeholder_is_of_the_thumbnail_and_not_of_the_picture() {
    let two = RgbImage::from_fn(200, 100, |x, _| Rgb(if x < 100 { [250, 0, 0] } else { [0, 0, 250] }));
    let colours = |parameters: Value| {
        let made =
            open(png(two.clone())).expect("a file").thumbnails(&options(&parameters), &|_, _| Ok(vec![]));
        let found = made.expect("a thumbnail").placeholder.colours;
        found.into_iter().map(|found| (found.colour.to_string(), found.share)).collect::<Vec<_>>()
    };
    let named = |colour: &str, share| (colour.to_owned(), share);
    assert_eq!(colours(json!({"gravity": "west"})), [named("#fa0000", 1.0)]);
    assert_eq!(colours(json!({"gravity": "east", "format": "webp"})), [named("#0000fa", 1.0)]);
    let padded = json!({"width": 100, "height": 100, "fit": "contain", "gravity": "north"});
    assert_eq!(colours(padded.clone()).len(), 2, "what is transparent has no colour");
    let mut jpeg = padded;
    jpeg["format"] = json!("jpeg");
    assert_eq!(colours(jpeg)[0], named("#ffffff", 0.5), "a JPEG's padding is white");
}

#[test]
fn a_transparent_colour_is_the_same_however_it_is_written() {
    let [one, other] = ["transparent", "#12345600"].map(|text| options(&json!({"background": text})));
    assert_eq!((one, one.background), (other, Some(Colour::TRANSPARENT)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_size_asked_for_is_exact_in_all_but_inside(
        size in (1..90_u32, 1..90_u32),
        asked in (1..120_u32, 1..120_u32),
        fit in prop::sample::select(&[Fit::Cover, Fit::Contain, Fit::Fill, Fit::Inside][..]),
        gravity in prop::sample::select(Gravity::ALL),
        enlarge in prop::option::of(any::<bool>()),
        background in prop::option::of(any::<[u8; 4]>().prop_map(Colour::new)),
        format in prop::sample::select(&[OutputFormat::Png, OutputFormat::Auto, OutputFormat::Jpeg][..]),
    ) {
        let options = ThumbnailOptions {
            width: asked.0, height: asked.1, fit, gravity, enlarge, background, format,
            ..ThumbnailOptions::default()
        };
        let source = open(png(grid(size.0, size.1))).expect("a file");
        let made = source.thumbnails(&options, &detection::interest).expect("a thumbnail").first.file;
        let shown = image::load_from_memory(&made.bytes).expect("an image");
        prop_assert_eq!(shown.dimensions(), (made.width, made.height));
        if fit == Fit::Inside {
            prop_assert!(made.width <= asked.0 && made.height <= asked.1);
            prop_assert!(enlarge == Some(true) || (made.width <= size.0 && made.height <= size.1));
            prop_assert!(enlarge != Some(true) || made.width == asked.0 || made.height == asked.1);
        } else {
            prop_assert_eq!((made.width, made.height), asked);
        }
    }

    #[test]
    fn the_corner_that_gravity_names_shows_the_pictures_corner(
        size in (2..60_u32, 2..60_u32), asked in (2..60_u32, 2..60_u32),
        fit in prop::sample::select(&[Fit::Cover, Fit::Contain, Fit::Fill][..]),
        gravity in 0..4_usize,
    ) {
        // Nothing is scaled, so the pixel at the corner is one of the picture's.
        let (gravity, right, bottom) = [
            (Gravity::Northwest, 0, 0),
            (Gravity::Northeast, 1, 0),
            (Gravity::Southwest, 0, 1),
            (Gravity::Southeast, 1, 1),
        ][gravity];
        prop_assume!(fit == Fit::Cover || (size.0 <= asked.0 && size.1 <= asked.1));
        prop_assume!(size.0 < asked.0 || size.1 < asked.1);
        let options = ThumbnailOptions {
            width: asked.0, height: asked.1, fit, gravity, enlarge: Some(false), ..ThumbnailOptions::default()
        };
        let made = open(png(grid(size.0, size.1))).expect("a file").thumbnail(&options).expect("a thumbnail");
        let corner = pixel(&reopened(&made), right * (asked.0 - 1), bottom * (asked.1 - 1));
        let expected = [(right * (size.0 - 1)) as u8, (bottom * (size.1 - 1)) as u8, 77, 255];
        prop_assert_eq!(corner, expected);
    }
}
