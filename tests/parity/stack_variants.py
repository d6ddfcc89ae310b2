"""Two-level ridge stacking in every variant with scikit-learn's Ridge and explicit loops over folds, as JSON, to the given file.

Four labels of 96 samples in four folds, seen by three models through noise; seven test samples.
"""
import itertools
import json
import sys

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV

ALPHAS = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0]
M, N, T, L, K = 3, 96, 7, 4, 4


def ridge(x, y, alpha):
    return Ridge(alpha=alpha, solver="cholesky").fit(x, y)


def least_error(x, y, per_target):
    """The penalty of the least leave-one-out error: of each target, or of all together."""
    return np.atleast_1d(RidgeCV(alphas=ALPHAS, alpha_per_target=per_target).fit(x, y).alpha_)


def metric(scores, truth):
    """F2 at thresholds found on these very scores: hundredths from 0.05, first maximum, two sweeps at most."""
    steps = np.arange(5, 100) / 100
    thresholds = np.full(L, 0.2)
    thresholds[truth.sum(0) == 0] = 1.0
    for _ in range(2):
        before = thresholds.copy()
        for label in np.flatnonzero(truth.sum(0)):
            others = np.arange(L) != label
            decided = scores[:, others] > thresholds[others]
            on = scores[:, label] > steps[:, None]
            hits = (decided * truth[:, others]).sum(1) + on * truth[:, label]
            values = (5 * hits / np.maximum(4 * truth.sum(1) + decided.sum(1) + on, 1)).mean(1)
            best, thresholds[label] = 0.0, 0.05
            for step, value in zip(steps, values):
                if value > best + 1e-12:
                    best, thresholds[label] = value, step
        if (thresholds == before).all():
            break
    decided = scores > thresholds
    return (5 * (decided * truth).sum(1) / np.maximum(4 * truth.sum(1) + decided.sum(1), 1)).mean()


class Stack:
    """Both levels; a fit is named by the folds that it leaves out, of which the first chooses its penalty."""

    def __init__(self, p, truth, folds, by, per_label, nested, first_level):
        self.p, self.truth, self.folds = p, truth, folds
        self.by, self.per_label, self.nested, self.first_level = by, per_label, nested, first_level
        self.known = {}

    def rows(self, left_out):
        return ~np.isin(self.folds, left_out)

    def level1(self, m, left_out):
        """A ridge per label for one model."""
        if (m, left_out) not in self.known:
            rows, alphas = self.rows(left_out), self.alphas1(m, left_out[:1])
            self.known[m, left_out] = [ridge(self.p[m][rows], self.truth[rows, label], alphas[label]) for label in range(L)]
        return self.known[m, left_out]

    def apply1(self, m, left_out, x):
        return np.stack([fit.predict(x) for fit in self.level1(m, left_out)], 1) if self.first_level else x

    def alphas1(self, m, left_out):
        if ("alphas", m, left_out) in self.known:
            return self.known["alphas", m, left_out]
        rows = self.rows(left_out)
        if self.by != "leave_one_out":
            scores = [self.scores_of_folds(left_out, lambda inner, held: ridge(self.p[m][inner], self.truth[inner], alpha)
                                           .predict(self.p[m][held])) for alpha in ALPHAS]
            chosen = self.best_on_folds(left_out, scores, self.per_label)
        else:
            chosen = np.broadcast_to(least_error(self.p[m][rows], self.truth[rows], self.per_label), L)
        self.known["alphas", m, left_out] = chosen
        return chosen

    def scores_of_folds(self, left_out, predict):
        """Scores that are made for each further fold without it."""
        scores = np.zeros_like(self.truth)
        for fold in range(K):
            if fold not in left_out:
                inner, held = self.rows((*left_out, fold)), self.folds == fold
                scores[held] = predict(inner, held)
        return scores[self.rows(left_out)]

    def best_on_folds(self, left_out, scores, per_label):
        """A penalty for each label: by the metric one for all, by errors one for all or for each."""
        truth = self.truth[self.rows(left_out)]
        if self.by == "metric":
            return [largest_best([metric(one, truth) for one in scores])] * L
        errors = np.array([((one - truth) ** 2).sum(0) for one in scores])
        if not per_label:
            errors = np.repeat(errors.sum(1, keepdims=True), L, 1)
        return [largest_best(-errors[:, label]) for label in range(L)]

    def inputs2(self, without):
        """What level 2 sees when it leaves `without` out, [M, N, L]."""
        scores = np.zeros_like(self.p)
        for m, fold in itertools.product(range(M), range(K)):
            left_out = (*without, fold) if self.nested and without and fold not in without else (fold,)
            scores[m, self.folds == fold] = self.apply1(m, left_out, self.p[m][self.folds == fold])
        return scores

    def level2(self, without):
        q, rows = self.inputs2(without), self.rows(without)
        fit = lambda rows, label, alpha: ridge(q[:, rows, label].T, self.truth[rows, label], alpha)  # noqa: E731
        if self.by != "leave_one_out":
            scores = [self.scores_of_folds(without, lambda inner, held: np.stack(
                [fit(inner, label, alpha).predict(q[:, held, label].T) for label in range(L)], 1)) for alpha in ALPHAS]
            return [fit(rows, label, alpha) for label, alpha in enumerate(self.best_on_folds(without, scores, True))]
        return [fit(rows, label, least_error(q[:, rows, label].T, self.truth[rows, label], False)[0]) for label in range(L)]

    def scores(self, x, left_out):
        """Both levels, fitted without a fold (empty: on all rows), of predictions [M, R, L]."""
        if ("level 2", left_out) not in self.known:
            self.known["level 2", left_out] = self.level2(left_out)
        q = np.stack([self.apply1(m, left_out, x[m]) for m in range(M)])
        return np.stack([fit.predict(q[:, :, label].T) for label, fit in enumerate(self.known["level 2", left_out])], 1)


