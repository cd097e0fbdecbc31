#!/usr/bin/env python3
"""Holds the thumbnailer against Pillow on every file of a folder, for the files of other projects' test suites.

  corpus.py EXAMPLE FOLDER [--report FILE] [--seconds N]

  EXAMPLE is the built example `thumbnail` of shared/imaging: it is started once for each file, two at a time.

Each file is `right` (close to what Pillow makes of it: upright, its profile converted to sRGB, cover 100×100), `differs`
(with the PSNR), `refused` (with the code and what Pillow makes of it), `made` (by us alone), or it `crashed` or `hung`,
which must never be. Alpha counts premultiplied. Needs Python with Pillow and numpy: `.local/bench/venv/bin/python` has both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

SIZE = (100, 100)
# Two reducers that are both right are this close, at the least; GIFs and 1-bit pictures are the hardest.
CLOSE = 30.0

Image.MAX_IMAGE_PIXELS = 100_000_000
warnings.simplefilter("ignore")


def pillows(path: Path) -> tuple[str, np.ndarray | None]:
    """What Pillow says the file is, and the thumbnail it makes: height × width × premultiplied RGBA, 0 to 255."""
    kind = "unknown"
    try:
        with Image.open(path) as image:
            kind = f"{image.format} {image.mode}"
            image.load()
            profile = image.info.get("icc_profile")
            image = ImageOps.exif_transpose(image)
            alpha = None
            if image.has_transparency_data:
                image = image.convert("RGBA")
                alpha = image.getchannel("A")
            if image.mode.startswith(("I", "F")):
                image = eight_bit(image)
            if image.mode in ("1", "P", "LA", "La", "RGBa", "PA"):
                image = image.convert("RGB")
            if profile:
                image = converted(image, profile)
            image = image.convert("RGB")
            image.putalpha(alpha or 255)
            image = ImageOps.fit(image.convert("RGBa"), SIZE, Image.Resampling.LANCZOS)
            return kind, np.asarray(image, np.float64).reshape(*SIZE, 4)
    except Exception:  # the many ways in which Pillow says no
        return kind, None


def eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, of which Pillow's own conversion would keep the low ones."""
    values = np.asarray(image, np.float64)
    if image.mode != "F" and (image.mode != "I" or values.max() > 255):
        values = values / 257
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def converted(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        rgb = image.convert("RGB") if image.mode == "RGBA" else image
        return ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return image


def ours(example: Path, path: Path, seconds: float) -> tuple[str, str, np.ndarray | None]:
    """`made`, `refused`, `crashed` or `hung`, the code or what was said, and the thumbnail."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        command = [example, path, out, "--width", str(SIZE[0]), "--height", str(SIZE[1]), "--format", "png"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return "hung", f"{seconds:.0f} s", None
        if done.returncode == 2:
            try:
                code = json.loads(done.stdout)["error"]["code"]
            except (ValueError, KeyError):
                return "crashed", "exit 2 without an error in JSON", None
            return ("crashed", "a fault of ours", None) if code == "internal_error" else ("refused", code, None)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            return "crashed", " ".join(said[:2]) or f"exit {done.returncode}", None
        with Image.open(out) as image:
            if image.size != SIZE:
                return "crashed", f"the thumbnail is {image.size}", None
            return "made", "", np.asarray(image.convert("RGBA").convert("RGBa"), np.float64)


def judged(example: Path, path: Path, seconds: float) -> tuple[str, str, str]:
    """The verdict, the kind that Pillow takes the file for, and a word more."""
    verdict, detail, made = ours(example, path, seconds)
    kind, theirs = pillows(path)
    if verdict == "refused":
        return verdict, kind, f"{detail}; Pillow {'reads it' if theirs is not None else 'refuses it, too'}"
    if verdict == "made" and theirs is not None:
        error = np.mean((made - theirs) ** 2)
        psnr = 99.0 if error == 0 else min(99.0, 10 * np.log10(255**2 / error))
        return "right" if psnr >= CLOSE else "differs", kind, f"{psnr:.1f} dB"
    return verdict, kind, detail or "Pillow refuses it"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--report", type=Path, help="where what is not right is listed, by kind, but for what both refuse")
    parser.add_argument("--seconds", type=float, default=20, help="what one file may take")
    given = parser.parse_args()
    example = given.example.resolve()
    files = sorted(path for path in given.folder.rglob("*") if path.is_file() and path.stat().st_size)

    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda path: judged(example, path, given.seconds), files))
    counts = Counter(verdict for verdict, _, _ in verdicts)
    print(f"{len(files)} files:", ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    for what, count in Counter(detail for verdict, _, detail in verdicts if verdict == "refused").most_common():
        print(f"  refused, {what}: {count}")

    lines: dict[str, list[str]] = defaultdict(list)
    for path, (verdict, kind, detail) in zip(files, verdicts):
        if verdict in ("crashed", "hung"):
            print(f"  {verdict}: {path}: {detail}")
        if verdict != "right" and not detail.endswith("too"):
            lines[kind.split()[0]].append(f"- {verdict}: `{path.relative_to(given.folder)}` ({kind}): {detail}")
    if given.report:
        text = "\n".join(f"## {kind}\n\n" + "\n".join(sorted(found)) + "\n" for kind, found in sorted(lines.items()))
        given.report.write_text(text)
    sys.exit(1 if counts["crashed"] or counts["hung"] else 0)


if __name__ == "__main__":
    main()
