//! Decodes lossy pictures row by row, as luma, chroma and alpha. Only a few rows are in memory at a time (and the plane
//! of alpha, if there is one).
//!
//! libwebp calls this its lower-level API (`src/dec/vp8_dec.h`): the decoder passes each band of rows to a callback of
//! this crate instead of its own, which would convert or reduce them. `libwebp-sys` does not declare this API, so its
//! declarations are here. They are those of the version that Cargo.toml pins, and a test compares the results with
//! those of the public API.

use std::{
    any::Any,
    ffi::{c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    slice,
};

use libwebp_sys::WebPIDecoder;

use crate::{
    End, Error, Outcome,
    decode::{Decoder, config, features},
};

/// libwebp's `struct VP8Io`.
#[repr(C)]
struct Io {
    width: c_int,
    height: c_int,
    mb_y: c_int,
    mb_w: c_int,
    mb_h: c_int,
    y: *const u8,
    u: *const u8,
    v: *const u8,
    y_stride: c_int,
    uv_stride: c_int,
    opaque: *mut c_void,
    put: Option<PutHook>,
    setup: Option<SetupHook>,
    teardown: Option<TeardownHook>,
    fancy_upsampling: c_int,
    data_size: usize,
    data: *const u8,
    bypass_filtering: c_int,
    use_cropping: c_int,
    crop_left: c_int,
    crop_right: c_int,
    crop_top: c_int,
    crop_bottom: c_int,
    use_scaling: c_int,
    scaled_width: c_int,
    scaled_height: c_int,
    a: *const u8,
}

type PutHook = unsafe extern "C" fn(*const Io) -> c_int;
type SetupHook = unsafe extern "C" fn(*mut Io) -> c_int;
type TeardownHook = unsafe extern "C" fn(*const Io);

unsafe extern "C" {
    /// Makes the decoder pass its rows to `put`. Must be called before the decoder is given any data.
    fn WebPISetIOHooks(
        decoder: *mut WebPIDecoder,
        put: Option<PutHook>,
        setup: Option<SetupHook>,
        teardown: Option<TeardownHook>,
        user_data: *mut c_void,
    ) -> c_int;
}

/// A part of a picture, in its pixels. Left and top must be even, because chroma has half as many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Pixels to the left of the part.
    pub left: u32,
    /// Pixels above the part.
    pub top: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Rows of one channel.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    samples: &'a [u8],
    width: usize,
    stride: usize,
}

impl<'a> Plane<'a> {
    /// The rows from the top, each as long as the part is wide (for chroma half as long, rounded up).
    pub fn rows(self) -> impl Iterator<Item = &'a [u8]> {
        self.samples.chunks(self.stride).map(move |row| &row[..self.width])
    }
}

/// A band of rows: ITU-R BT.601, luma 16–235, chroma 16–240 around 128 at half the resolution in both directions. Bands
/// begin at even rows.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The row of the part at which the band begins.
    pub top: u32,
    /// Luma.
    pub luma: Plane<'a>,
    /// Blue-difference chroma.
    pub blue: Plane<'a>,
    /// Red-difference chroma.
    pub red: Plane<'a>,
    /// Alpha, at full resolution.
    pub alpha: Option<Plane<'a>>,
}

/// Decodes a part of a lossy picture and passes its rows to `each`, in order, until that returns false. Without
/// `filtered`, the loop filter, which smooths the edges of blocks, is left out. Nothing else depends on it, and it
/// makes no visible difference in a reduced picture.
///
/// # Errors
/// [`Error::NotAPicture`] (also for a lossless picture), [`Error::Size`] where the part does not lie within the picture
/// or begins at an odd place, and [`Error::OutOfMemory`].
pub fn decode_rows(
    picture: &[u8],
    part: Part,
    filtered: bool,
    each: &mut dyn FnMut(Rows<'_>) -> bool,
) -> Result<Outcome, Error> {
    // The callbacks must not be set for a lossless picture: its decoder takes `opaque` for a struct of its own.
    let features = features(picture).filter(|it| !it.lossless).ok_or(Error::NotAPicture)?;
    let fits = |start: u32, length: u32, side: u32| {
        start.is_multiple_of(2) && length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
    };
    if !fits(part.left, part.width, features.width) || !fits(part.top, part.height, features.height) {
        return Err(Error::Size);
    }
    // The decoder requires a buffer for its result, to which it never writes here.
    let mut unused = [0; 4];
    let mut config = config()?;
    config.options.use_scaling = 1;
    config.options.scaled_width = 1;
    config.options.scaled_height = 1;

    let size = (features.width.cast_signed(), features.height.cast_signed());
    let mut receiver = Receiver { each, part, size, filtered, rows: 0, panic: None };
    let mut decoder = Decoder::new(picture, &mut config, &mut unused, 1)?;
    // SAFETY: the decoder is alive and has no data yet. The callbacks take `user_data` for a `Receiver`, which it is,
    // and which nothing else touches before the decoder is dropped: its last use is the update below.
    let set = unsafe {
        WebPISetIOHooks(decoder.as_ptr(), Some(put), Some(setup), None, (&raw mut receiver).cast::<c_void>())
    };
    if set == 0 {
        return Err(Error::Refused(0));
    }
    let end = decoder.update(picture.len());
    drop(decoder);
    if let Some(panic) = receiver.panic {
        resume_unwind(panic);
    }
    let rows = receiver.rows;
    Ok(Outcome { rows, end: if rows == part.height { End::Whole } else { end } })
}

/// The state of the callbacks.
struct Receiver<'a> {
    each: &'a mut dyn FnMut(Rows<'_>) -> bool,
    part: Part,
    size: (c_int, c_int),
    filtered: bool,
    rows: u32,
    panic: Option<Box<dyn Any + Send>>,
}

