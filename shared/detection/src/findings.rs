//! The findings of a detector: the one result that every form is made from.

use serde_json::Value;

use crate::ModelSource;

/// The kind of entries that a result has, and the quantities measured of each. A detector has one for each kind of
/// result, as a static.
#[derive(Debug, PartialEq)]
pub struct Schema {
    /// The name of the list in the result JSON; the specification's `list` says the same.
    pub list: &'static str,
    /// The entries' name and colour.
    pub class: Class,
    /// The measured quantities, in the order of [`Entry::values`]. Names are `snake_case`, and neither `x` nor `y`. A
    /// value does not depend on where the region lies: places are `x`, `y` and the outline. A column named `response`
    /// or `score` descends from entry to entry.
    pub columns: &'static [Column],
    /// The names of the texts that each entry has, in the order of [`Entry::labels`]; they follow the same rules as the
    /// names of columns. The last text is the entry's own name; a label named `class` is also its class.
    pub labels: &'static [&'static str],
    /// The index of the column, if any, that is the radius in pixels of the disc that an entry without an outline
    /// stands for.
    pub radius: Option<usize>,
    /// The index of the column, if any, whose sign tells two opposite kinds of entries apart, and the colour in an
    /// overlay of those with a negative value.
    pub opposite: Option<(usize, [u8; 3])>,
}

/// How QuPath names and colours an object; the overlay uses the colour too.
#[derive(Debug, PartialEq)]
pub struct Class {
    /// The classification's name.
    pub name: &'static str,
    /// sRGB; should stand out for people with any colour vision. All use [240, 228, 66] or [86, 180, 233], of Okabe and
    /// Ito's palette.
    pub color: [u8; 3],
}

impl Schema {
    /// The colour of an entry's mark.
    pub(crate) fn color(&self, entry: &Entry<'_>) -> [u8; 3] {
        let opposite =
            self.opposite.filter(|(column, _)| entry.values.get(*column).is_some_and(|&value| value < 0.0));
        opposite.map_or(self.class.color, |(_, color)| color)
    }
}

/// One measured quantity.
#[derive(Debug, PartialEq)]
pub struct Column {
    /// The key in JSON and GeoJSON; with the unit, the header in CSV.
    pub name: &'static str,
    /// `px`, `px2`, `µm`, …; none for a pure number.
    pub unit: Option<&'static str>,
    /// How many digits are written.
    pub digits: Digits,
}

/// How a number is rounded when it is written. Trailing zeros are never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// So many after the decimal point: for lengths and counts.
    Decimals(u8),
    /// So many significant digits: for quantities that span orders of magnitude.
    Significant(u8),
}

/// The findings of one run, in the order that the algorithm defines. Stored column by column: an entry costs 16 bytes,
/// 8 for each measured value, and 8 for each vertex of its outline.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    schema: &'static Schema,
    model: Option<ModelSource>,
    details: Vec<(&'static str, Value)>,
    x: Vec<f64>,
    y: Vec<f64>,
    values: Vec<f64>,
    labels: Vec<String>,
    vertices: Vec<[f32; 2]>,
    /// Where each entry's outline ends in `vertices`; empty as long as no entry has an outline.
    outline_ends: Vec<u32>,
}

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The centre's x, in pixels of the upright full-size image.
    pub x: f64,
    /// The centre's y, in pixels of the upright full-size image.
    pub y: f64,
    /// The measured values, in the order of [`Schema::columns`].
    pub values: &'a [f64],
    /// The texts, in the order of [`Schema::labels`].
    pub labels: &'a [String],
    /// The outline's vertices (x, y), not closed; empty for a point.
    pub outline: &'a [[f32; 2]],
    /// The radius in pixels of the disc that the entry stands for; none for a point, and none for an entry with an
    /// outline.
    pub radius: Option<f64>,
}

impl Findings {
    /// No findings yet.
    #[must_use]
    pub fn new(schema: &'static Schema) -> Self {
        Self {
            schema,
            model: None,
            details: Vec::new(),
            x: Vec::new(),
            y: Vec::new(),
            values: Vec::new(),
            labels: Vec::new(),
            vertices: Vec::new(),
            outline_ends: Vec::new(),
        }
    }

