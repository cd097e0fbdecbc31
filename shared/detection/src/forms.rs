//! The forms in which findings are written: JSON, GeoJSON for QuPath, CSV, and an overlay drawn on the image. Each is
//! made from the same [`Findings`], and the same findings give the same bytes every time.

use std::fmt::Write as _;

use algorithm::{Rectangle, Run};
use imaging::{Deadline, Image, ImageError, TimedOut};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{Column, DetectError, Digits, Entry, Findings, Means, ModelSource, overlay, window};

/// Vertices of the polygon that a disc becomes in GeoJSON, which has no circles.
const VERTICES: u32 = 24;

/// Decimals of a coordinate: a thousandth of a pixel is finer than any detector measures.
const POSITION: Digits = Digits::Decimals(3);

/// A form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The full result.
    Json,
    /// A FeatureCollection of QuPath detections.
    GeoJson,
    /// One row for each finding.
    Csv,
    /// Marks on the image, reduced where a side has more than 2048 px.
    Png,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Json, Self::GeoJson, Self::Csv, Self::Png];

    /// The file extension, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::GeoJson => "geojson",
            Self::Csv => "csv",
            Self::Png => "png",
        }
    }

    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GeoJson => "application/geo+json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Png => "image/png",
        }
    }
}

/// The provenance that a result states: what was run, and on which image.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The algorithm, its version and its complete parameters.
    pub run: &'a Run,
    /// SHA-256 of the source's bytes, in hex.
    pub sha256: &'a str,
    /// Width of the upright full-size image, in pixels.
    pub width: u32,
    /// Height of the upright full-size image, in pixels.
    pub height: u32,
}

impl Findings {
    /// The findings in a form. `image` is the upright full-size image; only [`Form::Png`] looks at it.
    ///
    /// # Errors
    /// [`DetectError::ResultTooLarge`] as soon as a form has more bytes than `means` allow; [`DetectError::TimedOut`]
    /// when their deadline passes, which is checked every few hundred findings; [`DetectError::Encode`] when the
    /// overlay cannot be encoded.
    pub fn render(
        &self,
        form: Form,
        context: &Context<'_>,
        image: &Image,
        means: &Means,
    ) -> Result<Vec<u8>, DetectError> {
        let mut sheet = Sheet { text: String::new(), form, means };
        match form {
            Form::Json => self.write_json(context, &mut sheet)?,
            Form::GeoJson => self.write_geojson(context, &mut sheet)?,
            Form::Csv => self.write_csv(&mut sheet)?,
            Form::Png => {
                let png = self.overlay_png(context, image, means.deadline)?;
                sheet.check(png.len())?;
                return Ok(png);
            }
        }
        Ok(sheet.text.into_bytes())
    }

    /// The full result: `{"algorithm", "version", "parameters", "source": {"sha256", "width", "height"}, "overlay":
    /// {"width", "height"}, "units", "count", LIST: [{"x", "y", …}, …]}`, where LIST is the name that the schema gives
    /// to the list.
    ///
    /// After `source` come `"model": {"key", "sha256", "description_sha256"}` if a model made the findings, and the
    /// details that the algorithm states of the whole run. `overlay` is the overlay's size in pixels. There is one
    /// entry on a line; an entry with an outline has `"outline": [[x, y], …]`, not closed. A unit is `null` where the
    /// quantity is a pure number.
    fn write_json(&self, context: &Context<'_>, sheet: &mut Sheet<'_>) -> Result<(), DetectError> {
        sheet.reserve(self, 32, 32);
        let out = &mut sheet.text;
        out.push('{');
        self.push_provenance(out, context);
        let (width, height) = overlay::size((context.width, context.height));
        let _ = write!(out, ",\"overlay\":{{\"width\":{width},\"height\":{height}}}");
        out.push_str(",\"units\":{\"x\":\"px\",\"y\":\"px\"");
        for label in self.schema().labels {
            let _ = write!(out, ",{}:null", quoted(label));
        }
        for column in self.schema().columns {
            let _ = write!(out, ",{}:{}", quoted(column.name), Value::from(column.unit));
        }
        let _ = write!(out, "}},\"count\":{},{}:[", self.len(), quoted(self.schema().list));
        for (i, entry) in self.entries().enumerate() {
            let out = sheet.next(i)?;
            out.push_str(if i == 0 { "\n{\"x\":" } else { ",\n{\"x\":" });
            push_number(out, entry.x, POSITION);
            out.push_str(",\"y\":");
            push_number(out, entry.y, POSITION);
            for (label, text) in self.schema().labels.iter().zip(entry.labels) {
                let _ = write!(out, ",{}:{}", quoted(label), quoted(text));
            }
            for (column, value) in self.schema().columns.iter().zip(entry.values) {
                let _ = write!(out, ",{}:", quoted(column.name));
                push_number(out, *value, column.digits);
            }
            if !entry.outline.is_empty() {
                out.push_str(",\"outline\":[");
                push_positions(out, entry.outline.iter());
                out.push(']');
            }
            out.push('}');
        }
        sheet.text.push_str("]}\n");
        sheet.check(sheet.text.len())
    }

