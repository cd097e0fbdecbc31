//! Writes the bytes of a GIF file (CompuServe, Graphics Interchange Format 89a).

use super::delta::Area;

/// A file that is being written.
pub(super) struct File(Vec<u8>);

/// A picture to write.
pub(super) struct WrittenPicture<'a> {
    pub(super) area: Area,
    /// Hundredths of a second.
    pub(super) delay: u16,
    /// Whether its area is cleared before the next picture.
    pub(super) clear: bool,
    /// Its own palette; `None` for the file's.
    pub(super) own: Option<&'a [[u8; 3]]>,
    pub(super) transparent: u8,
    pub(super) code_size: u32,
    pub(super) codes: &'a [u8],
}

impl File {
    /// Begins a file. `repeats` is how often the animation is played after the first time; 0 is for ever.
    pub(super) fn new(width: u16, height: u16, colours: &[[u8; 3]], repeats: Option<u16>) -> Self {
        let mut file = Self(b"GIF89a".to_vec());
        file.short(width);
        file.short(height);
        file.0.extend([0xf0 | table_size(colours), 0, 0]);
        file.table(colours);
        if let Some(repeats) = repeats {
            file.0.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01");
            file.short(repeats);
            file.0.push(0);
        }
        file
    }

    pub(super) fn picture(&mut self, picture: &WrittenPicture<'_>) {
        let disposal = if picture.clear { 2 } else { 1 };
        self.0.extend([0x21, 0xf9, 4, disposal << 2 | 1]);
        self.short(picture.delay);
        self.0.extend([picture.transparent, 0, 0x2c]);
        let Area { left, top, right, bottom } = picture.area;
        for value in [left, top, right - left, bottom - top] {
            self.short(value as u16);
        }
        match picture.own {
            Some(own) => {
                self.0.push(0x80 | table_size(own));
                self.table(own);
            }
            None => self.0.push(0),
        }
        self.0.push(picture.code_size as u8);
        for piece in picture.codes.chunks(255) {
            self.0.push(piece.len() as u8);
            self.0.extend_from_slice(piece);
        }
        self.0.push(0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(0x3b);
        self.0
    }

    fn short(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    /// Writes a palette, padded with black to the next power of two.
    fn table(&mut self, colours: &[[u8; 3]]) {
        self.0.extend_from_slice(colours.as_flattened());
        let padding = (2 << table_size(colours)) - colours.len();
        self.0.resize(self.0.len() + padding * 3, 0);
    }
}

/// The table size as the format encodes it: the number of bits minus one, with room for the transparent index.
fn table_size(colours: &[[u8; 3]]) -> u8 {
    (colours.len() + 1).clamp(2, 256).next_power_of_two().trailing_zeros() as u8 - 1
}
