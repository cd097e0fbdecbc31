//! Puts the picture on its background: padding around it, and a colour behind transparent pixels.

use algorithm::colour::Colour;

use crate::{Deadline, Image, ImageError, alpha, layout::ThumbnailLayout};

/// Rows between two checks of the deadline.
const ROWS_PER_CHECK: usize = 256;

/// Puts the picture at the layout's place on a canvas of the given colour.
pub(crate) fn place(
    image: &mut Image,
    layout: &ThumbnailLayout,
    ground: Colour,
    deadline: Deadline,
) -> Result<(), ImageError> {
    let (width, height) = layout.canvas;
    let clear = ground == Colour::TRANSPARENT;
    if (width, height) == (image.width(), image.height()) && (clear || !image.has_alpha()) {
        return Ok(());
    }
    let row = width as usize * 4;
    let (left, top) = (layout.at.0 as usize * 4, layout.at.1 as usize);
    let mut canvas = ground.rgba().repeat(width as usize * height as usize);
    let rows = canvas.chunks_exact_mut(row).skip(top);
    let shown = image.rgba().chunks_exact(image.width() as usize * 4);
    for (index, (to, from)) in rows.zip(shown).enumerate() {
        if index % ROWS_PER_CHECK == 0 {
            deadline.check()?;
        }
        let to = to.get_mut(left..).and_then(|to| to.get_mut(..from.len()));
        let to = to.ok_or_else(|| ImageError::internal("place", "a picture beyond its canvas"))?;
        if clear || !image.has_alpha() {
            to.copy_from_slice(from);
        } else {
            for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                *to = alpha::over(*from, *to);
            }
        }
    }
    *image =
        Image::new(width, height, canvas).ok_or_else(|| ImageError::internal("place", "an empty canvas"))?;
    Ok(())
}
