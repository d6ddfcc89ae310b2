#!/usr/bin/env python3
"""The references of docs/re-identification.md's table: pixels, an untrained network, and margin loss by PyTorch.

    python3 tests/benchmarks/omniglot_reference.py --zip images_background_small1.zip

Trains what experiments/recipes/omniglot.yaml does with PyTorch and pytorch-metric-learning: four blocks of convolution, norm, ReLU and
pooling with 64, 64, 128 and 128 channels, embeddings of 64 numbers, margin loss with distance-weighted mining, batches of 16
characters with four drawings each, AdamW. Every drawing of Korean and Latin, which training does not see, asks who else is on
it: recall@1 and mAP@5 over five distinct answers, by cosine. Needs numpy, Pillow, torch and pytorch-metric-learning.
"""

import argparse
import io
import pathlib
import time
import zipfile

import numpy as np
import torch
from PIL import Image
from pytorch_metric_learning import losses, miners, samplers

SIZE_PX = 32
WIDTHS = (64, 64, 128, 128)
EMBEDDING = 64
BATCH = 64
PER_CHARACTER = 4
JUDGED_ALPHABETS = ("Korean", "Latin")  # as launch/list_individuals.py has it


def read_drawings(file):
    """Drawings [N, 1, 32, 32] with white paper at 0, numbers of their characters, and which are judged."""
    drawings, characters, judged = [], [], []
    with zipfile.ZipFile(file) as archive:
        for entry in sorted(archive.namelist()):
            parts = pathlib.PurePosixPath(entry).parts  # set/alphabet/character/drawing.png
            if len(parts) != 4 or not entry.endswith(".png"):
                continue
            with Image.open(io.BytesIO(archive.read(entry))) as image:
                small = image.convert("L").resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR)
            drawings.append(np.asarray(small, np.float32) / 255 - 1)
            characters.append(parts[1:3])
            judged.append(parts[1] in JUDGED_ALPHABETS)
    numbers = {character: number for number, character in enumerate(sorted(set(characters)))}
    labels = torch.tensor([numbers[character] for character in characters])
    return torch.from_numpy(np.stack(drawings)).unsqueeze(1), labels, torch.tensor(judged)


def make_network():
    blocks, channels = [], 1
    for width in WIDTHS:
        blocks += [torch.nn.Conv2d(channels, width, 3, padding=1, bias=False), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
                   torch.nn.MaxPool2d(2)]
        channels = width
    return torch.nn.Sequential(*blocks, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(channels, EMBEDDING))


def train(network, drawings, labels, steps):
    loss_of = losses.MarginLoss(margin=0.2, nu=0, beta=1.2)
    miner = miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)
    sampler = samplers.MPerClassSampler(labels, m=PER_CHARACTER, batch_size=BATCH, length_before_new_iter=steps * BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    network.train()
    for rows in torch.tensor(list(sampler))[:steps * BATCH].view(-1, BATCH):
        embeddings = network(drawings[rows])
        loss = loss_of(embeddings, labels[rows], miner(embeddings, labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def embed(network, drawings):
    network.eval()
    return torch.cat([network(part) for part in drawings.split(256)])


def judge(features, labels):
    """recall@1 and mAP@5 of every drawing against all others, by cosine."""
    units = torch.nn.functional.normalize(features.double().flatten(1))
    cosines = (units @ units.t()).numpy()
    labels = labels.numpy()
    recall, precision = [], []
    for query, row in enumerate(cosines):
        order = np.argsort(-row, kind="stable")
        order = order[order != query]
        recall.append(labels[order[0]] == labels[query])
        met = list(dict.fromkeys(labels[order].tolist()))[:5]
        precision.append(1 / (met.index(labels[query]) + 1) if labels[query] in met else 0)
    return np.mean(recall), np.mean(precision)


def row(name, scores):
    scores = np.array(scores)
    spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.zeros(2)
    return f"| {name} | " + " | ".join(f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(scores.mean(axis=0), spread)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zip", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    drawings, labels, judged = read_drawings(arguments.zip)
    unseen, of_unseen = drawings[judged], labels[judged]
    untrained, trained = [], []
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        np.random.seed(seed)  # the sampler draws from it
        network = make_network()
        untrained.append(judge(embed(network, unseen), of_unseen))
        start = time.monotonic()
        train(network, drawings[~judged], labels[~judged], arguments.steps)
        trained.append(judge(embed(network, unseen), of_unseen))
        print(f"seed {seed}: recall@1 {trained[-1][0]:.4f}, mAP@5 {trained[-1][1]:.4f}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"\n{len(unseen)} drawings of {len(of_unseen.unique())} characters\n\n| | recall@1 | mAP@5 |\n| --- | ---: | ---: |")
    print(row("pixels (cosine at 32 px)", [judge(unseen, of_unseen)]))
    print(row("an untrained network", untrained))
    print(row("PyTorch with pytorch-metric-learning", trained))


if __name__ == "__main__":
    main()
