"""Two-level ridge stacking with scikit-learn on the reference predictions for Planet.

usage: stack_planet.py ANSWER PLANET_FOLDER; writes the stacked out-of-fold scores as JSON.
"""
import csv
import json
import os
import sys

import numpy as np
from sklearn.linear_model import RidgeCV

ALPHAS = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
answer, folder = sys.argv[1:3]

with open(os.path.join(folder, "labels.csv"), newline="") as file:
    tags = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(file)}
tables = []
for network in ("simplenet5m", "resnet18", "densenet121"):
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
with open(answer, "w") as file:
    json.dump({"labels": labels, "stacked": stacked.tolist()}, file)
