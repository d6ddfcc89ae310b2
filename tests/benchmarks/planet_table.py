"""What the second stage is worth on real chips, from a finished run of experiments/recipes/planet-60min.yaml.

usage: planet_table.py RUN [--program build/release/bin/baleen] [--reference $BALEEN_DATA/planet] [--samples 2000] [--set KEY=VALUE ...]

Calls `baleen stack RUN` and prints, for each model and combination, the pooled out-of-fold F2 at .2 for every label and at
cross-fitted thresholds, with paired bootstrap differences to the best single model; then what haze removal does to each
label: F2 of the label with and without, averaged over networks, with a paired bootstrap over images. F2 at .2 is computed a second
time by scikit-learn from oof.h5, and the command fails where the two disagree. With --reference, the scores of the tables in
its folder oof_reference on the same images stand above. --set is handed to `baleen stack`.
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
from sklearn.metrics import fbeta_score

START = 0.2
SUFFIX = "-dehazed"


def text(values):
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def read_run(run):
    with h5py.File(run / "oof.h5") as h5:
        return (text(h5["ids"][:]), text(h5["labels"][:]), text(h5["models"][:]), h5["targets"][:].astype(bool), h5["oof"][:],
                h5["folds"][:])


def sample_f2(truth, decided):
    """F2 of each image, 0 where there is nothing to be found and nothing is."""
    divisor = 4 * truth.sum(1) + decided.sum(1)
    return np.where(divisor > 0, 5 * (truth & decided).sum(1) / np.maximum(divisor, 1), 0.0)


def label_f2(truth, decided):
    """F2 of each label over images, NaN where it is neither there nor predicted."""
    divisor = 4 * truth.sum(-2) + decided.sum(-2)
    return np.where(divisor > 0, 5 * (truth & decided).sum(-2) / np.maximum(divisor, 1), np.nan)


def stack(program, run, assignments):
    with tempfile.TemporaryDirectory() as folder:
        words = [part for assignment in assignments for part in ("--set", assignment)]
        done = subprocess.run([program, "stack", run, "--out", folder, *words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"baleen stack ended with {done.returncode}: {done.stderr}{done.stdout}")
        return json.loads((pathlib.Path(folder) / "scores.json").read_text())


def print_candidates(scores, ids, labels, models, truth, oof):
    print(f"{'':<30} {'F2 at .2':>9} {'F2 fitted':>10}   {'to the best single model, 95 % interval':<40}")
    for candidate in scores["candidates"]:
        name, difference = candidate["name"], candidate["difference_to_best_model"]
        if candidate["is_model"]:
            decided = oof[models.index(name)].astype(np.float64) > START
            ours = fbeta_score(truth, decided, beta=2, average="samples", zero_division=0)
            if abs(ours - candidate["score_at_start"]) > 1e-9:
                sys.exit(f"{name}: baleen says {candidate['score_at_start']} at {START}, scikit-learn {ours}")
        best = name == scores["best_model"]
        gain = "best single model" if best else "{value:+.4f} ({low:+.4f} to {high:+.4f})".format(**difference)
        print(f"{name:<30} {candidate.get('score_at_start', float('nan')):>9.4f} {candidate['score']['value']:>10.4f}   {gain}")
    print(scores["conclusion"])


def print_reference(folder, ids, truth, labels):
    for file in sorted((folder / "oof_reference").glob("*.csv")):
        with open(file, newline="") as table:
            rows = {row["image_name"]: row for row in csv.DictReader(table)}
        if set(ids) - set(rows):
            print(f"{'reference ' + file.stem:<30} lacks images of this run")
            continue
        scores = np.array([[float(rows[i][label]) for label in labels] for i in ids])
        print(f"{'reference ' + file.stem:<30} {sample_f2(truth, scores > START).mean():>9.4f}")


def print_haze(labels, models, truth, oof, num_samples):
    """Both variants of each network at .2; the difference of the means over networks."""
    pairs = [(models.index(name), models.index(name + SUFFIX)) for name in models if name + SUFFIX in models]
    if not pairs:
        print("no network was trained with and without haze")
        return
    decided = oof.astype(np.float64) > START
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(truth), (num_samples, len(truth)))

    def effect(picked):
        plain = [label_f2(truth[picked], decided[m][picked]) for m, _ in pairs]
        cleared = [label_f2(truth[picked], decided[m][picked]) for _, m in pairs]
        return np.mean(plain, 0), np.mean(cleared, 0)

    plain, cleared = effect(np.arange(len(truth)))
    drawn = np.array([np.subtract(*effect(picked)[::-1]) for picked in rows])
    print(f"\nHaze removal, F2 of each label at .2, mean of {len(pairs)} networks; paired bootstrap over images")
    print(f"{'':<20} {'images':>6} {'plain':>7} {'dehazed':>8} {'gain':>8}   95 % interval")
    for label in np.argsort(-np.nan_to_num(cleared - plain)):
        values = drawn[:, label][np.isfinite(drawn[:, label])]
        low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
        mark = " *" if low > 0 or high < 0 else ""
        print(f"{labels[label]:<20} {truth[:, label].sum():>6} {plain[label]:>7.4f} {cleared[label]:>8.4f} "
              f"{cleared[label] - plain[label]:>+8.4f}   {low:+.4f} to {high:+.4f}{mark}")
    each = [(sample_f2(truth, decided[b]) - sample_f2(truth, decided[a])).mean() for a, b in pairs]
    print("pooled F2, dehazed less plain: " + ", ".join(f"{models[a]} {gain:+.4f}" for (a, _), gain in zip(pairs, each)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--program", default="build/release/bin/baleen")
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    ids, labels, models, truth, oof, folds = read_run(arguments.run)
    scores = stack(arguments.program, arguments.run, arguments.assignments)
    print(f"{len(ids)} images, {len(labels)} labels, {len(np.unique(folds))} folds, {len(models)} models")
    prevalence = np.broadcast_to(truth.mean(0) > START, truth.shape)
    print(f"{'prevalences':<30} {sample_f2(truth, prevalence).mean():>9.4f}")
    if arguments.reference:
        print_reference(arguments.reference, ids, truth, labels)
    print_candidates(scores, ids, labels, models, truth, oof)
    print_haze(labels, models, truth, oof, arguments.samples)


if __name__ == "__main__":
    main()
