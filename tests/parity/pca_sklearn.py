#!/usr/bin/env python3
"""Principal components by scikit-learn, with the rows that they are of.

    pca_sklearn.py ANSWER.json
"""

import json
import sys

import numpy as np
from sklearn.decomposition import PCA


def main():
    random = np.random.default_rng(8)
    answer = []
    for n, d, share in ((80, 12, 1.0), (80, 12, 0.9), (20, 50, 0.95)):
        x = random.normal(size=(n, d)) * np.linspace(3, 0.2, d) + 5
        test = random.normal(size=(7, d))
        for whiten in (False, True):
            pca = PCA(n_components=None if share == 1.0 else share, whiten=whiten, svd_solver="full").fit(x)
            largest = np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(1, keepdims=True), 1)
            answer.append({"x": x.tolist(), "test": test.tolist(), "share": share, "whiten": whiten,
                           "variance": pca.explained_variance_.tolist(),
                           "expected": (pca.transform(test) * np.sign(largest[:, 0])).tolist()})
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
