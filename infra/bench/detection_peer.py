"""scikit-image, OpenCV or zxing-cpp, kept waiting: reads a request a line, answers with a line.

  detection_peer.py scikit-image|opencv|zxing-cpp

  {"load": FILE}                                   decodes the file                    → {}
  {"run": NAME, "given": PARAMETERS, "runs": N}    detects N times                     → {"count": OBJECTS}
  with "memory": true                              also how far the peak rose          → {"peak": BYTES}

What is measured starts from grey, in 0 to 1 or in 0 to 255 as the library wants it. A name is a function below: to measure
another, add it there and a row to detection.py. What a library cannot do it answers with {"error": …}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image


class ScikitImage:
    def __init__(self, pixels: np.ndarray) -> None:
        from skimage.color import rgb2gray

        self.pixels, self.grey = pixels, rgb2gray(pixels)

    def blob_log(self, **given):
        from skimage.feature import blob_log

        return blob_log(self.grey, **given)

    def blob_dog(self, **given):
        from skimage.feature import blob_dog

        return blob_dog(self.grey, **given)

    def blob_doh(self, **given):
        from skimage.feature import blob_doh

        return blob_doh(self.grey, **given)

    def corner_harris(self, sigma, k, **given):
        from skimage.feature import corner_harris, corner_peaks

        return corner_peaks(corner_harris(self.grey, k=k, sigma=sigma), **given)

    def corner_shi_tomasi(self, sigma, **given):
        from skimage.feature import corner_peaks, corner_shi_tomasi

        return corner_peaks(corner_shi_tomasi(self.grey, sigma=sigma), **given)

    def nuclei(self):
        """Deconvolution, Laplacian of Gaussian, watershed: what the tests count nuclei with."""
        sys.path.insert(0, str(Path(__file__).parents[2] / "tests/references"))
        from nuclei_detection import count_nuclei

        return range(count_nuclei(self.pixels))


class OpenCV:
    def __init__(self, pixels: np.ndarray) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.cv2, self.grey = cv2, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)

    def cornerHarris(self, block, aperture, k):  # noqa: N802
        """The response alone: no peaks."""
        return self.cv2.cornerHarris(self.grey, block, aperture, k)[:0]

    def goodFeaturesToTrack(self, corners, quality, distance):  # noqa: N802
        return self.cv2.goodFeaturesToTrack(self.grey, corners, quality, distance)

    def FAST(self, threshold):  # noqa: N802
        return self.cv2.FastFeatureDetector_create(threshold, True).detect(self.grey)

    def ORB(self, points):  # noqa: N802
        return self.cv2.ORB_create(points).detect(self.grey)


class ZXing:
    def __init__(self, pixels: np.ndarray) -> None:
        self.grey = np.asarray(Image.fromarray(pixels).convert("L"))

    def read_barcodes(self):
        import zxingcpp

        return zxingcpp.read_barcodes(self.grey)


def memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def main(name: str) -> None:
    kind = {"scikit-image": ScikitImage, "opencv": OpenCV, "zxing-cpp": ZXing}[name]
    library = None
    print("{}", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict = {}
        try:
            if "load" in request:
                with Image.open(request["load"]) as image:
                    library = kind(np.asarray(image.convert("RGB")))
            else:
                if request.get("memory"):
                    Path("/proc/self/clear_refs").write_text("5")
                    start = memory("VmRSS")
                for _ in range(request["runs"]):
                    found = getattr(library, request["run"])(**request["given"])
                answer["count"] = len(found)
                if request.get("memory"):
                    answer["peak"] = memory("VmHWM") - start
        except Exception as error:  # whatever the library makes of it, the others go on
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
