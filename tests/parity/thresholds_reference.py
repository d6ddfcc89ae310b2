"""Writes a multi-label problem and the thresholds that a plain coordinate search finds for it, as JSON."""
import json
import sys

import numpy as np
from sklearn.metrics import fbeta_score


def mean_f2(truth, predicted):
    return fbeta_score(truth, predicted.astype(int), beta=2, average="samples", zero_division=0)


def coordinate_search(truth, scores, steps=100, start=0.2):
    thresholds = np.full(truth.shape[1], start)
    top = 0.0
    for label in range(truth.shape[1]):
        choice, top = 0.0, 0.0
        for k in range(steps):
            thresholds[label] = k / steps
            value = mean_f2(truth, scores > thresholds)
            if value > top:
                choice, top = k / steps, value
        thresholds[label] = choice
    return thresholds, top


rng = np.random.RandomState(0)
truth = (rng.rand(200, 4) < [0.7, 0.3, 0.1, 0.02]).astype(int)
scores = np.clip(0.35 * truth + 0.6 * rng.rand(200, 4), 0, 1)
thresholds, score = coordinate_search(truth, scores)
with open(sys.argv[1], "w") as file:
    json.dump({"truth": truth.tolist(), "scores": scores.tolist(), "thresholds": thresholds.tolist(), "score": score,
               "start_score": mean_f2(truth, scores > 0.2)}, file)
