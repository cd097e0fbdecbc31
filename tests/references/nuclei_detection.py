#!/usr/bin/env python3
"""Draws the slides that shared/detection/tests hold `nuclei_detection` to, and counts their nuclei with scikit-image.

    python3 -m venv /tmp/references
    /tmp/references/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 pillow==13.0.0
    /tmp/references/bin/python tests/references/nuclei_detection.py

Writes into the folder `nuclei` beside itself, for each slide: NAME.jpg, and NAME.png, whose grey value is the number of
the nucleus that a pixel belongs to, 0 for none; and slides.json, with the parameters of each and scikit-image's count.
The slides are drawn from fixed seeds at 0.5 µm a pixel; nothing is downloaded. With arguments it does neither, but
counts the nuclei of those images and says how long it took: `nuclei_detection.py IMAGE…`.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import expit
from skimage import __version__
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from skimage.segmentation import watershed

OUT = Path(__file__).parent / "nuclei"
assert __version__ == "0.26.0", __version__

SIDE = 400
HAEMATOXYLIN, EOSIN, DAB = [0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]
# A slide whose stains are not the book's.
OWN_HAEMATOXYLIN, OWN_EOSIN = [0.58, 0.76, 0.29], [0.17, 0.88, 0.44]


class Slide:
    """Optical densities of two stains, and which nucleus each pixel belongs to."""

    def __init__(self, seed, side=SIDE):
        self.rng = np.random.default_rng(seed)
        self.side = side
        self.y, self.x = np.mgrid[:side, :side] + 0.5
        self.labels = np.zeros((side, side), np.uint8 if side <= SIDE else np.int32)
        self.cover = np.zeros((side, side))  # how much of a pixel is nucleus
        self.first = np.zeros((side, side))
        self.second = 0.22 + 0.06 * self.texture(4) + 0.04 * self.texture(12)
        self.discs = []
        # Densities of what is not of the two stains, and how much of a pixel it covers.
        self.rest, self.rest_cover = np.zeros((side, side, 3)), np.zeros((side, side))

    def texture(self, sigma):
        noise = ndimage.gaussian_filter(self.rng.normal(size=(self.side, self.side)), sigma, mode="wrap")
        return noise / noise.std()

    def nucleus(self, cx, cy, radius, first, second=0.0):
        """An ellipse with a wavy edge. What was there before lies below it."""
        number = len(self.discs) + 1
        long, turn = self.rng.uniform(1.0, 1.25), self.rng.uniform(0, np.pi)
        phases, waves = self.rng.uniform(0, 2 * np.pi, 3), self.rng.normal(0, 0.02, 3)
        reach = int(2 * radius + 4)
        rows = slice(max(0, int(cy) - reach), int(cy) + reach)
        columns = slice(max(0, int(cx) - reach), int(cx) + reach)
        x, y = self.x[rows, columns] - cx, self.y[rows, columns] - cy
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        angle = np.arctan2(v, u)
        edge = radius * (1 + sum(w * np.cos((k + 2) * angle + p) for k, (w, p) in enumerate(zip(waves, phases))))
        distance = edge - np.hypot(u / np.sqrt(long), v * np.sqrt(long))
        cover = 1 / (1 + np.exp(-2.5 * distance))
        chromatin = 1 + 0.12 * ndimage.gaussian_filter(self.rng.normal(size=x.shape), 1.2) * 4
        mix = lambda below, value: below * (1 - cover) + value * cover
        self.first[rows, columns] = mix(self.first[rows, columns], first * chromatin)
        self.second[rows, columns] = mix(self.second[rows, columns], second * chromatin + 0.12)
        self.labels[rows, columns][distance > 0] = number
        self.discs.append((cx, cy, radius))

    def scatter(self, count, gap, radii, first, second=lambda rng: 0.0, tries=6000):
        """Nuclei at random, as near to each other as `gap` times the sum of their radii."""
        for _ in range(tries):
            if len(self.discs) >= count:
                break
            cx, cy = self.rng.uniform(4, self.side - 4, 2)
            radius = self.rng.uniform(*radii)
            if all(np.hypot(cx - x, cy - y) > gap * (radius + r) for x, y, r in self.discs):
                self.nucleus(cx, cy, radius, self.rng.uniform(*first), second(self.rng))

    def clusters(self, count, radii, first):
        """Pairs and triples whose edges touch or overlap a little, and single ones."""
        for _ in range(count):
            cx, cy = self.rng.uniform(20, self.side - 20, 2)
            if any(np.hypot(cx - x, cy - y) < 4.5 * radii[1] for x, y, r in self.discs):
                continue
            radius, turn = self.rng.uniform(*radii), self.rng.uniform(0, 2 * np.pi)
            self.nucleus(cx, cy, radius, self.rng.uniform(*first))
            for _ in range(self.rng.integers(0, 3)):
                other = self.rng.uniform(*radii)
                apart = self.rng.uniform(0.85, 1.0) * (radius + other)
                self.nucleus(cx + apart * np.cos(turn), cy + apart * np.sin(turn), other, self.rng.uniform(*first))
                turn += self.rng.uniform(1.3, 2.2)

    def unstained(self, count, colour, radii, long):
        """Things with a colour of their own that no nucleus lies under: ellipses, so many times as long as wide."""
        for _ in range(count):
            cx, cy = self.rng.uniform(4, self.side - 4, 2)
            radius, turn = self.rng.uniform(*radii), self.rng.uniform(0, np.pi)
            x, y = self.x - cx, self.y - cy
            u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
            cover = expit(2.5 * (radius - np.hypot(u / long, v)))
            cover[self.labels > 0] = 0
            density = -np.log10(np.asarray(colour) / 240)
            self.rest = self.rest * (1 - cover[..., None]) + density * cover[..., None]
            self.rest_cover = np.maximum(self.rest_cover, cover)

    def pixels(self, vectors=(HAEMATOXYLIN, EOSIN), blur=0.6, noise=2.0):
        first, second = (np.asarray(v) / np.linalg.norm(v) for v in vectors)
        cytoplasm = 0.05 + 0.02 * self.texture(3)
        density = (self.first + cytoplasm)[..., None] * first + self.second.clip(0)[..., None] * second
        density = density * (1 - self.rest_cover[..., None]) + self.rest
        light = ndimage.gaussian_filter(240 * 10**-density, (blur, blur, 0))
        return np.clip(light + self.rng.normal(0, noise, light.shape), 0, 255).round().astype(np.uint8)


def spread(seed):
    slide = Slide(seed)
    slide.scatter(95, 1.25, (5.5, 10.5), (0.35, 0.8))
    return slide.pixels(), slide.labels, {}


def touching(seed):
    slide = Slide(seed)
    slide.clusters(260, (6, 10), (0.4, 0.8))
    return slide.pixels(), slide.labels, {}


def faint(seed):
    slide = Slide(seed)
    slide.scatter(90, 1.2, (6, 10.5), (0.18, 0.30))
    return slide.pixels(), slide.labels, {}


def crowded(seed):
    slide = Slide(seed)
    slide.scatter(250, 0.93, (6, 9.5), (0.35, 0.8), tries=20000)
    return slide.pixels(), slide.labels, {}


def out_of_focus(seed):
    slide = Slide(seed)
    slide.scatter(90, 1.2, (6.5, 10.5), (0.35, 0.8))
    return slide.pixels(blur=2.5), slide.labels, {}


def dab(seed):
    """Half of the nuclei are positive: brown, which hides their haematoxylin."""
    slide = Slide(seed)
    slide.second *= 0.15
    brown = lambda rng: rng.choice([0.0, 1.0]) * rng.uniform(0.4, 0.7)
    slide.scatter(100, 1.1, (6, 10), (0.3, 0.5), brown)
    parameters = {"stains": "h_dab", "detection_image": "optical_density_sum"}
    return slide.pixels((HAEMATOXYLIN, DAB)), slide.labels, parameters


def own_stains(seed):
    slide = Slide(seed)
    slide.scatter(95, 1.1, (6, 10), (0.4, 0.8))
    return slide.pixels((OWN_HAEMATOXYLIN, OWN_EOSIN)), slide.labels, {"stains": "auto"}


def red_cells(seed):
    """Red cells and collagen between the nuclei: colours that no mixture of the two stains has."""
    slide = Slide(seed)
    slide.scatter(80, 1.3, (6, 10), (0.35, 0.8))
    slide.unstained(60, (230, 100, 120), (2.5, 4), 8)
    slide.unstained(90, (225, 70, 65), (5, 7), 1.1)
    return slide.pixels(), slide.labels, {}


SLIDES = [spread, touching, faint, crowded, out_of_focus, dab, own_stains, red_cells]


def count_nuclei(pixels, sigma=5.0, areas=(40, 1600)):
    """Deconvolution, Laplacian of Gaussian for the seeds, Otsu's threshold for the mask, watershed, areas. The Laplacian
    answers most to discs of a radius of sigma times √2: 7 px, which is 3.5 µm."""
    haematoxylin = rgb2hed(pixels)[..., 0]
    smooth = ndimage.gaussian_filter(haematoxylin, 1)
    mask = smooth > threshold_otsu(smooth)
    response = -(sigma**2) * ndimage.gaussian_laplace(haematoxylin, sigma)
    seeds = np.zeros(mask.shape, np.int32)
    places = peak_local_max(response, min_distance=5, threshold_abs=0.0, labels=mask.astype(np.int32), exclude_border=False)
    seeds[tuple(places.T)] = np.arange(1, len(places) + 1)
    labels = watershed(-response, seeds, mask=mask)
    return sum(areas[0] <= region.area <= areas[1] for region in regionprops(labels))


def draw():
    OUT.mkdir(exist_ok=True)
    slides = []
    for seed, make in enumerate(SLIDES):
        pixels, labels, parameters = make(seed)
        Image.fromarray(pixels).save(OUT / f"{make.__name__}.jpg", quality=88, optimize=True)
        Image.fromarray(labels).save(OUT / f"{make.__name__}.png", optimize=True)
        # What is counted is the file.
        pixels = np.asarray(Image.open(OUT / f"{make.__name__}.jpg"))
        slide = {"name": make.__name__, "parameters": {"mpp": 0.5, **parameters}}
        if "stains" not in parameters:
            slide["scikit_image"] = int(count_nuclei(pixels))
        print(slide, len(np.unique(labels)) - 1)
        slides.append(slide)
    lines = ",\n".join(json.dumps(slide) for slide in slides)
    (OUT / "slides.json").write_text(f"[\n{lines}\n]\n")


def measure(paths):
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        start = time.process_time()
        count = count_nuclei(pixels)
        print(json.dumps({"image": path, "count": int(count), "cpu_ms": round(1e3 * (time.process_time() - start))}))


if __name__ == "__main__":
    measure(sys.argv[1:]) if sys.argv[1:] else draw()
