//! BlurHash, as the reference encoder (woltapp/blurhash, C) defines it: the first few cosine waves of the picture in
//! linear light, quantised and written in base 83.
//!
//! This is not the crate `blurhash`, because that rounds the mean colour up by half a level too much.

use std::{f32::consts::PI, sync::LazyLock};

/// Components along the longer and along the shorter side.
const COMPONENTS: (usize, usize) = (4, 3);

const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// The BlurHash of a picture that is `width` pixels wide.
pub(super) fn encode(pixels: &[[u8; 3]], width: u32) -> String {
    let width = width as usize;
    let height = pixels.len() / width.max(1);
    let (across, down) =
        if height > width { (COMPONENTS.1, COMPONENTS.0) } else { (COMPONENTS.0, COMPONENTS.1) };
    let columns = cosines(across, width);
    // The transform is separable: first along each row, then down the columns of the result.
    let in_rows: Vec<Vec<[f32; 3]>> = pixels
        .chunks_exact(width.max(1))
        .map(|row| {
            let light: Vec<_> = row.iter().map(|pixel| pixel.map(to_linear)).collect();
            columns.iter().map(|column| weighted(light.iter().zip(column))).collect()
        })
        .collect();
    let area = pixels.len().max(1) as f32;
    let part = |row: &[f32], nth: usize| weighted(in_rows.iter().map(|sums| &sums[nth]).zip(row));
    let factors: Vec<[f32; 3]> = cosines(down, height)
        .iter()
        .flat_map(|row| (0..across).map(|nth| part(row, nth)).collect::<Vec<_>>())
        .enumerate()
        .map(|(index, sum)| sum.map(|sum| sum * if index == 0 { 1.0 } else { 2.0 } / area))
        .collect();

    let waves = factors.get(1..).unwrap_or_default();
    let greatest = waves.iter().flatten().fold(0.0_f32, |greatest, value| greatest.max(value.abs()));
    let greatest = (greatest * 166.0 - 0.5).floor().clamp(0.0, 82.0) as u32;
    let scale = (greatest + 1) as f32 / 166.0;

    let mut hash = String::with_capacity(4 + 2 * factors.len());
    write(&mut hash, (across - 1 + (down - 1) * 9) as u32, 1);
    write(&mut hash, greatest, 1);
    let [r, g, b] = factors.first().copied().unwrap_or_default().map(to_srgb);
    write(&mut hash, r << 16 | g << 8 | b, 4);
    for wave in waves {
        let [r, g, b] = wave.map(|value| quantised(value / scale));
        write(&mut hash, (r * 19 + g) * 19 + b, 2);
    }
    hash
}

/// The cosine of each component at each of `length` places. Like the reference, it is taken at the pixels' edges.
fn cosines(components: usize, length: usize) -> Vec<Vec<f32>> {
    let wave = |component: usize| {
        let step = PI * component as f32 / length as f32;
        (0..length).map(|place| (step * place as f32).cos()).collect()
    };
    (0..components).map(wave).collect()
}

/// The weighted sum of linear light.
fn weighted<'a>(light: impl Iterator<Item = (&'a [f32; 3], &'a f32)>) -> [f32; 3] {
    light.fold([0.0; 3], |[r, g, b], (light, weight)| {
        [r + light[0] * weight, g + light[1] * weight, b + light[2] * weight]
    })
}

/// Quantises a component, −1 to 1 of the greatest, to 0–18. The square root gives small values more resolution.
fn quantised(value: f32) -> u32 {
    (value.abs().sqrt().copysign(value) * 9.0 + 9.5).floor().clamp(0.0, 18.0) as u32
}

fn write(hash: &mut String, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value / 83_u32.pow(place) % 83;
        hash.push(char::from(DIGITS[digit as usize]));
    }
}

/// Linear light, 0 to 1, of an sRGB sample (IEC 61966-2-1).
pub(super) fn to_linear(value: u8) -> f32 {
    static LIGHT: LazyLock<[f32; 256]> = LazyLock::new(|| {
        std::array::from_fn(|value| {
            let value = value as f32 / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        })
    });
    LIGHT[usize::from(value)]
}

/// The sRGB sample nearest to a linear light.
pub(super) fn to_srgb(light: f32) -> u32 {
    let light = light.clamp(0.0, 1.0);
    let value = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (value * 255.0 + 0.5) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placeholder::{over_white, tests::drawn};

    /// The hashes come from the reference encoder (blurhash-python 1.2.2, which wraps it).
    #[test]
    fn it_is_the_references() {
        for ((width, height), expected) in [
            ((32, 24), "LCFiiQO%A+o=*5bUa]f#dXf4fSf5"),
            ((24, 32), "T9FPyrPJ26xkbAWlgVfffSvfawWn"),
            ((1, 1), "L6000efZfZfZfZfZfZfZfZfZfZfZ"),
            ((7, 2), "LhFx;|2YWo$P|fFJWpwyeVf8fRf6"),
            ((32, 1), "L|FdNFa|SMjt|fa|SMjt|fa|SMjt"),
        ] {
            let image = drawn(width, height, false);
            assert_eq!(encode(&over_white(&image), width), expected, "{width}×{height}");
        }
    }

    #[test]
    fn every_sample_survives_linear_light() {
        for value in 0..=255 {
            assert_eq!(to_srgb(to_linear(value)), u32::from(value));
        }
    }
}