    /// Appends a point with one value per column.
    pub fn push<const COLUMNS: usize>(&mut self, x: f64, y: f64, values: [f64; COLUMNS]) {
        self.push_outlined(x, y, values, &[]);
    }

    /// Appends an object with one value per column and its outline: the vertices (x, y) of a simple polygon, without
    /// the closing repetition of the first.
    pub fn push_outlined<const COLUMNS: usize>(
        &mut self,
        x: f64,
        y: f64,
        values: [f64; COLUMNS],
        outline: &[[f32; 2]],
    ) {
        debug_assert_eq!(COLUMNS, self.schema.columns.len(), "one value per column");
        if !outline.is_empty() || !self.outline_ends.is_empty() {
            self.outline_ends.resize(self.x.len(), 0);
            self.vertices.extend_from_slice(outline);
            self.outline_ends.push(u32::try_from(self.vertices.len()).unwrap_or(u32::MAX));
        }
        self.x.push(x);
        self.y.push(y);
        self.values.extend_from_slice(&values);
    }

    /// Gives the entry that was appended last its texts, one for each label of the schema. If the schema has labels,
    /// this must be called for every entry before the next one is appended.
    pub fn label<const LABELS: usize>(&mut self, labels: [String; LABELS]) {
        debug_assert_eq!(LABELS, self.schema.labels.len(), "one text per label");
        debug_assert_eq!(self.labels.len() + LABELS, self.len() * LABELS, "one label after another");
        self.labels.extend(labels);
    }

    /// Records which model made the findings.
    pub fn made_by(&mut self, model: ModelSource) {
        self.model = Some(model);
    }

    /// The model that made the findings, if one did.
    #[must_use]
    pub fn model(&self) -> Option<&ModelSource> {
        self.model.as_ref()
    }

    /// Adds a fact about the run as a whole: a member of the result JSON, whose name no other member may have.
    pub fn detail(&mut self, name: &'static str, value: Value) {
        self.details.push((name, value));
    }

    /// The facts about the run as a whole.
    #[must_use]
    pub fn details(&self) -> &[(&'static str, Value)] {
        &self.details
    }

    /// The kind of the entries.
    #[must_use]
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// The entries, in the order of the algorithm.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + DoubleEndedIterator {
        let (columns, labels) = (self.schema.columns.len(), self.schema.labels.len());
        (0..self.len()).map(move |i| {
            let values = &self.values[i * columns..(i + 1) * columns];
            let labels = self.labels.get(i * labels..(i + 1) * labels).unwrap_or(&[]);
            let outline = self.outline(i);
            let radius = self.schema.radius.filter(|_| outline.is_empty()).map(|column| values[column]);
            Entry { x: self.x[i], y: self.y[i], values, labels, outline, radius }
        })
    }

    fn outline(&self, i: usize) -> &[[f32; 2]] {
        let end_of = |i: usize| self.outline_ends.get(i).map_or(0, |end| *end as usize);
        let start = i.checked_sub(1).map_or(0, end_of);
        self.vertices.get(start..end_of(i)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SCHEMA: Schema = Schema {
        list: "nuclei",
        class: Class { name: "Nucleus", color: [1, 2, 3] },
        columns: &[Column { name: "area", unit: Some("px2"), digits: Digits::Decimals(1) }],
        labels: &[],
        radius: None,
        opposite: None,
    };

    #[test]
    fn outlines_belong_to_their_own_entries() {
        let triangle = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let mut findings = Findings::new(&SCHEMA);
        findings.push(1.0, 2.0, [3.0]);
        findings.push_outlined(4.0, 5.0, [6.0], &triangle);
        findings.push(7.0, 8.0, [9.0]);
        findings.push_outlined(10.0, 11.0, [12.0], &triangle);
        let entries: Vec<_> = findings.entries().collect();
        assert_eq!(entries.iter().map(|e| e.outline.len()).collect::<Vec<_>>(), [0, 3, 0, 3]);
        assert_eq!(
            entries[3],
            Entry { x: 10.0, y: 11.0, values: &[12.0], labels: &[], outline: &triangle, radius: None }
        );
    }
}
