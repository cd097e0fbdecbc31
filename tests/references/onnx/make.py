#!/usr/bin/env python3
"""Builds small detectors in ONNX whose weights are worked out by hand, and what onnxruntime finds with them.

    python3 -m venv /tmp/onnx
    /tmp/onnx/bin/pip install --requirement tests/references/onnx/requirements.txt
    /tmp/onnx/bin/python tests/references/onnx/make.py

Writes beside itself, from a fixed seed and without downloading anything:

- LAYOUT.onnx and LAYOUT.json for each layout of outputs that `onnx_detection` reads: the same detector every time
- few.png and many.png: red squares and blue discs, and green ones of both that no class is for
- findings.json: what was drawn, and of few.png what onnxruntime finds with each model, prepared and read by the code below

The detector: redness and blueness are weighted sums of the channels. At every second pixel a convolution over 17 × 17 gives
their mass and its first moments, so where its centre lies. The box is centred there; its side follows from the mass. The
score falls with the distance to the centre, and is high where there is much mass.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
for line in (HERE / "requirements.txt").read_text().splitlines():
    if not line.startswith("#"):
        name, pinned = line.split("==")
        assert version(name) == pinned, (name, version(name))

SIDE = 64
STRIDE = 2
REACH = 8
CLASSES = ["square", "disc"]
CELLS = SIDE // STRIDE
# One thing lies in a square of so many pixels, so that no window sees two of them.
CELL = 32


# --- the detector


class Graph:
    """Nodes and constants in the order of their making."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, type=np.float32):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=type), name))
        return name

    def __call__(self, operator, *inputs, outputs=1, name=None, **attributes):
        names = [name or f"{operator.lower()}_{len(self.nodes)}"] if outputs == 1 else list(outputs)
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names


def detector(graph, pixels):
    """From pixels, 0 to 1 in [1, 3, SIDE, SIDE], to centres and sides [1, 4, N], and scores [1, 2, N]."""
    colours = np.array([[1, -0.5, -0.5], [-0.5, -0.5, 1]])[:, :, None, None]
    colour = graph("Conv", pixels, graph.constant(colours), graph.constant([-0.25, -0.25]))
    # What is nearly as red or as blue as can be has mass 1, the edges less.
    mass = graph("Clip", graph("Mul", colour, graph.constant(2.0)), graph.constant(0.0), graph.constant(1.0))
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(float)
    # The centre of the window is the centre of its middle pixel.
    moments = np.stack([np.ones_like(x), x, y])
    weights = np.concatenate([moments, moments])[:, None]
    sums = graph("Conv", mass, graph.constant(weights), group=2, strides=[STRIDE] * 2, pads=[REACH] * 4)
    parts = graph("Split", sums, graph.constant([1] * 6, np.int64), axis=1, outputs=[f"sum_{i}" for i in range(6)])
    all_mass = graph("Add", graph("Add", parts[0], parts[3]), graph.constant(1e-3))
    x_off = graph("Div", graph("Add", parts[1], parts[4]), all_mass)
    y_off = graph("Div", graph("Add", parts[2], parts[5]), all_mass)
    row, column = np.mgrid[:CELLS, :CELLS] * float(STRIDE) + 0.5
    x_at = graph("Add", x_off, graph.constant(column[None, None]))
    y_at = graph("Add", y_off, graph.constant(row[None, None]))
    # A disc of the mass m is sqrt(4 m / π) across.
    of_discs = graph("Mul", parts[3], graph.constant(4 / np.pi))
    side = graph("Sqrt", graph("Add", graph("Add", parts[0], of_discs), graph.constant(1e-3)))
    off = graph("Add", graph("Mul", x_off, x_off), graph("Mul", y_off, y_off))
    centred = graph("Exp", graph("Mul", off, graph.constant(-0.25)))
    scores = []
    for part in (parts[0], parts[3]):
        much = graph("Div", part, graph("Add", part, graph.constant(9.0)))
        scores.append(graph("Mul", much, centred))
    flat = graph.constant([1, -1, CELLS * CELLS], np.int64)
    boxes = graph("Reshape", graph("Concat", x_at, y_at, side, side, axis=1), flat)
    return boxes, graph("Reshape", graph("Concat", *scores, axis=1), flat)


