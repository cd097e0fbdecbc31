#!/usr/bin/env python3
"""Draws pages of barcodes, with where each of them lies and what it says.

    python3 -m venv /tmp/barcodes
    /tmp/barcodes/bin/pip install numpy==2.4.6 pillow==13.0.0 zxing-cpp==3.1.1
    /tmp/barcodes/bin/python tests/references/barcodes/make.py

Writes bars.json beside itself: linear codes as the widths of their bars and spaces in modules, beginning with a bar, which the tests
draw themselves at any angle. Writes NAME.png and barcodes.json, too: for each page, the codes with their format, text and corners (of the bars
or modules, without the quiet zone; pixels, x to the right, y down, from the page's top left), and which of them zxing-cpp itself
reads. The pages are drawn from a fixed seed; nothing is downloaded.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import zxingcpp
from PIL import Image, ImageFilter

HERE = Path(__file__).parent
assert version("zxing-cpp") == "3.1.1", version("zxing-cpp")

F = zxingcpp.BarcodeFormat
CODES = {
    "qr_code": (F.QRCode, "https://example.org/slides/42?stain=H%26E"),
    "data_matrix": (F.DataMatrix, "S26-001234 A1"),
    "ean_13": (F.EAN13, "4006381333931"),
    "ean_8": (F.EAN8, "96385074"),
    "upc_a": (F.UPCA, "036000291452"),
    "code_128": (F.Code128, "CASE-2026-0077"),
    "code_39": (F.Code39, "BLOCK-39"),
    "itf": (F.ITF, "12345670"),
    "pdf417": (F.PDF417, "Tray 7, slides 1 to 20"),
    "aztec": (F.Aztec, "TICKET 2026-0077"),
}
MATRICES = ("qr_code", "data_matrix", "pdf417", "aztec")
# Linear codes, each as it is written and, where that differs, as it reads; `gs1` is how GS1 writes what FNC1 separates.
BARS_OF = [
    ("ean_13", F.EAN13, "9780441014989"),
    ("ean_13", F.EAN13, "5901234123457"),
    ("ean_8", F.EAN8, "96385074"),
    ("ean_8", F.EAN8, "40170725"),
    ("upc_a", F.UPCA, "036000291452"),
    ("upc_a", F.UPCA, "012345678905"),
    ("upc_e", F.UPCE, "01234565"),
    ("upc_e", F.UPCE, "11234562"),
    ("code_128", F.Code128, "CASE-2026-0077"),
    ("code_128", F.Code128, "a"),
    ("code_128", F.Code128, "0123456789012345"),
    ("code_128", F.Code128, "Ab\t12é"),
    ("code_128", F.Code128, "(01)09501101530003(10)AB-123(21)12345", "010950110153000310AB-123\x1d2112345"),
    ("code_39", F.Code39, "BLOCK-39"),
    ("code_39", F.Code39, "A.B 12/3"),
    ("code_39", F.Code39, "+A+B12", "ab12"),
    ("code_93", F.Code93, "HELLO93"),
    ("code_93", F.Code93, "TEST/42"),
    ("itf", F.ITF, "12345670"),
    ("itf", F.ITF, "15400141288763"),
    ("codabar", F.Codabar, "A40156B"),
    ("codabar", F.Codabar, "C31117013206375D"),
]
MODULE = 3
BARS = 70


def drawn(name):
    """The code alone, black on white, cut to its bars."""
    format, text = CODES[name]
    image = np.array(zxingcpp.create_barcode(text, format).to_image(scale=MODULE))
    dark = image < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    cut = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    if name not in MATRICES:
        cut = Image.fromarray(np.repeat(np.array(cut)[len(np.array(cut)) // 4][None], BARS, 0))
    return cut


def widths(format, written):
    """The bars and spaces of a linear code, in modules, as digits."""
    image = np.array(zxingcpp.create_barcode(written, format, gs1=written.startswith("(")).to_image(scale=1))
    dark = image[len(image) // 4] < 128
    dark = dark[np.flatnonzero(dark)[0] : np.flatnonzero(dark)[-1] + 1]
    edges = [0, *(np.flatnonzero(np.diff(dark)) + 1), len(dark)]
    return "".join(map(str, np.diff(edges)))


def place(page, truth, name, centre, degrees, invert=False):
    """Puts a code onto the page, turned clockwise about its middle, with its quiet zone."""
    code = drawn(name)
    quiet = 12 * MODULE
    framed = Image.new("L", (code.width + 2 * quiet, code.height + 2 * quiet), 255)
    framed.paste(code, (quiet, quiet))
    if invert:
        framed = framed.point(lambda value: 255 - value)
    mask = Image.new("L", framed.size, 255)
    turn = dict(expand=True, resample=Image.Resampling.BICUBIC)
    framed, mask = framed.rotate(-degrees, **turn), mask.rotate(-degrees, **turn)
    left, top = round(centre[0] - framed.width / 2), round(centre[1] - framed.height / 2)
    page.paste(framed, (left, top), mask)
    middle = np.array([left + framed.width / 2, top + framed.height / 2])
    angle = np.radians(degrees)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array([code.width, code.height]) / 2
    corners = [middle + spin @ (half * sign) for sign in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    truth.append({
        "format": name, "text": CODES[name][1], "corners": [[round(float(v), 2) for v in c] for c in corners],
    })


def every_kind():
    page, truth = Image.new("L", (1300, 880), 255), []
    for index, name in enumerate(list(CODES)[:8]):
        place(page, truth, name, (330 + index % 2 * 640, 90 + index // 2 * 175), 0)
    return page, truth


def angles(names):
    page, truth = Image.new("L", (1000, 720), 235), []
    for index, (name, degrees) in enumerate(names):
        place(page, truth, name, (180 + index % 3 * 320, 180 + index // 3 * 350), degrees)
    return page, truth


def on_a_photograph(rng):
    """On a busy ground, out of focus, with noise and uneven light."""
    rough = rng.uniform(40, 220, (30, 40))
    page = Image.fromarray(rough.astype(np.uint8)).resize((960, 640), Image.Resampling.BICUBIC)
    truth = []
    place(page, truth, "qr_code", (200, 180), 12)
    place(page, truth, "data_matrix", (480, 160), 75)
    place(page, truth, "code_128", (560, 430), -4)
    page = page.filter(ImageFilter.GaussianBlur(0.6))
    light = np.linspace(0.55, 1.0, page.width)
    shown = np.asarray(page, float) * light + rng.normal(0, 4, (page.height, page.width))
    return Image.fromarray(shown.clip(0, 255).astype(np.uint8)), truth


def white_on_black():
    page, truth = Image.new("L", (420, 220), 0), []
    place(page, truth, "qr_code", (110, 110), 0, invert=True)
    place(page, truth, "data_matrix", (310, 110), 0, invert=True)
    return page, truth


def nothing(rng):
    return Image.fromarray(rng.integers(0, 256, (200, 300), dtype=np.uint8)), []


def main():
    bars = [{"format": name, "text": read[0] if read else written, "widths": widths(format, written)}
            for name, format, written, *read in BARS_OF]
    (HERE / "bars.json").write_text("[\n" + ",\n".join(map(json.dumps, bars)) + "\n]\n")
    rng = np.random.default_rng(26)
    pages = {
        "every-kind": every_kind(),
        "turned-squares": angles([("qr_code", 30), ("data_matrix", 45), ("data_matrix", 0),
                                  ("qr_code", 90), ("data_matrix", 200), ("qr_code", 255)]),
        "turned-bars": angles([("ean_13", 30), ("code_39", 45), ("ean_8", 60),
                               ("itf", 90), ("upc_a", 120), ("ean_8", 150)]),
        "turned-stacks": angles([("aztec", 90), ("pdf417", 30), ("pdf417", 115), ("aztec", 0), ("pdf417", 200)]),
        "photograph": on_a_photograph(rng),
        "white-on-black": white_on_black(),
        "noise": nothing(rng),
    }
    known = {}
    for name, (page, truth) in pages.items():
        page.save(HERE / f"{name}.png", optimize=True)
        read = {(str(code.format), code.text) for code in zxingcpp.read_barcodes(np.asarray(page))}
        known[name] = {"codes": truth, "zxing_cpp": sorted(text for _, text in read)}
    lines = [f"{json.dumps(name)}: {json.dumps(page)}" for name, page in known.items()]
    (HERE / "barcodes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