    /// A GeoJSON FeatureCollection that QuPath opens as detections, with one Feature for each entry.
    ///
    /// The geometry is a `Point` or a closed `Polygon`, in pixels of the full-size image; the polygon is the entry's
    /// outline, or its disc as far as that lies in the image. `objectType` is `detection`; the measured values are
    /// `measurements`, with the unit in the name, as QuPath does it. The ids are UUIDs made from the run and the
    /// entry's index, so that opening a result twice updates the objects and does not double them. The member
    /// `darkroom` states the provenance; readers skip it.
    fn write_geojson(&self, context: &Context<'_>, sheet: &mut Sheet<'_>) -> Result<(), DetectError> {
        sheet.reserve(self, 256, 32);
        let out = &mut sheet.text;
        out.push_str("{\"type\":\"FeatureCollection\",\"darkroom\":{");
        self.push_provenance(out, context);
        out.push_str("},\"features\":[");
        let namespace = self.fingerprint(context);
        let class = &self.schema().class;
        let own_class = self.schema().labels.iter().position(|label| *label == "class");
        let names: Vec<String> = self.schema().columns.iter().map(measurement_name).collect();
        for (i, entry) in self.entries().enumerate() {
            let out = sheet.next(i)?;
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            let _ = write!(out, "{{\"type\":\"Feature\",\"id\":\"{}\",\"geometry\":", uuid(namespace, i));
            push_geometry(out, &entry, context);
            let name = own_class.and_then(|i| entry.labels.get(i)).map_or(class.name, String::as_str);
            let classification = json!({"name": name, "color": class.color});
            let _ = write!(
                out,
                ",\"properties\":{{\"objectType\":\"detection\",\"classification\":{classification},"
            );
            push_metadata(out, self.schema().labels, entry.labels);
            out.push_str("\"measurements\":{");
            let measured = self.schema().columns.iter().zip(&names).zip(entry.values);
            for (j, ((column, name), value)) in measured.enumerate() {
                let _ = write!(out, "{}{name}:", if j == 0 { "" } else { "," });
                push_number(out, *value, column.digits);
            }
            out.push_str("}}}");
        }
        sheet.text.push_str("]}\n");
        sheet.check(sheet.text.len())
    }

    /// CSV as in RFC 4180 (commas, CRLF), one row for each entry. The header names each column with its unit:
    /// `x_px,y_px,response`. Labels stand before measured values; outlines are left out.
    fn write_csv(&self, sheet: &mut Sheet<'_>) -> Result<(), DetectError> {
        sheet.reserve(self, 20, 16);
        let out = &mut sheet.text;
        out.push_str("x_px,y_px");
        for label in self.schema().labels {
            let _ = write!(out, ",{label}");
        }
        for column in self.schema().columns {
            let _ = match column.unit {
                Some(unit) => write!(out, ",{}_{unit}", column.name),
                None => write!(out, ",{}", column.name),
            };
        }
        out.push_str("\r\n");
        for (i, entry) in self.entries().enumerate() {
            let out = sheet.next(i)?;
            push_number(out, entry.x, POSITION);
            out.push(',');
            push_number(out, entry.y, POSITION);
            for text in entry.labels {
                out.push(',');
                push_field(out, text);
            }
            for (column, value) in self.schema().columns.iter().zip(entry.values) {
                out.push(',');
                push_number(out, *value, column.digits);
            }
            out.push_str("\r\n");
        }
        sheet.check(sheet.text.len())
    }

    /// A PNG of the image, reduced where a side has more than 2048 px, with a mark on every finding: a ring around a
    /// point, or the outline of a disc or an object.
    ///
    /// A mark has the colour of its class, or of the schema's opposite where the entry is of that kind, and a dark
    /// halo. If a region was searched and not the whole image, the region has a white border. `image` is the upright
    /// full-size image.
    ///
    fn overlay_png(
        &self,
        context: &Context<'_>,
        image: &Image,
        deadline: Deadline,
    ) -> Result<Vec<u8>, DetectError> {
        let region = context.run.parameters.0.get(window::REGION.name);
        let region = region.and_then(|region| Rectangle::deserialize(region).ok());
        let drawn = overlay::draw(self, image, region, deadline)?;
        drawn.encode_png_within(deadline).map_err(encoding)
    }

