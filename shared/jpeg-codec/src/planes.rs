//! Collects the channels of a picture as planes, each at its own reduction.

use super::{
    BLOCK, Side,
    frame::{Channel, Frame},
    transform,
};

/// The samples of a channel, at its own resolution.
#[derive(Debug, PartialEq)]
pub struct Plane {
    /// Row by row, without gaps.
    pub samples: Vec<u8>,
    /// Samples across.
    pub width: u32,
    /// Samples down.
    pub height: u32,
    /// Samples per pixel of the picture, across and down. The last sample of a row or column may reach beyond the
    /// picture: `width` is the picture's width times this, rounded up.
    pub scale: (f64, f64),
}

/// The planes, as far as they are complete.
pub(super) struct Planes {
    planes: Vec<(Side, Plane)>,
    /// A buffer for the lines of a row of blocks.
    lines: Vec<u8>,
}

impl Planes {
    pub(super) fn new(frame: &Frame) -> Self {
        let planes = frame.channels.iter().map(|channel| {
            let ((h, v), side, most) = (channel.sampling, channel.side.samples() as u32, frame.most);
            let scale = |factor: u32, most: u32| f64::from(factor * side) / f64::from(most * BLOCK);
            let plane = Plane {
                samples: Vec::new(),
                width: (frame.width * h * side).div_ceil(most.0 * BLOCK),
                height: (frame.height * v * side).div_ceil(most.1 * BLOCK),
                scale: (scale(h, most.0), scale(v, most.1)),
            };
            (channel.side, plane)
        });
        Self { planes: planes.collect(), lines: Vec::new() }
    }

    /// The most bytes that all of this takes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |(side, plane): &(Side, Plane)| {
            let lines = plane.width as usize + side.samples();
            plane.width as usize * plane.height as usize + lines * side.samples()
        };
        self.planes.iter().map(|plane| bytes(plane) as u64).sum()
    }

    /// Takes the blocks of the next row of MCUs.
    pub(super) fn push(&mut self, channels: &[Channel]) {
        let Self { planes, lines } = self;
        for ((side, plane), channel) in planes.iter_mut().zip(channels) {
            let (width, stride) = (plane.width as usize, channel.across * side.samples());
            let all = width * plane.height as usize;
            if plane.samples.capacity() == 0 {
                plane.samples.reserve_exact(all);
            }
            let size = stride * side.samples();
            lines.resize(lines.len().max(size), 0);
            for row in 0..channel.span {
                let missing = (all - plane.samples.len()) / width;
                if missing == 0 {
                    break;
                }
                let lines = &mut lines[..size];
                transform::lines(channel, row, stride, lines);
                for line in lines.chunks_exact(stride).take(missing) {
                    plane.samples.extend_from_slice(&line[..width]);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Vec<(Side, Plane)> {
        self.planes
    }
}
