"""`baleen analyze` on the reference predictions for Planet: scikit-learn's and scipy's figures, intervals by their definition."""

import json
import os
import pathlib
import sys

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import (accuracy_score, fbeta_score, jaccard_score, log_loss, precision_score, recall_score,
                             roc_auc_score)

from harness import call, expect, main

sys.path.insert(0, str(pathlib.Path(os.environ["BALEEN_SOURCE"]) / "tests/parity"))
import planet_reference  # noqa: E402

PLANET = pathlib.Path(os.environ.get("BALEEN_DATA", "")) / "planet"
NAMES = ("densenet121", "resnet18", "simplenet5m")


def close(ours, theirs, what, tolerance=1e-10):
    expect((ours is None and np.isnan(theirs)) or abs(ours - theirs) <= tolerance, f"{what}: {ours} instead of {theirs}")


def delong(truth, scores):
    """The variance of the area from all pairs, as DeLong et al. 1988 define it."""
    positive, negative = scores[truth == 1], scores[truth == 0]
    wins = (positive[:, None] > negative).astype(float) + 0.5 * (positive[:, None] == negative)
    deviation = np.sqrt(wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative))
    return max(0, wins.mean() - 1.959963984540054 * deviation), min(1, wins.mean() + 1.959963984540054 * deviation)


def bootstrap(truth, decided, rounds=2000):
    """F2 of resampled rows, 2.5 % and 97.5 %."""
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(rounds):
        rows = rng.integers(0, len(truth), len(truth))
        draws.append(fbeta_score(truth[rows], decided[rows], beta=2, zero_division=0))
    return np.quantile(draws, [0.025, 0.975])


def check_labels(model, truth, scores, labels):
    intervals = 0
    for column, label in enumerate(model["labels"]):
        y, p = truth[:, column], scores[:, column]
        expect(label["label"] == labels[column], f"{label['label']} instead of {labels[column]}")
        close(label["auc"]["value"], roc_auc_score(y, p) if 0 < y.sum() < len(y) else np.nan, f"{label['label']} AUC")
        close(label["log_loss"]["value"], log_loss(y, p, labels=[0, 1]), f"{label['label']} log loss", 1e-9)
        if 2 <= y.sum() <= len(y) - 2:
            low, high = delong(y, p)
            close(label["auc"]["low"], low, f"{label['label']} AUC, low")
            close(label["auc"]["high"], high, f"{label['label']} AUC, high")
            intervals += 1
    expect(intervals > 10, "hardly a label has an interval")


def check_decisions(label, truth, decided, folds):
    what = label["label"]
    close(label["f"]["value"], fbeta_score(truth, decided, beta=2, zero_division=0), f"{what} F2")
    close(label["precision"], precision_score(truth, decided, zero_division=0), f"{what} precision")
    close(label["recall"], recall_score(truth, decided, zero_division=0), f"{what} recall")
    close(label["accuracy"]["value"], accuracy_score(truth, decided), f"{what} accuracy")
    close(label["f1"]["value"], fbeta_score(truth, decided, beta=1, zero_division=0), f"{what} F1")
    for fold, ours in enumerate(label["by_fold"]):
        y, d = truth[folds == fold], decided[folds == fold]
        expect(ours["positives"] == y.sum() and ours["samples"] == len(y), f"{what}, fold {fold}: {ours}")
        for key, beta in (("f", 2), ("f1", 1)):
            theirs = fbeta_score(y, d, beta=beta, zero_division=0) if y.sum() else np.nan
            close(ours[key]["value"], theirs, f"{what}, fold {fold}, {key}")
        close(ours["accuracy"]["value"], accuracy_score(y, d), f"{what}, fold {fold}, accuracy")
    expect(label["positives"] == truth.sum(), f"{what}: {label['positives']} samples")


