#!/usr/bin/env python3
"""Ranking and clustering metrics by scikit-learn, with the inputs that they are of.

    retrieval_metrics.py ANSWER.json
"""

import json
import sys

import numpy as np
from sklearn.metrics import average_precision_score, normalized_mutual_info_score, roc_auc_score, top_k_accuracy_score


def main():
    random = np.random.default_rng(5)
    relevant = (random.random((40, 30)) < 0.2).astype(int)
    relevant[0, :] = 0
    relevant[0, 29] = 1
    descending = -np.arange(30.0)
    answer = {
        "relevant": relevant.tolist(),
        # Over the whole list, truncation changes nothing.
        "average_precision": [average_precision_score(row, descending) for row in relevant],
        "recall": {},
        "nmi": [],
    }
    scores = random.random((200, 12))
    truth = random.integers(0, 12, 200)
    ranked = truth[:, None] == np.argsort(-scores, axis=1)
    answer["ranked"] = ranked.astype(int).tolist()
    for k in (1, 3, 5):
        answer["recall"][str(k)] = top_k_accuracy_score(truth, scores, k=k)
    for clusters in ((3, 5), (1, 4), (1, 1), (20, 20), (50, 2)):
        a, b = random.integers(0, clusters[0], 60), random.integers(0, clusters[1], 60)
        answer["nmi"].append({"a": a.tolist(), "b": b.tolist(), "value": normalized_mutual_info_score(a, b)})
    same = random.integers(0, 6, 60)
    answer["nmi"].append({"a": same.tolist(), "b": (7 - same).tolist(), "value": normalized_mutual_info_score(same, 7 - same)})
    positive = random.integers(0, 2, 300)
    tied = np.round(random.random(300) + 0.3 * positive, 1)
    answer["auc"] = {"truth": positive.tolist(), "scores": tied.tolist(), "value": roc_auc_score(positive, tied)}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
