//! The picture that every test file shows. It is drawn here, and encoded in every format for which there is an encoder.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use imaging::{Deadline, Encoded, Image, ImageError, Limits, Source};

pub(crate) const WIDTH: u32 = 48;
pub(crate) const HEIGHT: u32 = 32;

/// Top left, top right, bottom left, bottom right.
pub(crate) const QUARTERS: [[u8; 3]; 4] = [[200, 40, 40], [40, 160, 40], [40, 40, 200], [240, 240, 240]];

/// Four quarters of different colours: no flip or turn maps it to itself.
pub(crate) fn picture() -> RgbaImage {
    RgbaImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let quarter = usize::from(x >= WIDTH / 2) + 2 * usize::from(y >= HEIGHT / 2);
        let [r, g, b] = QUARTERS[quarter];
        Rgba([r, g, b, 255])
    })
}

pub(crate) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).expect("an encoder's own format");
    out.into_inner()
}

/// The picture as a file, opaque, in a format that `image` encodes.
pub(crate) fn file(format: ImageFormat) -> Vec<u8> {
    let picture = DynamicImage::from(picture()).to_rgb8().into();
    if format == ImageFormat::Jpeg {
        let mut out = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 95);
        DynamicImage::write_with_encoder(&picture, encoder).expect("a JPEG");
        return out;
    }
    encoded(&picture, format)
}

pub(crate) const ENCODABLE: [ImageFormat; 10] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Tiff,
    ImageFormat::Bmp,
    ImageFormat::Ico,
    ImageFormat::Qoi,
    ImageFormat::Pnm,
    ImageFormat::Tga,
];

/// Files of formats for which no Rust encoder is used here, made by `make.py`.
pub(crate) const SAMPLES: [(&str, &[u8]); 32] = [
    ("10.avif", include_bytes!("samples/avif/10.avif")),
    ("420.avif", include_bytes!("samples/avif/420.avif")),
    ("alpha.avif", include_bytes!("samples/avif/alpha.avif")),
    ("sequence.avif", include_bytes!("samples/avif/sequence.avif")),
    ("animated.gif", include_bytes!("samples/animated.gif")),
    ("animated.png", include_bytes!("samples/animated.png")),
    ("animated.webp", include_bytes!("samples/animated.webp")),
    ("big.tif", include_bytes!("samples/big.tif")),
    ("bilevel.tif", include_bytes!("samples/bilevel.tif")),
    ("bitmap.ico", include_bytes!("samples/bitmap.ico")),
    ("cmyk.jpg", include_bytes!("samples/cmyk.jpg")),
    ("cmyk.tif", include_bytes!("samples/cmyk.tif")),
    ("group3.tif", include_bytes!("samples/group3.tif")),
    ("jpeg2000-chroma.tif", include_bytes!("samples/jpeg2000-chroma.tif")),
    ("jpeg2000.tif", include_bytes!("samples/jpeg2000.tif")),
    ("jpeg.tif", include_bytes!("samples/jpeg.tif")),
    ("lossy-alpha.webp", include_bytes!("samples/lossy-alpha.webp")),
    ("lossy.webp", include_bytes!("samples/lossy.webp")),
    ("old-jpeg-strips.tif", include_bytes!("samples/old-jpeg-strips.tif")),
    ("old-jpeg-tables.tif", include_bytes!("samples/old-jpeg-tables.tif")),
    ("old-jpeg-whole.tif", include_bytes!("samples/old-jpeg-whole.tif")),
    ("packbits.tif", include_bytes!("samples/packbits.tif")),
    ("palette.bmp", include_bytes!("samples/palette.bmp")),
    ("palette.png", include_bytes!("samples/palette.png")),
    ("palette.tga", include_bytes!("samples/palette.tga")),
    ("palette.tif", include_bytes!("samples/palette.tif")),
    ("progressive.jpg", include_bytes!("samples/progressive.jpg")),
    ("subsampled.jpg", include_bytes!("samples/subsampled.jpg")),
    ("ycck.jpg", include_bytes!("samples/ycck.jpg")),
    ("ycbcr.tif", include_bytes!("samples/ycbcr.tif")),
    ("webp.tif", include_bytes!("samples/webp.tif")),
    ("zstd.tif", include_bytes!("samples/zstd.tif")),
];

