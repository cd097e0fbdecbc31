#!/usr/bin/env python3
"""Measures Darkroom's thumbnailer against sharp, libvips, Pillow and OpenCV. `make bench-imaging` prepares and runs it.

  measure.py OURS TOOLS [--quick] [--only TEXT] [--skip time,memory,quality]

  OURS is the built example `bench` of shared/imaging, TOOLS the folder with sources/ and node_modules/.
  --only keeps the sources whose name contains TEXT; --skip leaves tables out.

How to read it
  Time: from a file's bytes in memory to a thumbnail's bytes in memory. Every library waits in a process of its own, on
  one and the same core, with one thread and no cache, and they take turns: a round is one batch of each. What counts
  is the processor time of the process over the batch, which other work on the machine disturbs little. Ours is in
  milliseconds (median of the rounds); the peers are as multiples of ours in the same round (median again): ×2.0 means
  that the peer needs twice as long as we do. Compare only within one run.
  Memory: how far a fresh process that has its library and the file loaded rises for one thumbnail of so many pixels to
  a side.
  Quality: against the whole picture, decoded by Pillow and reduced by Lanczos3 in floating point with nothing rounded
  or clipped before the end. PSNR over R, G and B in dB, SSIM of the luma (11×11 Gaussian, sigma 1.5). The best are bold,
  ours has an exclamation mark where Pillow or libvips is better. Widths that would not reduce are left out.
  A dash is what a library cannot do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
PEERS = ["libvips", "sharp", "Pillow", "OpenCV"]
NAMES = ["ours", *PEERS]
ROUNDS, QUICK_ROUNDS = 7, 3
WIDTHS, QUICK_WIDTHS = [100, 200, 400, 800, 1600], [100, 400]
# A batch repeats short work until it takes about this long.
BATCH_SECONDS = 0.04
MEMORY_GOAL = 15e6
MEMORY_SIDES = [100, 800, 1600]

Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Source:
    name: str
    file: str
    # How many times sharp's time must be ours.
    goal: float
    format: str = "jpeg"
    animated: bool = False
    # Whether the goal for memory is meant for it.
    streamed: bool = True

    def asked(self, side: int = 100) -> dict:
        return {"options": options(side, side, self.format), "animated": self.animated}


SOURCES = [
    Source("12 MP JPEG, baseline", "12mp.jpg", 2.0),
    Source("24 MP JPEG, baseline", "24mp.jpg", 2.0),
    Source("12 MP JPEG, progressive", "12mp-progressive.jpg", 25),
    Source("2 MP JPEG", "2mp.jpg", 1.8),
    Source("12 MP PNG", "12mp.png", 1.9),
    Source("12 MP WebP", "12mp.webp", 1.3),
    Source("12 MP WebP, lossless", "12mp-lossless.webp", 1.0),
    Source("GIF, first frame", "30-frames.gif", 1.0, streamed=False),
    Source("GIF, 30 frames, to GIF", "30-frames.gif", 1.7, "gif", animated=True, streamed=False),
    Source("GIF, 30 frames, to WebP", "30-frames.gif", 1.7, "webp", animated=True, streamed=False),
]


class Library:
    """A library in a process that waits for requests."""

    def __init__(self, name: str, ours: Path, tools: Path) -> None:
        command = {
            "ours": [ours],
            "libvips": [sys.executable, HERE / "peer.py", "pyvips"],
            "sharp": ["node", HERE / "peer.mjs"],
            "Pillow": [sys.executable, HERE / "peer.py", "pillow"],
            "OpenCV": [sys.executable, HERE / "peer.py", "opencv"],
        }[name]
        one = dict.fromkeys(["VIPS_CONCURRENCY", "UV_THREADPOOL_SIZE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
        self.process = subprocess.Popen(
            command, cwd=tools, env={**os.environ, **one}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "it died"}

    def ask(self, **request: object) -> dict:
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "it died"}
        return self.read()

    def cpu(self) -> float:
        """Seconds of processor time that the process has taken, by the clock that Linux keeps of every process."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, ours: Path, tools: Path, only: str) -> None:
        self.ours, self.tools = ours.resolve(), tools.resolve()
        self.out = self.tools / "made"
        self.sources = [source for source in SOURCES if only.lower() in source.name.lower()]

    def library(self, name: str) -> Library:
        return Library(name, self.ours, self.tools)

    def load(self, library: Library, source: Source, copies: int = 1) -> None:
        path = self.tools / "sources" / source.file
        with Image.open(path) as image:
            shape = image.size
        library.ask(load=str(path), copies=copies, shape=shape)

    def times(self, rounds: int) -> None:
        table = [["source", "ours, CPU ms", *PEERS, "goals"], ["---"] * (3 + len(PEERS))]
        libraries = {name: self.library(name) for name in NAMES}
        for source in self.sources:
            progress(f"time: {source.name}")
            taken = self.taken(source, libraries, rounds)
            table.append(time_row(source, taken))
        for library in libraries.values():
            library.close()
        show("Processor time to a 100×100 thumbnail", table)

    def taken(self, source: Source, libraries: dict[str, Library], rounds: int) -> dict[str, list[float]]:
        """Seconds a run, by library, a number for each round."""
        runs, taken = {}, {}
        for name, library in libraries.items():
            self.load(library, source, 2)
            if not self.made(source, library.ask(runs=1, out=str(self.out), **source.asked())):
                continue
            first = library.cpu()
            library.ask(runs=1, **source.asked())
            runs[name] = max(1, min(20, round(BATCH_SECONDS / (library.cpu() - first))))
            taken[name] = []
        for turn in range(rounds):
            for name in rotated(list(runs), turn):
                library = libraries[name]
                self.load(library, source, runs[name])
                start = library.cpu()
                library.ask(runs=runs[name], **source.asked())
                taken[name].append((library.cpu() - start) / runs[name])
        return taken

    def made(self, source: Source, answer: dict) -> bool:
        """Whether a library made what was asked: of an animation one frame is not enough."""
        if "error" in answer:
            return False
        with Image.open(self.out) as made:
            return not source.animated or getattr(made, "n_frames", 1) > 1

    def memory(self) -> None:
        table = [["source", "side", *NAMES, "goal"], ["---"] * (3 + len(NAMES))]
        for source in self.sources:
            for side in MEMORY_SIDES if source.streamed else MEMORY_SIDES[:1]:
                progress(f"memory: {source.name}, {side}")
                row, goal = [source.name, str(side)], ""
                for name in NAMES:
                    library = self.library(name)
                    self.load(library, source)
                    answer = library.ask(runs=1, memory=True, out=str(self.out), **source.asked(side))
                    library.close()
                    peak = answer["peak"] if self.made(source, answer) else None
                    row.append("–" if peak is None else f"{peak / 1e6:.1f}")
                    if name == "ours" and source.streamed:
                        goal = "met" if peak is not None and peak < MEMORY_GOAL else f"missed: {MEMORY_GOAL / 1e6:.0f}"
                table.append([*row, goal])
        show("Peak memory of one thumbnail beyond the loaded file, MB", table)

    def quality(self, widths: list[int]) -> None:
        table = [["source", "width", *(f"{name}, dB, SSIM" for name in NAMES)], ["---"] * (2 + len(NAMES))]
        libraries = {name: self.library(name) for name in NAMES}
        for source in self.sources:
            if source.animated:
                continue
            progress(f"quality: {source.name}")
            with Image.open(self.tools / "sources" / source.file) as image:
                whole = image.convert("RGB")
            sizes = [(width, round(width * whole.height / whole.width)) for width in widths if width < whole.width * 0.9]
            references = dict(zip(sizes, reduced(whole, sizes)))
            for library in libraries.values():
                self.load(library, source, len(sizes))
            for size, reference in references.items():
                scores = {}
                for name, library in libraries.items():
                    asked = options(*size, "png", "fill")
                    if "error" not in library.ask(runs=1, options=asked, animated=False, out=str(self.out)):
                        with Image.open(self.out) as made:
                            scores[name] = score(np.asarray(made.convert("RGB"), np.float64), reference)
                table.append(quality_row(source, size[0], scores))
        for library in libraries.values():
            library.close()
        show("Quality against a full-size Lanczos3 reduction", table)


