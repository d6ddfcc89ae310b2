"""What else was tried on real chips, each against the same without it, on the same images, at .2 for every label.

usage: planet_variants.py RUN [--more-folds RUN] [--program build/release/bin/baleen] [--pack packed/planet-60min] [--samples 4000]

RUN is a finished run of experiments/recipes/planet-60min.yaml. Differences have 95 % intervals of a paired bootstrap over images;
"level 2" is `baleen stack` without its first level, over the columns that are named.

* views: the weights of each fold predict once more in PyTorch, with the eight symmetries (the command fails where that is not
  what the run has in oof.h5) and with the image as it is.
* stages, for a run with snapshots={last: 2, at: stages, columns: true}: the predictions at the end of the first stage, those of
  the final weights, and the mean of both, which is what such a run has under the network's own name.
* folds: each network of RUN against the one of the same name in the run of --more-folds.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import safetensors
import safetensors.torch
import torch
from planet_table import START, read_run, sample_f2, text
from pytorch_networks import make

FIRST_STAGE = "-snapshot1"
BATCH = 32
NEAR = 2e-4  # of a probability: PyTorch's rounding through a hundred layers


class Comparison:
    """Scores of predictions on the images of one run, and differences to others on the same images."""

    def __init__(self, arguments):
        self.program = arguments.program
        self.ids, self.labels, self.models, self.truth, oof, self.folds = read_run(arguments.run)
        self.columns = dict(zip(self.models, oof.astype(np.float64)))
        self.networks = [name for name in self.models if not name.endswith(FIRST_STAGE)]
        rng = np.random.default_rng(0)
        self.drawn = rng.integers(0, len(self.ids), (arguments.samples, len(self.ids)))

    def f2(self, scores):
        return sample_f2(self.truth, scores > START)

    def line(self, name, scores, to=None, of=""):
        each = self.f2(scores)
        shown = f"{name:<46} {each.mean():.4f}"
        if to is not None:
            gain = each - self.f2(to)
            low, high = np.percentile(gain[self.drawn].mean(1), [2.5, 97.5])
            shown += f"   {gain.mean():+.4f} ({low:+.4f} to {high:+.4f}) to {of}"
        print(shown, flush=True)

    def second_level(self, columns, folds=None):
        """[N, K]: level 2 over {name: scores}, by Baleen from files as anyone writes them."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            with open(folder / "labels.csv", "w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["id", *self.labels])
                table.writerows([i, *row] for i, row in zip(self.ids, self.truth.astype(int)))
            for name, scores in columns.items():
                with h5py.File(folder / f"{name}.h5", "w") as file:
                    file["ids"], file["columns"], file["predictions"] = self.ids, self.labels, scores.astype(np.float32)
                    file["folds"] = (self.folds if folds is None else folds).astype(np.int64)
            settings = ["thresholds.method=fixed", f"thresholds.start={START}", "stacking.first_level=false"]
            words = [word for setting in settings for word in ("--set", setting)]
            tables = [folder / f"{name}.h5" for name in columns]
            done = subprocess.run([self.program, "stack", *tables, "--labels", folder / "labels.csv", "--out", folder / "out", *words],
                                  capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"baleen stack ended with {done.returncode}: {done.stderr}{done.stdout}")
            with open(folder / "out/oof.csv", newline="") as file:
                rows = {row["id"]: row for row in csv.DictReader(file)}
        return np.array([[float(rows[i][label]) for label in self.labels] for i in self.ids])


def final_predictions(c):
    """{network: predictions of the final weights}: a run with snapshots has the mean of both moments under the network's name."""
    return {name: 2 * c.columns[name] - c.columns[name + FIRST_STAGE] if name + FIRST_STAGE in c.columns else c.columns[name]
            for name in c.networks}


def compare_stages(c):
    first = {name: c.columns[name + FIRST_STAGE] for name in c.networks if name + FIRST_STAGE in c.columns}
    if not first:
        return
    final = final_predictions(c)
    print("\nfirst stage's predictions")
    for name in first:
        c.line(f"{name}, first stage", first[name])
        c.line(f"{name}, final weights", final[name])
        c.line(f"{name}, mean of both", c.columns[name], final[name], "final weights")
    both = {**final, **{name + FIRST_STAGE: scores for name, scores in first.items()}}
    mean = np.mean(list(final.values()), 0)
    c.line("mean of the networks", mean)
    c.line("mean of all columns", np.mean(list(both.values()), 0), mean, "mean of the networks")
    stacked = c.second_level(final)
    c.line("level 2 of the networks", stacked)
    c.line("level 2 of all columns", c.second_level(both), stacked, "level 2 of the networks")
    c.line("level 2 of the means of both", c.second_level({name: c.columns[name] for name in first}), stacked, "level 2 of the networks")


def read_images(pack, ids, variant, side):
    """Pixels [N, 3, H, W] in [0, 1], in the order of ids, as they were stored at `side` px."""
    rows, images = {}, f"{variant}_images" if variant else "images"
    for shard in sorted(pack.glob("shard-*.h5")):
        with h5py.File(shard) as h5:
            stored = h5[images] if h5[images].shape[1] == side else h5[f"{images}_{side}"]
            rows.update(zip((name.rstrip("\0") for name in text(h5["ids"][:])), stored[:]))
    return torch.from_numpy(np.stack([rows[i] for i in ids])).permute(0, 3, 1, 2).float() / 255


def layer_of(tensor):
    return tensor.rsplit(".", 1)[0]


