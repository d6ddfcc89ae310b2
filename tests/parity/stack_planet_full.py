"""The second stage on the reference predictions for Planet with scikit-learn and numpy, candidate by candidate.

usage: stack_planet_full.py ANSWER PLANET_FOLDER
"""
import json
import sys

import numpy as np
from sklearn.metrics import fbeta_score, log_loss, roc_auc_score

import planet_reference

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


names = ("densenet121", "resnet18", "simplenet5m")
ids, labels, models, folds, truth = planet_reference.read(folder, names)
corrected, stacked = planet_reference.two_levels(models, folds, truth)
candidates = dict(zip(names, models)) | {"mean": models.mean(0), "geometric": np.exp(np.log(np.maximum(models, 1e-7)).mean(0)),
                                         "ridge level 1": corrected.mean(0), "stack": stacked}
result, votes, votes_at_start = {}, [], []
for name, scores in candidates.items():
    decided = np.zeros_like(truth, dtype=bool)
    for fold in np.unique(folds):
        held = folds == fold
        decided[held] = scores[held] > search(scores[~held], truth[~held])
    if name in names:
        votes.append(decided)
        votes_at_start.append(scores > 0.2)
    defined = [label for label in range(truth.shape[1]) if 0 < truth[:, label].sum() < len(truth)]
    result[name] = {"score": f2(truth, decided), "at_start": f2(truth, scores > 0.2),
                    "auc": float(np.mean([roc_auc_score(truth[:, label], scores[:, label]) for label in defined]))}
    if name in names or name in ("mean", "geometric"):
        result[name]["log_loss"] = log_loss(truth.ravel(), scores.ravel(), labels=[0, 1])
result["vote"] = {"score": f2(truth, np.mean(votes, 0) >= 0.5), "at_start": f2(truth, np.mean(votes_at_start, 0) >= 0.5)}
with open(answer, "w") as file:
    json.dump({"ids": ids, "labels": labels, "candidates": result, "stacked": stacked.tolist()}, file)
