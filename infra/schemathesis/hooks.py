"""What Schemathesis cannot know of Darkroom: what an image is, which addresses to name, which job there is.

Only requests that fit the description are changed. Those that are meant to be refused go out as they were drawn.
"""

from __future__ import annotations

import itertools
import os
import struct
import zlib

import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode

FORMS = itertools.cycle(["poi_detection", "poi_detection.csv", "poi_detection.geojson", "poi_detection.png"])
KEYS = itertools.count()


def png(width: int, height: int, grey: int) -> bytes:
    """A picture of one grey."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([grey]) * width) * height
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


pictures = strategies.builds(
    png, strategies.integers(1, 32), strategies.integers(1, 32), strategies.integers(0, 255)
)
schemathesis.openapi.media_type("image/png", pictures)
schemathesis.openapi.media_type("application/octet-stream", pictures)
schemathesis.openapi.format("binary", pictures)
schemathesis.openapi.format("media-type", strategies.sampled_from(["image/png", "application/octet-stream"]))
# Nobody listens on port 9 of this machine, and no request leads away from it.
addresses = ["http://127.0.0.1:9/picture.png", "https://127.0.0.1:9/picture"]
schemathesis.openapi.format("uri", strategies.sampled_from(addresses))


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    phase = case.meta.phase.name.value
    # A random id names no job. In the last phase ids come from earlier answers.
    if phase != "stateful" and case.operation.method.lower() == "get" and "id" in case.path_parameters:
        case.path_parameters["id"] = os.environ["DARKROOM_JOB"]
        if "algorithm" in case.path_parameters:
            case.path_parameters["algorithm"] = next(FORMS)
    # Nearly every request of this phase has the same key, and all but the first would be refused for that alone.
    if phase == "coverage" and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"coverage-{next(KEYS)}"
    # What stands in the body and in the query is given twice, which is refused.
    if isinstance(case.body, dict):
        for name in case.body.keys() & case.query.keys():
            del case.query[name]