def options(width: int, height: int, form: str, fit: str = "cover") -> dict:
    return {"width": width, "height": height, "fit": fit, "format": form, "quality": 85}


def rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def time_row(source: Source, taken: dict[str, list[float]]) -> list[str]:
    ours = taken.get("ours")
    if not ours:
        peers = [f"{statistics.median(taken[name]) * 1000:.1f} ms" if name in taken else "–" for name in PEERS]
        return [source.name, "–", *peers, "missed: ours cannot do it"]
    row, missed = [source.name, f"{statistics.median(ours) * 1000:.1f}"], []
    for name in PEERS:
        if name not in taken:
            row.append("–")
            continue
        ratio = statistics.median(theirs / mine for theirs, mine in zip(taken[name], ours))
        row.append(f"×{ratio:.2f}")
        goal = source.goal if name == "sharp" else 1.0
        if ratio < goal:
            missed.append(f"{name} ×{goal:.1f}")
    return [*row, f"missed: {', '.join(missed)}" if missed else f"met (sharp ×{source.goal:.1f})"]


def reduced(whole: Image.Image, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """The picture at each size by Lanczos3 in floating point, as height × width × RGB from 0 to 255."""
    out = [np.empty((height, width, 3)) for width, height in sizes]
    for channel, band in enumerate(whole.split()):
        exact = band.convert("F")
        for array, size in zip(out, sizes):
            array[..., channel] = np.asarray(exact.resize(size, Image.Resampling.LANCZOS)).clip(0, 255)
    return out


def score(made: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and the SSIM of the luma (Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment, 2004)."""
    error = np.mean((made - reference) ** 2)
    psnr = 99.9 if error == 0 else min(99.9, 10 * np.log10(255**2 / error))
    x, y = (image @ np.array([0.299, 0.587, 0.114]) for image in (made, reference))
    mean = lambda image: cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101)  # noqa: E731
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ssim = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(psnr), float(ssim.mean())


def quality_row(source: Source, width: int, scores: dict[str, tuple[float, float]]) -> list[str]:
    def rounded(name: str) -> tuple[float, float]:
        return round(scores[name][0], 1), round(scores[name][1], 4)

    best = tuple(max(rounded(name)[at] for name in scores) for at in (0, 1))
    row = [source.name, str(width)]
    for name in NAMES:
        if name not in scores:
            row.append("–")
            continue
        cells = []
        for at, digits in ((0, 1), (1, 4)):
            value = rounded(name)[at]
            text = f"**{value:.{digits}f}**" if value == best[at] else f"{value:.{digits}f}"
            behind = any(rounded(peer)[at] > value for peer in ("Pillow", "libvips") if peer in scores)
            cells.append(text + ("!" if name == "ours" and behind else ""))
        row.append(" ".join(cells))
    return row


def progress(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def show(title: str, table: list[list[str]]) -> None:
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    print(f"\n{title}\n")
    for row in table:
        print("| " + " | ".join(cell.ljust(width, "-" if cell == "---" else " ") for cell, width in zip(row, widths)) + " |")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("tools", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--skip", default="")
    given = parser.parse_args()
    # One core for all, which the processes started here inherit.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    bench = Bench(given.ours, given.tools, given.only)
    skipped = given.skip.split(",")
    if "time" not in skipped:
        bench.times(QUICK_ROUNDS if given.quick else ROUNDS)
    if "memory" not in skipped:
        bench.memory()
    if "quality" not in skipped:
        bench.quality(QUICK_WIDTHS if given.quick else WIDTHS)
    bench.out.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
