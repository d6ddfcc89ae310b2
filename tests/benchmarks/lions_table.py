#!/usr/bin/env python3
"""How well lions that training never saw are recognised, by loss, over seeds, fused, and by part of the body, beside references
that need no training: the tables of docs/re-identification.md.

    build/venv/bin/python tests/benchmarks/lions_table.py --baleen build/release/bin/baleen --lions lion --work lions

Trains fold 0 of experiments/recipes/lions.yaml with shorter stages, and of lions-siamese.yaml, on one rank with one thread, once per model
and seed; a model that was trained into --work before is not trained again. Each image of val asks all others: recall@1, and mAP@5, the mean of
1 / place of the right lion among the five first lions met.
"""

import pathlib

import numpy as np
import torch
import torchvision
from PIL import Image

from retrieval_table import RECIPES, mapped, measure, parser_for, prepare

MARGIN = RECIPES / "lions.yaml"
SIAMESE = RECIPES / "lions-siamese.yaml"
# A third of the recipes' steps: on so few photographs more of them learn the same.
COLOURS = ", brightness: 0.4, contrast: 0.4, gamma: 0.4, saturation: 0.5"


def stage(epochs, batch, more="", colours=COLOURS):
    return (f"stages=[{{size_px: 64, epochs: {epochs}, batch: {batch}, optimizer: {{kind: adamw, lr: 0.0005, weight_decay: 0.01}}, "
            f"schedule: {{kind: cosine, warmup_steps: 40}}, augment: {{flip_horizontal: true, random_crop: resized{colours}}}{more}}}]")


DIVIDED = ["metric.divide.learners=2", "metric.divide.every_epochs=4"]
ARCFACE = ["metric.losses=[{kind: arcface}]"]
MODELS = {
    "margin": (MARGIN, [stage(24, 32)]),
    "margin, colours as they are": (MARGIN, [stage(24, 32, colours="")]),
    "margin, D&C of 2": (MARGIN, [stage(24, 32), *DIVIDED]),
    "ArcFace": (MARGIN, [stage(24, 32), *ARCFACE]),
    "siamese + LAP, whole recipe": (SIAMESE, []),
    "margin, whole recipe": (MARGIN, []),
}
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


def cosines(features):
    return unit(features) @ unit(features).T


def places(scores, names):
    """Each image's place of the right lion among lions, by its nearest image; 0: it has no other image."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    found = []
    for row, name in zip(scores, names):
        met = dict.fromkeys(names[other] for other in np.argsort(-row, kind="stable")[:-1])
        found.append(list(met).index(name) + 1 if name in met else 0)
    return np.array(found)


def same_part(scores, parts):
    """How often the nearest image shows the same part of the body."""
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    return np.mean(parts[scores.argmax(axis=1)] == parts)


def summary(found):
    found = found[found > 0]
    return f"{np.mean(found == 1):.3f} / {np.mean(np.where(found <= 5, 1 / found, 0)):.3f}"


def main():
    parser = parser_for(__doc__, MODELS)
    parser.add_argument("--lions", type=pathlib.Path, required=True, help="the folder with train and val")
    parser.add_argument("--size", type=int, default=64, help="side in pixels for the references")
    arguments = parser.parse_args()
    arguments.lions = arguments.lions.resolve()
    prepare(arguments, "lions", arguments.lions, [("../../lion\n", f"{arguments.lions}\n")])
    files = sorted((arguments.lions / "val").glob("*/*.png"))
    names = [file.parent.name for file in files]
    scores = {"pixels": [cosines(pixels(files, arguments.size))], "untrained": [cosines(untrained(files, arguments.size))],
              "colours": [cosines(colours(files))]}
    ids, distances = measure(arguments, MODELS, "resnet18-f0-s{seed}")
    order = [ids.index(file.relative_to(arguments.lions).as_posix()) for file in files]
    for model in arguments.models:
        scores[model] = [mapped(distances[model, seed])[np.ix_(order, order)] for seed in arguments.seeds]
    if len(arguments.models) > 1:
        scores["fused"] = [sum(scores[model][i] for model in arguments.models) for i in range(len(arguments.seeds))]
    parts = np.array([part_of(file) for file in files])
    found = {name: [places(one, names) for one in each] for name, each in scores.items()}
    print(f"\n{'recall@1 / mAP@5':18} {'images':>6} " + " ".join(f"{name:>17}" for name in found))
    for part in ("all", *PARTS, "other"):
        here = parts == part if part != "all" else np.ones(len(files), bool)
        if here.any():
            cells = (summary(np.concatenate([one[here] for one in each])) for each in found.values())
            print(f"{part:18} {here.sum():6} " + " ".join(f"{cell:>17}" for cell in cells))
    chance = np.mean([(np.sum(parts == part) - 1) / (len(parts) - 1) for part in parts])
    shares = (np.mean([same_part(one, parts) for one in each]) for each in scores.values())
    print(f"{'nearest: same part':18} {chance:6.2f} " + " ".join(f"{share:17.2f}" for share in shares) + "  (first: by chance)")


if __name__ == "__main__":
    main()
