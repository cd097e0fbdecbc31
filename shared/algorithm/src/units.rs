//! Quantities as they are written in messages and in the guide's tables. Both are written by these functions, so that a
//! reader compares the same units.

/// Megapixels have six zeros, and so have megabytes.
const MEGA: u64 = 1_000_000;

/// A size: `4.5 MB` or `512 MiB` where that is exact, as limits mostly are, else `112,525 bytes`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const MIB: u64 = 1 << 20;
    if count >= MEGA && count.is_multiple_of(MEGA / 10) {
        format!("{} MB", in_millions(count))
    } else if count >= MIB && count.is_multiple_of(MIB) {
        format!("{} MiB", count / MIB)
    } else {
        format!("{} bytes", thousands(count))
    }
}

/// A number of pixels: `50 megapixels`, or below a million `1,536 pixels`.
#[must_use]
pub fn pixels(count: u64) -> String {
    match count {
        MEGA => "1 megapixel".to_owned(),
        0..MEGA => format!("{} pixels", thousands(count)),
        _ => format!("{} megapixels", in_millions(count)),
    }
}

/// A whole number with its digits in groups of three: `1,234,567`.
#[must_use]
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in millions, exactly: `4.5`, `50`, `50.000001`.
fn in_millions(count: u64) -> String {
    let fraction = format!("{:06}", count % MEGA);
    let fraction = fraction.trim_end_matches('0');
    let whole = thousands(count / MEGA);
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_short_where_they_can_be() {
        for (count, text) in [
            (0, "0 bytes"),
            (999_999, "999,999 bytes"),
            (1_000_000, "1 MB"),
            (4_500_000, "4.5 MB"),
            (4_500_001, "4,500,001 bytes"),
            (25_000_000, "25 MB"),
            (1 << 20, "1 MiB"),
            (512 << 20, "512 MiB"),
            (1_234_500_000, "1,234.5 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (count, text) in [
            (1_536, "1,536 pixels"),
            (1_000_000, "1 megapixel"),
            (50_000_000, "50 megapixels"),
            (50_000_001, "50.000001 megapixels"),
        ] {
            assert_eq!(pixels(count), text);
        }
    }
}
