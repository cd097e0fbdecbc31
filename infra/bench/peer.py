"""One library of Python's, kept waiting: reads a request a line, answers with a line.

  peer.py pillow|pyvips|opencv

  {"load": FILE, "copies": N}                 takes the file into memory                    → {}
  {"runs": N, "options": …, "animated": BOOL} makes the thumbnail N times from those bytes  → {"bytes": …}
  with "out": FILE                            also writes it there
  with "memory": true                         also how far the peak rose above the start    → {"peak": BYTES}

Each library is used as its manual says that one should for a thumbnail, with one thread and without caches. What a
library cannot do it answers with {"error": …}.
"""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path


def cover(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of the picture that has the target's shape, in the middle: left, top, right, bottom."""
    (width, height), (wide, high) = size, target
    scale = min(width / wide, height / high)
    left, top = (width - wide * scale) / 2, (height - high * scale) / 2
    return left, top, left + wide * scale, top + high * scale


def pillow():
    from PIL import Image, ImageSequence

    Image.MAX_IMAGE_PIXELS = None

    def view(image, size, fit, gap=2.0):
        box = cover(image.size, size) if fit == "cover" else (0, 0, *image.size)
        if image.mode not in ("L", "RGB"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=gap)

    def run(data, size, fit, form, quality, animated):
        image = Image.open(BytesIO(data))
        out = BytesIO()
        if animated:
            frames = [view(frame, size, fit) for frame in ImageSequence.Iterator(image)]
            frames[0].save(out, form, save_all=True, append_images=frames[1:], loop=0, quality=quality,
                           duration=image.info.get("duration", 100))
            return out.getvalue()
        scale = max(size[0] / image.width, size[1] / image.height) * 2
        image.draft(None, (int(image.width * scale), int(image.height * scale)))
        shown = view(image, size, fit)
        if form == "png":
            shown.save(out, "PNG", compress_level=1)
        else:
            shown.convert("RGB").save(out, "JPEG", quality=quality)
        return out.getvalue()

    return run


def pyvips():
    import pyvips

    pyvips.cache_set_max(0)

    def run(data, size, fit, form, quality, animated):
        width, height = size
        how = {"crop": "centre"} if fit == "cover" else {"size": "force"}
        if animated:
            image = cropped_pages(data, size)
            return image.webpsave_buffer(Q=quality) if form == "webp" else image.gifsave_buffer()
        image = pyvips.Image.thumbnail_buffer(data, width, height=height, **how)
        if form == "png":
            return image.pngsave_buffer(compression=1)
        return image.jpegsave_buffer(Q=quality)

    def cropped_pages(data, size):
        # thumbnail_buffer crops no animation: reduce to cover the size, then crop every page.
        first = pyvips.Image.new_from_buffer(data, "")
        scale = max(size[0] / first.width, size[1] / first.height)
        width, height = round(first.width * scale), round(first.height * scale)
        image = pyvips.Image.thumbnail_buffer(data, width, height=height, size="force", option_string="n=-1")
        image, left, top = image.copy_memory(), (width - size[0]) // 2, (height - size[1]) // 2
        pages = [page.crop(left, top, *size) for page in image.pagesplit()]
        return pages[0].pagejoin(pages[1:])

    return run


def opencv():
    import cv2
    import numpy

    cv2.setNumThreads(1)
    reduced = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}

    def view(image, size, fit):
        left, top, right, bottom = (
            cover((image.shape[1], image.shape[0]), size) if fit == "cover" else (0, 0, image.shape[1], image.shape[0])
        )
        part = image[round(top):round(bottom), round(left):round(right)]
        return cv2.resize(part, size, interpolation=cv2.INTER_AREA)

    def run(data, size, fit, form, quality, animated, shape=None):
        array = numpy.frombuffer(data, numpy.uint8)
        if animated:
            ok, animation = cv2.imdecodeanimation(array)
            if not ok:
                raise ValueError("imdecodeanimation refuses it")
            animation.frames = [view(frame, size, fit) for frame in animation.frames]
            given = [cv2.IMWRITE_WEBP_QUALITY, quality] if form == "webp" else []
            ok, out = cv2.imencodeanimation(f".{form}", animation, given)
            return out.tobytes()
        # OpenCV has no way to ask for the size alone: Pillow's header reader stands in, outside what is measured.
        spare = min(shape[0] / size[0], shape[1] / size[1]) / 2
        flag = next((reduced[by] for by in (8, 4, 2) if by <= spare), cv2.IMREAD_COLOR)
        image = cv2.imdecode(array, flag)
        if image is None:
            raise ValueError("imdecode refuses it")
        shown = view(image, size, fit)
        if form == "png":
            return cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()

    return run


def memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def main(name: str) -> None:
    run = {"pillow": pillow, "pyvips": pyvips, "opencv": opencv}[name]()
    data, extra = b"", {}
    print("{}", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict = {}
        if "load" in request:
            data = Path(request["load"]).read_bytes()
            extra = {"shape": tuple(request["shape"])} if name == "opencv" else {}
            print("{}", flush=True)
            continue
        options = request["options"]
        arguments = ((options["width"], options["height"]), options["fit"], options["format"],
                     options["quality"], request["animated"])
        if request.get("memory"):
            Path("/proc/self/clear_refs").write_text("5")
            start = memory("VmRSS")
        try:
            for _ in range(request["runs"]):
                made = run(data, *arguments, **extra)
            answer["bytes"] = len(made)
            if request.get("memory"):
                answer["peak"] = memory("VmHWM") - start
            if request.get("out"):
                Path(request["out"]).write_bytes(made)
        except Exception as error:  # whatever the library makes of it, the others go on
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
