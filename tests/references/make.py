#!/usr/bin/env python3
"""Makes the images and the reference results that shared/detection/tests hold the classic methods to.

    python3 -m venv /tmp/references
    /tmp/references/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 pillow==13.0.0 \\
        opencv-python-headless==5.0.0.93
    /tmp/references/bin/python tests/references/make.py

Writes NAME.png, poi_detection.json and blob_detection.json beside itself. The images are drawn here from a fixed seed, or
cut out of tests/data; nothing is downloaded. Pixels are counted from 0, objects in the order of the library:

- harris, shi_tomasi (scikit-image): [column, row, response]
- fast, orb (OpenCV): [x, y, response], for orb [x, y, response, angle in degrees, octave]
- log, dog, doh (scikit-image): [column, row, sigma]
"""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import __version__
from skimage.color import rgb2gray, rgba2rgb
from skimage.feature import blob_dog, blob_doh, blob_log, corner_harris, corner_peaks, corner_shi_tomasi

HERE = Path(__file__).parent
assert (__version__, cv2.__version__) == ("0.26.0", "5.0.0"), (__version__, cv2.__version__)


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


def photo(_rng):
    """A part of a photograph."""
    with Image.open(HERE.parent / "data/rocket.jpg") as image:
        return np.asarray(image.convert("RGB").crop((250, 60, 570, 300)))


CORNERS = [
    {},
    {"method": "shi_tomasi"},
    {"min_distance": 3, "sigma": 1.0, "threshold": 0.001, "max_points": 10_000},
    {"method": "shi_tomasi", "min_distance": 4, "sigma": 2.5, "threshold": 0.05, "max_points": 100},
    {"min_distance": 25, "sigma": 4.0, "threshold": 0.0, "k": 0.15},
    {"method": "fast", "max_points": 100_000, "fast_threshold": 35},
    {"method": "fast", "max_points": 100_000, "fast_threshold": 60},
    {"method": "orb", "max_points": 200},
    {"method": "orb", "max_points": 150, "fast_threshold": 7, "scale_factor": 1.5, "levels": 3},
]

BLOBS = [
    {"method": "log"},
    {"method": "log", "min_sigma": 1, "max_sigma": 20, "num_sigma": 10, "threshold": 0.1},
    {"method": "log", "min_sigma": 2, "max_sigma": 12, "num_sigma": 12, "threshold_rel": 0.3, "overlap": 0.2},
    {"method": "log", "polarity": "dark", "threshold": 0.1},
    {"method": "dog", "threshold": 0.1},
    {"method": "dog", "min_sigma": 1, "max_sigma": 25, "sigma_ratio": 1.3, "threshold": 0.1, "overlap": 0.8},
    {"method": "dog", "polarity": "dark", "threshold": 0.1},
    {"method": "doh", "threshold": 0.002},
    {"method": "doh", "min_sigma": 3, "max_sigma": 30, "num_sigma": 10, "threshold": 0.005, "overlap": 0.3},
]


def grey_of(pixels):
    return rgb2gray(rgba2rgb(pixels) if pixels.shape[-1] == 4 else pixels)


def corners(pixels, method="harris", **given):
    grey = grey_of(pixels)
    if method in ("fast", "orb"):
        return opencv(np.floor(grey * 255 + 0.5 + 1e-9).astype(np.uint8), method, **given)
    sigma = given.get("sigma", 1.5)
    harris = method == "harris"
    response = corner_harris(grey, k=given.get("k", 0.05), sigma=sigma) if harris else corner_shi_tomasi(grey, sigma=sigma)
    peaks = corner_peaks(
        response,
        min_distance=given.get("min_distance", 10),
        threshold_rel=given.get("threshold", 0.001),
        num_peaks=given.get("max_points", 500),
    )
    return [[int(c), int(r), rounded(response[r, c])] for r, c in peaks]


def opencv(grey, method, max_points, fast_threshold=20, scale_factor=1.2, levels=8):
    if method == "fast":
        found = cv2.FastFeatureDetector_create(fast_threshold, True).detect(grey)
        return [[int(p.pt[0]), int(p.pt[1]), int(p.response)] for p in found]
    orb = cv2.ORB_create(max_points, scale_factor, levels, fastThreshold=fast_threshold)
    return [[*map(rounded, (*p.pt, p.response, p.angle)), p.octave] for p in orb.detect(grey)]


def blobs(pixels, method, polarity="bright", **given):
    given = {"min_sigma": 3, "max_sigma": 10, "overlap": 0.5, **given}
    given.setdefault("threshold", None if "threshold_rel" in given else 0.05)
    if method != "dog":
        given.setdefault("num_sigma", 8)
    grey = grey_of(pixels)
    found = {"log": blob_log, "dog": blob_dog, "doh": blob_doh}[method](1 - grey if polarity == "dark" else grey, **given)
    return [[int(c), int(r), rounded(sigma)] for r, c, sigma in found]


def rounded(value):
    return float(f"{value:.7g}")


def write(name, results):
    lines = ",\n".join(json.dumps(result, separators=(",", ":")) for result in results)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def main():
    points, discs = [], []
    for seed, make in enumerate([shapes, texture, slide, board, clear, photo]):
        pixels = make(np.random.default_rng(seed))
        name = f"{make.__name__}.png"
        Image.fromarray(pixels).save(HERE / name, optimize=True)
        for parameters in CORNERS:
            points.append({"image": name, "parameters": parameters, "points": corners(pixels, **parameters)})
            print(name, parameters, len(points[-1]["points"]))
        for parameters in BLOBS:
            discs.append({"image": name, "parameters": parameters, "blobs": blobs(pixels, **parameters)})
            print(name, parameters, len(discs[-1]["blobs"]))
    write("poi_detection", points)
    write("blob_detection", discs)


if __name__ == "__main__":
    main()