def position(layer):
    """Sorts a numbered layer by its number, the head (without one) behind all."""
    numbers = [int(part) for part in layer.split(".") if part.isdigit()]
    return not numbers, numbers


def open_network(file, metadata):
    """Baleen's names are torchvision's; the plain modules of pytorch_networks.py have the same layers in the same order."""
    network, state = make(metadata["backbone"], int(metadata["num_outputs"])).eval(), safetensors.torch.load_file(file)
    wanted = network.state_dict()
    if set(wanted) != set(state):
        ours, theirs = sorted({layer_of(name) for name in state}, key=position), dict.fromkeys(layer_of(name) for name in wanted)
        rename = dict(zip(ours, theirs))
        state = {name.replace(layer_of(name), rename[layer_of(name)], 1): value for name, value in state.items()}
    network.load_state_dict(state)
    return network


def symmetries(batch):
    for turned in range(4):
        view = torch.rot90(batch, turned, (2, 3))
        yield from (view, view.flip(3))


def predict_alone_and_by_views(c, run, pack):
    """{network: [N, K]} twice: the image as it is, and the mean over its eight symmetries."""
    alone = {name: np.zeros(c.truth.shape) for name in c.networks}
    views = {name: np.zeros(c.truth.shape) for name in c.networks}
    images = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        subprocess.run([c.program, "export", run, "--all", "--output", folder], check=True, capture_output=True)
        for name in c.networks:
            for fold in np.unique(c.folds):
                file = next(pathlib.Path(folder).glob(f"{name}-f{fold}-s*.safetensors"))
                with safetensors.safe_open(file, "pt") as opened:
                    metadata = opened.metadata()
                wanted = metadata.get("variant", ""), int(metadata["size_px"])
                if wanted not in images:
                    images[wanted] = read_images(pack, c.ids, *wanted)
                rows = np.flatnonzero(c.folds == fold)
                pixels = images[wanted][rows]
                mean, std = (torch.tensor(json.loads(metadata[key])).view(-1, 1, 1) for key in ("mean", "std"))
                network = open_network(file, metadata)
                answers = [np.concatenate([torch.sigmoid(network(batch)).double().numpy() for batch in view.split(BATCH)])
                           for view in symmetries((pixels - mean) / std)]
                alone[name][rows], views[name][rows] = answers[0], np.mean(answers, 0)
    return alone, views


def compare_views(c, run, pack):
    alone, views = predict_alone_and_by_views(c, run, pack)
    final = final_predictions(c)
    print("\nviews: the eight symmetries and the image as it is")
    for name in c.networks:
        apart = np.abs(views[name] - final[name]).max()
        if apart > NEAR:
            sys.exit(f"{name}: PyTorch's predictions by views lie up to {apart:.2g} from those in oof.h5")
        c.line(f"{name}, as it is", alone[name])
        c.line(f"{name}, eight views", final[name], alone[name], "as it is")
    c.line("mean of the networks, as it is", np.mean(list(alone.values()), 0))
    c.line("mean of the networks, eight views", np.mean(list(final.values()), 0), np.mean(list(alone.values()), 0), "as it is")
    stacked = c.second_level(alone)
    c.line("level 2, as it is", stacked)
    c.line("level 2, eight views", c.second_level(final), stacked, "as it is")


def compare_folds(c, other):
    ids, labels, models, _, oof, folds = read_run(other)
    if labels != c.labels or set(ids) != set(c.ids):
        sys.exit(f"{other} has other images or labels")
    order = [ids.index(i) for i in c.ids]
    final = final_predictions(c)
    names = [name for name in c.networks if name in models]
    few = {name: final[name] for name in names}
    more = {name: oof[models.index(name)][order].astype(np.float64) for name in names}
    counts = len(np.unique(c.folds)), len(np.unique(folds))
    print(f"\n{counts[0]} folds against {counts[1]}")
    for name in names:
        c.line(f"{name}, {counts[0]} folds", few[name])
        c.line(f"{name}, {counts[1]} folds", more[name], few[name], f"{counts[0]} folds")
    means = [np.mean(list(columns.values()), 0) for columns in (few, more)]
    c.line(f"mean of these networks, {counts[0]} folds", means[0])
    c.line(f"mean of these networks, {counts[1]} folds", means[1], means[0], f"{counts[0]} folds")
    best = max(names, key=lambda name: c.f2(more[name]).mean())
    c.line("  the same", means[1], more[best], f"{best}, {counts[1]} folds")
    stacked = c.second_level(few)
    c.line(f"level 2 of these networks, {counts[0]} folds", stacked)
    again = c.second_level(more, folds[order])
    c.line(f"level 2 of these networks, {counts[1]} folds", again, stacked, f"{counts[0]} folds")
    c.line("  the same", again, more[best], f"{best}, {counts[1]} folds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--more-folds", type=pathlib.Path)
    parser.add_argument("--program", default="build/release/bin/baleen")
    parser.add_argument("--pack", type=pathlib.Path, default="packed/planet-60min")
    parser.add_argument("--samples", type=int, default=4000)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    c = Comparison(arguments)
    print(f"{len(c.ids)} images, {len(c.labels)} labels, {len(np.unique(c.folds))} folds, {', '.join(c.networks)}")
    compare_views(c, arguments.run, arguments.pack)
    compare_stages(c)
    if arguments.more_folds:
        compare_folds(c, arguments.more_folds)


if __name__ == "__main__":
    main()
