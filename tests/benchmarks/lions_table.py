#!/usr/bin/env python3
"""How well lions that training never saw are recognised, by part of the body, beside references that need no training.

    build/venv/bin/python tests/benchmarks/lions_by_part.py lion/val runs/lions/chains/resnet18-f0-s1/oof.h5 ...

Each image asks all others, by cosine: recall@1, and mAP@5, the mean of 1 / place of the right lion among the five first lions met.
"""

import argparse
import pathlib
import statistics

import h5py
import numpy as np
import torch
import torchvision
from PIL import Image

PARTS = ("face", "portrait", "ear", "whiskers", "nose", "teeth", "body")


def part_of(file):
    name = file.stem.lower()
    return next((part for part in PARTS if part in name), "other")


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def pixels(files, size):
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((size, size), Image.BILINEAR), np.float32).ravel() for file in files])


def colours(files):
    """Square roots of the shares of 8 x 8 x 8 colours: their cosine is the Bhattacharyya coefficient."""
    rows = []
    for file in files:
        image = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3) // 32
        counts = np.bincount(image @ [64, 8, 1], minlength=512)
        rows.append(np.sqrt(counts / counts.sum()))
    return np.stack(rows)


def untrained(files, size):
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    network.fc = torch.nn.Identity()
    images = torch.from_numpy(pixels(files, size).reshape(-1, size, size, 3)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return network((images - 0.45) / 0.225).numpy()


def places(features, names):
    """Each image's place of the right lion among lions, by its nearest image; 0: it has no other image."""
    scores = unit(features) @ unit(features).T
    np.fill_diagonal(scores, -np.inf)
    found = []
    for row, name in zip(scores, names):
        met = dict.fromkeys(names[other] for other in np.argsort(-row, kind="stable")[:-1])
        found.append(list(met).index(name) + 1 if name in met else 0)
    return np.array(found)


def summary(found):
    found = found[found > 0]
    return f"{np.mean(found == 1):.3f} / {np.mean(np.where(found <= 5, 1 / found, 0)):.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("embeddings", nargs="*", help="oof.h5 of finished chains")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    files = sorted(options.folder.glob("*/*.png"))
    names = [file.parent.name for file in files]
    rows = {"pixels": pixels(files, options.size), "untrained": untrained(files, options.size), "colours": colours(files)}
    for number, embedding in enumerate(options.embeddings, 1):
        with h5py.File(embedding) as file:
            row_of = {name.decode(): row for row, name in enumerate(file["ids"][:])}
            values = file["predictions"][:]
        rows[f"trained {number}"] = values[[row_of[file.relative_to(options.folder.parent).as_posix()] for file in files]]
    parts = np.array([part_of(file) for file in files])
    found = {name: places(values, names) for name, values in rows.items()}
    print(f"{'recall@1 / mAP@5':18} {'images':>6} " + " ".join(f"{name:>15}" for name in found))
    for part in ("all", *PARTS, "other"):
        here = parts == part if part != "all" else np.ones(len(files), bool)
        if here.any():
            print(f"{part:18} {here.sum():6} " + " ".join(f"{summary(values[here]):>15}" for values in found.values()))
    trained = [np.mean(values == 1) for name, values in found.items() if name.startswith("trained")]
    if len(trained) > 1:
        print(f"trained: recall@1 {statistics.mean(trained):.3f} ± {statistics.stdev(trained):.3f} of {len(trained)}")


if __name__ == "__main__":
    main()