def largest_best(values):
    best, chosen = -np.inf, 0.0
    for alpha, value in sorted(zip(ALPHAS, values), reverse=True):
        if value > best + 1e-12:
            best, chosen = value, alpha
    return chosen


def logits(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


rng = np.random.default_rng(11)
truth = (rng.random((N, L)) < [0.5, 0.5, 0.3, 0.2]).astype(float)
truth[:, 1] = np.where(rng.random(N) < 0.9, truth[:, 0], truth[:, 1])
blur = np.array([0.45, 0.6, 0.7])[:, None, None]
p = (1 - blur) * truth + blur * rng.random((M, N, L))
p_test = rng.random((M, T, L))
folds = rng.permutation(N) % K
cases = []
ways = [("leave_one_out", True), ("leave_one_out", False), ("leave_one_fold_out", True), ("leave_one_fold_out", False), ("metric", False)]
for inputs, nested, (by, per_label), first_level in itertools.product(("probabilities", "logits"), (False, True), ways, (True, False)):
    if not first_level and (nested or (by != "metric" and not per_label)):
        continue  # they tell about the first level alone
    seen, seen_test = (logits(p), logits(p_test)) if inputs == "logits" else (p, p_test)
    stack = Stack(seen, truth, folds, by, per_label, nested, first_level)
    stacked = np.zeros_like(truth)
    for fold in range(K):
        stacked[folds == fold] = stack.scores(seen[:, folds == fold], (fold,))
    cases.append({"inputs": inputs, "first_level": first_level, "nested": nested,
                  "alpha_by": by, "alpha_per_label": per_label, "oof": stacked.tolist(),
                  "fold_average": np.mean([stack.scores(seen_test, (fold,)) for fold in range(K)], 0).tolist(),
                  "refit": stack.scores(seen_test, ()).tolist()})
with open(sys.argv[1], "w") as file:
    json.dump({"alphas": ALPHAS, "oof": p.tolist(), "test": p_test.tolist(), "truth": truth.tolist(), "folds": folds.tolist(),
               "cases": cases}, file)
