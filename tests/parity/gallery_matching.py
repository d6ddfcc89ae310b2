#!/usr/bin/env python3
"""Distance maps and re-ranking in numpy and scikit-learn, with the inputs that they are of.

    gallery_matching.py ANSWER.json
"""

import json
import sys

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.manifold._utils import _binary_search_perplexity


def gaussian(distances, perplexity):
    """Rows of conditional probabilities. There must be more rows than columns: otherwise scikit-learn takes column i for i."""
    squares = (distances**2).astype(np.float32)
    return _binary_search_perplexity(squares, perplexity, 0)


def memberships(distance, k):
    """Whether j is among the k nearest of i, and i among those of j."""
    count = len(distance)
    nearest = np.zeros((count, count), bool)
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    np.put_along_axis(nearest, order, True, axis=1)
    return nearest & nearest.T, order


def reranked(queries, gallery, k1, k2, weight):
    features = np.concatenate([queries, gallery])
    squares = cdist(features, features) ** 2
    distance = squares / squares.max(axis=1, keepdims=True)
    mutual, _ = memberships(distance, k1 + 1)
    half, _ = memberships(distance, int(np.around(k1 / 2)) + 1)
    description = np.zeros_like(distance)
    for i in range(len(distance)):
        members = mutual[i].copy()
        for candidate in np.flatnonzero(mutual[i]):
            if (mutual[i] & half[candidate]).sum() > 2 / 3 * half[candidate].sum():
                members |= half[candidate]
        description[i, members] = np.exp(-distance[i, members])
        description[i] /= description[i].sum()
    if k2 > 1:
        _, nearest = memberships(distance, k2)
        description = description[nearest].mean(axis=1)
    q = len(queries)
    common = np.array([[np.minimum(a, b).sum() for b in description[q:]] for a in description[:q]])
    return (1 - weight) * (1 - common / (2 - common)) + weight * distance[:q, q:]


def main():
    random = np.random.default_rng(11)
    distances = random.random((12, 9)) * 2
    exponents = np.exp(-distances / 0.25)
    student = 1 / (1 + distances**2)
    answer = {
        "distances": distances.tolist(),
        "softmax": (exponents / exponents.sum(1, keepdims=True)).tolist(),
        "student": (student / student.sum(1, keepdims=True)).tolist(),
        "gaussian": gaussian(distances, 4.0).tolist(),
        "reranked": [],
    }
    for k1, k2, weight, q, g in ((20, 6, 0.3, 15, 60), (5, 1, 0.3, 10, 30), (7, 3, 0.0, 8, 25), (20, 6, 0.3, 3, 9)):
        centres = random.normal(size=(6, 8))
        def draw(count):
            rows = centres[random.integers(0, 6, count)] + 0.4 * random.normal(size=(count, 8))
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        queries, gallery = draw(q), draw(g)
        answer["reranked"].append({"k1": k1, "k2": k2, "weight": weight, "queries": queries.tolist(), "gallery": gallery.tolist(),
                                   "expected": reranked(queries, gallery, k1, k2, weight).tolist()})
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