    /// Writes the members that state the provenance, without the braces around them.
    fn push_provenance(&self, out: &mut String, context: &Context<'_>) {
        let Context { run, sha256, width, height } = context;
        let parameters = Value::Object(run.parameters.0.clone());
        let _ = write!(
            out,
            "\"algorithm\":{},\"version\":{},\"parameters\":{parameters},\
             \"source\":{{\"sha256\":{},\"width\":{width},\"height\":{height}}}",
            quoted(&run.name),
            quoted(&run.version),
            quoted(sha256),
        );
        if let Some(ModelSource { key, sha256, description_sha256 }) = self.model() {
            let _ = write!(
                out,
                ",\"model\":{{\"key\":{},\"sha256\":{},\"description_sha256\":{}}}",
                quoted(key.as_str()),
                quoted(sha256),
                quoted(description_sha256),
            );
        }
        for (name, value) in self.details() {
            let _ = write!(out, ",{}:{value}", quoted(name));
        }
    }

    /// FNV-1a, 64 bit, of all that distinguishes one run from another.
    fn fingerprint(&self, context: &Context<'_>) -> u64 {
        let mut text = String::new();
        self.push_provenance(&mut text, context);
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// A form that is being written.
struct Sheet<'a> {
    text: String,
    form: Form,
    means: &'a Means,
}

impl Sheet<'_> {
    /// The number of findings between two checks of the deadline: they take some milliseconds.
    const PER_CHECK: usize = 256;

    /// Makes room for findings of about `each` bytes and `column` more for each column, as far as they are allowed.
    fn reserve(&mut self, findings: &Findings, each: usize, column: usize) {
        let each = each + column * findings.schema().columns.len();
        let most = usize::try_from(self.means.file_bytes).unwrap_or(usize::MAX);
        self.text.reserve(findings.len().saturating_mul(each).min(most));
    }

    /// The text, to be followed by the finding of that index. It has no more bytes than are allowed.
    fn next(&mut self, index: usize) -> Result<&mut String, DetectError> {
        if index.is_multiple_of(Self::PER_CHECK) {
            self.means.deadline.check()?;
        }
        self.check(self.text.len())?;
        Ok(&mut self.text)
    }

    /// Checks that the form may have so many bytes.
    fn check(&self, bytes: usize) -> Result<(), DetectError> {
        let most = self.means.file_bytes;
        if bytes as u64 <= most {
            return Ok(());
        }
        Err(DetectError::ResultTooLarge { form: self.form.extension(), most })
    }
}

/// The error of a PNG that was not encoded.
fn encoding(error: ImageError) -> DetectError {
    if matches!(error, ImageError::TimeLimit(_)) { DetectError::TimedOut(TimedOut) } else { error.into() }
}

/// Writes an entry's labels where QuPath looks for them: the last as the object's `name`, all of them as its
/// `metadata`. An entry without labels has neither.
fn push_metadata(out: &mut String, names: &[&str], texts: &[String]) {
    let Some(name) = texts.last() else { return };
    let _ = write!(out, "\"name\":{},\"metadata\":{{", quoted(name));
    for (i, (label, text)) in names.iter().zip(texts).enumerate() {
        let _ = write!(out, "{}{}:{}", if i == 0 { "" } else { "," }, quoted(label), quoted(text));
    }
    out.push_str("},");
}

/// A text as a field of CSV, in quotes where it must be. Spreadsheets run a text as a formula by its first character
/// ([CSV injection]), so an apostrophe is put before such a text, and before one that has such an apostrophe already.
///
/// [CSV injection]: https://owasp.org/www-community/attacks/CSV_Injection
fn push_field(out: &mut String, text: &str) {
    const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];
    // Spreadsheets may leave out what cannot be seen before the formula.
    let bare =
        text.trim_start_matches(|c: char| c == '\'' || c == ' ' || c.is_control() && !FORMULA.contains(&c));
    let apostrophe = if bare.starts_with(FORMULA) { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        let _ = write!(out, "\"{apostrophe}{}\"", text.replace('"', "\"\""));
    } else {
        let _ = write!(out, "{apostrophe}{text}");
    }
}

