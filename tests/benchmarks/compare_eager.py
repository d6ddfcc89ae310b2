#!/usr/bin/env python3
"""Compares a training step of every network with PyTorch's eager mode, one process each, in turn on the same machine.

    tests/benchmarks/compare_eager.py --rounds 5
    tests/benchmarks/compare_eager.py --networks resnet50 densenet121 --precisions bf16 --sizes 128

Every round runs each side once, in rotating order. PyTorch runs in both memory formats and the faster one, by its median, is compared
with; a format that is much the slower one in the first round is not run again. What counts is the median over rounds of the rounds'
ratios. Run it on a machine that does nothing else.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests/benchmarks/pytorch_reference.py"
NETWORKS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet161", "densenet169", "densenet201"]
NETWORKS += ["inception_v3", "simplenet", "seresnext50_32x4d", "bninception", "simplenet64", "piotte", "gapnet"]

MUCH_SLOWER = 1.2  # more than rounds of one case differ, as a rule


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/train_bench", help="Baleen's benchmark")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / "build/venv/bin/python", help="interpreter with PyTorch")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[96], help="sides of the images in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="measured steps per round")
    parser.add_argument("--warmup", type=int, default=5, help="steps before them")
    return parser.parse_args()


def run(command, threads):
    settings = dict(os.environ, OMP_NUM_THREADS=str(threads))
    if os.geteuid() == 0:
        settings.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    done = subprocess.run([str(part) for part in command], env=settings, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return lines[0]


def compare(options, network, precision, size):
    """The median ratio of PyTorch's time of a step to Baleen's."""
    common = ["--network", network, "--size", size, "--batch", options.batch, "--precision", precision, "--threads", options.threads, "--warmup", options.warmup]
    sides = {"baleen": [options.program, *common, "--configs", "1:tree", "--rounds", options.steps, "--steps", 1]}
    for name, channels_last in (("contiguous", 0), ("channels_last", 1)):
        sides[name] = [options.python, REFERENCE, *common, "--steps", options.steps, "--channels-last", channels_last]
    results = {name: [] for name in sides}
    for number in range(options.rounds):
        names = list(sides)
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(run(sides[name], options.threads))
        if number == 0:
            best = min(line[0]["median_ms"] for name, line in results.items() if name != "baleen")
            slow = [name for name in sides if name != "baleen" and results[name][0]["median_ms"] > MUCH_SLOWER * best]
            for name in slow:
                del sides[name], results[name]

    def middle(name, key="median_ms"):
        return statistics.median(line[key] for line in results[name])

    rival = min((name for name in sides if name != "baleen"), key=middle)
    ratios = [theirs["median_ms"] / ours["median_ms"] for ours, theirs in zip(results["baleen"], results[rival])]
    ratio = statistics.median(ratios)
    print(
        f"| {network} | {precision} | {size} px | {middle('baleen'):.0f} ms | {middle(rival):.0f} ms ({rival}) | {ratio:.2f} times "
        f"({', '.join(f'{r:.2f}' for r in ratios)}) | {middle('baleen', 'peak_rss_mb'):.0f} / {middle(rival, 'peak_rss_mb'):.0f} MB |",
        flush=True,
    )
    return ratio


def main():
    options = parse_arguments()
    print(f"batch {options.batch}, {options.threads} threads, medians of {options.rounds} rounds of {options.steps} steps:\n")
    print("| network | precision | image side | Baleen | PyTorch, faster format | PyTorch's time to Baleen's (rounds) | peak memory |")
    print("| --- | --- | ---: | ---: | ---: | --- | --- |")
    cases = [(n, p, s) for s in options.sizes for p in options.precisions for n in options.networks]
    ratios = [compare(options, *case) for case in cases]
    print(f"\ngeometric mean {math.exp(statistics.fmean(map(math.log, ratios))):.3f}, least {min(ratios):.3f}")


if __name__ == "__main__":
    main()