def check_calibration(model, truth, scores):
    y, p = truth.ravel(), scores.ravel()
    place = np.minimum((p * 10).astype(int), 9)
    error = sum(abs(p[place == b].mean() - y[place == b].mean()) * (place == b).mean() for b in range(10) if (place == b).any())
    ours = model["calibration"]
    close(ours["expected_error"], error, "calibration error")
    close(ours["brier"], ((p - y) ** 2).mean(), "Brier score")
    logits = np.log(np.clip(p, 1e-12, 1 - 1e-12) / (1 - np.clip(p, 1e-12, 1 - 1e-12)))
    loss = lambda t: (np.logaddexp(0, logits / t) - y * logits / t).mean()  # noqa: E731
    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    close(ours["temperature"], best.x, "temperature", 1e-5)
    close(ours["log_loss_at_temperature"], best.fun, "log loss at temperature", 1e-10)


def check_relations(answer, truth):
    labels = truth.shape[1]
    for a in range(labels):
        for b in range(labels):
            varies = 0 < truth[:, a].sum() < len(truth) and 0 < truth[:, b].sum() < len(truth)
            close(answer["phi"][a][b], np.corrcoef(truth[:, a], truth[:, b])[0, 1] if varies else np.nan, f"phi {a} {b}")
            occurs = truth[:, a].any() or truth[:, b].any()
            close(answer["jaccard"][a][b], jaccard_score(truth[:, a], truth[:, b]) if occurs else np.nan, f"Jaccard {a} {b}")
            both = (truth[:, a] * truth[:, b]).sum()
            close(answer["conditional"][a][b], both / truth[:, a].sum() if truth[:, a].any() else np.nan, f"share {a} {b}")
    weather = next(g for g in answer["disjoint_groups"] if "cloudy" in g["labels"])
    expect({"clear", "haze", "partly_cloudy"} <= set(weather["labels"]), f"the weather is no group: {weather}")


def check_simulation(answer, score_MN):
    """The spread of random halves: 1,000 draws of ours against 4,000 of numpy's."""
    rng = np.random.default_rng(2)
    gaps, half = [], score_MN.shape[1] // 2
    for _ in range(4000):
        order = rng.permutation(score_MN.shape[1])
        gaps.append(score_MN[:, order[:half]].mean(1) - score_MN[:, order[half:]].mean(1))
    for ours, theirs in zip(answer["simulation"], np.std(gaps, 0)):
        expect(abs(ours["gap_std"] / theirs - 1) < 0.12, f"{ours['name']}: {ours['gap_std']} instead of {theirs}")


