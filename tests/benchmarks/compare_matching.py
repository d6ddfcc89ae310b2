#!/usr/bin/env python3
"""Compares the assignment solver with scipy and `lap`, and gallery search with faiss' exact index, in turn on one machine.

    python -m venv build/matching && build/matching/bin/pip install -r tests/benchmarks/requirements-matching.txt
    build/matching/bin/python tests/benchmarks/compare_matching.py build/release/benchmarks/matching_bench --rounds 3

Every round runs each side once, in a process of its own. Costs are uniform, and the negative cosines of 64 random numbers with a
forbidden diagonal. Run it on a machine that does nothing else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap

import numpy as np

# What is done before the clock starts, and while it runs. `lap` takes large numbers for forbidden pairs.
SOLVERS = {
    "scipy": ("from scipy.optimize import linear_sum_assignment", "rows, columns = linear_sum_assignment(costs)"),
    "lap": ("import lap; costs = np.where(np.isinf(costs), np.float32(1e4), costs)", "_, columns, _ = lap.lapjv(costs); rows = range(len(costs))"),
}


def run(command, threads=1):
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, env={**os.environ, **limits}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def other_solver(name, file, n):
    before, timed = SOLVERS[name]
    code = f"""
import json, time
import numpy as np
exact = costs = np.fromfile({file!r}, np.float32).reshape({n}, {n})
{before}
start = time.perf_counter()
{timed}
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, cost=float(exact[rows, columns].sum(dtype=np.float64)))))
"""
    return run([sys.executable, "-c", code])


def make_costs(kind, n, file):
    random = np.random.default_rng(3)
    if kind == "uniform":
        costs = random.random((n, n), dtype=np.float32)
    else:
        features = random.normal(size=(n, 64)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        costs = -(features @ features.T)
        np.fill_diagonal(costs, np.inf)
    costs.tofile(file)


def compare_solvers(program, folder, n, rounds):
    for kind in ("uniform", "cosine"):
        file = os.path.join(folder, "costs")
        make_costs(kind, n, file)
        seconds = {"baleen": [], "scipy": [], "lap": []}
        costs = {}
        for _ in range(rounds):
            answer = run([program, "lap", file, str(n)])
            seconds["baleen"].append(answer["seconds"])
            costs["baleen"] = answer["cost"]
            memory = answer["memory"]
            for name in SOLVERS:
                answer = other_solver(name, file, n)
                seconds[name].append(answer["seconds"])
                costs[name] = answer["cost"]
        print(f"{kind}, n = {n}: memory {memory:.2f} of the costs'")
        for name, values in seconds.items():
            listed = ", ".join(f"{value:.2f}" for value in values)
            print(f"  {name:7} {statistics.median(values):8.2f} s ({listed}), total cost {costs[name]:.9f}")
        fastest = [min(others) for others in zip(seconds["scipy"], seconds["lap"])]
        print(f"  ratio {statistics.median(f / b for f, b in zip(fastest, seconds['baleen'])):.1f} times the faster of both")
        for blocks in (4, 8, 16):
            answer = run([program, "lap", file, str(n), str(blocks)])
            exact = statistics.median(seconds["baleen"])
            on_four = max(answer["slowest_block"], answer["seconds"] / 4)
            print(f"  {blocks} blocks: {answer['seconds']:.3f} s one after the other, {exact / on_four:.1f} times exact on 4 ranks")


def compare_gallery(program, folder, rounds):
    g, q, d, k, threads = 100_000, 10_000, 512, 5, 2
    random = np.random.default_rng(4)
    files = {}
    for name, count in (("gallery", g), ("queries", q)):
        rows = random.normal(size=(count, d)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        files[name] = os.path.join(folder, name)
        rows.tofile(files[name])
    found = os.path.join(folder, "found")
    code = textwrap.dedent(f"""
        import json, time
        import faiss, numpy as np
        faiss.omp_set_num_threads({threads})
        gallery = np.fromfile({files['gallery']!r}, np.float32).reshape({g}, {d})
        queries = np.fromfile({files['queries']!r}, np.float32).reshape({q}, {d})
        index = faiss.IndexFlatIP({d})
        index.add(gallery)
        index.search(queries[:8], 1)
        start = time.perf_counter()
        _, rows = index.search(queries, {k})
        seconds = time.perf_counter() - start
        rows.astype(np.int64).tofile({found + '.faiss'!r})
        print(json.dumps({{'seconds': seconds}}))
        """)
    seconds = {"baleen": [], "faiss": []}
    for _ in range(rounds):
        command = [program, "gallery", files["gallery"], g, files["queries"], q, d, k, threads, found]
        seconds["baleen"].append(run([str(word) for word in command], threads)["seconds"])
        seconds["faiss"].append(run([sys.executable, "-c", code], threads)["seconds"])
    ours, theirs = (np.fromfile(name, np.int64).reshape(q, k) for name in (found, found + ".faiss"))
    differ = np.argwhere(ours != theirs)
    gallery = np.fromfile(files["gallery"], np.float32).reshape(g, d).astype(np.float64)
    queries = np.fromfile(files["queries"], np.float32).reshape(q, d).astype(np.float64)
    gap = max((abs(queries[i] @ (gallery[ours[i, j]] - gallery[theirs[i, j]])) for i, j in differ), default=0.0)
    print(f"gallery {g} x {d}, {q} queries, top {k}, {threads} threads")
    for name, values in seconds.items():
        print(f"  {name:7} {q / statistics.median(values):8.0f} queries/s ({', '.join(f'{value:.2f} s' for value in values)})")
    ratio = statistics.median(t / b for t, b in zip(seconds["faiss"], seconds["baleen"]))
    print(f"  ratio {ratio:.2f} times faiss; {len(differ)} of {q * k} places differ, scores there by {gap:.1e} at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n", type=int, default=13263)
    parser.add_argument("--only", choices=["solvers", "gallery"])
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        if options.only != "gallery":
            compare_solvers(program, folder, options.n, options.rounds)
        if options.only != "solvers":
            compare_gallery(program, folder, options.rounds)


if __name__ == "__main__":
    main()
