"""Deviations of iterative-stratification's folds from equal shares: the best of three seeds.

usage: stratified_folds.py LABELS FOLDS OUT
LABELS holds one line of 0s and 1s per sample. OUT gets "largest sum_of_squares", over labels and fold sizes.
"""

import sys

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold


def deviations(labels, num_folds, seed):
    columns = np.concatenate([np.ones((len(labels), 1), dtype=int), labels], axis=1)
    splitter = MultilabelStratifiedKFold(n_splits=num_folds, shuffle=True, random_state=seed)
    counts = np.stack([columns[held_out].sum(axis=0) for _, held_out in splitter.split(labels, labels)])
    return counts - columns.sum(axis=0) / num_folds


def main():
    path, num_folds, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    labels = np.array([[int(c) for c in line.strip()] for line in open(path)])
    results = [deviations(labels, num_folds, seed) for seed in range(3)]
    best = min(results, key=lambda d: (d**2).sum())
    with open(out, "w") as stream:
        stream.write(f"{min(np.abs(d).max() for d in results)} {(best**2).sum()}\n")


if __name__ == "__main__":
    main()
