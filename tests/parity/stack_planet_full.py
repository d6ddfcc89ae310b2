"""The second stage on the reference predictions for Planet with scikit-learn and numpy, candidate by candidate.

usage: stack_planet_full.py ANSWER PLANET_FOLDER
"""
import csv
import json
import os
import sys

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import fbeta_score, log_loss, roc_auc_score

ALPHAS = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
answer, folder = sys.argv[1:3]


def f2(truth, decided):
    return fbeta_score(truth, decided, beta=2, average="samples", zero_division=0)


def search(scores, truth):
    """Coordinate search on hundredths from 0.05, first maximum, up to ten sweeps; labels without positives: never."""
    rows, labels = scores.shape
    thresholds = np.full(labels, 0.2)
    thresholds[truth.sum(0) == 0] = 1.0
    actual = truth.sum(1)

    def mean(decided):
        hits, predicted = (decided & (truth > 0)).sum(1), decided.sum(1)
        divisor = 4 * actual + predicted
        return np.where(divisor > 0, 5 * hits / np.maximum(divisor, 1), 0.0).mean()

    for _ in range(10):
        before = thresholds.copy()
        for label in range(labels):
            if truth[:, label].sum() == 0:
                continue
            decided = scores > thresholds
            best, chosen = 0.0, 0.05
            for k in range(5, 100):
                decided[:, label] = scores[:, label] > k / 100
                value = mean(decided)
                if value > best + 1e-12:
                    best, chosen = value, k / 100
            thresholds[label] = chosen
        if (thresholds == before).all():
            break
    return thresholds


with open(os.path.join(folder, "labels.csv"), newline="") as file:
    tags = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(file)}
names, tables = ("densenet121", "resnet18", "simplenet5m"), []
for network in names:
    with open(os.path.join(folder, "oof_reference", network + ".csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    labels = list(rows[0])[2:]
    tables.append([[float(row[label]) for label in labels] for row in rows])
models = np.array(tables)
folds = np.array([int(row["fold"]) for row in rows])
truth = np.array([[label in tags[row["image_name"]] for label in labels] for row in rows], float)

corrected, stacked = np.zeros_like(models), np.zeros_like(truth)
for fold in np.unique(folds):
    held = folds == fold
    for source, target in zip(models, corrected):
        target[held] = RidgeCV(alphas=ALPHAS).fit(source[~held], truth[~held]).predict(source[held])
for fold in np.unique(folds):
    held = folds == fold
    for label in range(truth.shape[1]):
        inputs = corrected[:, :, label].T
        stacked[held, label] = RidgeCV(alphas=ALPHAS).fit(inputs[~held], truth[~held, label]).predict(inputs[held])
candidates = dict(zip(names, models)) | {"mean": models.mean(0), "geometric": np.exp(np.log(np.maximum(models, 1e-7)).mean(0)),
                                         "ridge level 1": corrected.mean(0), "stack": stacked}
result, votes = {}, []
for name, scores in candidates.items():
    decided = np.zeros_like(truth, dtype=bool)
    for fold in np.unique(folds):
        held = folds == fold
        decided[held] = scores[held] > search(scores[~held], truth[~held])
    if name in names:
        votes.append(decided)
    defined = [label for label in range(truth.shape[1]) if 0 < truth[:, label].sum() < len(truth)]
    result[name] = {"score": f2(truth, decided), "at_start": f2(truth, scores > 0.2),
                    "auc": float(np.mean([roc_auc_score(truth[:, label], scores[:, label]) for label in defined]))}
    if name in names or name in ("mean", "geometric"):
        result[name]["log_loss"] = log_loss(truth.ravel(), scores.ravel(), labels=[0, 1])
result["vote"] = {"score": f2(truth, np.mean(votes, 0) >= 0.5)}
with open(answer, "w") as file:
    json.dump({"ids": [row["image_name"] for row in rows], "labels": labels, "candidates": result, "stacked": stacked.tolist()}, file)
