"""Means, selections, intervals and simulations of the second stage in plain numpy and scipy, as JSON.

usage: second_stage.py ANSWER blends|leaderboard
"""
import itertools
import json
import sys

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

GAIN = 1e-12


def minus_mse(scores, truth):
    return -((scores - truth) ** 2).mean()


def accuracy(scores, truth):
    return ((scores > 0.5) == (truth > 0.5)).mean()


def mean(p, weights):
    return np.tensordot(np.asarray(weights) / np.sum(weights), p, 1)


def greedy(p, truth, rounds, good):
    """Caruana et al. 2004: begin with the best, add the best, perhaps again; keep the first best of the means."""
    picks, best, kept = [], None, []
    for _ in range(rounds):
        values = [good(p[[*picks, m]].mean(0), truth) for m in range(len(p))]
        pick = 0
        for m, value in enumerate(values):
            if value > values[pick] + GAIN:
                pick = m
        picks.append(pick)
        if best is None or values[pick] > best + GAIN:
            best, kept = values[pick], list(picks)
    return {"picks": kept, "objective": best, "weights": [kept.count(m) / len(kept) for m in range(len(p))]}


def coordinate_search(p, truth, least_step, good):
    """Up, else down, each weight in turn; halves the step when none moves."""
    weights = np.full(len(p), 1 / len(p))
    value, step = good(mean(p, weights), truth), 0.5
    while step >= least_step:
        moved = False
        for m in range(len(p)):
            for sign in (1, -1):
                tried = weights.copy()
                tried[m] = max(0.0, tried[m] + sign * step)
                if tried[m] == weights[m] or tried.sum() <= 0:
                    continue
                tried /= tried.sum()
                here = good(mean(p, tried), truth)
                if here > value + GAIN:
                    weights, value, moved = tried, here, True
                    break
        if not moved:
            step /= 2
    return {"weights": weights.tolist(), "objective": value}


def cross_fitted(p, truth, folds, find):
    result = np.zeros_like(truth)
    for fold in np.unique(folds):
        held = folds == fold
        result[held] = mean(p[:, held], find(p[:, ~held], truth[~held])["weights"])
    return result.tolist()


def blends():
    rng = np.random.default_rng(5)
    truth = (rng.random((120, 3)) < 0.4).astype(float)
    blur = np.array([0.74, 0.7, 0.72, 0.76])[:, None, None]
    p = (1 - blur) * truth + blur * rng.random((4, 120, 3))
    p = np.concatenate([p, p[1:2]])  # the best model once more: of equals the first is taken
    p[3] = np.round(p[3], 1)  # equal scores share their rank
    folds = rng.permutation(120) % 3
    weights = [1.0, 2.0, 0.0, 3.0, 0.5]
    ranks = np.stack([np.stack([rankdata(table[:, label]) for label in range(3)], 1) / 120 for table in p])
    searches = {}
    for name, good in (("mse", minus_mse), ("accuracy", accuracy)):
        take = lambda q, y, good=good: greedy(q, y, 12, good)  # noqa: E731
        move = lambda q, y, good=good: coordinate_search(q, y, 0.01, good)  # noqa: E731
        searches[name] = {"greedy": take(p, truth), "blend": move(p, truth), "greedy_oof": cross_fitted(p, truth, folds, take),
                          "blend_oof": cross_fitted(p, truth, folds, move)}
    # The best weights that there are: the squared error is convex.
    best = minimize(lambda w: -minus_mse(np.tensordot(w, p, 1), truth), np.full(5, 0.2), bounds=[(0, 1)] * 5, method="SLSQP",
                    constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14})
    return {"p": p.tolist(), "truth": truth.tolist(), "folds": folds.tolist(), "weights": weights,
            "arithmetic": mean(p, weights).tolist(), "geometric": np.exp(mean(np.log(np.maximum(p, 1e-7)), weights)).tolist(),
            "rank": mean(ranks, weights).tolist(), "searches": searches, "least_mse": float(best.fun)}


def leaderboard():
    """All halves of twelve samples one by one; intervals by 40,000 resamples of eighty."""
    rng = np.random.default_rng(6)
    scores, reference = rng.random((3, 12)), 1
    scores[2] += 0.05
    halves = [np.isin(np.arange(12), half) for half in itertools.combinations(range(12), 6)]
    public = np.array([scores[:, half].mean(1) for half in halves])
    private = np.array([scores[:, ~half].mean(1) for half in halves])
    leads, leads_in_private = public.argmax(1), private.argmax(1)
    simulation = {"public_std": public.std(0), "gap_std": (public - private).std(0), "largest_gap": abs(public - private).max(0),
                  "public_wins": [(leads == c).mean() for c in range(3)],
                  "private_wins": [(leads_in_private == c).mean() for c in range(3)],
                  "beats_reference": (private > private[:, [reference]]).mean(0)}
    many = np.array([0.7, 0.75, 0.72])[:, None] + rng.standard_normal((3, 80)) * 0.2 + rng.standard_normal(80) * 0.1
    draws = np.array([many[:, rng.integers(0, 80, 80)].mean(1) for _ in range(40000)])
    differences = draws - draws[:, [reference]]
    quantiles = lambda values: np.quantile(values, [0.025, 0.975], axis=0).T.tolist()  # noqa: E731
    return {"reference": reference, "scores": scores.tolist(), "leader_stays": float((leads == leads_in_private).mean()),
            "simulation": {name: np.asarray(values).tolist() for name, values in simulation.items()},
            "many": many.tolist(), "means": many.mean(1).tolist(), "intervals": quantiles(draws), "std": draws.std(0).tolist(),
            "difference_intervals": quantiles(differences), "difference_std": differences.std(0).tolist()}


with open(sys.argv[1], "w") as file:
    json.dump({"blends": blends, "leaderboard": leaderboard}[sys.argv[2]](), file)