/// Called once the headers have been read: sets the part that is wanted.
unsafe extern "C" fn setup(io: *mut Io) -> c_int {
    // SAFETY: libwebp calls this with its own `VP8Io`, which nothing else uses meanwhile.
    let Some(io) = (unsafe { io.as_mut() }) else { return 0 };
    // SAFETY: `opaque` is the `user_data` of `WebPISetIOHooks`, a `Receiver` that outlives the decoder.
    let Some(receiver) = (unsafe { io.opaque.cast::<Receiver<'_>>().as_ref() }) else { return 0 };
    if (io.width, io.height) != receiver.size {
        return 0;
    }
    let Part { left, top, width, height } = receiver.part;
    io.bypass_filtering = i32::from(!receiver.filtered);
    io.use_cropping = 1;
    io.crop_left = left.cast_signed();
    io.crop_right = (left + width).cast_signed();
    io.crop_top = top.cast_signed();
    io.crop_bottom = (top + height).cast_signed();
    1
}

/// Called for each band of rows.
unsafe extern "C" fn put(io: *const Io) -> c_int {
    // SAFETY: libwebp calls this with its own `VP8Io`, which nothing changes meanwhile.
    let Some(io) = (unsafe { io.as_ref() }) else { return 0 };
    // SAFETY: `opaque` is the `user_data` of `WebPISetIOHooks`, a `Receiver` that outlives the decoder, and this is the
    // only reference to it while the decoder runs.
    let Some(receiver) = (unsafe { io.opaque.cast::<Receiver<'_>>().as_mut() }) else { return 0 };
    let Some(rows) = rows(io, receiver) else { return 0 };
    let (end, last) = (rows.top + io.mb_h.cast_unsigned(), receiver.part.height);
    // A panic must not cross C frames: it is resumed once the decoder has returned.
    match catch_unwind(AssertUnwindSafe(|| (receiver.each)(rows))) {
        Ok(more) => {
            receiver.rows = end;
            // After the last row, there is nothing left to decode, even if the picture continues below the part.
            i32::from(more && end < last)
        }
        Err(panic) => {
            receiver.panic = Some(panic);
            0
        }
    }
}

/// The band as slices; `None` if its numbers are invalid, which cannot happen as long as `Io` matches libwebp's struct.
fn rows<'a>(io: &'a Io, receiver: &Receiver<'_>) -> Option<Rows<'a>> {
    let (top, width, height) =
        (u32::try_from(io.mb_y).ok()?, usize::try_from(io.mb_w).ok()?, usize::try_from(io.mb_h).ok()?);
    let part = receiver.part;
    let expected = width == part.width as usize && top == receiver.rows && (1..=32).contains(&height);
    if !expected || top as usize + height > part.height as usize {
        return None;
    }
    let plane = |samples: *const u8, stride: c_int, width: usize, height: usize| {
        let stride = usize::try_from(stride).ok().filter(|&stride| stride >= width)?;
        if samples.is_null() {
            return None;
        }
        // SAFETY: libwebp hands over `height` rows of `width` samples that lie `stride` apart, all in one allocation of
        // its own, and leaves them alone until the hook returns; `'a` ends before that.
        let samples = unsafe { slice::from_raw_parts(samples, stride * (height - 1) + width) };
        Some(Plane { samples, width, stride })
    };
    let half = |length: usize| length.div_ceil(2);
    Some(Rows {
        top,
        luma: plane(io.y, io.y_stride, width, height)?,
        blue: plane(io.u, io.uv_stride, half(width), half(height))?,
        red: plane(io.v, io.uv_stride, half(width), half(height))?,
        alpha: if io.a.is_null() { None } else { Some(plane(io.a, io.width, width, height)?) },
    })
}