pub(crate) fn sample(name: &str) -> Vec<u8> {
    SAMPLES.iter().find(|(other, _)| *other == name).expect("a sample").1.to_vec()
}

/// Every small real file, each with a name for messages.
pub(crate) fn every_file() -> Vec<(String, Vec<u8>)> {
    let made = ENCODABLE.map(|format| (format!("{format:?}"), file(format)));
    let kept = SAMPLES.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    let p3 = with_profile(&moxcms::ColorProfile::new_display_p3());
    let turned = crate::orientation::jpeg(6);
    made.into_iter().chain(kept).chain([("P3".to_owned(), p3), ("turned".to_owned(), turned)]).collect()
}

/// The picture as a PNG with an ICC profile.
pub(crate) fn with_profile(profile: &moxcms::ColorProfile) -> Vec<u8> {
    use image::ImageEncoder as _;
    let mut out = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut out);
    encoder.set_icc_profile(profile.encode().expect("a profile")).expect("PNG has profiles");
    DynamicImage::from(picture()).write_with_encoder(encoder).expect("a PNG");
    out
}

pub(crate) fn open(bytes: Vec<u8>) -> Result<Source, ImageError> {
    Source::open(bytes, &Limits::default(), Deadline::none())
}

pub(crate) fn decode(bytes: Vec<u8>) -> Image {
    open(bytes).expect("a good file").image().expect("a good picture").clone()
}

/// The pixels of a thumbnail.
pub(crate) fn reopened(encoded: &Encoded) -> Image {
    decode(encoded.bytes.clone())
}

/// The pixel at these fractions of an image's sides.
pub(crate) fn at(image: &Image, x: f64, y: f64) -> [u8; 4] {
    let column = (x * f64::from(image.width())) as usize;
    let row = (y * f64::from(image.height())) as usize;
    image.rgba().as_chunks::<4>().0[row * image.width() as usize + column]
}

/// The colours at the centres of the four quarters.
pub(crate) fn quarters(image: &Image) -> [[u8; 3]; 4] {
    [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)].map(|(x, y)| {
        let [r, g, b, _] = at(image, x, y);
        [r, g, b]
    })
}

pub(crate) fn close(a: [[u8; 3]; 4], b: [[u8; 3]; 4], tolerance: u8) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| a.abs_diff(*b) <= tolerance)
}

/// An ISO media box, of which AVIF files consist.
pub(crate) fn avif_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

/// The AV1 stream of an AVIF file with only one.
pub(crate) fn avif_payload(file: &[u8]) -> Vec<u8> {
    let start = file.windows(4).position(|at| at == b"mdat").expect("data") + 4;
    file[start..].to_vec()
}

/// A colour property with code points: primaries, transfer and matrix.
pub(crate) fn nclx(primaries: u16, transfer: u16, matrix: u16, full_range: bool) -> Vec<u8> {
    let codes = [primaries, transfer, matrix].map(u16::to_be_bytes).concat();
    [b"nclx".to_vec(), codes, vec![u8::from(full_range) << 7]].concat()
}

/// An item of an AVIF file.
#[derive(Clone)]
pub(crate) struct AvifItem {
    pub(crate) kind: [u8; 4],
    pub(crate) data: Vec<u8>,
    pub(crate) size: Option<(u32, u32)>,
    /// Type, content, and whether it is essential.
    pub(crate) properties: Vec<([u8; 4], Vec<u8>, bool)>,
    /// Whether the data lies in the `idat` box.
    pub(crate) inside: bool,
    /// The number of extents of the data.
    pub(crate) pieces: usize,
}

impl AvifItem {
    pub(crate) fn new(kind: [u8; 4], data: Vec<u8>, width: u32, height: u32) -> Self {
        Self { kind, data, size: Some((width, height)), properties: Vec::new(), inside: false, pieces: 1 }
    }

    pub(crate) fn picture(data: Vec<u8>, width: u32, height: u32) -> Self {
        Self::new(*b"av01", data, width, height)
    }

