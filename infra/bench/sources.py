"""Draws the pictures that are measured: the same bytes every time.

  sources.py FOLDER

They are as heavy to decode as photographs are (about 2 bits a pixel as JPEG at quality 85): 1/f noise, as in nature,
over an enlarged photo, with crisp edges and saturated colours on top, where a misaligned chroma plane would show.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent.parent
PHOTO = ROOT / "tests/data/rocket.jpg"
FRAMES = 30


def noise(rng: np.random.Generator, width: int, height: int, exponent: float) -> np.ndarray:
    """Noise whose amplitude falls as 1/f^exponent, with a standard deviation of 1."""
    fx = np.fft.rfftfreq(width)[None, :] * width
    fy = np.fft.fftfreq(height)[:, None] * height
    frequency = np.sqrt(fx * fx + fy * fy).astype(np.float32)
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((height, width), np.float32)) / frequency**exponent
    field = np.fft.irfft2(spectrum, s=(height, width))
    return (field / field.std()).astype(np.float32)


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(1)
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    light = noise(rng, width, height, 1.1) * 28
    out = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        tint = noise(rng, width, height, 1.5) * 12
        out[..., channel] = (photo[..., channel] * 0.6 + 50 + light + tint).clip(0, 255)
    image = Image.fromarray(out)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(width * rng.uniform(0.005, 0.05))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            draw.rectangle([x, y, x + size, y + size // 2], fill=colour)
        else:
            draw.ellipse([x, y, x + size, y + size], outline=colour, width=max(1, size // 12))
    return image


def animation(width: int, height: int) -> list[Image.Image]:
    """A camera that moves over a picture, as soft as films are: whole frames, one palette for all."""
    margin = 4 * FRAMES
    scene = picture((width + margin) // 2, (height + margin) // 2)
    scene = scene.resize((width + margin, height + margin), Image.Resampling.BICUBIC).quantize(128, dither=0)
    steps = range(0, margin, margin // FRAMES)
    return [scene.crop((at, at // 2, at + width, at // 2 + height)) for at in steps]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture(6000, 4000).save(folder / "24mp.jpg", quality=85, subsampling="4:2:0")
    picture(1632, 1224).save(folder / "2mp.jpg", quality=85, subsampling="4:2:0")
    twelve = picture(4032, 3024)
    twelve.save(folder / "12mp.jpg", quality=85, subsampling="4:2:0")
    twelve.save(folder / "12mp-progressive.jpg", quality=85, subsampling="4:2:0", progressive=True)
    twelve.save(folder / "12mp.png")
    twelve.save(folder / "12mp.webp", quality=80)
    twelve.save(folder / "12mp-lossless.webp", lossless=True, quality=50, method=2)
    first, *rest = animation(640, 480)
    first.save(folder / "30-frames.gif", save_all=True, append_images=rest, duration=50, loop=0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
