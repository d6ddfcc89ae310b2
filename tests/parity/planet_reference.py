"""The reference predictions for Planet, and two-level ridge stacking of them with scikit-learn."""
import csv
import os

import numpy as np
from sklearn.linear_model import RidgeCV

ALPHAS = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]


def read(folder, names):
    """Ids, labels, predictions [M, N, L], folds [N] and truth [N, L]."""
    with open(os.path.join(folder, "labels.csv"), newline="") as file:
        tags = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(file)}
    tables = []
    for name in names:
        with open(os.path.join(folder, "oof_reference", name + ".csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        labels = list(rows[0])[2:]
        tables.append([[float(row[label]) for label in labels] for row in rows])
    ids = [row["image_name"] for row in rows]
    truth = np.array([[label in tags[name] for label in labels] for name in ids], float)
    return ids, labels, np.array(tables), np.array([int(row["fold"]) for row in rows]), truth


def two_levels(models, folds, truth):
    """Out-of-fold scores of level 1 for each model, and of level 2."""
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
    return corrected, stacked
