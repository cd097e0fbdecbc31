#!/usr/bin/env python3
"""Measures Darkroom's detectors against scikit-image, OpenCV and zxing-cpp. `make bench-detection` prepares and runs it.

  detection.py OURS FOLDER [--quick] [--only TEXT]

  OURS is the built example `bench_detection` of shared/detection; the images that are measured are drawn into FOLDER.
  --only keeps the rows whose name contains TEXT.

How to read it
  From decoded pixels to a list of objects, with equal parameters where the peer has them. Ours makes its own grey of the
  colours; the peers are given theirs. Every library waits in a process of its own, on one and the same core, with one
  thread, and they take turns: a round is one batch of each. What counts is the processor time of the process over the
  batch, which other work on the machine disturbs little. Ours is in milliseconds (median of the rounds); a peer is as a
  multiple of ours in the same round (median again): ×20 means that it needs twenty times as long. Compare only within
  one run. Objects are how many ours and the peer found; cornerHarris finds none, it is a response alone.
  Memory is how far the process rises beyond the decoded image in one run, in float planes of the image's size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from measure import HERE, Library, progress, rotated, show
from PIL import Image
from scipy import ndimage
from sources import picture

SIDE, LARGE_SIDE = 1536, 2048
ROUNDS, QUICK_ROUNDS = 7, 3
# A batch repeats short work until it takes about this long.
BATCH_SECONDS = 0.1
MEMORY_GOAL = 8


@dataclass(frozen=True)
class Row:
    name: str
    # The algorithm, and its parameters.
    ours: tuple[str, dict]
    # The library, its function in detection_peer.py, and that function's parameters.
    peer: tuple[str, str, dict]
    # How many times the peer's time must be ours; none where that is no goal.
    goal: float | None = None
    images: tuple[str, ...] = ("natural", "H&E")


SIGMAS = {"min_sigma": 3, "max_sigma": 10}
STEPS = {**SIGMAS, "num_sigma": 8}
PEAKS = {"min_distance": 10, "threshold_rel": 0.001, "num_peaks": 500}


def blobs(method: str, goal: float, **given: float) -> Row:
    ours = ("blob_detection", {"method": method, **given})
    return Row(f"blobs, {method}", ours, ("scikit-image", f"blob_{method}", given), goal)


def corners(method: str, peer: tuple[str, str, dict], goal: float | None = None, **given: float) -> Row:
    return Row(f"corners, {method}", ("poi_detection", {"method": method, **given}), peer, goal)


ROWS = [
    blobs("log", 20, **STEPS, threshold=0.05),
    blobs("dog", 10, **SIGMAS, sigma_ratio=1.6, threshold=0.05),
    blobs("doh", 10, **STEPS, threshold=0.001),
    corners("harris", ("scikit-image", "corner_harris", {"sigma": 1.5, "k": 0.05, **PEAKS})),
    corners("harris", ("opencv", "cornerHarris", {"block": 3, "aperture": 3, "k": 0.05}), 1),
    corners("shi_tomasi", ("scikit-image", "corner_shi_tomasi", {"sigma": 1.5, **PEAKS})),
    corners("shi_tomasi", ("opencv", "goodFeaturesToTrack", {"corners": 500, "quality": 0.001, "distance": 10}), 1),
    corners("fast", ("opencv", "FAST", {"threshold": 10}), 1, fast_threshold=10, max_points=100_000),
    corners("orb", ("opencv", "ORB", {"points": 500})),
    Row("barcodes", ("barcode_detection", {}), ("zxing-cpp", "read_barcodes", {}),
        images=("natural", "codes", "turned codes")),
    Row("nuclei", ("nuclei_detection", {}), ("scikit-image", "nuclei", {}), 10, ("large H&E",)),
]


def slide(side: int) -> Image.Image:
    """Purple nuclei on pink, as in a slide stained with haematoxylin and eosin."""
    rng = np.random.default_rng(2)
    density = np.zeros((side, side))
    for _ in range(round(side * side / 525)):
        y, x, a, b, turn = *rng.uniform(0, side, 2), *rng.uniform(4, 9, 2), rng.uniform(0, np.pi)
        top, bottom, left, right = (int(v) for v in (max(y - 20, 0), min(y + 20, side), max(x - 20, 0), min(x + 20, side)))
        dy, dx = np.mgrid[top:bottom, left:right]
        dy, dx = dy - y, dx - x
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        density[top:bottom, left:right] += rng.uniform(0.4, 1) / (1 + np.exp(4 * (np.hypot(u / a, v / b) - 1)))
    eosin = 0.25 + 0.6 * ndimage.gaussian_filter(rng.normal(size=(side, side)), 3)
    absorbed = density[..., None] * [0.65, 0.70, 0.29] + eosin[..., None] * [0.07, 0.99, 0.11]
    light = 255 * np.exp(-absorbed) + rng.normal(0, 2, (side, side, 3))
    return Image.fromarray(light.clip(0, 255).round().astype(np.uint8))


def codes(degrees: float) -> Image.Image:
    """A sheet of nine linear codes and a QR code, all of them turned."""
    import zxingcpp

    kinds = [
        ("EAN13", "4006381333931"), ("EAN8", "96385074"), ("UPCA", "036000291452"), ("UPCE", "01234565"),
        ("Code128", "CASE-2026-0077"), ("Code39", "BLOCK-39"), ("Code93", "HELLO93"), ("ITF", "12345670"),
        ("Codabar", "A40156B"), ("QRCode", "https://example.org/slides/42"),
    ]
    page = Image.new("L", (SIDE, SIDE), 255)
    for index, (kind, text) in enumerate(kinds):
        code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind)).to_image(scale=3)
        page.paste(Image.fromarray(np.array(code)), (100 + index % 2 * 700, 60 + index // 2 * 280))
    return page.rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC).convert("RGB")


SOURCES = {
    "natural": lambda: picture(SIDE, SIDE),
    "H&E": lambda: slide(SIDE),
    "codes": lambda: codes(0),
    "turned codes": lambda: codes(30),
    "large H&E": lambda: slide(LARGE_SIDE),
}


class Waiting(Library):
    """A library in a process that waits for requests."""

    def __init__(self, name: str, ours: Path) -> None:
        command = [ours] if name == "ours" else [sys.executable, HERE / "detection_peer.py", name]
        one = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
        self.process = subprocess.Popen(
            command, env={**os.environ, **one}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.read()

    def run(self, what: str, given: dict, runs: int = 1, **more: object) -> tuple[dict, float]:
        """The answer, and the seconds of processor time that one run took."""
        start = self.cpu()
        answer = self.ask(run=what, given=given, runs=runs, **more)
        if "error" in answer:
            sys.exit(f"{what}: {answer['error']}")
        return answer, (self.cpu() - start) / runs


@dataclass
class Taken:
    """What one row took: seconds a run, a number for each round."""

    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def measure(self, row: Row, ours: Waiting, peer: Waiting, rounds: int) -> None:
        sides = [(ours, row.ours, self.ours), (peer, row.peer[1:], self.peer)]
        # The first run warms up.
        runs = [max(1, min(30, round(BATCH_SECONDS / library.run(*how)[1]))) for library, how, _ in sides]
        for turn in range(rounds):
            for (library, how, taken), count in rotated(list(zip(sides, runs)), turn):
                taken.append(library.run(*how, runs=count)[1])

    def ratio(self) -> float:
        return statistics.median(theirs / ours for theirs, ours in zip(self.peer, self.ours))


def measured(ours: Path, folder: Path, rows: list[Row], rounds: int) -> list[list[str]]:
    table = [["detector", "image", "ours, CPU ms", "peer", "peer's time", "objects", "memory", "goals"], ["---"] * 8]
    libraries = {name: Waiting(name, ours) for name in ("ours", "scikit-image", "opencv", "zxing-cpp")}
    for source, draw in SOURCES.items():
        asked = [row for row in rows if source in row.images]
        if not asked:
            continue
        image = draw()
        path = folder / f"{source.replace('&', '').replace(' ', '_')}.png"
        image.save(path)
        for library in libraries.values():
            library.ask(load=str(path))
        for row in asked:
            progress(f"{row.name}, {row.peer[1]}: {source}")
            taken, peer = Taken(), libraries[row.peer[0]]
            taken.measure(row, libraries["ours"], peer, rounds)
            counts = [library.run(*how)[0]["count"] for library, how in ((libraries["ours"], row.ours), (peer, row.peer[1:]))]
            planes = peak(ours, path, row) / (4 * image.width * image.height)
            missed = [f"×{row.goal:g}"] if row.goal and taken.ratio() < row.goal else []
            missed += [f"{MEMORY_GOAL} planes"] if planes > MEMORY_GOAL else []
            table.append([
                row.name, source, f"{statistics.median(taken.ours) * 1000:.1f}", f"{row.peer[0]} {row.peer[1]}",
                f"×{taken.ratio():.2f}", " / ".join(map(str, counts)), f"{planes:.1f}",
                f"missed: {', '.join(missed)}" if missed else f"met (×{row.goal:g})" if row.goal else "",
            ])
    for library in libraries.values():
        library.close()
    return table


def peak(ours: Path, path: Path, row: Row) -> int:
    """Bytes, in a fresh process."""
    library = Waiting("ours", ours)
    library.ask(load=str(path))
    answer, _ = library.run(*row.ours, memory=True)
    library.close()
    return answer["peak"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    # One core for all, which the processes started here inherit.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = [row for row in ROWS if given.only.lower() in row.name.lower()]
    rounds = QUICK_ROUNDS if given.quick else ROUNDS
    title = f"Detection on {SIDE} × {SIDE} pixels, large: {LARGE_SIDE} × {LARGE_SIDE}"
    show(title, measured(given.ours.resolve(), given.folder, rows, rounds))


if __name__ == "__main__":
    main()