def retrained(directory):
    """Three trainings on other halves of 400 samples: means and spreads over the six held-out halves are numpy's."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 400)
    (directory / "truth.csv").write_text("id,yes\n" + "".join(f"s{i},{y}\n" for i, y in enumerate(truth)))
    parts, files = [], []
    for run in range(3):
        folds = rng.permutation(400) % 2
        p = np.clip(0.5 + (truth - 0.5) * (0.3 + 0.1 * run) + rng.normal(0, 0.2, 400), 0.01, 0.99)
        files.append(directory / f"half{run}.csv")
        files[-1].write_text("id,fold,yes\n" + "".join(f"s{i},{k},{x!r}\n" for i, (k, x) in enumerate(zip(folds, map(float, p)))))
        parts += [((p > 0.5) == truth)[folds == k].mean() for k in (0, 1)]
    text = call(["analyze", "--retrained", *files, "--labels", "truth.csv", "--out", "halves"], directory)
    print(text)
    answer = json.loads((directory / "halves/retrained.json").read_text())
    expect(answer["trainings"] == 3 and answer["parts"] == 6, text)
    close(answer["models"][0]["mean"], np.mean(parts), "mean of the parts")
    close(answer["models"][0]["retrain_std"], np.std(parts, ddof=1), "spread of the parts")
    # Halves of 200: public − private of a share s has the standard deviation 2 sqrt(s (1 − s) / 200).
    theory = np.mean([2 * np.sqrt(s * (1 - s) / 200) for s in parts])
    expect(abs(answer["models"][0]["gap_std"] / theory - 1) < 0.05, f"{answer['models'][0]['gap_std']} instead of {theory}")
    lines = files[0].read_text().splitlines()
    (directory / "nofold.csv").write_text("id,yes\n" + "\n".join(",".join(line.split(",")[::2]) for line in lines[1:]) + "\n")
    text = call(["analyze", "--retrained", "nofold.csv", "--labels", "truth.csv", "--out", "bad"], directory, code=4)
    expect("nofold.csv has no folds" in text, text)


def test(directory):
    retrained(directory)
    if not (PLANET / "oof_reference").is_dir():
        print(f"SKIPPED: there is no {PLANET}/oof_reference")
        sys.exit(77)
    tables = [PLANET / "oof_reference" / f"{name}.csv" for name in NAMES]
    text = call(["analyze", *tables, "--labels", PLANET / "labels.csv", "--images", PLANET / "train", "--out", "out",
                 "--set", "thresholds.minimum=0.2", "--set", "thresholds.maximum=0.2"], directory)
    expect("label by label" in text and "most confusing samples" in text, text)
    answer = json.loads((directory / "out/analysis.json").read_text())
    ids, labels, models, folds, truth = planet_reference.read(PLANET, NAMES)
    truth = np.asarray(truth).astype(int)
    by_name = {model["name"]: model for model in answer["models"]}
    expect(answer["labels"] == list(labels) and answer["samples"] == len(ids), "other labels or samples")
    expect(list(by_name) == [*NAMES, "mean"], f"models {list(by_name)}")
    scores, widths = [], []
    for name, p in zip([*NAMES, "mean"], [*models, models.mean(0)]):
        check_labels(by_name[name], truth, p, labels)
        check_calibration(by_name[name], truth, p)
        # All thresholds are .2, but for labels that a fit never saw.
        decided = p > 0.2
        for fold in np.unique(folds):
            decided[np.ix_(folds == fold, truth[folds != fold].sum(0) == 0)] = False
        for column, label in enumerate(by_name[name]["labels"]):
            check_decisions(label, truth[:, column], decided[:, column], np.asarray(folds))
        hits = (decided & (truth > 0)).sum(1)
        scores.append(5 * hits / (4 * truth.sum(1) + decided.sum(1)))
        close(by_name[name]["score"]["value"], scores[-1].mean(), f"{name} F2")
        for fold, ours in enumerate(by_name[name]["by_fold"]):
            close(ours["f"]["value"], scores[-1][folds == fold].mean(), f"{name} F2 of fold {fold}")
            expect(ours["f"]["low"] < ours["f"]["value"] < ours["f"]["high"], f"{name}, fold {fold}: {ours}")
        column = labels.index("haze")
        ours, theirs = by_name[name]["labels"][column]["f"], bootstrap(truth[:, column], decided[:, column])
        widths.append((ours["high"] - ours["low"]) / (theirs[1] - theirs[0]))
        expect(abs(ours["low"] - theirs[0]) < 0.03 and abs(ours["high"] - theirs[1]) < 0.03,
               f"{name}: F2 of haze from {ours['low']} to {ours['high']} instead of {theirs}")
    print("intervals of haze, width to numpy's bootstrap:", " ".join(f"{w:.3f}" for w in widths))
    expect(abs(np.mean(widths) - 1) < 0.1, f"intervals are {np.mean(widths)} times as wide as they should be")
    check_relations(answer, truth)
    check_simulation(answer, np.array(scores))
    loss = -(truth * np.log(np.clip(models.mean(0), 1e-7, 1)) + (1 - truth) * np.log(np.clip(1 - models.mean(0), 1e-7, 1))).sum(1)
    expect(answer["confusing"][0]["id"] == ids[int(np.argmax(loss))], "another most confusing sample")
    page = (directory / "out/analysis.html").read_text()
    expect(page.count("data:image/") >= 24, "pictures are missing")


main(test)
