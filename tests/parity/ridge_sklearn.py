"""Writes ridge problems and what scikit-learn and NumPy make of them, as JSON, to the given file."""
import json
import sys

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneOut

GRID = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0]


def left_out_errors(x, y, alpha):
    """Squared errors of N refits, each without the row that it predicts; mean per target."""
    squared = np.zeros(y.shape)
    for train, test in LeaveOneOut().split(x):
        model = Ridge(alpha=alpha, solver="cholesky").fit(x[train], y[train])
        squared[test] = (y[test] - model.predict(x[test])) ** 2
    return squared.mean(0)


def case(rng, rows, inputs, targets, scale):
    x = rng.random((rows, inputs)) * scale + rng.random(inputs)
    hidden = x @ rng.standard_normal((inputs, targets)) / scale + rng.standard_normal((rows, targets))
    y = (hidden > np.median(hidden, 0)).astype(float)
    fits = []
    for alpha in GRID:
        model = Ridge(alpha=alpha, solver="cholesky").fit(x, y)
        fits.append({"alpha": alpha, "weights": model.coef_.T.tolist(), "intercept": model.intercept_.tolist(),
                     "loo": left_out_errors(x, y, alpha).tolist(), "predicted": model.predict(x).tolist()})
    shared = RidgeCV(alphas=GRID).fit(x, y)
    separate = RidgeCV(alphas=GRID, alpha_per_target=True).fit(x, y)
    return {"x": x.tolist(), "y": y.tolist(), "fits": fits, "shared_alpha": float(shared.alpha_),
            "alpha_per_target": np.atleast_1d(separate.alpha_).tolist()}


def least_squares(rng):
    """No penalty and a repeated column: the solution of least norm."""
    x = rng.random((40, 3))
    x = np.concatenate([x, x[:, :1]], 1)
    y = rng.random((40, 2))
    weights = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=1e-12)[0]
    return {"x": x.tolist(), "y": y.tolist(), "weights": weights.tolist(),
            "intercept": (y.mean(0) - x.mean(0) @ weights).tolist()}


rng = np.random.default_rng(7)
cases = [case(rng, 60, 5, 3, 1.0), case(rng, 40, 17, 4, 1.0), case(rng, 12, 17, 2, 1.0), case(rng, 80, 3, 2, 1e3)]
with open(sys.argv[1], "w") as file:
    json.dump({"grid": GRID, "cases": cases, "least_squares": least_squares(rng)}, file)