def corners(graph, boxes):
    """Centres and sides [1, 4, N] as corners [1, N, 4]."""
    rows = graph("Transpose", boxes, perm=[0, 2, 1])
    halves = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]], dtype=float).T
    return graph("MatMul", rows, graph.constant(halves))


def kept(graph, boxes, scores):
    """What non-maximum suppression keeps [K, 3]: batch, class, index."""
    return graph(
        "NonMaxSuppression",
        boxes,
        scores,
        graph.constant([50], np.int64),
        graph.constant([0.4]),
        graph.constant([0.3]),
    )


def yolov8(graph, boxes, scores):
    graph("Concat", boxes, scores, axis=1, name="output0")
    return {"output0": [1, 4 + len(CLASSES), CELLS * CELLS]}


def yolov5(graph, boxes, scores):
    """The score is the product of two numbers, as it is there."""
    objectness = graph("Sqrt", graph("ReduceMax", scores, axes=[1], keepdims=1))
    of_class = graph("Div", scores, graph("Add", objectness, graph.constant(1e-6)))
    columns = graph("Concat", boxes, objectness, of_class, axis=1)
    graph("Transpose", columns, perm=[0, 2, 1], name="output")
    return {"output": [1, CELLS * CELLS, 5 + len(CLASSES)]}


def end_to_end(graph, boxes, scores):
    """The fifty best of either class, suppressed by nothing but their neighbours."""
    peaks = graph("MaxPool", graph("Reshape", scores, graph.constant([1, 2, CELLS, CELLS], np.int64)), kernel_shape=[9, 9], pads=[4] * 4)
    peaks = graph("Reshape", peaks, graph.constant([1, 2, -1], np.int64))
    is_peak = graph("Cast", graph("Equal", peaks, scores), to=TensorProto.FLOAT)
    flat = graph("Reshape", graph("Mul", scores, is_peak), graph.constant([1, -1], np.int64))
    best, index = graph("TopK", flat, graph.constant([50], np.int64), axis=1, outputs=["best", "index"])
    count = graph.constant(CELLS * CELLS, np.int64)
    of_class = graph("Div", index, count)
    cell = graph("Sub", index, graph("Mul", of_class, count))
    rows = graph("Gather", corners(graph, boxes), graph("Reshape", cell, graph.constant([-1], np.int64)), axis=1)
    column = graph.constant([1, -1, 1], np.int64)
    label = graph("Cast", of_class, to=TensorProto.FLOAT)
    graph("Concat", rows, graph("Reshape", best, column), graph("Reshape", label, column), axis=2, name="detections")
    return {"detections": [1, 50, 6]}


def separate(graph, boxes, scores):
    """As torchvision has it: how many there are depends on the picture, and classes count from 1."""
    boxes = corners(graph, boxes)
    picked = kept(graph, boxes, scores)
    label, index = (graph("Gather", picked, graph.constant(i, np.int64), axis=1) for i in (1, 2))
    graph("Gather", graph("Squeeze", boxes, graph.constant([0], np.int64)), index, axis=0, name="boxes")
    count = graph.constant(CELLS * CELLS, np.int64)
    flat = graph("Reshape", scores, graph.constant([-1], np.int64))
    graph("Gather", flat, graph("Add", graph("Mul", label, count), index), axis=0, name="scores")
    graph("Add", label, graph.constant(1, np.int64), name="labels")
    return {"boxes": ["K", 4], "scores": ["K"], "labels": ["K"]}


LAYOUTS = {
    yolov8: {"layout": "yolov8"},
    yolov5: {"layout": "yolov5"},
    end_to_end: {"layout": "end_to_end"},
    separate: {
        "layout": "separate",
        "boxes": "boxes",
        "scores": "scores",
        "labels": "labels",
        "first_class": 1,
    },
}


def build(layout):
    graph = Graph()
    shapes = layout(graph, *detector(graph, "images"))
    pixels = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if name == "labels" else TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    whole = helper.make_graph(graph.nodes, layout.__name__, [pixels], outputs, graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], producer_name="darkroom")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    (HERE / f"{layout.__name__}.onnx").write_bytes(model.SerializeToString())
    description = {
        "input": {"width": SIDE, "height": SIDE, "fit": "letterbox"},
        "output": LAYOUTS[layout],
        "classes": CLASSES,
        "min_score": 0.5,
    }
    (HERE / f"{layout.__name__}.json").write_text(json.dumps(description, indent=2) + "\n")
    return model, description


# --- the pictures


