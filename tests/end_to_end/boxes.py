"""`baleen run` learns the boxes around bright shapes: on held-out images they overlap, on any number of ranks they are the same."""

import csv
import json
import shutil

import numpy as np
from PIL import Image

from harness import call, expect, expect_same_results, main, result_digests


def draw(directory, name, count, seed):
    """Noisy photographs of different sizes with one bright ellipse each; returns its boxes."""
    rng = np.random.default_rng(seed)
    folder = directory / name
    folder.mkdir()
    boxes = {}
    for i in range(count):
        height, width = rng.integers(60, 120, 2)
        h, w = height * rng.uniform(0.3, 0.7), width * rng.uniform(0.3, 0.7)
        y0, x0 = rng.uniform(0, height - h), rng.uniform(0, width - w)
        y, x = np.mgrid[:height, :width] + 0.5
        inside = ((y - y0 - h / 2) / (h / 2)) ** 2 + ((x - x0 - w / 2) / (w / 2)) ** 2 <= 1
        pixels = rng.integers(0, 60, (height, width)) + 180 * inside
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}{i:03}.png")
        boxes[f"{name}{i:03}"] = (x0, y0, x0 + w, y0 + h)
    return boxes


def pack(directory, name):
    file = directory / f"{name}.yaml"
    file.write_text(f"output: packed-{name}\nsource: images\nimages: {name}\nextension: .png\nfit: squash\nsize_px: 32\n"
                    "channels: 1\n")
    call(["pack", file], directory)


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.clip(high - low, 0, None))
    return common / (np.prod(np.subtract(a[2:], a[:2])) + np.prod(np.subtract(b[2:], b[:2])) - common)


def mean_iou(file, boxes):
    with open(file) as lines:
        rows = list(csv.DictReader(lines))
    expect({row["Image"] for row in rows} == set(boxes), f"{file} has other images")
    return np.mean([iou(np.array([float(row[c]) for c in ("x0", "y0", "x1", "y1")]), np.array(boxes[row["Image"]]))
                    for row in rows])


def test(directory):
    boxes = draw(directory, "known", 280, 1)
    others = draw(directory, "new", 60, 2)
    lines = ["Image,x0,y0,x1,y1"] + [f"{name},{','.join(f'{v:.3f}' for v in box)}" for name, box in boxes.items()]
    (directory / "boxes.csv").write_text("\n".join(lines) + "\n")
    pack(directory, "known")
    pack(directory, "new")
    # A restart is a stage: weights go on, rate and optimizer start anew.
    stage = {"size_px": 32, "epochs": 12, "batch": 20, "optimizer": {"kind": "adam", "lr": 0.015},
             "schedule": {"kind": "cosine"}, "augment": {"flip_horizontal": True, "flip_vertical": True},
             "reestimate_batch_norm": True}
    recipe = {"name": "boxes", "run_dir": "run", "dataset": "packed-known", "test": "packed-new", "folds": {"count": 2},
              "task": {"kind": "boxes", "boxes_file": "boxes.csv"}, "loss": {"kind": "box_mse"},
              "backbones": [{"name": "box_regressor"}], "stages": [stage, stage]}
    file = directory / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    text = call(["run", file], directory, ranks=1)
    out_of_fold = mean_iou(directory / "run/boxes-oof.csv", boxes)
    new = mean_iou(directory / "run/boxes-test.csv", others)
    print(f"{text}\nIoU out of fold {out_of_fold:.3f}, on new images {new:.3f}")
    expect(out_of_fold > 0.6 and new > 0.6, "the boxes do not overlap")
    scores = json.loads((directory / "run/stack/scores.json").read_text())["candidates"][0]
    expect(abs(scores["oof_score"] - out_of_fold) < 0.005, f"the run says {scores}")
    page = (directory / "run/report.html").read_text()
    expect("IoU" in page and "(orange)" in page, "the report shows no boxes")
    call(["verify", "run"], directory)
    expect("complete" in call(["run", file], directory), "a complete run was not recognised")

    reference = result_digests(directory / "run")
    call(["run", file, "--run-dir", "again"], directory, ranks=2)
    expect_same_results(directory / "again", reference, "2 ranks")

    # What can't be: other losses, missing boxes, images of which only a part was kept.
    message = call(["plan", file, "--set", "loss.kind=bce"], directory, code=3)
    expect("a box per sample" in message, message)
    (directory / "boxes.csv").write_text("\n".join(lines[:-3]) + "\n")
    message = call(["plan", file], directory, code=4)
    expect("3 images" in message and "known277" in message, message)
    (directory / "boxes.csv").write_text("\n".join(lines[:3] + ["known002,5,5,x,9"]) + "\n")
    expect("boxes.csv:4: 'x' is no number" in call(["plan", file], directory, code=4), "a bad number")
    shutil.rmtree(directory / "packed-known")
    call(["pack", directory / "known.yaml", "--set", "fit=crop"], directory)
    message = call(["plan", file], directory, code=3)
    expect("fit: squash" in message, message)


main(test)