    pub(crate) fn with(mut self, properties: &[([u8; 4], &[u8], bool)]) -> Self {
        self.properties
            .extend(properties.iter().map(|&(kind, content, known)| (kind, content.to_vec(), known)));
        self
    }
}

/// An AVIF file. Items are numbered from 1; the first is the primary one.
pub(crate) struct Avif {
    pub(crate) brand: [u8; 4],
    pub(crate) items: Vec<AvifItem>,
    /// Type, the item that refers, and the item that it refers to.
    pub(crate) references: Vec<([u8; 4], u16, u16)>,
}

impl Default for Avif {
    fn default() -> Self {
        Self { brand: *b"avif", items: Vec::new(), references: Vec::new() }
    }
}

impl Avif {
    pub(crate) fn file(&self) -> Vec<u8> {
        let kind = avif_box(b"ftyp", &[&self.brand[..], &[0; 4], b"avifmif1"].concat());
        // The offset of the data follows from the length of the boxes before it.
        let start = kind.len() + self.meta(0).len() + 8;
        let data: Vec<u8> =
            self.items.iter().filter(|item| !item.inside).flat_map(|item| item.data.clone()).collect();
        [kind, self.meta(start), avif_box(b"mdat", &data)].concat()
    }

    fn meta(&self, start: usize) -> Vec<u8> {
        let count = (self.items.len() as u16).to_be_bytes();
        let (mut places, mut kinds) =
            ([&[1, 0, 0, 0, 0x44, 0][..], &count].concat(), [&[0; 4][..], &count].concat());
        let (mut properties, mut links, mut number) = (Vec::new(), [&[0; 6][..], &count].concat(), 0_u8);
        let (mut outside, mut inside, mut within) = (start, 0, Vec::new());
        for (id, item) in (1_u16..).zip(&self.items) {
            let id = id.to_be_bytes();
            kinds.extend(avif_box(b"infe", &[&[2, 0, 0, 0][..], &id, &[0, 0], &item.kind, &[0]].concat()));
            let at = if item.inside { &mut inside } else { &mut outside };
            places.extend([&id[..], &[0, u8::from(item.inside), 0, 0, 0, item.pieces as u8]].concat());
            for piece in 0..item.pieces {
                let ends = [piece, piece + 1].map(|piece| item.data.len() * piece / item.pieces);
                places.extend(
                    [(*at + ends[0]) as u32, (ends[1] - ends[0]) as u32].map(u32::to_be_bytes).concat(),
                );
            }
            *at += item.data.len();
            if item.inside {
                within.extend(&item.data);
            }
            let size = item
                .size
                .map(|(width, height)| (*b"ispe", [0, width, height].map(u32::to_be_bytes).concat(), false));
            let all: Vec<_> = size.into_iter().chain(item.properties.clone()).collect();
            links.extend([&id[..], &[all.len() as u8]].concat());
            for (kind, content, known) in all {
                properties.extend(avif_box(&kind, &content));
                number += 1;
                links.push(number | u8::from(known) << 7);
            }
        }
        let references = self
            .references
            .iter()
            .flat_map(|(kind, from, to)| avif_box(kind, &[*from, 1, *to].map(u16::to_be_bytes).concat()));
        let all = [
            vec![0; 4],
            avif_box(b"pitm", &[0, 0, 0, 0, 0, 1]),
            avif_box(b"iloc", &places),
            avif_box(b"iinf", &kinds),
            avif_box(b"iprp", &[avif_box(b"ipco", &properties), avif_box(b"ipma", &links)].concat()),
            avif_box(b"iref", &[vec![0; 4], references.collect()].concat()),
            avif_box(b"idat", &within),
        ];
        avif_box(b"meta", &all.concat())
    }
}

/// A PNG chunk with its checksum.
pub(crate) fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let crc = kind.iter().chain(data).fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &(!crc).to_be_bytes()].concat()
}

/// A RIFF chunk, padded to an even length.
pub(crate) fn riff_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = [kind, &(data.len() as u32).to_le_bytes()[..], data].concat();
    out.resize(out.len().next_multiple_of(2), 0);
    out
}