def draw(rng, width, height, count):
    """Squares and discs that lie apart, with edges as a camera has them, on a grey ground."""
    samples = 8
    ground = Image.new("RGB", (width * samples, height * samples), (120, 120, 120))
    pen = ImageDraw.Draw(ground)
    truth = []
    cells = [(x, y) for y in range(height // CELL) for x in range(width // CELL)]
    for place in rng.permutation(cells)[:count]:
        at = (place + rng.uniform(0.36, 0.64, 2)) * CELL
        side = rng.uniform(8, 13)
        kind = rng.choice(4, p=[0.35, 0.35, 0.15, 0.15])
        box = [float(v) * samples for v in (*(at - side / 2), *(at + side / 2))]
        shape = [pen.rectangle, pen.ellipse][kind % 2]
        shape(box, fill=[(230, 20, 30), (20, 30, 235), (30, 160, 40), (40, 170, 30)][kind])
        if kind < 2:
            truth.append([round(float(at[0]), 3), round(float(at[1]), 3), round(float(side), 3), CLASSES[kind]])
    return ground.resize((width, height), Image.Resampling.BOX), truth


# --- what onnxruntime finds


def prepared(image):
    """The picture reduced or enlarged to fit, in the middle of a grey square; and how to get back."""
    scale = min(SIDE / image.width, SIDE / image.height)
    width, height = (max(1, int(side * scale + 0.5)) for side in image.size)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square = Image.new("RGB", (SIDE, SIDE), (114, 114, 114))
    square.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    pixels = np.asarray(square, dtype=np.float32).transpose(2, 0, 1)[None] * np.float32(1 / 255)
    return pixels, (left, top, image.width / width, image.height / height)


def rows_of(outputs, layout):
    """What a model gives as (x1, y1, x2, y2, score, class)."""
    match layout:
        case "yolov8" | "yolov5":
            rows = outputs[0][0].T if layout == "yolov8" else outputs[0][0]
            scores = rows[:, 4:] if layout == "yolov8" else rows[:, 4:5] * rows[:, 5:]
            half = rows[:, 2:4] / 2
            boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)
            label = scores.argmax(1)
            return np.column_stack([boxes, scores[np.arange(len(label)), label], label])
        case "end_to_end":
            return outputs[0][0]
        case "separate":
            boxes, scores, labels = outputs
            return np.column_stack([boxes, scores, labels - 1])


def overlap(a, b):
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return across / (area(a) + area(b) - across)


def found(model, image, description):
    """Centre, width, height, score and class, strongest first, as `onnx_detection` gives them."""
    pixels, (left, top, across, down) = prepared(image)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = rows_of(session.run(None, {"images": pixels}), description["output"]["layout"]).astype(float)
    rows = rows[rows[:, 4] >= description["min_score"]]
    rows[:, [0, 2]] = np.clip((rows[:, [0, 2]] - left) * across, 0, image.width)
    rows[:, [1, 3]] = np.clip((rows[:, [1, 3]] - top) * down, 0, image.height)
    # What these answer, the model has suppressed itself.
    if description["output"]["layout"] == "end_to_end" or "labels" in description["output"]:
        limit = 1
    else:
        limit = 0.45
    keep = []
    for row in sorted(rows.tolist(), key=lambda row: -row[4]):
        if all(row[5] != other[5] or overlap(row, other) <= limit for other in keep):
            keep.append(row)
    return [
        [*(round(v, 3) for v in ((a + c) / 2, (b + d) / 2, c - a, d - b)), round(score, 5), CLASSES[int(label)]]
        for a, b, c, d, score, label in keep
    ]


def main():
    rng = np.random.default_rng(4)
    few, few_truth = draw(rng, 97, 70, 6)
    many, many_truth = draw(rng, 330, 250, 56)
    few.save(HERE / "few.png", optimize=True)
    many.save(HERE / "many.png", optimize=True)
    models = {layout.__name__: build(layout) for layout in LAYOUTS}
    findings = {
        "few": few_truth,
        "many": many_truth,
        "onnxruntime": {name: found(model, few, description) for name, (model, description) in models.items()},
    }
    lines = json.dumps(findings).replace("], [", "],\n  [").replace('], "', '],\n "')
    (HERE / "findings.json").write_text(lines + "\n")
    for name, rows in findings["onnxruntime"].items():
        print(name, len(rows), rows[:2])


if __name__ == "__main__":
    main()
