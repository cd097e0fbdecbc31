//! The parts of a picture that are worth keeping when a thumbnail is cropped: its corners, as `poi_detection` finds
//! them.

use algorithm::Parameters;
use imaging::{Deadline, Image, PointOfInterest, TimedOut};
use serde_json::json;

use crate::{DetectError, Detector, algorithm::Adaptor, poi_detection};

/// The points of interest of a small picture, for [`imaging::Source::thumbnails`].
///
/// A point's weight is the square root of Harris's response. The response grows with the fourth power of the contrast,
/// so without the root one hard edge would outweigh everything else.
///
/// # Errors
/// [`TimedOut`] when the deadline passes.
pub fn interest(image: &Image, deadline: Deadline) -> Result<Vec<PointOfInterest>, TimedOut> {
    let parameters = json!({
        "method": "harris", "max_points": 300, "min_distance": 3, "sigma": 1.0, "threshold": 0.0001, "k": 0.05,
        "subpixel": true,
    });
    let parameters = Parameters(parameters.as_object().cloned().unwrap_or_default());
    match Adaptor::<poi_detection::Settings>::new().detect(image, &parameters, None, deadline) {
        Ok(found) => Ok(found
            .entries()
            .map(|entry| PointOfInterest {
                x: entry.x,
                y: entry.y,
                weight: entry.values.first().copied().unwrap_or_default().max(0.0).sqrt(),
            })
            .collect()),
        Err(DetectError::TimedOut(late)) => Err(late),
        // A test holds that the parameters are in range. Finding nothing of interest is no reason to fail a thumbnail.
        Err(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Grey, with a board of small squares whose top left corner lies at (x, y).
    fn board(x: u32, y: u32) -> Image {
        let pixels = (0..96).flat_map(|row| (0..256).map(move |column| (column, row)));
        let rgba = pixels.flat_map(|(column, row)| {
            let on_board = (x..x + 32).contains(&column) && (y..y + 32).contains(&row);
            let light = on_board && (column / 4 + row / 4) % 2 == 0;
            let [r, g, b] = if light { [230, 220, 90] } else { [60, 60, 70] };
            [r, g, b, 255]
        });
        Image::new(256, 96, rgba.collect()).expect("a picture")
    }

    #[test]
    fn corners_are_interesting_and_one_colour_is_not() {
        let points = interest(&board(200, 40), Deadline::none()).expect("in time");
        assert!(points.len() > 10, "{points:?}");
        assert!(points.iter().all(|point| point.weight > 0.0));
        let on_board =
            |point: &PointOfInterest| (196.0..236.0).contains(&point.x) && (36.0..76.0).contains(&point.y);
        assert!(points.iter().all(on_board), "{points:?}");
        let plain = Image::new(64, 64, [9, 9, 9, 255].repeat(64 * 64)).expect("a picture");
        assert_eq!(interest(&plain, Deadline::none()), Ok(vec![]));
    }

    #[test]
    fn the_time_limit_holds() {
        let late = interest(&board(200, 40), Deadline::after(Duration::ZERO));
        assert_eq!(late, Err(TimedOut));
    }
}
