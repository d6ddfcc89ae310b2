#!/usr/bin/env python3
"""Small classifiers by scikit-learn, and by LightGBM's Python package where it is installed, with the inputs that they are of.

    newcomer_learners.py ANSWER.json
"""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC


def boosted(x, y, test):
    try:
        import lightgbm
    except ImportError:
        return None
    parameters = {"objective": "binary", "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
                  "learning_rate": 0.05, "num_leaves": 15}
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=40)
    library = lightgbm.basic._LIB._name
    return {"library": library, "expected": booster.predict(test).tolist()}


def main():
    random = np.random.default_rng(2)
    x = random.normal(size=(300, 6))
    y = (x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + 0.7 * random.normal(size=300) > 0.4).astype(int)
    test = random.normal(size=(40, 6))
    test[:3] = x[:3]
    answer = {"x": x.tolist(), "y": y.tolist(), "test": test.tolist(), "logistic": [], "svm": [], "neighbours": []}
    for c in (0.01, 1.0, 100.0):
        logistic = LogisticRegression(C=c, tol=1e-12, solver="newton-cholesky", max_iter=1000).fit(x, y)
        answer["logistic"].append({"c": c, "weights": logistic.coef_[0].tolist(), "intercept": logistic.intercept_[0]})
        svm = SVC(C=c, kernel="rbf", gamma="scale", tol=1e-8).fit(x, y)
        answer["svm"].append({"c": c, "gamma": 1 / (x.shape[1] * x.var()), "expected": svm.decision_function(test).tolist(),
                              "support": int(svm.n_support_.sum())})
    for k in (1, 5, 50):
        for weights in ("uniform", "distance"):
            expected = KNeighborsClassifier(k, weights=weights).fit(x, y).predict_proba(test)[:, 1]
            answer["neighbours"].append({"k": k, "by_distance": weights == "distance", "expected": expected.tolist()})
    answer["boosted"] = boosted(x, y, test)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
