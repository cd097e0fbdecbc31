//! The pairs of characters by which Code 39 (Full ASCII) and Code 93 express the characters that they lack.

/// The character that a shift (`$`, `%`, `/` or `+`) and a letter stand for.
pub(super) fn shifted(shift: char, letter: char) -> Option<char> {
    let code = u8::try_from(letter).ok()?;
    let of = |first: u8| (code - b'A' + first).into();
    Some(match (shift, letter) {
        ('$', 'A'..='Z') => of(0x01),
        ('%', 'A'..='E') => of(0x1b),
        ('%', 'F'..='J') => (code - b'F' + b';').into(),
        ('%', 'K'..='O') => (code - b'K' + b'[').into(),
        ('%', 'P'..='T') => (code - b'P' + b'{').into(),
        ('%', 'U') => '\0',
        ('%', 'V') => '@',
        ('%', 'W') => '`',
        ('/', 'A'..='O') => of(b'!'),
        ('/', 'Z') => ':',
        ('+', 'A'..='Z') => of(b'a'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_stands_for_the_character_of_the_standard() {
        let pairs = [
            "$A", "$Z", "%A", "%E", "%F", "%J", "%K", "%O", "%P", "%S", "%U", "%V", "%W", "/A", "/O", "/Z",
            "+A", "+Z",
        ];
        let shown = pairs.iter().filter_map(|pair| shifted(pair.chars().next()?, pair.chars().nth(1)?));
        assert_eq!(shown.collect::<String>(), "\x01\x1a\x1b\x1f;?[_{~\0@`!/:az");
        assert_eq!([shifted('/', 'P'), shifted('+', '1'), shifted('A', 'A'), shifted('$', 'é')], [None; 4]);
    }
}
