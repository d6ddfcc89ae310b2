#!/usr/bin/env python3
"""Least total costs of generated assignment problems by scipy.

    assignment_costs.py ANSWER.json NUMBER LARGEST SEED

tests/core/assignment_test.cpp generates the same problems, number by number.
"""

import json
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment


def mix64(z):
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed, count):
    """The first draws of CounterRandom(seed).uniform()."""
    counters = np.arange(1, count + 1, dtype=np.uint64)
    drawn = mix64(np.uint64(seed) + np.uint64(0xD1342543DE82EF95) * counters)
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53


def size_of(number, largest):
    if number % 49 == 48:
        return largest
    return 1 + number * 37 % max(1, largest // 5)


def problem(number, largest, seed):
    n = size_of(number, largest)
    u = uniform(number + 1_000_000 * seed, n * n).reshape(n, n)
    i, j = np.indices((n, n))
    kind = number % 8
    if kind == 0:  # random
        costs = u
    elif kind == 1:  # tied
        costs = np.floor(5 * u)
    elif kind == 2:  # sparse, with one permutation for certain
        costs = np.where((u < 0.1) | (j == (i + 1) % n), 10 * u, np.inf)
    elif kind == 3:  # pairs of one identity forbidden
        costs = np.where(i // 4 == j // 4, np.inf, -u)
    elif kind == 4:  # near-infeasible: few permutations
        costs = np.where((j <= i) | ((u < 0.01) & (j == i + 1)), u, np.inf)
    elif kind == 5:  # the first rows share too few columns
        share = n // 2
        costs = np.where((i <= share) & (j >= share), np.inf, u)
    elif kind == 6:  # nine orders of magnitude
        costs = np.floor(u * 1024) * 2.0 ** np.floor(np.fmod(u * 65536, 1.0) * 30 - 15)
    else:  # products: every row wants the same columns
        costs = np.floor(64 * u) + (i % 64) * (j % 64)
    return costs.astype(np.float32) if number // 8 % 2 else costs


def least_cost(costs):
    try:
        rows, columns = linear_sum_assignment(costs)
    except ValueError:
        return None
    return float(costs[rows, columns].sum(dtype=np.float64))


def main():
    answer, (count, largest, seed) = sys.argv[1], map(int, sys.argv[2:5])
    with np.errstate(over="ignore"):
        totals = [least_cost(problem(number, largest, seed)) for number in range(count)]
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(totals, file)


if __name__ == "__main__":
    main()