fn push_geometry(out: &mut String, entry: &Entry<'_>, context: &Context<'_>) {
    if let Some(radius) = entry.radius {
        push_polygon(out, (0..VERTICES).map(|i| vertex(entry, radius, i, context)).collect());
    } else if entry.outline.is_empty() {
        out.push_str("{\"type\":\"Point\",\"coordinates\":[");
        push_number(out, entry.x, POSITION);
        out.push(',');
        push_number(out, entry.y, POSITION);
        out.push_str("]}");
    } else {
        push_polygon(out, entry.outline.to_vec());
    }
}

/// Writes a closed polygon. Vertices that were moved inside the image may coincide with their neighbours; each such
/// place is written once.
fn push_polygon(out: &mut String, mut vertices: Vec<[f32; 2]>) {
    vertices.dedup();
    while vertices.len() > 1 && vertices.first() == vertices.last() {
        vertices.pop();
    }
    out.push_str("{\"type\":\"Polygon\",\"coordinates\":[[");
    push_positions(out, vertices.iter().chain(vertices.first()));
    out.push_str("]]}");
}

/// A vertex of the polygon around a disc, moved inside the image.
fn vertex(entry: &Entry<'_>, radius: f64, i: u32, context: &Context<'_>) -> [f32; 2] {
    let (sine, cosine) = (f64::from(i) * std::f64::consts::TAU / f64::from(VERTICES)).sin_cos();
    let along =
        |centre: f64, offset: f64, end: u32| (centre + radius * offset).clamp(0.0, f64::from(end)) as f32;
    [along(entry.x, cosine, context.width), along(entry.y, sine, context.height)]
}

fn push_positions<'a>(out: &mut String, positions: impl Iterator<Item = &'a [f32; 2]>) {
    for (i, [x, y]) in positions.enumerate() {
        out.push_str(if i == 0 { "[" } else { ",[" });
        push_number(out, f64::from(*x), POSITION);
        out.push(',');
        push_number(out, f64::from(*y), POSITION);
        out.push(']');
    }
}

