//! Linear barcodes, whose bars stand within some 15° of upright in the picture.

use imaging::Deadline;
use rxing::{
    BarcodeFormat, DecodeHints, MultiUseMultiFormatReader, RXingResult, RXingResultMetadataType, Reader,
};

use super::{Code, MOST_ROUNDS, bars::corners_of_bars, bitmap, guarded, points, turn::Turned};
use crate::DetectError;

/// Rows of a piece: ZXing looks at fifteen of them in its middle, one in sixteen. Lower bars are found by chance.
const HEIGHT: usize = 512;
/// Pieces begin this far below each other, so that every row is near the middle of one.
const STEP: usize = 240;
/// The narrowest pieces, in pixels: hardly a code is narrower.
const NARROWEST: usize = 150;
/// Bars are at least so high; chance makes some that are less.
const LOWEST: f64 = 6.0;

/// The linear codes of a picture, in pieces as wide as it is, two thirds as wide, and so on; each begins a third of its width behind
/// another, so that a code of two thirds of that width lies in one.
pub(super) fn codes(
    mut picture: Turned,
    hints: &DecodeHints,
    deadline: Deadline,
) -> Result<Vec<Code>, DetectError> {
    let (across, down) = picture.size;
    let mut codes = Vec::new();
    let mut width = across;
    loop {
        let step = (width / 3).max(1);
        for top in (0..down.saturating_sub(HEIGHT) + STEP).step_by(STEP) {
            let height = HEIGHT.min(down.saturating_sub(top));
            for left in (0..across.saturating_sub(width) + step).step_by(step) {
                deadline.check()?;
                let piece = Piece { left, top, width: width.min(across.saturating_sub(left)), height };
                codes.extend(piece.codes(&mut picture, hints));
            }
        }
        width = width * 2 / 3;
        if width < NARROWEST {
            return Ok(codes);
        }
    }
}

struct Piece {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Piece {
    /// Reads one code after another, painting over each. What turns out to be none is passed over from then on, with its format: it
    /// would be read again and again.
    fn codes(&self, picture: &mut Turned, hints: &DecodeHints) -> Vec<Code> {
        let (mut codes, mut hints) = (Vec::new(), hints.clone());
        for _ in 0..MOST_ROUNDS {
            let rows = picture.grey.chunks_exact(picture.size.0).skip(self.top).take(self.height);
            let grey = rows.flat_map(|row| &row[self.left..self.left + self.width]).copied().collect();
            let result = guarded(|| {
                let mut bitmap = bitmap(grey, (self.width, self.height))?;
                MultiUseMultiFormatReader::default().decode_with_hints(&mut bitmap, &hints).ok()
            });
            let Some(result) = result else { break };
            if let Some(corners) = self.corners(&result, picture) {
                codes.extend(Code::new(&result, &corners, picture));
                picture.paint_over(&corners);
                continue;
            }
            let left = hints
                .PossibleFormats
                .as_mut()
                .filter(|formats| formats.len() > 1 && formats.contains(result.getBarcodeFormat()));
            let Some(left) = left else { break };
            left.remove(result.getBarcodeFormat());
        }
        codes
    }

    /// The corners in the picture; `None` where there are no bars as high as that.
    fn corners(&self, result: &RXingResult, picture: &Turned) -> Option<[[f64; 2]; 4]> {
        let [from, to] = points(result)[..] else { return None };
        let to = self.mended(result, to);
        let [from, to] = [from, to].map(|[x, y]| [x + self.left as f64, y + self.top as f64]);
        // Read from right to left where it stands on its head.
        let (from, to) = if from[0] <= to[0] { (from, to) } else { (to, from) };
        let corners = corners_of_bars(picture, from, to)?;
        (corners[3][1] - corners[0][1] >= LOWEST).then_some(corners)
    }

    /// Where the line ends: rxing 0.9.3 halves that for Code 39 (`code_39_reader.rs`, `right`), counted from where it began to read.
    fn mended(&self, result: &RXingResult, [x, y]: [f64; 2]) -> [f64; 2] {
        let metadata = result.getRXingResultMetadata();
        let backwards = metadata.contains_key(&RXingResultMetadataType::ORIENTATION);
        let end = self.width as f64 - 1.0;
        match result.getBarcodeFormat() {
            BarcodeFormat::CODE_39 if backwards => [end - 2.0 * (end - x), y],
            BarcodeFormat::CODE_39 => [2.0 * x, y],
            _ => [x, y],
        }
    }
}
