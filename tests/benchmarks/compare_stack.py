"""The second stage by Baleen and by numpy and scikit-learn, on the same predictions, in turns.

usage: compare_stack.py --program build/ci/benchmarks/stack_bench --labels all_train_labels.csv [--rounds 3]

Both sides stack 11 models in two levels of ridge (RidgeCV by leave-one-out, one penalty per model, then per label) with
nested cross-fitting over 5 folds, search exact thresholds for F2 without each fold and on all rows, and simulate 1,000
leaderboards. Prints medians, the ratio, and how far the stacked scores and thresholds are apart.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ALPHAS = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]


def stack(models, truth, folds):
    from sklearn.linear_model import Ridge, RidgeCV

    numbers = np.unique(folds)
    count, rows, labels = models.shape
    fits = {}
    for m in range(count):
        for k in numbers:
            kept = folds != k
            fits[m, k, k] = RidgeCV(alphas=ALPHAS).fit(models[m][kept], truth[kept])
            for j in numbers:  # with the penalty that was chosen without fold k
                if j != k:
                    kept = (folds != k) & (folds != j)
                    fits[m, k, j] = Ridge(alpha=fits[m, k, k].alpha_).fit(models[m][kept], truth[kept])
    stacked = np.zeros((rows, labels))
    for k in numbers:
        corrected = np.zeros((count, rows, labels))
        for j in numbers:
            inside = folds == j
            for m in range(count):
                corrected[m, inside] = fits[m, k, j].predict(models[m][inside])
        held = folds == k
        for label in range(labels):
            inputs = corrected[:, :, label].T
            stacked[held, label] = RidgeCV(alphas=ALPHAS).fit(inputs[~held], truth[~held, label]).predict(inputs[held])
    return stacked


def f2(hits, predicted, actual):
    divisor = 4 * actual + predicted
    return np.where(divisor > 0, 5 * hits / np.maximum(divisor, 1), 0.0)


def search(scores, truth, start=0.2, minimum=0.05, sweeps=10):
    """Coordinate search over midpoints between observed scores; the smallest best candidate."""
    rows, labels = scores.shape
    thresholds = np.full(labels, start)
    on = scores > thresholds
    hits, predicted, actual = (on & truth).sum(1), on.sum(1), truth.sum(1)
    orders = [np.argsort(-scores[:, label], kind="stable") for label in range(labels)]
    candidates = []
    for label in range(labels):
        ordered = scores[orders[label], label]
        lower, upper = ordered, np.concatenate(([max(1.0, ordered[0])], ordered[:-1]))
        # A cut above the c best lies between the c-th and the next; ascending, none below the minimum.
        last = np.searchsorted(-ordered, -minimum, side="left")
        cuts = np.arange(last)
        cuts = cuts[lower[cuts] < upper[cuts]] if len(cuts) else cuts
        middle = lower[cuts] + (upper[cuts] - lower[cuts]) / 2
        values = np.concatenate(([minimum], np.where(middle < upper[cuts], middle, lower[cuts])[::-1]))
        above = np.concatenate(([last], cuts[::-1]))
        candidates.append((values, above))
    for _ in range(sweeps):
        changed = False
        for label in range(labels):
            if not truth[:, label].any():
                continue
            column = scores[:, label] > thresholds[label]
            hits = hits - (column & truth[:, label])
            predicted = predicted - column
            without = f2(hits, predicted, actual)
            gain = f2(hits + truth[:, label], predicted + 1, actual) - without
            total = without.sum() + np.concatenate(([0.0], np.cumsum(gain[orders[label]])))
            values, above = candidates[label]
            means = total[above] / rows
            best = int(np.argmax(means > means.max() - 1e-12))
            if values[best] != thresholds[label]:
                changed, thresholds[label] = True, values[best]
            column = scores[:, label] > thresholds[label]
            hits = hits + (column & truth[:, label])
            predicted = predicted + column
        if not changed:
            break
    return thresholds


def reference(models, truth, folds):
    began = time.perf_counter()
    stacked = stack(models, truth, folds)
    fitted = time.perf_counter()
    positive = truth > 0.5
    decided = np.zeros_like(positive)
    for k in np.unique(folds):
        held = folds == k
        decided[held] = stacked[held] > search(stacked[~held], positive[~held])
    final = search(stacked, positive)
    score = f2((decided & positive).sum(1), decided.sum(1), positive.sum(1))
    searched = time.perf_counter()
    rng = np.random.default_rng(0)
    half = len(score) // 2
    gaps = []
    for _ in range(1000):
        order = rng.permutation(len(score))
        gaps.append(score[order[:half]].mean() - score[order[half:]].mean())
    ended = time.perf_counter()
    return {"fit_s": fitted - began, "thresholds_s": searched - fitted, "simulations_s": ended - searched,
            "total_s": ended - began, "f2": float(score.mean()), "gap_std": float(np.std(gaps)), "stacked": stacked,
            "thresholds": final.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.program, "generate", arguments.labels, folder], check=True)
        shape = json.loads((pathlib.Path(folder) / "shape.json").read_text())
        models = np.fromfile(pathlib.Path(folder) / "predictions.f32", np.float32).reshape(
            shape["models"], shape["rows"], shape["labels"]).astype(np.float64)
        truth = np.fromfile(pathlib.Path(folder) / "targets.f64").reshape(shape["rows"], shape["labels"])
        folds = np.arange(shape["rows"]) % shape["folds"]
        sides = {"baleen": [], "scikit-learn": []}
        for _ in range(arguments.rounds):
            done = subprocess.run([arguments.program, "run", folder], check=True, stdout=subprocess.PIPE, text=True)
            sides["baleen"].append(json.loads(done.stdout))
            sides["scikit-learn"].append(reference(models, truth, folds))
        ours = np.fromfile(pathlib.Path(folder) / "baleen.f64").reshape(truth.shape)
    print(f"{shape['models']} models x {shape['rows']} rows x {shape['labels']} labels, "
          f"{sides['baleen'][0]['threads']} threads, medians of {arguments.rounds} rounds in turn")
    print("| side | levels 1 and 2 (s) | thresholds (s) | simulations (s) | total (s) | F2 |\n| --- | --- | --- | --- | --- | --- |")
    totals = {}
    for side, rounds in sides.items():
        median = {key: statistics.median(r[key] for r in rounds)
                  for key in ("fit_s", "thresholds_s", "simulations_s", "total_s", "f2")}
        totals[side] = median["total_s"]
        print(f"| {side} | {median['fit_s']:.3f} | {median['thresholds_s']:.3f} | {median['simulations_s']:.3f} | "
              f"{median['total_s']:.3f} | {median['f2']:.6f} |")
    last = sides["scikit-learn"][-1]
    print(f"ratio {totals['scikit-learn'] / totals['baleen']:.1f}; peak memory "
          f"{max(r['peak_over_input'] for r in sides['baleen']):.2f} x the input; largest difference of a stacked score "
          f"{np.abs(ours - last['stacked']).max():.1e}, of a threshold "
          f"{np.abs(np.array(sides['baleen'][-1]['thresholds']) - last['thresholds']).max():.1e}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