/// Writes a number in a notation that both JSON and CSV accept, rounded and as short as possible. A number that is not
/// finite becomes 0; no detector gives one.
fn push_number(out: &mut String, value: f64, digits: Digits) {
    let rounded = match digits {
        _ if !value.is_finite() => 0.0,
        Digits::Decimals(decimals) => {
            let scale = 10f64.powi(i32::from(decimals));
            (value * scale).round() / scale
        }
        Digits::Significant(digits) => {
            let fraction = usize::from(digits.max(1)) - 1;
            format!("{value:.fraction$e}").parse().unwrap_or(0.0)
        }
    };
    let rounded = rounded + 0.0; // makes 0 of −0
    let plain = rounded == 0.0 || (1e-5..1e15).contains(&rounded.abs());
    let _ = if plain { write!(out, "{rounded}") } else { write!(out, "{rounded:e}") };
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

/// A column's name as a JSON string, with its unit as QuPath writes it: `"area px2"`.
fn measurement_name(column: &Column) -> String {
    match column.unit {
        Some(unit) => quoted(&format!("{} {unit}", column.name)).to_string(),
        None => quoted(column.name).to_string(),
    }
}

/// A UUID of version 8 (RFC 9562: bits of our own choice) from the run's fingerprint and the entry's place.
fn uuid(namespace: u64, index: usize) -> String {
    let variant_and_mix = 0x8000 | (namespace & 0x3fff);
    format!(
        "{:08x}-{:04x}-8{:03x}-{variant_and_mix:04x}-{index:012x}",
        namespace >> 32,
        (namespace >> 16) & 0xffff,
        (namespace >> 4) & 0xfff,
    )
}

#[cfg(test)]
mod tests {
    use algorithm::Parameters;

    use super::*;
    use crate::{Class, Schema};

    static SCHEMA: Schema = Schema {
        list: "nuclei",
        class: Class { name: "Nucleus", color: [240, 228, 66] },
        columns: &[
            Column { name: "area", unit: Some("px2"), digits: Digits::Decimals(1) },
            Column { name: "score", unit: None, digits: Digits::Significant(3) },
        ],
        labels: &[],
        radius: None,
        opposite: None,
    };

    fn written(value: f64, digits: Digits) -> String {
        let mut out = String::from("0,");
        push_number(&mut out, value, digits);
        out.split_off(2)
    }

    fn rendered(
        findings: &Findings,
        form: Form,
        context: &Context<'_>,
        means: &Means,
    ) -> Result<Vec<u8>, DetectError> {
        let image = Image::new(8, 7, vec![255; 8 * 7 * 4]).expect("an image");
        findings.render(form, context, &image, means)
    }

    fn text(findings: &Findings, form: Form, context: &Context<'_>) -> String {
        let bytes = rendered(findings, form, context, &Means::by(Deadline::none())).expect("it is small");
        String::from_utf8(bytes).expect("a text")
    }

    #[test]
    fn a_text_in_csv_is_no_formula_and_can_be_told_from_one_that_was_changed() {
        for (text, field) in [
            ("A-1", "A-1"),
            ("'s-Hertogenbosch", "'s-Hertogenbosch"),
            ("=1+1", "'=1+1"),
            ("-7", "'-7"),
            ("+49 30", "'+49 30"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("=A1,\"x\"", "\"'=A1,\"\"x\"\"\""),
            ("'=1", "''=1"),
            (" \u{1d}=1", "' \u{1d}=1"),
        ] {
            let mut out = String::new();
            push_field(&mut out, text);
            assert_eq!(out, field, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_rounded_and_short() {
        for (value, digits, expected) in [
            (12.5, POSITION, "12.5"),
            (12.0004, POSITION, "12"),
            (-0.0001, POSITION, "0"),
            (100.0, Digits::Decimals(0), "100"),
            (0.0, Digits::Significant(6), "0"),
            (123_456.7, Digits::Significant(3), "123000"),
            (0.001_234_567, Digits::Significant(4), "0.001235"),
            (1.234_567e-9, Digits::Significant(4), "1.235e-9"),
            (-2e20, Digits::Significant(4), "-2e20"),
            (9.999_99, Digits::Significant(3), "10"),
            (f64::NAN, POSITION, "0"),
        ] {
            assert_eq!(written(value, digits), expected, "{value} {digits:?}");
        }
    }

    #[test]
    fn every_form_of_a_point_and_of_an_outline() {
        let mut findings = Findings::new(&SCHEMA);
        findings.push(1.5, 2.25, [9.0, 0.012_345]);
        findings.push_outlined(4.0, 5.0, [0.5, 1.0], &[[3.0, 4.0], [5.0, 4.0], [4.0, 6.5]]);
        let mut parameters = Parameters::default();
        parameters.0.insert("sigma".into(), json!(1.5));
        let run = Run { name: "nuclei_detection".into(), version: "2".into(), parameters };
        let context = Context { run: &run, sha256: "ab", width: 8, height: 7 };

        assert_eq!(
            text(&findings, Form::Json, &context),
            "{\"algorithm\":\"nuclei_detection\",\"version\":\"2\",\"parameters\":{\"sigma\":1.5},\
             \"source\":{\"sha256\":\"ab\",\"width\":8,\"height\":7},\
             \"overlay\":{\"width\":8,\"height\":7},\
             \"units\":{\"x\":\"px\",\"y\":\"px\",\"area\":\"px2\",\"score\":null},\"count\":2,\"nuclei\":[\n\
             {\"x\":1.5,\"y\":2.25,\"area\":9,\"score\":0.0123},\n\
             {\"x\":4,\"y\":5,\"area\":0.5,\"score\":1,\"outline\":[[3,4],[5,4],[4,6.5]]}]}\n"
        );
        assert_eq!(
            text(&findings, Form::Csv, &context),
            "x_px,y_px,area_px2,score\r\n1.5,2.25,9,0.0123\r\n4,5,0.5,1\r\n"
        );

        let geojson: Value =
            serde_json::from_str(&text(&findings, Form::GeoJson, &context)).expect("GeoJSON is JSON");
        assert_eq!(geojson["type"], "FeatureCollection");
        assert_eq!(geojson["darkroom"]["source"]["sha256"], "ab");
        let [point, polygon] = geojson["features"].as_array().expect("features").as_slice() else {
            panic!("two features")
        };
        assert_eq!(point["geometry"], json!({"type": "Point", "coordinates": [1.5, 2.25]}));
        assert_eq!(
            point["properties"],
            json!({"objectType": "detection", "classification": {"name": "Nucleus", "color": [240, 228, 66]},
                   "measurements": {"area px2": 9, "score": 0.0123}})
        );
        assert_eq!(
            polygon["geometry"],
            json!({"type": "Polygon", "coordinates": [[[3, 4], [5, 4], [4, 6.5], [3, 4]]]})
        );
        let id = point["id"].as_str().expect("an id");
        assert_eq!((id.len(), &id[14..15], id != polygon["id"]), (36, "8", true));
        assert!("89ab".contains(&id[19..20]), "{id}");
    }

    static DISCS: Schema = Schema {
        list: "blobs",
        class: Class { name: "Blob", color: [240, 228, 66] },
        columns: &[Column { name: "radius", unit: Some("px"), digits: Digits::Decimals(1) }],
        labels: &[],
        radius: Some(0),
        opposite: None,
    };

    #[test]
    fn a_disc_is_a_closed_polygon_inside_the_image() {
        let mut findings = Findings::new(&DISCS);
        findings.push(10.5, 1.0, [4.0]);
        let run =
            Run { name: "blob_detection".into(), version: "1".into(), parameters: Parameters::default() };
        let context = Context { run: &run, sha256: "ab", width: 100, height: 90 };
        let geojson: Value =
            serde_json::from_str(&text(&findings, Form::GeoJson, &context)).expect("GeoJSON is JSON");
        let feature = &geojson["features"][0];
        assert_eq!(feature["geometry"]["type"], "Polygon");
        assert_eq!(feature["properties"]["measurements"], json!({"radius px": 4}));
        let ring: Vec<[f64; 2]> =
            serde_json::from_value(feature["geometry"]["coordinates"][0].clone()).expect("positions");
        assert_eq!((ring.len(), ring[0], ring[0] == ring[24]), (25, [14.5, 1.0], true));
        for [x, y] in ring {
            let far = (x - 10.5).hypot(y - 1.0);
            assert!(y >= 0.0 && (y == 0.0 || (far - 4.0).abs() < 1e-3), "({x}, {y})");
        }
        let json: Value = serde_json::from_str(&text(&findings, Form::Json, &context)).expect("JSON");
        assert_eq!(json["blobs"], json!([{"x": 10.5, "y": 1, "radius": 4}]), "no outline there");
    }

    #[test]
    fn a_disc_in_the_images_corner_has_no_place_twice() {
        let run =
            Run { name: "blob_detection".into(), version: "1".into(), parameters: Parameters::default() };
        let context = Context { run: &run, sha256: "ab", width: 100, height: 90 };
        for (x, y) in [(0.5, 0.5), (99.5, 0.5), (99.5, 89.5), (0.5, 89.5)] {
            let mut findings = Findings::new(&DISCS);
            findings.push(x, y, [4.0]);
            let geojson: Value =
                serde_json::from_str(&text(&findings, Form::GeoJson, &context)).expect("GeoJSON is JSON");
            let ring = geojson["features"][0]["geometry"]["coordinates"][0].as_array().expect("a ring");
            assert_eq!(ring.first(), ring.last(), "closed");
            assert!(ring.len() > 8 && ring.windows(2).all(|pair| pair[0] != pair[1]), "{ring:?}");
        }
    }

    #[test]
    fn a_form_of_more_bytes_than_allowed_is_refused_and_one_of_just_as_many_is_not() {
        let mut findings = Findings::new(&SCHEMA);
        for i in 0..100 {
            findings.push_outlined(f64::from(i), 5.0, [0.5, 1.0], &[[3.0, 4.0], [5.0, 4.0], [4.0, 6.5]]);
        }
        let run =
            Run { name: "nuclei_detection".into(), version: "1".into(), parameters: Parameters::default() };
        let context = Context { run: &run, sha256: "ab", width: 8, height: 7 };
        for form in Form::ALL {
            let within = |file_bytes| {
                rendered(&findings, form, &context, &Means { file_bytes, ..Means::by(Deadline::none()) })
            };
            let whole = within(u64::MAX).expect("no limit");
            assert_eq!(within(whole.len() as u64).expect("just as many"), whole);
            let refused = within(whole.len() as u64 - 1).expect_err("one byte more");
            assert_eq!(refused.code(), "result_too_large", "{form:?}");
        }
    }

    #[test]
    fn the_clock_stops_every_form() {
        let mut findings = Findings::new(&SCHEMA);
        findings.push(1.0, 5.0, [0.5, 1.0]);
        let run =
            Run { name: "nuclei_detection".into(), version: "1".into(), parameters: Parameters::default() };
        let context = Context { run: &run, sha256: "ab", width: 8, height: 7 };
        for form in Form::ALL {
            let late =
                rendered(&findings, form, &context, &Means::by(Deadline::after(std::time::Duration::ZERO)));
            assert_eq!(late.expect_err("it is late").code(), "time_limit", "{form:?}");
        }
    }
}
