"""`baleen run` learns which pixels are the subject: masks of held-out images overlap with the drawn ones."""

import json

import numpy as np
from PIL import Image

from harness import call, expect, main


def draw(directory, name, count, seed):
    """Noisy photographs of different sizes with a bright ellipse (a few without), and masks of those."""
    rng = np.random.default_rng(seed)
    for folder in (name, f"{name}-masks"):
        (directory / folder).mkdir()
    for i in range(count):
        height, width = rng.integers(40, 90, 2)
        h, w = height * rng.uniform(0.3, 0.7), width * rng.uniform(0.3, 0.7)
        y0, x0 = rng.uniform(0, height - h), rng.uniform(0, width - w)
        y, x = np.mgrid[:height, :width] + 0.5
        inside = ((y - y0 - h / 2) / (h / 2)) ** 2 + ((x - x0 - w / 2) / (w / 2)) ** 2 <= 1
        inside &= i % 20 != 0
        pixels = rng.integers(0, 120, (height, width)) + 110 * inside
        Image.fromarray(pixels.astype(np.uint8)).save(directory / name / f"{name}{i:03}.png")
        Image.fromarray((255 * inside).astype(np.uint8)).save(directory / f"{name}-masks" / f"{name}{i:03}.png")
    file = directory / f"{name}.yaml"
    file.write_text(f"output: packed-{name}\nsource: images\nimages: {name}\nextension: .png\nfit: squash\nsize_px: 32\n"
                    "channels: 1\n")
    call(["pack", file], directory)


def mean_iou(found, truth):
    files = sorted(truth.iterdir())
    expect([f.name for f in files] == sorted(f.name for f in found.iterdir()), f"{found} has other images")
    values = []
    for file in files:
        a, b = (np.asarray(Image.open(f)) for f in (found / file.name, file))
        expect(a.shape == b.shape and set(np.unique(a)) <= {0, 255}, f"{file.name}: no mask of the image's size")
        together = ((a > 127) | (b > 127)).sum()
        values.append(((a > 127) & (b > 127)).sum() / together if together else 1)
    return np.mean(values)


def test(directory):
    draw(directory, "known", 120, 1)
    draw(directory, "new", 40, 2)
    recipe = {"name": "masks", "run_dir": "run", "dataset": "packed-known", "test": "packed-new", "folds": {"count": 2},
              "task": {"kind": "masks", "masks": "known-masks"}, "loss": {"kind": "bce_dice"},
              "backbones": [{"name": "unet"}],
              "stages": [{"size_px": 32, "epochs": 10, "batch": 8, "optimizer": {"kind": "adam", "lr": 0.003},
                          "augment": {"d4": True}}],
              "training": {"logical_shards": 2}}
    file = directory / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    text = call(["run", file], directory, ranks=1)
    out_of_fold = mean_iou(directory / "run/masks-oof", directory / "known-masks")
    new = mean_iou(directory / "run/masks-test", directory / "new-masks")
    print(f"{text}\nIoU out of fold {out_of_fold:.3f}, on new images {new:.3f}")
    expect(out_of_fold > 0.7 and new > 0.7, "the masks do not overlap")
    page = (directory / "run/report.html").read_text()
    expect("IoU" in page and "(orange where alone)" in page, "the report shows no masks")
    call(["verify", "run"], directory)
    call(["run", file, "--run-dir", "again"], directory, ranks=2)
    for found in sorted((directory / "run/masks-test").iterdir()):
        expect(found.read_bytes() == (directory / "again/masks-test" / found.name).read_bytes(), f"2 ranks: {found.name}")

    # What was found serves to pack: the background of the new images becomes their mean colour.
    text = call(["pack", directory / "new.yaml", "--set", "output=cut", "--set", "mask_dir=run/masks-test"], directory)
    expect("40 samples" in text and "no mask" not in text, text)
    expect("cut" in call(["verify", "cut"], directory), "verify says nothing")

    message = call(["plan", file, "--set", "backbones=[{name: resnet18}]"], directory, code=3)
    expect("unet" in message, message)
    (directory / "known-masks/known007.png").unlink()
    message = call(["plan", file], directory, code=4)
    expect("1 images" in message and "007.png" in message, message)


main(test)
