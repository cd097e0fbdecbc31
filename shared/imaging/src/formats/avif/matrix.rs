//! YUV to RGB by ITU-T H.273's matrix coefficients.

use super::properties::CodePoints;

/// Converts stored luma and chroma to R'G'B' of 0–1.
pub(super) struct Matrix {
    /// The value of black, and the distance from black to white.
    luma: (f32, f32),
    /// The value of no colour, and the distance between the two extremes.
    chroma: (f32, f32),
    kind: Coefficients,
}

enum Coefficients {
    /// The planes are green, blue and red.
    Identity,
    YCgCo,
    /// The reversible variant of YCgCo, in integers.
    YCgCoR,
    /// The red and blue coefficients of luma.
    Parts(f32, f32),
}

impl Matrix {
    pub(super) fn of(code_points: &CodePoints, bits: u8) -> Self {
        let bits = u32::from(bits);
        let step = (1_u32 << (bits - 8)) as f32;
        let most = |bits: u32| ((1_u32 << bits) - 1) as f32;
        let middle = 128.0 * step;
        let kind = match code_points.matrix {
            0 => Coefficients::Identity,
            1 => Coefficients::Parts(0.2126, 0.0722),
            4 => Coefficients::Parts(0.30, 0.11),
            7 => Coefficients::Parts(0.212, 0.087),
            8 => Coefficients::YCgCo,
            9 | 10 => Coefficients::Parts(0.2627, 0.0593),
            12 | 13 => match code_points.primaries {
                4 => Coefficients::Parts(0.299, 0.114),
                5 => Coefficients::Parts(0.222, 0.0713),
                6 | 7 => Coefficients::Parts(0.2124, 0.0866),
                9 => Coefficients::Parts(0.2627, 0.0593),
                12 => Coefficients::Parts(0.229, 0.0793),
                _ => Coefficients::Parts(0.2126, 0.0722),
            },
            16 | 17 => Coefficients::YCgCoR,
            // BT.601, which libavif also uses where nothing is specified.
            _ => Coefficients::Parts(0.299, 0.114),
        };
        let (luma, chroma) = match (&kind, code_points.full_range) {
            // Samples have one or two bits more than the colours that they encode.
            (Coefficients::YCgCoR, _) => {
                let white = most(bits - if code_points.matrix == 16 { 2 } else { 1 });
                ((0.0, white), (middle, white))
            }
            (_, true) => ((0.0, most(bits)), (middle, most(bits))),
            (_, false) => ((16.0 * step, 219.0 * step), (middle, 224.0 * step)),
        };
        let chroma = if matches!(kind, Coefficients::Identity) { luma } else { chroma };
        Self { luma, chroma, kind }
    }

    /// Luma as 0–1: grey, or alpha.
    #[inline]
    pub(super) fn luma(&self, luma: u16) -> f32 {
        (f32::from(luma) - self.luma.0) / self.luma.1
    }

    /// Converts a pixel.
    #[inline]
    pub(super) fn rgb(&self, luma: u16, blue: f32, red: f32) -> [f32; 3] {
        let luma = self.luma(luma);
        let (blue, red) = ((blue - self.chroma.0) / self.chroma.1, (red - self.chroma.0) / self.chroma.1);
        match self.kind {
            Coefficients::Identity => [red, luma, blue],
            Coefficients::YCgCo => [luma - blue + red, luma + blue, luma - blue - red],
            Coefficients::YCgCoR => {
                let rest = luma - blue / 2.0;
                let low = rest - red / 2.0;
                [low + red, rest + blue, low]
            }
            Coefficients::Parts(r, b) => {
                let (red, blue) = (luma + red * 2.0 * (1.0 - r), luma + blue * 2.0 * (1.0 - b));
                [red, (luma - r * red - b * blue) / (1.0 - r - b), blue]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BT601: CodePoints = CodePoints { primaries: 1, transfer: 13, matrix: 6, full_range: true };

    #[test]
    fn luma_and_chroma_become_the_colours_that_they_stand_for() {
        let near =
            |rgb: [f32; 3], wanted: [f32; 3]| rgb.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.01);
        assert!(near(Matrix::of(&BT601, 8).rgb(76, 85.0, 255.0), [1.0, 0.0, 0.0]), "red, BT.601");
        let narrow = CodePoints { matrix: 1, full_range: false, ..BT601 };
        assert!(near(Matrix::of(&narrow, 10).rgb(940, 512.0, 512.0), [1.0; 3]), "white of 10 bits, BT.709");
        assert!(near([Matrix::of(&narrow, 12).luma(256); 3], [0.0; 3]), "black of 12 bits");
        let identity = CodePoints { matrix: 0, ..BT601 };
        assert!(near(Matrix::of(&identity, 8).rgb(51, 102.0, 153.0), [0.6, 0.2, 0.4]), "green, blue, red");
        let whole = CodePoints { matrix: 16, ..BT601 };
        // Red of 255: Co 255, t 127, Cg -127, Y 63, in 10-bit samples.
        assert!(near(Matrix::of(&whole, 10).rgb(63, 385.0, 767.0), [1.0, 0.0, 0.0]), "YCgCo-Re");
        let plain = CodePoints { matrix: 8, ..BT601 };
        assert!(near(Matrix::of(&plain, 8).rgb(64, 64.0, 255.0), [1.0, 0.0, 0.0]), "YCgCo");
    }
}
