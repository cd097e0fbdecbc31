#!/usr/bin/env python3
"""Makes the images and the reference results that tests/poi_detection.rs holds `poi_detection` to.

    python3 -m venv /tmp/references
    /tmp/references/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 pillow==13.0.0
    /tmp/references/bin/python shared/detection/tests/references/poi_detection.py

Writes NAME.png and poi_detection.json beside itself. The images are drawn here from a fixed seed; nothing is
downloaded. Points are [column, row, response], pixels counted from 0, in the order of scikit-image.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import __version__
from skimage.color import rgb2gray, rgba2rgb
from skimage.feature import corner_harris, corner_peaks, corner_shi_tomasi

HERE = Path(__file__).parent
assert __version__ == "0.26.0", __version__


def shapes(rng):
    """Coloured polygons with anti-aliased edges and a little noise, on white: the corners are known by eye."""
    big = Image.new("RGB", (4 * 320, 4 * 240), "white")
    draw = ImageDraw.Draw(big)
    for _ in range(40):
        centre = rng.uniform((0, 0), big.size)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        radius = rng.uniform(40, 200)
        corners = [tuple(centre + radius * np.array([np.cos(a), np.sin(a)])) for a in angles]
        draw.polygon(corners, fill=tuple(int(c) for c in rng.integers(0, 256, 3)))
    small = np.asarray(big.resize((320, 240), Image.Resampling.BOX), dtype=float)
    return np.clip(small + rng.normal(0, 1.5, small.shape), 0, 255).round().astype(np.uint8)


def texture(rng):
    """Noise with the 1/f spectrum of photographs, each channel a little different."""
    height, width = 256, 300
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / width)
    common = rng.normal(size=(height, width))
    channels = []
    for _ in range(3):
        noise = common + 0.3 * rng.normal(size=(height, width))
        plane = np.fft.ifft2(np.fft.fft2(noise) * amplitude).real
        channels.append(128 + 50 * (plane - plane.mean()) / plane.std())
    return np.clip(np.stack(channels, -1), 0, 255).round().astype(np.uint8)


def slide(rng):
    """Purple blobs on pink, as in a stained slide: many weak, round responses on a bright ground."""
    height, width = 240, 320
    density = np.zeros((height, width))
    y, x = np.mgrid[:height, :width]
    for _ in range(170):
        cy, cx, a, b, turn = *rng.uniform((0, 0), (height, width)), *rng.uniform(3, 8, 2), rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        density += rng.uniform(0.4, 1.0) / (1 + np.exp(4 * (np.hypot(u / a, v / b) - 1)))
    eosin = 0.25 + 0.1 * ndimage.gaussian_filter(rng.normal(size=(height, width)), 3) * 6
    absorbed = density[..., None] * [0.65, 0.70, 0.29] + eosin[..., None] * [0.07, 0.99, 0.11]
    light = 255 * np.exp(-absorbed) + rng.normal(0, 2, (height, width, 3))
    return np.clip(light, 0, 255).round().astype(np.uint8)


def board(_rng):
    """A checkerboard, turned and seen in perspective, with 4 × 4 samples a pixel."""
    height, width, samples = 200, 260, 4
    y, x = (np.mgrid[: height * samples, : width * samples] + 0.5) / samples
    x, y = x - 130, y - 100
    depth = 1 + 0.0015 * x + 0.001 * y
    u = (x * np.cos(0.2) + y * np.sin(0.2)) / depth
    v = (y * np.cos(0.2) - x * np.sin(0.2)) / depth
    inside = (np.abs(u) < 96) & (np.abs(v) < 72)
    dark = ((np.floor(u / 16) + np.floor(v / 16)) % 2 == 0) & inside
    grey = np.where(dark, 20.0, 235.0).reshape(height, samples, width, samples).mean((1, 3))
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, -1)


def clear(rng):
    """The shapes again, smaller, on a ground that is clear, with soft edges in the alpha channel."""
    rgb = shapes(rng)[:160, :200]
    y, x = np.mgrid[:160, :200]
    alpha = np.clip(3 * (75 - np.hypot(x - 100, y - 80)), 0, 255).astype(np.uint8)
    return np.dstack([rgb, alpha])


CASES = [
    {},
    {"method": "shi_tomasi"},
    {"min_distance": 3, "sigma": 1.0, "threshold": 0.001, "max_points": 10_000},
    {"method": "shi_tomasi", "min_distance": 4, "sigma": 2.5, "threshold": 0.05, "max_points": 100},
    {"min_distance": 25, "sigma": 4.0, "threshold": 0.0, "k": 0.15},
]


def reference(pixels, method="harris", max_points=500, min_distance=10, sigma=1.5, threshold=0.001, k=0.05):
    grey = rgb2gray(rgba2rgb(pixels) if pixels.shape[-1] == 4 else pixels)
    response = corner_harris(grey, k=k, sigma=sigma) if method == "harris" else corner_shi_tomasi(grey, sigma=sigma)
    peaks = corner_peaks(response, min_distance=min_distance, threshold_rel=threshold, num_peaks=max_points)
    return [[int(c), int(r), float(f"{response[r, c]:.7g}")] for r, c in peaks]


def main():
    results = []
    for seed, make in enumerate([shapes, texture, slide, board, clear]):
        pixels = make(np.random.default_rng(seed))
        Image.fromarray(pixels).save(HERE / f"{make.__name__}.png", optimize=True)
        for parameters in CASES:
            points = reference(pixels, **parameters)
            results.append({"image": f"{make.__name__}.png", "parameters": parameters, "points": points})
            print(make.__name__, parameters, len(points))
    lines = ",\n".join(json.dumps(result, separators=(",", ":")) for result in results)
    (HERE / "poi_detection.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
